//! A panic inside the plugin: the call that it happens in comes back as an
//! error, the host lives, and everything that it has reaches the secondary, with
//! no restart.

#![cfg(debug_assertions)] // Fail points are in debug builds only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use replication_tests::{site::Site, writer::Writer};

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
        // Every kind of write, since a thread's turn has ten of them.
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
