//! Faults of secondaries and of the network while a host writes: in the end all
//! databases are equal and hold every acknowledged write.
//!
//! The long form: `FAULT_SERVER=200 cargo test --workspace --test
//! faults -- --nocapture`; it ends with a table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{
    compare::{Comparison, compare},
    host::Host,
    server::SecondaryServer,
};
use plugin_api::{
    records::CodeSymbol,
    storage::{CallContext, CodeStorage as _, Storage as _},
    value::Timestamp,
};
use replication_tests::{
    ledger::{Table, Tally, Violations},
    load::{Background, Load},
    proxy::{Network, Proxy},
    random,
    site::{
        Access, Site, admin_post, caught_up, connected, dead_letters, given_up, replication, run,
        secondaries,
    },
    wait,
};
use serde_json::Value as Json;
use std::{ops::Range, time::Duration};

/// A load that leaves the machine time for everything else.
fn load(round: i64) -> Load {
    Load {
        threads: 4,
        round,
        pace: Duration::from_millis(5),
    }
}

/// Short enough for a test to wait for, long enough for a busy machine.
const TIMEOUTS: &[&str] = &["operation_timeout: 2s", "connect_timeout: 2s"];

/// Waits until that many more writes are acknowledged: the host writes whatever
/// happens to the secondary.
fn more_writes(load: &Background, more: u64) {
    let wanted = load.acked() + more;
    wait::until("more writes", || load.acked(), |acked| *acked >= wanted);
}

/// Waits until the secondary counts as lost.
fn lost(host: &Host) {
    wait::until(
        "the connection to be lost",
        || replication(host),
        |status| !status.is_connected(),
    );
}

/// Waits until the secondary counts as lost because an answer did not come in
/// time.
fn timed_out(host: &Host) {
    wait::until(
        "a timeout",
        || secondaries(host),
        |status| {
            let message = status[0]["last_error"]["message"].as_str();
            status[0]["state"] == "unreachable"
                && message.is_some_and(|message| message.contains("did not answer within"))
        },
    );
}

/// Waits until more is replicated.
fn more_replicated(host: &Host) {
    let before = replication(host).replicated;
    wait::until(
        "more replicated operations",
        || replication(host),
        |status| status.is_connected() && status.replicated > before,
    );
}

/// Ends a load and checks that all databases are equal and hold all of it.
fn check(
    site: &Site,
    host: &Host,
    servers: &[&SecondaryServer],
    load: Background,
    tally: &mut Tally,
) {
    let ledger = load.finish();
    tally.acked += ledger.acked();
    assert_eq!(ledger.failures(), <&[String]>::default());
    caught_up(host);
    assert_eq!(replication(host).dead_letters, 0);
    tally.violations.add(ledger.check(host.primary()));
    let mut compared = String::new();
    for server in servers {
        let secondary = site.database(server);
        let comparison = compare(host.primary(), &secondary).unwrap();
        tally.violations.add(Violations::from(&comparison));
        tally.violations.add(ledger.check(&secondary));
        compared += &comparison.to_string();
    }
    assert!(tally.violations.is_clean(), "{tally}\n{compared}");
}

/// A fault of a server.
#[derive(Clone, Copy)]
enum Fault {
    Restart,
    Outage,
    /// As long as some writes take.
    Pause,
    /// Longer than all timeouts: the server carries out what it was sent when it
    /// continues.
    LongPause,
}

const FAULTS: [Fault; 4] = [
    Fault::Restart,
    Fault::Outage,
    Fault::Pause,
    Fault::LongPause,
];

#[test]
fn the_server_is_killed_or_paused_at_random() {
    /// Faults between two comparisons.
    const FAULTS_PER_ROUND: u64 = 10;
    let mut random = random::seeded("server");
    let mut kinds = random::in_random_order(random.fork(), &FAULTS);
    let faults = random::number("FAULT_SERVER").unwrap_or(10);
    let mut tally = Table::default();
    while tally.tried < faults {
        let site = Site::new();
        let mut server = site.server("a");
        let host = site.host(&[("a", &server)], TIMEOUTS);
        let load = load(1).start(host.storage());
        let round = FAULTS_PER_ROUND.min(faults - tally.tried);
        for _ in 0..round {
            tally.tried += 1;
            more_writes(&load, random.u64(1..60));
            match kinds.next().unwrap() {
                Fault::Restart => server.restart().unwrap(),
                Fault::Outage => {
                    server.kill();
                    more_writes(&load, random.u64(1..60));
                    server.restart().unwrap();
                }
                Fault::Pause => {
                    server.pause().unwrap();
                    more_writes(&load, random.u64(1..60));
                    server.resume().unwrap();
                }
                Fault::LongPause => {
                    server.pause().unwrap();
                    timed_out(&host);
                    server.resume().unwrap();
                }
            }
            more_replicated(&host);
        }
        check(&site, &host, &[&server], load, &mut tally);
        tally.survived += round;
        tally.print_progress(faults);
        host.shutdown().unwrap();
    }
}

#[test]
fn replication_survives_every_network_fault() {
    let mut random = random::seeded("network");
    let site = Site::new();
    let server = site.server("a");
    let proxy = Proxy::start(server.address());
    let host = site.host_with(&site.yaml_for(&[Access::new("a", proxy.url())], TIMEOUTS));
    let load = load(1).start(host.storage());
    more_replicated(&host);

    // Nothing gets through, or no response does: the connection counts as lost.
    for network in [
        Network::BlackHole,
        Network::ResponsesHeld,
        Network::RequestsHeld,
    ] {
        more_writes(&load, random.u64(1..40));
        proxy.set(network);
        lost(&host);
        // What was held back arrives late, at a server with newer connections.
        proxy.set(Network::Healthy);
        more_replicated(&host);
    }
    for network in [
        Network::Delayed(Duration::from_millis(20)),
        Network::Throttled(200_000),
    ] {
        proxy.set(network);
        more_replicated(&host);
        more_replicated(&host);
    }
    proxy.set(Network::Healthy);
    for end in [Proxy::cut, Proxy::reset, Proxy::cut, Proxy::reset] {
        more_writes(&load, random.u64(1..40));
        end(&proxy);
        more_replicated(&host);
    }
    proxy.set(Network::Resetting);
    proxy.reset();
    lost(&host);
    more_writes(&load, 40);
    proxy.set(Network::Healthy);
    more_replicated(&host);
    check(&site, &host, &[&server], load, &mut Tally::default());
}

#[test]
fn requests_that_arrive_late_have_no_effect() {
    let site = Site::new();
    let server = site.server("a");
    let proxy = Proxy::start(server.address());
    let host = site.host_with(&site.yaml_for(&[Access::new("a", proxy.url())], TIMEOUTS));
    for round in 1..=3 {
        let load = load(round).start(host.storage());
        // A batch: the SDK sends health checks as well. If none was under way while the
        // connections were held, they are lost without one, and held again.
        let batch = ["UPSERT", "db_sync_position"];
        while !proxy.holds(&batch) {
            proxy.deliver();
            more_replicated(&host);
            proxy.hold();
            wait::until(
                "a held batch, or the loss of the session",
                || (proxy.holds(&batch), replication(&host).is_connected()),
                |(holds, is_connected)| *holds || !is_connected,
            );
        }
        lost(&host);
        // Now the same keys get newer rows over another connection. Then the
        // server receives the older ones, from a client that has given up.
        more_writes(&load, 150);
        let ledger = load.finish();
        caught_up(&host);
        assert!(proxy.unanswered() > 0);
        proxy.deliver();
        wait::until("late answers", || proxy.unanswered(), |count| *count == 0);
        site.assert_equal(&host, &server);
        assert!(ledger.check(&site.database(&server)).is_clean());
    }
}

#[test]
fn two_secondaries_catch_up_while_the_third_is_down() {
    let site = Site::new();
    let (first, mut second, third) = (site.server("a"), site.server("b"), site.server("c"));
    second.kill();
    let host = site.host(&[("a", &first), ("b", &second), ("c", &third)], &[]);
    let load = load(1).start(host.storage());
    more_writes(&load, 200);
    let ledger = load.finish();
    let has_all = |secondary: &Json| {
        secondary["state"] == "streaming"
            && secondary["backlog"]["operations"] == 0
            && secondary["retries"] == 0
            // Raw writes of the load are replicated by resyncs.
            && secondary["resync"].as_array().is_some_and(Vec::is_empty)
    };
    wait::until(
        "two secondaries to catch up while one is down",
        || secondaries(&host),
        |status| {
            has_all(&status[0])
                && has_all(&status[2])
                && status[1]["state"] == "unreachable"
                && status[1]["backlog"]["operations"].as_u64() > Some(0)
        },
    );
    for server in [&first, &third] {
        site.assert_equal(&host, server);
        assert!(ledger.check(&site.database(server)).is_clean());
    }
    second.restart().unwrap();
    caught_up(&host);
    for server in [&first, &second, &third] {
        site.assert_equal(&host, server);
    }
    assert!(ledger.check(&site.database(&second)).is_clean());
}

/// A time in a response.
fn time(of: &Json) -> Timestamp {
    of.as_str().unwrap().parse().unwrap()
}

#[test]
fn one_rejected_row_in_a_batch_of_100_is_a_dead_letter_until_it_is_replayed() {
    const REJECTS: &str =
        "DEFINE FIELD OVERWRITE name_path ON code_symbols TYPE string ASSERT $value != 's1250'";
    const ACCEPTS: &str = "DEFINE FIELD OVERWRITE name_path ON code_symbols TYPE string";
    // More than a batch in each of the 16 partitions, whichever has the row.
    const SYMBOLS: u32 = 2_500;
    const POISON: u32 = SYMBOLS / 2;
    let started = Timestamp::now();
    let site = Site::new();
    let server = site.server("a");
    let settings = ["sync_max_retries: 2", "sync_batch_size: 100"];
    let host = site.host(&[("a", &server)], &settings);
    caught_up(&host);
    let secondary = site.database(&server);
    run(&secondary, REJECTS);
    let save = |numbers: Range<u32>, language: &str| {
        let symbols: Vec<_> = numbers
            .map(|number| CodeSymbol {
                project_id: "p".into(),
                file_path: "lib.rs".into(),
                language: language.into(),
                name: "s".into(),
                name_path: format!("s{number}").into(),
                ..CodeSymbol::default()
            })
            .collect();
        let saved = host
            .storage()
            .save_code_symbols(&CallContext::new(), &symbols);
        saved.unwrap();
    };
    let all_but_one = || {
        let comparison = compare(host.primary(), &secondary).unwrap();
        let [symbols] = &comparison.tables[..] else {
            panic!("{comparison}");
        };
        assert_eq!(symbols.primary_rows, u64::from(SYMBOLS), "{comparison}");
        assert_eq!(symbols.missing.len(), 1, "{comparison}");
        assert!(symbols.different.is_empty(), "{comparison}");
        assert!(symbols.extra.is_empty(), "{comparison}");
    };
    admin_post(&host, "pause");
    save(0..SYMBOLS, "rust");
    admin_post(&host, "resume");
    given_up(&host, 1);
    all_but_one();
    // The newer state is rejected as well: one dead letter, not two.
    save(POISON..POISON + 1, "c");
    given_up(&host, 1);
    all_but_one();
    let [letter] = &dead_letters(&host)[..] else {
        panic!("{:?}", dead_letters(&host));
    };
    assert_eq!(letter["table"], "code_symbols");
    assert_eq!(letter["retry_count"], 3, "tried once, and again twice");
    let poison = format!("s{POISON}");
    assert!(letter["key"].as_str().unwrap().contains(&poison));
    // The server's own reason: which value of which column.
    let reason = letter["last_error"].as_str().unwrap();
    assert!(reason.contains(&poison), "{reason}");
    assert!(reason.contains("name_path"), "{reason}");
    let times = [
        started,
        time(&letter["timestamp"]),
        time(&letter["failed_at"]),
        Timestamp::now(),
    ];
    assert!(times.is_sorted(), "{times:?}");

    run(&secondary, ACCEPTS);
    admin_post(&host, "dead-letters/replay");
    given_up(&host, 0);
    site.assert_equal(&host, &server);
}

#[test]
fn a_newer_write_resolves_an_older_rejected_write_of_its_key() {
    const REJECTS: &str =
        "DEFINE FIELD OVERWRITE value ON kv_memories TYPE any ASSERT $value != 'bad'";
    // With retries that are not due during the test, and with none: the older
    // write is a retry or a dead letter.
    for retries in ["sync_max_retries: 3", "sync_max_retries: 0"] {
        let site = Site::new();
        let server = site.server("a");
        let host = site.host(&[("a", &server)], &[retries, "sync_retry_interval: 1h"]);
        caught_up(&host);
        let secondary = site.database(&server);
        run(&secondary, REJECTS);
        let context = &CallContext::new();
        let save = |key: &str, value: &str| {
            let storage = host.storage();
            storage.save_fact(context, "u", key, &value.into()).unwrap();
        };
        save("k", "bad");
        wait::until(
            "the rejection",
            || replication(&host),
            |status| status.backlog == 0 && status.retries + status.dead_letters == 1,
        );
        // Nothing waits for it: all partitions get some of these keys, its own
        // included.
        (0..100).for_each(|number| save(&format!("other-{number}"), "good"));
        wait::until(
            "the other keys",
            || compare(host.primary(), &secondary).unwrap(),
            |comparison| comparison.tables[0].missing.len() == 1,
        );
        let status = replication(&host);
        assert_eq!(status.retries + status.dead_letters, 1, "{status:?}");

        save("k", "good");
        wait::until(
            "the newer write",
            || replication(&host),
            |status| status.is_caught_up() && status.dead_letters == 0,
        );
        site.assert_equal(&host, &server);
    }
}

#[test]
fn a_table_that_rejects_rows_does_not_delay_others() {
    const REJECTS: &str = "DEFINE FIELD OVERWRITE subject ON events TYPE string ASSERT false";
    const ACCEPTS: &str = "DEFINE FIELD OVERWRITE subject ON events TYPE string";
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &["sync_max_retries: 1"]);
    caught_up(&host);
    let secondary = site.database(&server);
    run(&secondary, REJECTS);
    let load = load(1).start(host.storage());
    more_writes(&load, 200);
    let ledger = load.finish();
    let comparison = compare(host.primary(), &secondary).unwrap();
    let of_events = |comparison: &Comparison| {
        let (events, others): (Vec<_>, Vec<_>) = comparison
            .tables
            .iter()
            .cloned()
            .partition(|table| table.table == "events");
        (events[0].clone(), others)
    };
    let rows = of_events(&comparison).0.primary_rows;
    assert!(rows > 0);
    given_up(&host, rows);
    let comparison = compare(host.primary(), &secondary).unwrap();
    let (events, others) = of_events(&comparison);
    assert_eq!(events.secondary_rows, 0, "{comparison}");
    assert!(others.iter().all(|table| table.is_equal()), "{comparison}");

    run(&secondary, ACCEPTS);
    admin_post(&host, "dead-letters/replay");
    given_up(&host, 0);
    site.assert_equal(&host, &server);
    assert!(ledger.check(&secondary).is_clean());
}

#[test]
fn an_operation_that_is_always_answered_with_not_found_is_a_dead_letter() {
    // A column that the module does not know, and so does not define again.
    const REJECTS: &str = "DEFINE FIELD extra ON kv_memories TYPE any VALUE \
        IF key = 'poison' { SELECT * FROM missing } ELSE { NONE }";
    const ACCEPTS: &str = "REMOVE FIELD extra ON kv_memories";
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &["sync_max_retries: 1"]);
    caught_up(&host);
    let secondary = site.database(&server);
    run(&secondary, REJECTS);
    let save = |key: &str| {
        let saved = host
            .storage()
            .save_fact(&CallContext::new(), "u", key, &1i64.into());
        saved.unwrap();
    };
    save("poison");
    (0..100).for_each(|number| save(&format!("k{number}")));
    given_up(&host, 1);
    let comparison = compare(host.primary(), &secondary).unwrap();
    assert_eq!(comparison.tables[0].missing.len(), 1, "{comparison}");
    let sessions = secondaries(&host)[0]["connects"].clone();
    assert_eq!(sessions, 1, "the secondary itself is sound");
    let reason = dead_letters(&host)[0]["last_error"].clone();
    assert!(reason.as_str().unwrap().contains("NotFound"), "{reason}");

    run(&secondary, ACCEPTS);
    admin_post(&host, "dead-letters/replay");
    given_up(&host, 0);
    site.assert_equal(&host, &server);
}

#[test]
fn a_secondary_connects_once_its_password_is_corrected_on_the_server() {
    let site = Site::new();
    let server = site.server("a");
    let root = site.database(&server);
    let set = |password: &str| {
        run(
            &root,
            &format!("DEFINE USER OVERWRITE copier ON ROOT PASSWORD '{password}' ROLES OWNER"),
        );
    };
    set("old");
    let access = Access {
        username: "copier".to_owned(),
        password: "new".to_owned(),
        ..Access::new("a", server.url())
    };
    let host = site.host_with(&site.yaml_for(&[access], &[]));
    let load = load(1).start(host.storage());
    wait::until(
        "being rejected",
        || secondaries(&host),
        |status| status[0]["state"] == "rejected",
    );
    more_writes(&load, 50);
    assert!(replication(&host).backlog > 0);
    set("new");
    connected(&host);
    check(&site, &host, &[&server], load, &mut Tally::default());
}

#[test]
fn a_removed_namespace_is_recreated_and_backfilled() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    let load = load(1).start(host.storage());
    more_replicated(&host);
    run(&site.database(&server), "REMOVE NAMESPACE memories");
    more_replicated(&host);
    let ledger = load.finish();
    wait::until(
        "the resync",
        || {
            caught_up(&host);
            compare(host.primary(), &site.database(&server)).unwrap()
        },
        Comparison::is_equal,
    );
    assert!(ledger.check(&site.database(&server)).is_clean());
}
