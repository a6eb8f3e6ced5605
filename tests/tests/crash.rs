//! A host that is killed, at every named step and at any other instant: after
//! its next start everything that it acknowledged is on both sides.
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
    chance,
    ledger::{Ledger, Table, Tally, Verdict},
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

/// Threads that write in the host that is killed.
const THREADS: i64 = 8;

/// Kills of one pair of databases: more would be about their size.
const KILLS_OF_A_SITE: u64 = 10;

/// Within this time of a host's start, its recovery is met.
const START: Duration = Duration::from_secs(1);

/// A primary and a secondary over which hosts come and go.
struct Scene {
    site: Site,
    server: SecondaryServer,
    /// None if the primary is built into the host, and is killed with it.
    primary: Option<SecondaryServer>,
    yaml: String,
    config: PathBuf,
    round: i64,
    ledger: Ledger,
    /// Kills since both sides were looked at.
    unseen: u64,
}

impl Scene {
    fn new() -> Self {
        Self::of(Site::new(), None)
    }

    /// Its primary is a server, which outlives the host.
    ///
    /// One that is built in is not asked to survive two kills in a row: what
    /// surrealkv 0.21 commits after the first, it may have forgotten after the
    /// second, and the secondary has more than the primary then.
    fn with_a_primary_of_its_own() -> Self {
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
            unseen: 0,
        }
    }

    /// A host with a load in a process of its own.
    fn writer(&mut self, fail_points: &str) -> Writer {
        self.round += 1;
        let program = env!("CARGO_BIN_EXE_writer");
        Writer::start(program, &self.config, THREADS, self.round, fail_points)
    }

    /// Takes down what a host told that was killed.
    fn note(&mut self, what: &str, told: Ledger, tally: &mut Tally) {
        self.unseen += 1;
        tally.tried += 1;
        tally.acked += told.acked();
        assert_eq!(told.failures(), <&[String]>::default(), "{what}");
        self.ledger.add(told);
    }

    /// Starts a host over what killed ones left, waits until it has caught up,
    /// and looks at both sides.
    fn look(&mut self, what: &str, tally: &mut Tally) {
        let host = self.site.host_with(&self.yaml);
        caught_up(&host);
        assert_eq!(replication(&host).dead_letters, 0, "{what}");
        let secondary = self.site.database(&self.server);
        let comparison = compare(host.primary(), &secondary).unwrap();
        tally.verdict.add(Verdict::from(&comparison));
        tally.verdict.add(self.ledger.check(host.primary()));
        tally.verdict.add(self.ledger.check(&secondary));
        assert!(tally.verdict.is_clean(), "{what}:\n{tally}\n{comparison}");
        tally.survived += std::mem::take(&mut self.unseen);
        host.shutdown().unwrap();
    }
}

#[test]
fn the_list_of_steps_is_the_plugins() {
    let source = include_str!("../../plugin/src/fail_points.rs");
    let (_, list) = source.split_once("STEPS: &[&str] = &[").unwrap();
    let (list, _) = list.split_once(']').unwrap();
    let named: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    assert_eq!(named, STEPS);
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "fail points are in debug builds only")]
fn killed_at_every_step_it_converges() {
    let mut chance = chance::seeded("steps");
    let mut scene = Scene::new();
    let mut tally = Table::default();
    for step in STEPS {
        // The first time, and once in the midst of work.
        for passing in [1, chance.u64(2..80)] {
            let fail_points = format!("{step}=abort*{passing}");
            println!("{fail_points}");
            let told = scene.writer(&fail_points).aborted();
            scene.note(&fail_points, told, &mut tally);
            scene.look(&fail_points, &mut tally);
        }
    }
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "fail points are in debug builds only")]
fn what_a_secondary_refused_outlives_a_kill_before_its_acknowledgement() {
    const REFUSES: &str = "DEFINE FIELD OVERWRITE content ON events TYPE string \
        ASSERT !string::ends_with($value, '1000006')";
    const MENDED: &str = "DEFINE FIELD OVERWRITE content ON events TYPE string";
    let settings = ["sync_max_retries: 0"];
    let site = Site::new();
    let server = site.server("a");
    let config = site.config_file(&[("a", &server)], &settings);
    let host = site.host(&[("a", &server)], &settings);
    caught_up(&host);
    host.shutdown().unwrap();
    let secondary = site.database(&server);
    run(&secondary, REFUSES);

    // The first event of the first thread is refused, and nothing writes it again.
    let program = env!("CARGO_BIN_EXE_writer");
    let told = Writer::start(program, &config, 1, 1, "after_skip=abort").aborted();
    assert!(told.acked() > 0);
    let host = site.host(&[("a", &server)], &settings);
    given_up(&host, 1);
    let letters = dead_letters(&host);
    assert_eq!(letters[0]["table"], "events", "{letters:?}");

    run(&secondary, MENDED);
    admin_post(&host, "dead-letters/replay");
    given_up(&host, 0);
    site.assert_equal(&host, &server);
    assert!(told.check(&secondary).is_clean());
}

#[test]
fn killed_at_any_instant_it_converges() {
    let mut chance = chance::seeded("instants");
    let kills = chance::number("FAULT_KILLS").unwrap_or(20);
    let mut tally = Table::default();
    let mut scene = Scene::new();
    for kill in 0..kills {
        if kill > 0 && kill.is_multiple_of(KILLS_OF_A_SITE) {
            scene = match scene.primary {
                None => Scene::with_a_primary_of_its_own(),
                Some(_) => Scene::new(),
            };
        }
        // After a kill that nobody has looked at, the next one may come before
        // the first write: while the host starts, and makes up for the last.
        let (acked, most) = match scene.unseen > 0 && chance.bool() {
            true => (0, START),
            false => (chance.u64(0..150), Duration::from_millis(5)),
        };
        let more = most.mul_f64(chance.f64());
        let mut writer = scene.writer("");
        writer.wait_for(acked);
        // The instant itself, wherever it falls.
        std::thread::sleep(more);
        let told = writer.kill();
        let what = format!("kill {kill} after {acked} writes and {more:?}");
        scene.note(&what, told, &mut tally);
        let next = kill + 1;
        let is_last = next == kills || next.is_multiple_of(KILLS_OF_A_SITE);
        if is_last || scene.primary.is_none() || chance.bool() {
            scene.look(&what, &mut tally);
        }
        tally.tell_progress(kills);
    }
}
