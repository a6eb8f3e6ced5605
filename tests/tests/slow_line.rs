//! A connection to the secondary that is too slow for a whole batch, or for a
//! single operation; or that is long.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use host_harness::{compare::compare, host::Host};
use plugin_api::storage::{CallContext, Storage as _};
use replication_tests::{
    ledger::{Table, Violations},
    proxy::{Network, Proxy},
    random,
    site::{
        Access, Site, admin_post, caught_up, connected, dead_letters, given_up, replication,
        secondaries,
    },
    wait,
};
use std::time::{Duration, Instant};

/// What a slow line carries, in bytes per second.
const LINE: u32 = 200_000;

/// Short enough for a test; a transaction of 400 kB is the most that gets through.
const TIMEOUT: &str = "operation_timeout: 2s";

fn save(host: &Host, key: &str, bytes: usize) {
    let saved = host
        .storage()
        .save_fact(&CallContext::new(), "u", key, &"x".repeat(bytes).into());
    saved.unwrap();
}

/// How many sessions of the secondary were opened so far.
fn sessions(host: &Host) -> u64 {
    secondaries(host)[0]["connects"].as_u64().unwrap()
}

#[test]
fn a_slow_line_is_used_well_and_no_session_is_lost_over_it() {
    // The batches of four workers together take longer than the timeout.
    const FACTS: usize = 300;
    const BYTES: usize = 8_000;
    let site = Site::new();
    let server = site.server("a");
    let proxy = Proxy::start(server.address());
    let host = site.host_with(&site.yaml_for(&[Access::new("a", proxy.url())], &[TIMEOUT]));
    connected(&host);
    caught_up(&host);

    admin_post(&host, "pause");
    for number in 0..FACTS {
        save(&host, &format!("k{number}"), BYTES);
    }
    proxy.set(Network::Throttled(LINE));
    let began = Instant::now();
    admin_post(&host, "resume");
    caught_up(&host);
    let took = began.elapsed().as_secs_f64();
    let used = (FACTS * BYTES) as f64 / took / f64::from(LINE);
    assert_eq!(sessions(&host), 1);
    assert!(used >= 0.7, "{used:.2} of the line, {took:.1} s");
    site.assert_equal(&host, &server);
}

/// How many seconds a backlog takes over a line with a round trip of 200 ms.
fn over_a_long_line(facts: u64, workers: u32, batch: u32) -> f64 {
    let site = Site::new();
    let server = site.server("a");
    let proxy = Proxy::start(server.address());
    let settings = [
        &*format!("sync_workers: {workers}"),
        &*format!("sync_batch_size: {batch}"),
    ];
    let host = site.host_with(&site.yaml_for(&[Access::new("a", proxy.url())], &settings));
    connected(&host);
    caught_up(&host);

    admin_post(&host, "pause");
    for number in 0..facts {
        save(&host, &format!("k{number}"), 100);
    }
    proxy.set(Network::Delayed(Duration::from_millis(100)));
    let began = Instant::now();
    admin_post(&host, "resume");
    caught_up(&host);
    let took = began.elapsed().as_secs_f64();
    proxy.set(Network::Healthy);
    site.assert_equal(&host, &server);
    took
}

/// The long form: `LONG_LINE=1200 cargo test --workspace --test slow_line long_line --
/// --nocapture`, for the table in docs/operations.md.
#[test]
fn over_a_long_line_workers_and_batches_save_round_trips() {
    let long = random::number("LONG_LINE");
    let facts = long.unwrap_or(160);
    println!("| workers | batch | operations per second |\n| --- | --- | --- |");
    let measure = |workers, batch| {
        let took = over_a_long_line(facts, workers, batch);
        println!("| {workers} | {batch} | {:.0} |", facts as f64 / took);
        took
    };
    let few = measure(1, 10);
    if long.is_some() {
        measure(1, 100);
        measure(4, 10);
    }
    let many = measure(4, 100);
    if long.is_some() {
        measure(16, 100);
        measure(4, 1000);
    }
    assert!(many < few / 2.0, "{many:.1} s instead of {few:.1} s");
}

#[test]
fn an_operation_that_never_gets_through_is_a_dead_letter_and_the_others_go_on() {
    // Some ten in each partition, also in the one of the large fact.
    const FACTS: usize = 160;
    // Six seconds of the line.
    const LARGE: usize = 1_200_000;
    let site = Site::new();
    let server = site.server("a");
    let proxy = Proxy::start(server.address());
    let settings = [TIMEOUT, "sync_max_retries: 1"];
    let host = site.host_with(&site.yaml_for(&[Access::new("a", proxy.url())], &settings));
    connected(&host);
    caught_up(&host);

    let tries = random::number("FAULT_POISON").unwrap_or(1);
    let mut tally = Table::default();
    while tally.tried < tries {
        tally.tried += 1;
        let large = format!("large{}", tally.tried);
        proxy.set(Network::Throttled(LINE));
        save(&host, &large, LARGE);
        for number in 0..FACTS {
            save(
                &host,
                &format!("k{number}"),
                100 + usize::try_from(tally.tried).unwrap(),
            );
        }
        tally.acked += 1 + u64::try_from(FACTS).unwrap();
        given_up(&host, 1);
        assert_eq!(
            sessions(&host),
            1,
            "only workers' connections were replaced"
        );
        let comparison = compare(host.primary(), &site.database(&server)).unwrap();
        let [facts] = &comparison.tables[..] else {
            panic!("{comparison}");
        };
        assert!(facts.different.is_empty(), "{comparison}");
        assert_eq!(facts.missing.len(), 1, "{comparison}");
        let letters = dead_letters(&host);
        assert!(letters[0]["key"].as_str().unwrap().contains(&large));
        let reason = letters[0]["last_error"].as_str().unwrap();
        for part in [
            "while the server answered",
            "too large for the line",
            "operation_timeout",
        ] {
            assert!(reason.contains(part), "{reason}");
        }

        // What was given up may still arrive, and changes nothing then.
        proxy.set(Network::Healthy);
        save(&host, &large, 10);
        tally.acked += 1;
        wait::until(
            "the newer write",
            || replication(&host),
            |status| status.is_caught_up() && status.dead_letters == 0,
        );
        let comparison = compare(host.primary(), &site.database(&server)).unwrap();
        tally.violations.add(Violations::from(&comparison));
        assert!(tally.violations.is_clean(), "{comparison}");
        tally.survived += 1;
    }
}
