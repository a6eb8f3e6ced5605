//! Makes another version of the contract: the sources of `plugin-api` with a few
//! lines changed. Shared by the build scripts of both versions.

use std::{env, fs, path::Path};

/// A change to the line of a source file that contains a text, and only to that.
pub(crate) struct Edit {
    /// The file, below `plugin-api/src`.
    pub(crate) file: &'static str,
    /// The text; exactly one line has it.
    pub(crate) line: &'static str,
    /// What happens to the line.
    pub(crate) change: Change,
}

/// What happens to a line.
#[allow(dead_code, reason = "each version needs one of the two")]
pub(crate) enum Change {
    /// It is removed, with the comments and attributes before it.
    Remove,
    /// This is appended to it.
    Append(&'static str),
}

/// Writes the edited sources to the build directory, for `src/lib.rs` to include,
/// and has them compiled as that version of `plugin-api`: abi_stable compares
/// types by the package and version that the compiler is told.
///
/// # Panics
/// If an edit does not find its line: the contract's sources have changed, and
/// the edit has to follow.
pub(crate) fn write(version: &str, edits: &[Edit]) {
    println!("cargo::rustc-env=CARGO_PKG_NAME=plugin-api");
    println!("cargo::rustc-env=CARGO_PKG_VERSION={version}");
    let sources = Path::new("../../../plugin-api/src");
    println!("cargo::rerun-if-changed={}", sources.display());
    let target = Path::new(&env::var("OUT_DIR").unwrap()).join("plugin-api");
    copy(sources, &target);
    for edit in edits {
        let path = target.join(edit.file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, apply(&text, edit)).unwrap();
    }
    // A file that is included cannot begin with the crate's own attributes.
    let root = target.join("lib.rs");
    let text = fs::read_to_string(&root).unwrap();
    let items = text.find("pub mod").unwrap();
    fs::write(&root, &text[items..]).unwrap();
}

/// The tests, at the end of a file, are for this version of the contract.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            let text = fs::read_to_string(entry.path()).unwrap();
            fs::write(target, without_tests(&text)).unwrap();
        }
    }
}

fn apply(text: &str, edit: &Edit) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = (0..lines.len()).filter(|&at| lines[at].contains(edit.line));
    let (Some(at), None) = (found.next(), found.next()) else {
        panic!(
            "plugin-api/src/{}: there should be one line with `{}`",
            edit.file, edit.line
        );
    };
    let (before, after) = match edit.change {
        Change::Append(more) => ([&lines[..=at], &[more]].concat(), &lines[at + 1..]),
        Change::Remove => {
            let about = lines[..at].iter().rev();
            let about = about.take_while(|line| line.trim_start().starts_with(['/', '#']));
            (lines[..at - about.count()].to_vec(), &lines[at + 1..])
        }
    };
    [&before, after].concat().join("\n") + "\n"
}
