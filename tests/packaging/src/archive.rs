//! The archive: what is in it, and how it is written.

use crate::{linked::Linked, notices};
use anyhow::Context;
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};
use tar::{Builder, Header};
use walkdir::WalkDir;

/// Files and directories of the repository that are shipped as they are.
const SHIPPED: [&str; 4] = ["README.md", "CHANGELOG.md", "LICENSE", "docs"];

/// The sample configuration, which is shipped at the top as well.
const SAMPLE: &str = "docs/config.sample.yaml";

/// What an archive contains.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The name of the archive and of the directory in it, without an extension.
    pub name: String,
    /// The files by their path in that directory.
    pub files: BTreeMap<String, Vec<u8>>,
    /// How hard it is compressed.
    pub compression: Compression,
}

/// What is shipped with this library.
///
/// # Errors
/// Something of it is missing; the error names it.
pub fn contents(linked: &Linked, library: &Path) -> anyhow::Result<Contents> {
    let mut files = BTreeMap::new();
    for path in SHIPPED {
        for entry in WalkDir::new(linked.root.join(path)) {
            let entry = entry?;
            if entry.file_type().is_file() {
                let name = entry.path().strip_prefix(&linked.root)?;
                files.insert(name.display().to_string(), read(entry.path())?);
            }
        }
    }
    let name = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
    files.insert(name(library), read(library)?);
    let sample = Path::new(SAMPLE);
    files.insert(name(sample), read(&linked.root.join(sample))?);
    let notices = notices::text(linked)?;
    files.insert("THIRD-PARTY-LICENSES".to_owned(), notices.into_bytes());
    let rust = linked.sysroot.join("share/doc/rust/COPYRIGHT-library.html");
    let rust = read(&rust).context("the licences of the Rust standard library")?;
    files.insert("RUST-LIBRARY-LICENSES.html".to_owned(), rust);
    files.insert("SHA256SUMS".to_owned(), sums(&files).into_bytes());
    Ok(Contents {
        name: format!("db-sync-server-{}-{}", linked.version, linked.target),
        files,
        compression: Compression::best(),
    })
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

/// The sums of files, in the form that `sha256sum --check` reads.
fn sums(files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut sums = String::new();
    for (path, bytes) in files {
        // Writing to a string does not fail.
        let _ = writeln!(sums, "{:x}  {path}", Sha256::digest(bytes));
    }
    sums
}

/// Writes the archive to a directory, and its sum beside it. The same contents make
/// the same archive. Returns its path.
///
/// # Errors
/// A file cannot be written.
pub fn write(contents: &Contents, directory: &Path) -> anyhow::Result<PathBuf> {
    let Contents { name, files, .. } = contents;
    let file = format!("{name}.tar.gz");
    let path = directory.join(&file);
    let context = || path.display().to_string();
    let encoder = GzEncoder::new(
        File::create(&path).with_context(context)?,
        contents.compression,
    );
    let mut archive = Builder::new(encoder);
    for (at, bytes) in files {
        let mut header = Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // 2020-01-01: some programs doubt files of 1970.
        header.set_mtime(1_577_836_800);
        archive
            .append_data(&mut header, format!("{name}/{at}"), bytes.as_slice())
            .with_context(context)?;
    }
    archive
        .into_inner()
        .and_then(GzEncoder::finish)
        .and_then(|mut file| file.flush())
        .with_context(context)?;
    let sum = Sha256::digest(read(&path)?);
    let beside = directory.join(format!("{file}.sha256"));
    fs::write(&beside, format!("{sum:x}  {file}\n"))
        .with_context(|| beside.display().to_string())?;
    Ok(path)
}
