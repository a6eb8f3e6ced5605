//! The demo, on this project, with little of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::artifacts;
use std::{path::Path, process::Command};

#[test]
fn every_comparison_of_the_demo_holds() {
    artifacts::build_for_tests().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_host-harness"))
        .args(["demo", "--most", "30", "--repo"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{complaint}");
    assert!(text.contains("checks held"), "{text}");
}
