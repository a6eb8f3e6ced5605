//! Debug and release builds of host and module work together.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{artifacts, server::SecondaryServer, server::ServerStorage};
use replication_tests::{site::Site, writer::FAIL_POINTS};
use serde_json::Value as Json;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// The maximum size of the release library, in bytes.
const MAX_BYTES: u64 = 20_000_000;

/// The directory of release builds: the plugin as it is shipped, and a host
/// without an embedded database, which takes less time to compile.
fn release() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        artifacts::build(&["--release", "-p", "db-sync-server"]).unwrap();
        let host = ["--release", "-p", "host-harness", "--no-default-features"];
        let debug = artifacts::build(&host).unwrap();
        debug.with_file_name("release")
    })
}

fn library(directory: &Path) -> PathBuf {
    directory.join(artifacts::PLUGIN_LIBRARY)
}

fn run(program: &Path, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn the_release_library_is_small() {
    let size = fs::metadata(library(release())).unwrap().len();
    assert!(size < MAX_BYTES, "{size} bytes");
}

#[test]
fn a_release_library_says_that_it_is_one() {
    let host = artifacts::build_for_tests().unwrap().join("host-harness");
    let library = library(release());
    let inspected = run(&host, &["inspect", "--json", library.to_str().unwrap()]);
    let answer: Json = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(answer["module"]["profile"], "release", "{answer}");
    // Tests do not build it again for each commit.
    assert_eq!(answer["module"]["commit"], "unknown", "{answer}");
}

/// Makes the debug host call every method through this library, with these fail
/// points set.
fn exercise(library: &Path, fail_points: &str) -> Output {
    let host = artifacts::build_for_tests().unwrap().join("host-harness");
    let modules = tempfile::tempdir().unwrap();
    fs::copy(library, self::library(modules.path())).unwrap();
    Command::new(host)
        .args(["exercise", "--json", "--modules-dir"])
        .arg(modules.path())
        .env(FAIL_POINTS, fail_points)
        .output()
        .unwrap()
}

#[test]
fn a_debug_host_works_with_a_release_module() {
    let output = exercise(&library(release()), "");
    assert!(output.status.success(), "{}", text(&output));
}

/// Fail points that make every step of the plugin panic.
fn all_fail_points() -> String {
    let source = include_str!("../../plugin/src/fail_points.rs");
    let (_, list) = source.split_once("STEPS: &[&str] = &[").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    let steps = list.split('"').skip(1).step_by(2);
    let each: Vec<String> = steps.map(|step| format!("{step}=panic")).collect();
    each.join(",")
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "fail points are in debug builds only")]
fn fail_points_have_no_effect_on_a_release_module() {
    let armed = all_fail_points();
    let output = exercise(&library(release()), &armed);
    assert!(output.status.success(), "{}", text(&output));

    // They do have an effect on a debug build.
    let debug = artifacts::build_for_tests().unwrap();
    let output = exercise(&library(&debug), &armed);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("fail point before_intent"),
        "{}",
        text(&output)
    );
}

#[test]
fn a_release_host_works_with_a_debug_module() {
    let debug = artifacts::build_for_tests().unwrap();
    let host = release().join("host-harness");
    let inspected = run(&host, &["inspect", library(&debug).to_str().unwrap()]);
    assert!(inspected.status.success(), "{}", text(&inspected));

    // That host has no embedded database: its primary is a server, too.
    let site = Site::new();
    let primary = SecondaryServer::start(ServerStorage::Memory).unwrap();
    let secondary = site.server("a");
    let yaml = site.yaml(&[("a", &secondary)], &[]);
    let (_, rest) = yaml.split_once('\n').unwrap();
    let config = site.path().join("host.yaml");
    let first = format!(
        "primary: {{url: \"{}\", namespace: memories, database: agents, username: root, password: root}}",
        primary.url()
    );
    fs::write(&config, format!("{first}\n{rest}")).unwrap();
    let call = |method: &str, arguments: &str| {
        let output = run(
            &host,
            &[
                "call",
                method,
                arguments,
                "--config",
                config.to_str().unwrap(),
            ],
        );
        assert!(output.status.success(), "{}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    call("save_fact", r#"["ada", "editor", "vim"]"#);
    assert!(call("get_fact", r#"["ada", "editor"]"#).contains("vim"));
    let values = replication_tests::site::rows(
        &site.database(&secondary),
        "SELECT VALUE value FROM kv_memories",
    );
    assert_eq!(values, ["vim".into()]);
}
