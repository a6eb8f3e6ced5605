//! Tells the library what it is built from: the variables that `src/build_info.rs`
//! reads.
//!
//! The commit is looked up for optimised builds only, so that a commit alone does
//! not compile a development build again. `DB_SYNC_COMMIT` in the environment
//! takes its place, for sources without a repository.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

const UNKNOWN: &str = "unknown";

/// Everything that is linked in and belongs to this repository.
const SOURCES: [&str; 5] = [
    "src",
    "Cargo.toml",
    "../plugin-api/src",
    "../plugin-api/surreal-storage/src",
    "../Cargo.lock",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let variable = |name| env::var(name).unwrap_or_else(|_| UNKNOWN.to_owned());
    let profile = variable("PROFILE");
    let commit = match profile.as_str() {
        "release" => commit(),
        _ => UNKNOWN.to_owned(),
    };
    tell("BUILD_COMMIT", &commit);
    tell("BUILD_PROFILE", &profile);
    tell("BUILD_TARGET", &variable("TARGET"));
    tell("BUILD_SURREALDB", &surrealdb_client());
}

fn tell(variable: &str, value: &str) {
    println!("cargo::rustc-env={variable}={value}");
}

/// The version of the `surrealdb` crate, as it is locked.
fn surrealdb_client() -> String {
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let lock = std::fs::read_to_string("../Cargo.lock").unwrap_or_default();
    lock.split_once("name = \"surrealdb\"\nversion = \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or_else(|| UNKNOWN.to_owned(), |(version, _)| version.to_owned())
}

/// The commit of the repository that this package belongs to, with `-modified` if
/// the sources differ from it.
fn commit() -> String {
    println!("cargo::rerun-if-env-changed=DB_SYNC_COMMIT");
    let given = env::var("DB_SYNC_COMMIT").unwrap_or_default();
    if !given.is_empty() {
        return given;
    }
    of_repository().unwrap_or_else(|| UNKNOWN.to_owned())
}

fn of_repository() -> Option<String> {
    // Sources that were unpacked inside another repository are none of its.
    let root = Path::new("..").canonicalize().ok()?;
    let top = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != root {
        return None;
    }
    // What changes with the commit that is checked out, and with the sources. A
    // path that does not exist would run this script at every build.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let names = ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref());
    let in_git = names.filter_map(|name| git(&["rev-parse", "--git-path", name]));
    let watched = in_git.chain(SOURCES.map(str::to_owned));
    for path in watched.filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
    let commit = git(&["rev-parse", "HEAD"])?;
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(SOURCES);
    let modified = if git(&status)?.is_empty() {
        ""
    } else {
        "-modified"
    };
    Some(format!("{commit}{modified}"))
}

/// The trimmed output of git; none if it fails or is not installed.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
