//! What the build script says of the sources: in a repository, in an archive, and
//! in a development build.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};
use tempfile::TempDir;

/// The compiled build script.
fn script() -> &'static Path {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = BUILT.get_or_init(|| {
        let directory = TempDir::new().unwrap();
        let program = directory.path().join("build-script");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
        let compiler = std::env::var_os("RUSTC").unwrap_or("rustc".into());
        let status = Command::new(compiler)
            .args(["--edition", "2024", "-o"])
            .args([&program, &source])
            .status();
        assert!(status.unwrap().success());
        (directory, program)
    });
    program
}

/// The sources of a plugin, as far as the script looks at them.
fn sources(root: &Path) {
    fs::create_dir_all(root.join("plugin/src")).unwrap();
    fs::write(root.join("plugin/src/lib.rs"), "// the library").unwrap();
    let lock = "[[package]]\nname = \"surrealdb\"\nversion = \"3.3.5\"\n";
    fs::write(root.join("Cargo.lock"), lock).unwrap();
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=t", "-c", "user.email=t@example.com"];
    let output = Command::new("git")
        .current_dir(directory)
        .args(identity)
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn commit_all(directory: &Path) -> String {
    git(directory, &["add", "--all"]);
    git(directory, &["commit", "--quiet", "--message", "a step"]);
    git(directory, &["rev-parse", "HEAD"])
}

/// What the script prints for the sources in `root`.
fn run(root: &Path, profile: &str, commit: &str) -> String {
    let output = Command::new(script())
        .current_dir(root.join("plugin"))
        .env("PROFILE", profile)
        .env("TARGET", "a-target")
        .env("DB_SYNC_COMMIT", commit)
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn told<'a>(output: &'a str, variable: &str) -> &'a str {
    let start = format!("cargo::rustc-env={variable}=");
    let mut lines = output.lines().filter_map(|line| line.strip_prefix(&start));
    lines.next().expect(variable)
}

/// The paths whose change runs the script again.
fn watched(output: &str) -> Vec<&str> {
    let paths = output.lines();
    paths
        .filter_map(|line| line.strip_prefix("cargo::rerun-if-changed="))
        .collect()
}

#[test]
fn a_release_build_knows_its_commit_and_whether_the_sources_were_modified() {
    let home = TempDir::new().unwrap();
    let root = home.path();
    sources(root);
    git(root, &["init", "--quiet"]);
    let first = commit_all(root);
    let output = run(root, "release", "");
    assert_eq!(told(&output, "BUILD_COMMIT"), first);
    assert_eq!(told(&output, "BUILD_SURREALDB"), "3.3.5");
    assert_eq!(told(&output, "BUILD_TARGET"), "a-target");
    assert_eq!(told(&output, "BUILD_PROFILE"), "release");

    // The file of the branch changes with each commit, and Cargo looks at it. A
    // path that is not there would run the script at every build.
    let branch = git(root, &["symbolic-ref", "HEAD"]);
    let paths = watched(&output);
    assert!(paths.iter().any(|path| path.ends_with(&branch)), "{output}");
    for path in paths.iter().filter(|path| **path != "build.rs") {
        assert!(root.join("plugin").join(path).exists(), "{path}");
    }

    // A worktree of its own, on another branch.
    let other = home.path().join("other");
    let path = other.to_str().unwrap();
    git(root, &["worktree", "add", "--quiet", "-b", "other", path]);
    fs::write(other.join("plugin/src/lib.rs"), "// changed").unwrap();
    let modified = format!("{first}-modified");
    assert_eq!(told(&run(&other, "release", ""), "BUILD_COMMIT"), modified);
    let second = commit_all(&other);
    assert_ne!(first, second);
    assert_eq!(told(&run(&other, "release", ""), "BUILD_COMMIT"), second);
}

#[test]
fn a_development_build_depends_on_no_commit() {
    let home = TempDir::new().unwrap();
    let root = home.path();
    sources(root);
    git(root, &["init", "--quiet"]);
    commit_all(root);
    let output = run(root, "debug", "given");
    assert_eq!(told(&output, "BUILD_COMMIT"), "unknown");
    assert_eq!(watched(&output), ["build.rs", "../Cargo.lock"]);
    assert!(!output.contains("rerun-if-env-changed"), "{output}");
}

#[test]
fn sources_without_a_repository_of_their_own_have_the_commit_that_is_given() {
    // Unpacked inside another project's repository.
    let home = TempDir::new().unwrap();
    git(home.path(), &["init", "--quiet"]);
    let root = home.path().join("db-sync-server");
    sources(&root);
    commit_all(home.path());
    let commit = |given| told(&run(&root, "release", given), "BUILD_COMMIT").to_owned();
    assert_eq!(commit(""), "unknown");
    assert_eq!(commit("1a2b3c"), "1a2b3c");

    fs::remove_file(root.join("Cargo.lock")).unwrap();
    let output = run(&root, "release", "");
    assert_eq!(told(&output, "BUILD_SURREALDB"), "unknown");
}
