//! A panic inside the plugin: the call that it happens in comes back as an
//! error, the host lives, and everything that it has reaches the secondary, with
//! no restart.

#![cfg(debug_assertions)] // Fail points are in debug builds only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{admin::AdminClient, compare::compare};
use replication_tests::{
    site::{Site, caught_up, replication},
    wait,
    writer::Writer,
};
use serde_json::Value as Json;

/// Runs a host under load in which steps of the plugin panic, until
/// `acked` writes went through, then looks at both sides. Returns what failed.
fn failures_with(fail_points: &str, acked: u64) -> Vec<String> {
    let site = Site::new();
    let server = site.server("a");
    let config = site.config_file(&[("a", &server)], &[]);
    let program = env!("CARGO_BIN_EXE_writer");
    let mut writer = Writer::start(program, &config, 4, 1, fail_points);
    writer.wait_for(acked);
    let (status, ledger) = writer.finish();
    assert!(status.success(), "{fail_points}: {status}");

    // Without the module: nothing is mended by this look.
    let host = site.bare_host();
    site.assert_equal(&host, &server);
    for database in [host.primary(), &site.database(&server)] {
        let verdict = ledger.check(database);
        assert!(verdict.is_clean(), "{fail_points}: {verdict:#?}");
    }
    ledger.failures().to_vec()
}

/// The step panics at several of its passings.
fn panics(step: &str, passings: &[u32]) -> String {
    let each: Vec<String> = passings
        .iter()
        .map(|passing| format!("{step}=panic*{passing}"))
        .collect();
    each.join(",")
}

#[test]
fn a_write_that_panics_is_an_internal_error_and_the_host_lives() {
    for step in [
        "before_intent",
        "before_primary_write",
        "after_primary_commit",
        "after_append",
    ] {
        // Every kind of write, since a thread's turn has twelve of them.
        let passings: Vec<u32> = (0..12).map(|nth| 1 + nth * 7).collect();
        let failures = failures_with(&panics(step, &passings), 200);
        assert_eq!(failures.len(), passings.len(), "{step}: {failures:?}");
        for failure in failures {
            assert!(failure.starts_with("Internal: "), "{failure}");
            assert!(failure.contains("panicked"), "{failure}");
            assert!(failure.contains(step), "{failure}");
        }
    }
}

#[test]
fn a_worker_that_panics_goes_on() {
    for step in ["before_apply", "after_apply", "after_ack"] {
        // More often than there are workers.
        let failures = failures_with(&panics(step, &[1, 2, 3, 5, 8, 13]), 150);
        assert!(failures.is_empty(), "{step}: {failures:?}");
    }
}

#[test]
fn an_operation_that_panics_every_time_is_a_dead_letter_and_the_others_go_on() {
    // A fact that all threads write again and again.
    let key = "shared-1";
    let site = Site::new();
    let server = site.server("a");
    let config = site.config_file(&[("a", &server)], &["sync_max_retries: 2"]);
    let program = env!("CARGO_BIN_EXE_writer");
    let fail_points = format!("build_statement=panic@{key}");
    let mut writer = Writer::start(program, &config, 4, 1, &fail_points);
    writer.wait_for(300);
    let (status, ledger) = writer.finish();
    assert!(status.success(), "{status}");
    assert!(ledger.failures().is_empty(), "{:?}", ledger.failures());

    let host = site.bare_host();
    let secondary = site.database(&server);
    let comparison = compare(host.primary(), &secondary).unwrap();
    for table in &comparison.tables {
        let missing = usize::from(table.table == "kv_memories");
        assert_eq!(table.missing.len(), missing, "{comparison}");
        assert!(table.different.is_empty(), "{comparison}");
    }
    assert!(ledger.check(&secondary).is_clean());
    host.shutdown().unwrap();

    // In a process where nothing panics: the letter is there, and can be mended.
    let host = site.host(&[("a", &server)], &[]);
    caught_up(&host);
    let admin = AdminClient::local(&host).unwrap();
    let letters = admin.get("dead-letters", &[]).unwrap();
    let [letter] = &letters["dead_letters"].as_array().unwrap()[..] else {
        panic!("{letters}");
    };
    assert!(letter["key"].as_str().unwrap().contains(key), "{letter}");
    assert_eq!(letter["retry_count"], 3, "tried once, and again twice");
    let error = letter["last_error"].as_str().unwrap();
    assert!(error.contains("panicked"), "{error}");
    admin.post("dead-letters/replay", &Json::Null).unwrap();
    wait::until(
        "the replay",
        || replication(&host),
        |status| status.is_caught_up() && status.dead_letters == 0,
    );
    site.assert_equal(&host, &server);
}
