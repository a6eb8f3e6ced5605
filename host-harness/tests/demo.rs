//! The demo: on this project, with few items of each kind, and on a project that
//! lacks something.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::artifacts;
use std::{
    path::Path,
    process::{Command, Output},
};

fn demo(repo: &Path) -> (Output, String) {
    artifacts::build_for_tests().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_host-harness"))
        .args(["demo", "--limit", "30", "--repo"])
        .arg(repo)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let shown = format!("{text}{stderr}");
    (output, shown)
}

#[test]
fn every_check_of_the_demo_holds_on_this_project() {
    let (output, shown) = demo(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("checks held"), "{shown}");
    assert!(shown.contains("inputs is empty"), "{shown}");
}

#[test]
fn a_missing_input_fails_the_demo_by_name_and_a_missing_history_is_skipped() {
    let project = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(project.path().join(name), text).unwrap();
    write("Cargo.toml", "[package]\nname = \"lacking\"\n");
    write("main.rs", "/// Starts the program.\nfn main() {\n}\n");
    write(
        "README.md",
        "# Lacking\n\nA paragraph that is long enough to be searched for by its words.\n",
    );
    let (output, shown) = demo(project.path());
    assert_eq!(output.status.code(), Some(1), "{shown}");
    let verdict = shown.rsplit("Summary").next().unwrap();
    for input in [
        "packages as entities",
        "dependencies as edges",
        "package facts",
    ] {
        let failure = format!("the input \"{input}\" is empty: there is no Cargo.lock in");
        assert!(verdict.contains(&failure), "{input}: {shown}");
    }
    assert!(verdict.contains("3 FAILED"), "{shown}");
    assert!(verdict.contains("cargo generate-lockfile"), "{shown}");
    let skipped = "SKIPPED: commits as events: ";
    assert!(verdict.contains(skipped), "{shown}");
    assert!(verdict.contains("is in no Git repository"), "{shown}");
}
