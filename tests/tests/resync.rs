//! Resyncs: a scan that is killed and resumes during writes, a resync after the
//! log was full; and a row never returns to an older state.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{host::Host, server::SecondaryServer};
use plugin_api::{
    storage::{CallContext, Storage as _},
    value::Value,
};
use replication_tests::{
    site::{Site, admin_post, caught_up, connected, given_up, replication, rows, run, secondaries},
    wait,
    writer::Writer,
};
use serde_json::{Value as Json, json};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// Makes a secondary record every value that is written to a fact, in order.
const HISTORY: &str = "DEFINE TABLE history; \
    DEFINE EVENT OVERWRITE history ON kv_memories WHEN $event != 'DELETE' \
    THEN { CREATE history SET at = time::now(), key = $after.key, value = $after.value }";

fn save(host: &Host, key: &str, value: impl Into<Value>) {
    let storage = host.storage();
    storage
        .save_fact(&CallContext::new(), "u", key, &value.into())
        .unwrap();
}

/// A secondary's part of the status.
fn secondary(host: &Host, name: &str) -> Json {
    let mut all = secondaries(host).into_iter();
    all.find(|secondary| secondary["name"] == name).unwrap()
}

/// Asserts that no fact of a secondary with a [`HISTORY`] returned to a smaller
/// number. Returns how many values were written.
fn assert_never_older(site: &Site, server: &SecondaryServer) -> usize {
    let sql = "SELECT VALUE [key, value] FROM history ORDER BY key, at";
    let steps = rows(&site.database(server), sql);
    for pair in steps.windows(2) {
        let [[former, before], [key, after]] =
            [0, 1].map(|at| [0, 1].map(|part| pair[at].as_array().unwrap()[part].clone()));
        assert!(
            former != key || before.as_int() <= after.as_int(),
            "{key}: {after} after {before}"
        );
    }
    steps.len()
}

#[test]
fn a_refresh_is_not_followed_by_an_older_state() {
    let site = Site::new();
    let server = site.server("a");
    // Each operation is a batch of its own, so that every state is recorded.
    let settings = ["sync_batch_size: 1", "sync_max_retries: 0"];
    let host = site.host(&[("a", &server)], &settings);
    caught_up(&host);
    let database = site.database(&server);
    run(
        &database,
        "DEFINE FIELD OVERWRITE value ON kv_memories TYPE any ASSERT $value != 0",
    );
    save(&host, "k", 0);
    given_up(&host, 1);
    run(
        &database,
        "DEFINE FIELD OVERWRITE value ON kv_memories TYPE any",
    );
    run(&database, HISTORY);

    // The refresh precedes three writes, and reads the last of them.
    admin_post(&host, "pause");
    admin_post(&host, "dead-letters/replay");
    for value in 1..=3 {
        save(&host, "k", value);
    }
    admin_post(&host, "resume");
    caught_up(&host);
    assert_eq!(assert_never_older(&site, &server), 4);
    let values = rows(&database, "SELECT VALUE value FROM kv_memories");
    assert_eq!(values, [3.into()]);
    site.assert_equal(&host, &server);
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "fail points are in debug builds only")]
fn a_killed_scan_resumes_where_it_stopped_during_writes() {
    const ROWS: i64 = 3_000;
    /// Rows of one page.
    const PAGE: u64 = 500;
    let site = Site::new();
    let mut server = site.server("a");
    let bare = site.bare_host();
    run(
        bare.primary(),
        &format!(
            "FOR $n IN 1..={ROWS} {{ CREATE kv_memories SET user_id = 'u', key = <string>$n, value = 0 }}"
        ),
    );
    bare.shutdown().unwrap();

    // The secondary is new, so every table is scanned.
    let config = site.config_file(&[("a", &server)], &[]);
    let program = env!("CARGO_BIN_EXE_writer");
    let aborts = "after_page=abort@kv_memories";
    Writer::start(program, &config, 1, 1, aborts).aborted();

    server.kill();
    let host = site.host(&[("a", &server)], &[]);
    let requests = secondary(&host, "a")["resync"].clone();
    let scans = requests.as_array().unwrap().iter();
    let scanned: Vec<u64> = scans
        .filter(|scan| scan["table"] == "kv_memories")
        .map(|scan| scan["scanned"].as_u64().unwrap())
        .collect();
    assert_eq!(scanned, [PAGE], "{requests}");

    server.restart().unwrap();
    connected(&host);
    run(&site.database(&server), HISTORY);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = fastrand::Rng::with_seed(1);
            for value in 1.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                save(&host, &random.i64(1..=ROWS).to_string(), value);
            }
        });
        wait::until(
            "the scan to end",
            || replication(&host),
            |status| status.resyncs == 0,
        );
        stop.store(true, Ordering::Relaxed);
    });
    caught_up(&host);
    assert_never_older(&site, &server);
    site.assert_equal(&host, &server);
}

#[test]
fn a_full_log_evicts_only_the_backlog_of_the_unreachable_secondary() {
    const KEYS: usize = 300;
    let site = Site::new();
    let (fast, mut away) = (site.server("fast"), site.server("away"));
    let secondaries = [("fast", &fast), ("away", &away)];
    let host = site.host(&secondaries, &["queue_max_bytes: 1MiB"]);
    caught_up(&host);
    away.kill();

    let large = "x".repeat(20_000);
    for number in 0..KEYS {
        save(&host, &format!("k{number}"), format!("{number} {large}"));
    }
    let left = secondary(&host, "away")["resync"].clone();
    assert_eq!(left[0]["reason"], "the log reached queue_max_bytes");
    wait::until(
        "the reachable secondary to catch up",
        || secondary(&host, "fast"),
        |fast| fast["backlog"]["operations"] == 0,
    );
    assert_eq!(secondary(&host, "fast")["resync"], json!([]));
    site.assert_equal(&host, &fast);

    away.restart().unwrap();
    caught_up(&host);
    site.assert_equal(&host, &away);
}

#[test]
fn a_connected_secondary_that_is_evicted_goes_on_in_its_session() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &["queue_max_bytes: 1MiB"]);
    for number in 0..50 {
        save(&host, &format!("k{number}"), "small");
    }
    caught_up(&host);
    admin_post(&host, "pause");
    let large = "x".repeat(20_000);
    for number in 0..100 {
        save(&host, &format!("k{number}"), format!("{number} {large}"));
    }
    let reasons = || {
        let resync = secondary(&host, "a")["resync"].clone();
        let requests = resync.as_array().unwrap().iter();
        let reasons: Vec<String> = requests.map(|it| it["reason"].to_string()).collect();
        reasons
    };
    const FULL: &str = "\"the log reached queue_max_bytes\"";
    assert_eq!(reasons(), [FULL]);
    admin_post(&host, "resume");
    wait::until(
        "the resync to end",
        || {
            assert!(
                reasons().iter().all(|reason| reason == FULL),
                "{:?}",
                reasons()
            );
            replication(&host)
        },
        |status| status.is_caught_up(),
    );
    site.assert_equal(&host, &server);
    let status = secondary(&host, "a");
    assert_eq!(status["connects"], 1, "{status}");
    assert_eq!(status["last_error"], Json::Null, "{status}");
}
