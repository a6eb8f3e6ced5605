//! A panic inside the plugin: the call fails with an error, the host survives,
//! and everything that it has is replicated without a restart.

#![cfg(debug_assertions)] // Fail points are in debug builds only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{admin::AdminClient, compare::compare};
use replication_tests::{
    site::{Site, caught_up, replication},
    wait,
    writer::Writer,
};
use serde_json::Value as Json;

/// Runs a host under load in which steps of the plugin panic, until `acked`
/// writes are acknowledged, then compares the databases. Returns what failed.
fn failures_with(fail_points: &str, acked: u64) -> Vec<String> {
    let site = Site::new();
    let server = site.server("a");
    let config = site.config_file(&[("a", &server)], &[]);
    let program = env!("CARGO_BIN_EXE_writer");
    let mut writer = Writer::start(program, &config, 4, 1, fail_points);
    writer.wait_for(acked);
    let (status, ledger) = writer.finish();
    assert!(status.success(), "{fail_points}: {status}");

    // Without the module: this comparison repairs nothing.
    let host = site.bare_host();
    site.assert_equal(&host, &server);
    for database in [host.primary(), &site.database(&server)] {
        let violations = ledger.check(database);
        assert!(violations.is_clean(), "{fail_points}: {violations:#?}");
    }
    ledger.failures().to_vec()
}

/// Fail points by which the step panics at several of its passes.
fn panics(step: &str, passings: &[u32]) -> String {
    let each: Vec<String> = passings
        .iter()
        .map(|passing| format!("{step}=panic*{passing}"))
        .collect();
    each.join(",")
}

#[test]
fn a_write_that_panics_fails_with_an_internal_error_and_the_host_survives() {
    for step in [
        "before_intent",
        "before_primary_write",
        "after_primary_commit",
        "after_append",
    ] {
        // Every kind of write: a thread alternates between twelve of them.
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
fn a_worker_continues_after_a_panic() {
    for step in ["before_apply", "after_apply", "after_ack"] {
        // More often than there are workers.
        let failures = failures_with(&panics(step, &[1, 2, 3, 5, 8, 13]), 150);
        assert!(failures.is_empty(), "{step}: {failures:?}");
    }
}

#[test]
fn an_operation_that_always_panics_becomes_a_dead_letter_and_others_continue() {
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

    // In a process where nothing panics: the dead letter is there, and its replay
    // succeeds.
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
