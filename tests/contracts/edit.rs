//! Makes another version of the contract: the sources of `plugin-api` with a few
//! lines changed. Shared by the build scripts of both versions.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

/// A change to one line of a source file.
pub(crate) struct Edit {
    /// The file, below `plugin-api/src`.
    pub(crate) file: &'static str,
    /// A text that only this line contains.
    pub(crate) line: &'static str,
    /// What happens to the line.
    pub(crate) change: Change,
}

/// What happens to a line.
#[allow(dead_code, reason = "each version needs one of the two")]
pub(crate) enum Change {
    /// It is removed, with the comments and attributes before it.
    Remove,
    /// These lines come after it.
    Append(&'static [&'static str]),
}

/// Writes the edited sources to the build directory, for `src/lib.rs` to include,
/// and has them compiled as that version of `plugin-api`: abi_stable compares
/// types by the package and version that the compiler is given.
///
/// # Errors
/// An edit does not find its line, so the contract's sources have changed and the
/// edit has to follow; or a file cannot be read or written.
pub(crate) fn write(version: &str, edits: &[Edit]) -> io::Result<()> {
    println!("cargo::rustc-env=CARGO_PKG_NAME=plugin-api");
    println!("cargo::rustc-env=CARGO_PKG_VERSION={version}");
    let sources = Path::new("../../../plugin-api/src");
    println!("cargo::rerun-if-changed={}", sources.display());
    let target = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("plugin-api");
    copy(sources, &target)?;
    for edit in edits {
        let path = target.join(edit.file);
        let text = fs::read_to_string(&path)?;
        fs::write(&path, apply(&text, edit)?)?;
    }
    // A file that is included cannot begin with attributes of the crate.
    let root = target.join("lib.rs");
    let text = fs::read_to_string(&root)?;
    let items = text.find("pub mod").unwrap_or_default();
    fs::write(&root, &text[items..])
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            let text = fs::read_to_string(entry.path())?;
            fs::write(target, without_tests(&text))?;
        }
    }
    Ok(())
}

/// The text without the tests at its end, which are for this version of the
/// contract.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

fn apply(text: &str, edit: &Edit) -> io::Result<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = (0..lines.len()).filter(|&at| lines[at].contains(edit.line));
    let (Some(at), None) = (found.next(), found.next()) else {
        return Err(io::Error::other(format!(
            "plugin-api/src/{} should have one line with `{}`",
            edit.file, edit.line
        )));
    };
    let after = &lines[at + 1..];
    let mut edited = lines[..=at].to_vec();
    match edit.change {
        Change::Append(more) => edited.extend(more),
        Change::Remove => {
            edited.pop();
            let belongs = |line: &&str| line.trim_start().starts_with(['/', '#']);
            while edited.last().is_some_and(belongs) {
                edited.pop();
            }
        }
    }
    edited.extend(after);
    Ok(edited.join("\n") + "\n")
}
