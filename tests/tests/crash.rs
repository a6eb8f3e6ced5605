//! A host that is killed, at every named step and at any other instant: after
//! its next start, both databases hold everything that it acknowledged.
//!
//! The long form: `FAULT_KILLS=500 cargo test --workspace --test crash
//! -- --nocapture`; it ends with a table.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use host_harness::{compare::compare, server::SecondaryServer};
use replication_tests::{
    ledger::{Ledger, Table, Tally, Violations},
    random,
    site::{Site, admin_post, caught_up, dead_letters, given_up, replication, run},
    writer::Writer,
};
use std::{fs, path::PathBuf, time::Duration};

/// The steps at which the plugin can be made to fail.
const STEPS: &[&str] = &[
    "before_intent",
    "before_primary_write",
    "after_primary_commit",
    "after_append",
    "before_apply",
    "build_statement",
    "after_apply",
    "after_ack",
];

/// Writing threads of the host that is killed.
const THREADS: i64 = 8;

/// Kills per pair of databases: with more, the test would measure their size.
const KILLS_PER_SITE: u64 = 10;

/// A kill within this time after a host's start interrupts its recovery.
const START: Duration = Duration::from_secs(1);

/// A primary and a secondary, with one host after another.
struct Fixture {
    site: Site,
    server: SecondaryServer,
    /// None if the primary is embedded in the host, and is killed with it.
    primary: Option<SecondaryServer>,
    yaml: String,
    config: PathBuf,
    round: i64,
    ledger: Ledger,
    /// Kills since the databases were compared.
    unverified: u64,
}

impl Fixture {
    fn new() -> Self {
        Self::of(Site::new(), None)
    }

    /// With a primary on a server, which outlives the host.
    ///
    /// An embedded primary is not required to survive two kills in a row: what
    /// surrealkv 0.21 commits after the first may be lost after the second, and
    /// the secondary then has more than the primary.
    fn with_primary_on_a_server() -> Self {
        let site = Site::new();
        let primary = site.server("primary");
        Self::of(site, Some(primary))
    }

    fn of(site: Site, primary: Option<SecondaryServer>) -> Self {
        let server = site.server("a");
        let yaml = site.yaml(&[("a", &server)], &[]);
        let yaml = match &primary {
            Some(primary) => site.with_primary_on(&yaml, primary),
            None => yaml,
        };
        let config = site.path().join("host.yaml");
        fs::write(&config, &yaml).unwrap();
        Self {
            site,
            server,
            primary,
            yaml,
            config,
            round: 0,
            ledger: Ledger::default(),
            unverified: 0,
        }
    }

    /// A host with a load in a process of its own.
    fn writer(&mut self, fail_points: &str) -> Writer {
        self.round += 1;
        let program = env!("CARGO_BIN_EXE_writer");
        Writer::start(program, &self.config, THREADS, self.round, fail_points)
    }

    /// Records what a killed host acknowledged.
    fn note(&mut self, what: &str, ledger: Ledger, tally: &mut Tally) {
        self.unverified += 1;
        tally.tried += 1;
        tally.acked += ledger.acked();
        assert_eq!(ledger.failures(), <&[String]>::default(), "{what}");
        self.ledger.add(ledger);
    }

    /// Starts a host on what killed ones left, waits until it has caught up, and
    /// compares the databases.
    fn verify(&mut self, what: &str, tally: &mut Tally) {
        let host = self.site.host_with(&self.yaml);
        caught_up(&host);
        assert_eq!(replication(&host).dead_letters, 0, "{what}");
        let secondary = self.site.database(&self.server);
        let comparison = compare(host.primary(), &secondary).unwrap();
        tally.violations.add(Violations::from(&comparison));
        tally.violations.add(self.ledger.check(host.primary()));
        tally.violations.add(self.ledger.check(&secondary));
        assert!(
            tally.violations.is_clean(),
            "{what}:\n{tally}\n{comparison}"
        );
        tally.survived += std::mem::take(&mut self.unverified);
        host.shutdown().unwrap();
    }
}

#[test]
fn the_list_of_steps_matches_the_plugins() {
    let source = include_str!("../../plugin/src/fail_points.rs");
    let (_, list) = source.split_once("STEPS: &[&str] = &[").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    let named: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    assert_eq!(named, STEPS);
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "fail points are in debug builds only")]
fn killed_at_every_step_a_host_converges() {
    let mut random = random::seeded("steps");
    let mut fixture = Fixture::new();
    let mut tally = Table::default();
    for step in STEPS {
        // The first time the step is passed, and once later.
        for passing in [1, random.u64(2..80)] {
            let fail_points = format!("{step}=abort*{passing}");
            println!("{fail_points}");
            let ledger = fixture.writer(&fail_points).aborted();
            fixture.note(&fail_points, ledger, &mut tally);
            fixture.verify(&fail_points, &mut tally);
        }
    }
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "fail points are in debug builds only")]
fn a_rejection_survives_a_kill_before_its_acknowledgement() {
    const REJECTS: &str = "DEFINE FIELD OVERWRITE content ON events TYPE string \
        ASSERT !string::ends_with($value, '1000006')";
    const ACCEPTS: &str = "DEFINE FIELD OVERWRITE content ON events TYPE string";
    let settings = ["sync_max_retries: 0"];
    let site = Site::new();
    let server = site.server("a");
    let config = site.config_file(&[("a", &server)], &settings);
    let host = site.host(&[("a", &server)], &settings);
    caught_up(&host);
    host.shutdown().unwrap();
    let secondary = site.database(&server);
    run(&secondary, REJECTS);

    // The first event of the first thread is rejected, and nothing writes it again.
    let program = env!("CARGO_BIN_EXE_writer");
    let ledger = Writer::start(program, &config, 1, 1, "after_skip=abort").aborted();
    assert!(ledger.acked() > 0);
    let host = site.host(&[("a", &server)], &settings);
    given_up(&host, 1);
    let letters = dead_letters(&host);
    assert_eq!(letters[0]["table"], "events", "{letters:?}");

    run(&secondary, ACCEPTS);
    admin_post(&host, "dead-letters/replay");
    given_up(&host, 0);
    site.assert_equal(&host, &server);
    assert!(ledger.check(&secondary).is_clean());
}

#[test]
fn killed_at_any_instant_a_host_converges() {
    let mut random = random::seeded("instants");
    let kills = random::number("FAULT_KILLS").unwrap_or(20);
    let mut tally = Table::default();
    let mut fixture = Fixture::new();
    for kill in 0..kills {
        if kill > 0 && kill.is_multiple_of(KILLS_PER_SITE) {
            fixture = match fixture.primary {
                None => Fixture::with_primary_on_a_server(),
                Some(_) => Fixture::new(),
            };
        }
        // After a kill without a comparison, the next one may come before the first
        // write: while the host starts and recovers from the last.
        let (acked, most) = match fixture.unverified > 0 && random.bool() {
            true => (0, START),
            false => (random.u64(0..150), Duration::from_millis(5)),
        };
        let more = most.mul_f64(random.f64());
        let mut writer = fixture.writer("");
        writer.wait_for(acked);
        // The instant of the kill, wherever it falls.
        std::thread::sleep(more);
        let ledger = writer.kill();
        let what = format!("kill {kill} after {acked} writes and {more:?}");
        fixture.note(&what, ledger, &mut tally);
        let next = kill + 1;
        let is_last = next == kills || next.is_multiple_of(KILLS_PER_SITE);
        if is_last || fixture.primary.is_none() || random.bool() {
            fixture.verify(&what, &mut tally);
        }
        tally.print_progress(kills);
    }
}
