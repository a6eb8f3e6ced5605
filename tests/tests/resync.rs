//! Resyncs: a copy that is killed and goes on during writes, a resync after the log was
//! full, rows of any size; and a row never returns to an older state.
//!
//! The long form: `FAULT_RESYNC=1000000 cargo test --workspace --test resync \
//! -- --nocapture killed_again_and_again`; it ends with a table.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use host_harness::{admin::AdminClient, host::Host, server::SecondaryServer};
use plugin_api::{
    storage::{CallContext, Storage as _},
    value::{Object, Value},
};
use replication_tests::{
    ledger::Ledger,
    proxy::{Network, Proxy},
    site::{
        Access, Site, admin_post, caught_up, connected, dead_letters, given_up, replication, rows,
        run, secondaries,
    },
    wait,
    writer::{PACE, Writer},
};
use serde_json::{Value as Json, json};
use std::{
    process::Command,
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
    let site = Site::new();
    let mut server = site.server("a");
    let bare = site.bare_host();
    run(
        bare.primary(),
        &format!(
            "FOR $n IN 1..={ROWS} {{ CREATE kv_memories SET user_id = 'u', key = <string>$n, value = 0, \
             text = string::repeat('x', 4000) }}"
        ),
    );
    bare.shutdown().unwrap();

    // The secondary is new, so every table is scanned.
    let config = site.config_file(&[("a", &server)], &[]);
    let program = env!("CARGO_BIN_EXE_writer");
    let aborts = "after_page=abort@kv_memories";
    // It writes next to nothing: a raw write would request the table again.
    let mut command = Command::new(program);
    command.env(PACE, "600000");
    Writer::spawn(command, &config, 1, 1, aborts).aborted();

    server.kill();
    let host = site.host(&[("a", &server)], &[]);
    let requests = secondary(&host, "a")["resync"].clone();
    let scans = requests.as_array().unwrap().iter();
    let scanned: Vec<u64> = scans
        .filter(|scan| scan["table"] == "kv_memories")
        .map(|scan| scan["scanned"].as_u64().unwrap())
        .collect();
    let [scanned] = scanned[..] else {
        panic!("{requests}");
    };
    assert!(scanned > 0 && scanned < ROWS as u64, "{requests}");

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
    /// What the reachable secondary is behind at most, which is half of the log.
    const BEHIND: u64 = 25;
    let site = Site::new();
    let (fast, mut away) = (site.server("fast"), site.server("away"));
    let secondaries = [("fast", &fast), ("away", &away)];
    let host = site.host(&secondaries, &["queue_max_bytes: 1MiB"]);
    caught_up(&host);
    away.kill();

    let large = "x".repeat(20_000);
    for number in 0..KEYS {
        save(&host, &format!("k{number}"), format!("{number} {large}"));
        // The host may write faster than a server on a busy machine takes it. Then
        // that secondary would be the one that is furthest behind.
        wait::until(
            "the reachable secondary to keep up",
            || waiting(&host, "fast"),
            |(backlog, _)| *backlog < BEHIND,
        );
    }
    let left = secondary(&host, "away")["resync"].clone();
    assert_eq!(left[0]["reason"], "the log reached queue_max_bytes");
    wait::until(
        "the reachable secondary to catch up",
        || waiting(&host, "fast"),
        |(backlog, _)| *backlog == 0,
    );
    assert_eq!(secondary(&host, "fast")["resync"], json!([]));
    site.assert_equal(&host, &fast);

    away.restart().unwrap();
    caught_up(&host);
    site.assert_equal(&host, &away);
}

/// A batch whose answer is lost may still be on its way when its backlog is evicted,
/// and when the resync that replaces it has copied a newer row.
#[test]
fn a_late_batch_of_an_evicted_backlog_has_no_effect_on_what_is_copied() {
    let site = Site::new();
    let server = site.server("a");
    let proxy = Proxy::start(server.address());
    let settings = [
        "queue_max_bytes: 1MiB",
        "sync_workers: 1",
        "operation_timeout: 2s",
        "connect_timeout: 2s",
    ];
    let host = site.host_with(&site.yaml_for(&[Access::new("a", proxy.url())], &settings));
    // So that the worker has its connection.
    save(&host, "another", 0);
    caught_up(&host);
    let database = site.database(&server);
    run(&database, HISTORY);

    proxy.hold();
    save(&host, "k", 1);
    let batch = ["UPSERT", "db_sync_position"];
    wait::until("the batch", || proxy.holds(&batch), |holds| *holds);
    admin_post(&host, "pause");
    let paused = |status: &Json| status["state"] == "paused" && status["connects"] == 2;
    wait::until("another session", || secondary(&host, "a"), paused);
    assert_eq!(rows(&database, "SELECT * FROM history"), []);

    // One key is one partition, and not that of the batch: there the log brings
    // nothing more.
    save(&host, "k", 2);
    let large = "x".repeat(20_000);
    for number in 0..100 {
        save(&host, "filler", format!("{number} {large}"));
    }
    let requests = secondary(&host, "a")["resync"].clone();
    assert_eq!(requests[0]["reason"], "the log reached queue_max_bytes");
    admin_post(&host, "resume");
    caught_up(&host);
    let values = "SELECT VALUE value FROM history WHERE key = 'k'";
    assert_eq!(rows(&database, values), [2.into()], "copied");

    assert!(proxy.unanswered() > 0);
    proxy.deliver();
    wait::until(
        "the late answers",
        || proxy.unanswered(),
        |count| *count == 0,
    );
    assert_eq!(rows(&database, values), [2.into()], "and not written since");
    site.assert_equal(&host, &server);
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

/// The rows of a secondary's backlog, and its resyncs.
fn waiting(host: &Host, name: &str) -> (u64, usize) {
    let secondary = secondary(host, name);
    let backlog = secondary["backlog"]["operations"].as_u64().unwrap();
    (backlog, secondary["resync"].as_array().unwrap().len())
}

#[test]
fn a_resync_of_one_secondary_leaves_the_backlog_of_another_alone() {
    /// Their keys alone have more bytes than the log may hold.
    const ROWS: i64 = 15_000;
    const WRITES: u64 = 50;
    let site = Site::new();
    let (a, mut b) = (site.server("a"), site.server("b"));
    let settings = ["queue_max_bytes: 1MiB", "initial_sync: \"off\""];
    let host = site.host(&[("a", &a), ("b", &b)], &settings);
    caught_up(&host);
    b.kill();
    run(
        host.primary(),
        &format!(
            "FOR $n IN 1..={ROWS} {{ CREATE kv_memories SET user_id = 'u', \
             key = 'a key of some length, as they are: ' + <string>$n, value = 0 }}"
        ),
    );
    for number in 0..WRITES {
        save(&host, &format!("written while b is down {number}"), 1);
    }
    AdminClient::local(&host)
        .unwrap()
        .post("resync", &json!({ "secondary": "a" }))
        .unwrap();
    wait::until("the resync", || waiting(&host, "a"), |left| *left == (0, 0));
    site.assert_equal(&host, &a);
    assert_eq!(waiting(&host, "b"), (WRITES, 0));
    b.restart().unwrap();
    caught_up(&host);
    let values = rows(&site.database(&b), "SELECT VALUE value FROM kv_memories");
    assert_eq!(values.len() as u64, WRITES);
}

#[test]
fn live_writes_never_go_backwards_while_their_table_is_copied() {
    const ROWS: i64 = 4_000;
    const WRITERS: u64 = 4;
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    caught_up(&host);
    run(
        host.primary(),
        &format!(
            "FOR $n IN 1..={ROWS} {{ CREATE kv_memories SET user_id = 'u', key = <string>$n, value = 0, \
             text = string::repeat('x', 4000) }}"
        ),
    );
    run(&site.database(&server), HISTORY);
    let stop = AtomicBool::new(false);
    let written: i64 = thread::scope(|scope| {
        let (host, stop) = (&host, &stop);
        let writers: Vec<_> = (0..WRITERS)
            .map(|seed| {
                scope.spawn(move || {
                    let mut random = fastrand::Rng::with_seed(seed);
                    let mut written = 0;
                    while !stop.load(Ordering::Relaxed) {
                        // Few keys, so that each is written often; each by one thread.
                        let key = random.i64(1..=50) * 4 + i64::try_from(seed).unwrap();
                        written += 1;
                        save(host, &key.to_string(), written);
                    }
                    written
                })
            })
            .collect();
        for _ in 0..2 {
            admin_post(host, "resync");
            wait::until(
                "the copy",
                || waiting(host, "a"),
                |(_, resyncs)| *resyncs == 0,
            );
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|it| it.join().unwrap()).sum()
    });
    caught_up(&host);
    assert!(written > 200, "{written} writes while it was copied");
    assert!(assert_never_older(&site, &server) > usize::try_from(ROWS).unwrap());
    site.assert_equal(&host, &server);
}

#[test]
fn rows_that_suddenly_become_large_are_copied_and_compared_over_a_connection() {
    let site = Site::new();
    let (primary, server) = (site.server("primary"), site.server("a"));
    let yaml = site.with_primary_on(&site.yaml(&[("a", &server)], &[]), &primary);
    let host = site.host_with(&yaml);
    caught_up(&host);
    // In the order of their ids: small ones, then more than a message holds.
    run(
        &site.database(&primary),
        "FOR $n IN 0..500 { CREATE type::record('events', $n) SET user_id = 'u', content = 'small' };
         FOR $n IN 500..1100 { CREATE type::record('events', $n) SET user_id = 'u', \
         metadata = { text: string::repeat('x', 280000) } };",
    );
    admin_post(&host, "resync");
    wait::until("the copy", || waiting(&host, "a"), |left| *left == (0, 0));
    assert_eq!(replication(&host).dead_letters, 0);
    let count = "SELECT VALUE count FROM (SELECT count() FROM events GROUP ALL)";
    assert_eq!(rows(&site.database(&server), count), [1_100.into()]);

    run(
        &site.database(&server),
        "DELETE events:700; UPDATE events:3 SET content = 'another'",
    );
    let verified = AdminClient::local(&host)
        .unwrap()
        .post("verify", &json!({ "tables": ["events"] }))
        .unwrap();
    let table = &verified["tables"][0];
    assert_eq!(
        [&table["rows"], &table["missing"], &table["different"]],
        [1_100, 1, 1],
        "{verified}"
    );
    caught_up(&host);
    let verified = AdminClient::local(&host)
        .unwrap()
        .post("verify", &json!({ "tables": ["events"] }))
        .unwrap();
    assert_eq!(verified["equal"], true, "{verified}");
}

#[test]
fn a_row_that_fits_into_no_message_is_named_and_the_others_are_copied() {
    let site = Site::new();
    let server = site.server("a");
    let settings = ["sync_max_retries: 0", "operation_timeout: 3m"];
    let host = site.host(&[("a", &server)], &settings);
    caught_up(&host);
    let large = "x".repeat(100 << 20);
    let create = "CREATE events:1 SET content = 'before';
        CREATE events:2 SET content = $large;
        CREATE events:3 SET content = 'after';";
    let parameters = Object::new().with("large", large);
    let context = CallContext::new();
    host.primary().query(&context, create, &parameters).unwrap();
    admin_post(&host, "resync");
    given_up(&host, 1);
    let letters = dead_letters(&host);
    let error = letters[0]["last_error"].as_str().unwrap();
    assert!(error.contains("events:2 has about 1048"), "{error}");
    let content = rows(&site.database(&server), "SELECT VALUE content FROM events");
    assert_eq!(content, ["before".into(), "after".into()]);
}

/// What each resync of a secondary has come to: rows scanned and rows of the table.
fn scans(host: &Host, name: &str) -> Vec<(u64, Option<u64>)> {
    let requests = secondary(host, name)["resync"].clone();
    let scans = requests.as_array().unwrap().iter();
    scans
        .map(|scan| (scan["scanned"].as_u64().unwrap(), scan["total"].as_u64()))
        .collect()
}

#[test]
fn several_tables_are_copied_at_once() {
    const ROWS: u64 = 8_000;
    let site = Site::new();
    let server = site.server("a");
    let proxy = Proxy::start(server.address());
    let host = site.host_with(&site.yaml_for(&[Access::new("a", proxy.url())], &[]));
    caught_up(&host);
    for table in ["events", "vector_memories"] {
        run(
            host.primary(),
            &format!(
                "FOR $n IN 1..={ROWS} {{ CREATE {table} SET user_id = 'u', content = <string>$n \
                 RETURN NONE }}"
            ),
        );
    }
    // Each page takes a while.
    proxy.set(Network::Throttled(1 << 20));
    admin_post(&host, "resync");
    wait::until(
        "two tables whose first page is copied, and not the last",
        || scans(&host, "a"),
        |scans| {
            let partly = |(scanned, total): &&(u64, Option<u64>)| {
                *total == Some(ROWS) && (1..ROWS).contains(scanned)
            };
            scans.iter().filter(partly).count() == 2
        },
    );
    proxy.set(Network::Healthy);
    caught_up(&host);
    site.assert_equal(&host, &server);
}

/// To the database these are different rows, but not within one statement.
#[test]
fn rows_whose_ids_differ_in_the_kind_of_a_number_are_copied_and_compared() {
    const PAIRS: u64 = 60;
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    caught_up(&host);
    run(
        host.primary(),
        &format!(
            "FOR $n IN 1..={PAIRS} {{ \
             CREATE type::record('events', [$n]) SET user_id = 'whole', content = <string>$n; \
             CREATE type::record('events', [<float>$n]) SET user_id = 'float', content = <string>$n; \
             }}"
        ),
    );
    let copies = || {
        let sql = "SELECT id, user_id, content FROM events ORDER BY id";
        let all = [host.primary(), &site.database(&server)].map(|database| rows(database, sql));
        assert_eq!(all[0].len() as u64, 2 * PAIRS);
        all
    };
    admin_post(&host, "resync");
    caught_up(&host);
    let [ours, theirs] = copies();
    assert_eq!(ours, theirs);
    assert_eq!(replication(&host).dead_letters, 0);

    run(
        &site.database(&server),
        "UPDATE events:[3] SET content = 'another'; UPDATE events:[4.0] SET content = 'another'; \
         UPDATE events:[5] SET content = 'another'; UPDATE events:[5.0] SET content = 'another'",
    );
    let verified = AdminClient::local(&host)
        .unwrap()
        .post("verify", &json!({ "tables": ["events"] }))
        .unwrap();
    let table = &verified["tables"][0];
    assert_eq!(
        [&table["rows"], &table["missing"], &table["different"]],
        [2 * PAIRS, 0, 4],
        "{verified}"
    );
    caught_up(&host);
    let [ours, theirs] = copies();
    assert_eq!(ours, theirs);
}

#[test]
fn a_document_is_copied_without_what_the_primary_has_replaced() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    let save = |path: &str, chunks: usize| {
        let chunks = vec!["a chunk".into(); chunks];
        let embeddings = vec![Default::default(); chunks.len()];
        host.storage()
            .save_document_chunks(
                &CallContext::new(),
                path,
                &chunks,
                &embeddings,
                &Object::new(),
            )
            .unwrap();
    };
    for number in 0..100 {
        save(&format!("document {number}"), 5);
    }
    save("removed", 5);
    caught_up(&host);
    // As a secondary that missed how a document became shorter.
    run(
        host.primary(),
        "DELETE knowledge_base WHERE chunk_index > 2 AND source_file != 'removed'; \
         DELETE knowledge_base WHERE source_file = 'removed'",
    );
    admin_post(&host, "resync");
    caught_up(&host);
    let sql = "SELECT VALUE [source_file, chunk_index] FROM knowledge_base ORDER BY source_file, chunk_index";
    let copies = rows(&site.database(&server), sql);
    let archived = |row: &&Value| row.as_array().unwrap()[0] == Value::from("removed");
    assert_eq!(
        copies.iter().filter(archived).count(),
        5,
        "an archived document stays"
    );
    assert_eq!(copies.len(), 100 * 3 + 5);
}

#[test]
fn a_copy_that_is_killed_again_and_again_converges() {
    let long = std::env::var("FAULT_RESYNC").ok();
    let rows: u64 = long.as_ref().map_or(6_000, |rows| rows.parse().unwrap());
    let kills = if long.is_some() { 10 } else { 3 };
    let site = Site::new();
    let (primary, server) = (site.server("primary"), site.server("a"));
    let yaml = site.with_primary_on(&site.yaml(&[("a", &server)], &[]), &primary);
    let config = site.path().join("host.yaml");
    std::fs::write(&config, &yaml).unwrap();
    site.host_with(
        &site.with_primary_on(
            &site
                .yaml(&[], &[])
                .replace("enabled: true", "enabled: false"),
            &primary,
        ),
    )
    .shutdown()
    .unwrap();
    let database = site.database(&primary);
    for first in (0..rows).step_by(5_000) {
        let last = rows.min(first + 5_000);
        run(
            &database,
            &format!(
                "FOR $n IN {first}..{last} {{ CREATE kv_memories SET user_id = 'bulk', \
                 key = <string>$n, value = string::repeat('x', 400) RETURN NONE }}"
            ),
        );
    }
    let program = env!("CARGO_BIN_EXE_writer");
    let mut ledger = Ledger::default();
    let (mut random, mut killed_during) = (fastrand::Rng::new(), 0);
    for round in 1..=kills {
        let mut writer = Writer::start(program, &config, 2, round, "");
        wait::until(
            "the copy to go on",
            || writer.status(),
            |status| status["secondaries"][0]["state"] == "backfilling",
        );
        // Some way into it.
        let share = rows / u64::try_from(kills).unwrap() / 500;
        thread::sleep(std::time::Duration::from_millis(
            random.u64(0..=share.max(40)),
        ));
        let status = writer.status();
        killed_during += u64::from(status["secondaries"][0]["state"] == "backfilling");
        ledger.add(writer.kill());
    }
    assert!(killed_during > 0, "it was never killed while it copied");
    let host = site.host_with(&yaml);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(7_200);
    while replication(&host).resyncs > 0 && std::time::Instant::now() < deadline {
        thread::sleep(std::time::Duration::from_millis(200));
    }
    caught_up(&host);
    for database in [host.primary(), &site.database(&server)] {
        let violations = ledger.check(database);
        assert!(violations.is_clean(), "{violations:?}");
    }
    let comparison = site.assert_equal(&host, &server);
    println!("| rows | kills | of these during the copy | rows compared |");
    println!("| --- | --- | --- | --- |");
    println!(
        "| {rows} | {kills} | {killed_during} | {} |",
        comparison.rows()
    );
}
