//! The disk under the log is full, read-only, or damaged: the host starts and
//! writes all the same, says what is wrong, and in the end both sides are equal.
//!
//! The long form: `FAULT_DAMAGE=10000 cargo test --workspace --test
//! disk -- --nocapture damaged`; it ends with a table. `TMPDIR=/dev/shm` makes
//! it quicker.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{admin::AdminClient, compare::compare, host::Host, server::SecondaryServer};
use plugin_api::{
    storage::{CallContext, Storage as _},
    value::Object,
};
use replication_tests::{
    chance,
    damage::spoil_one,
    ledger::{Ledger, Table, Tally, Verdict},
    load::{OWNER, Told},
    site::{Access, Site, caught_up, replication, run},
    small_disk::SmallDisk,
    wait,
    writer::{PACE, Writer},
};
use serde_json::{Value as Json, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};
use surreal_storage::SurrealStorage;

/// Threads that write in a host.
const THREADS: i64 = 2;

/// The size of the disk in KiB: room for some thousand writes.
const SIZE: u32 = 8 << 10;

/// A primary, a secondary, and a small disk for the log.
struct Scene {
    site: Site,
    server: SecondaryServer,
    config: PathBuf,
    disk: SmallDisk,
    round: i64,
    ledger: Ledger,
}

impl Scene {
    fn new() -> Self {
        let site = Site::new();
        let server = site.server("a");
        let config = site.config_file(&[("a", &server)], &[]);
        let disk = SmallDisk::on(&site.queue_dir(), SIZE);
        Self {
            site,
            server,
            config,
            disk,
            round: 0,
            ledger: Ledger::default(),
        }
    }

    /// A host with a load, in a process that sees the disk.
    fn writer(&mut self) -> Writer {
        self.round += 1;
        let mut program = self.disk.command(env!("CARGO_BIN_EXE_writer"));
        program.env(PACE, "5");
        Writer::spawn(program, &self.config, THREADS, self.round, "")
    }

    /// Takes down what a host told that is gone now.
    fn note(&mut self, told: Ledger) {
        assert_eq!(told.failures(), <&[String]>::default());
        self.ledger.add(told);
    }

    /// Has a host catch up and end, and looks at both sides. No other host
    /// looks at them: one without this log would copy everything anew.
    fn finish(mut self, writer: Writer) {
        let (status, told) = writer.finish();
        assert!(status.success(), "{status}");
        self.note(told);
        let host = self.site.bare_host();
        let secondary = self.site.database(&self.server);
        let comparison = compare(host.primary(), &secondary).unwrap();
        assert!(comparison.is_equal(), "{comparison:#?}");
        let mut verdict = self.ledger.check(host.primary());
        verdict.add(self.ledger.check(&secondary));
        assert!(verdict.is_clean(), "{verdict:#?}");
    }
}

/// Waits until so many more writes are acknowledged.
fn more_writes(writer: &mut Writer, more: u64) {
    let wanted = writer.told().acked() + more;
    writer.wait_for(wanted);
}

/// Waits until the status says that the log cannot be used, and the remedy.
fn degraded(writer: &mut Writer) {
    let status = wait::until(
        "a degraded status",
        || writer.status(),
        |status| status["log"]["fault"].is_object(),
    );
    assert_eq!(status["health"], "degraded");
    let reasons = status["reasons"].as_array().unwrap();
    let says = |reason: &Json| {
        let remedy = reason["remedy"].as_str().unwrap();
        remedy.contains("free space") && remedy.contains("automatically")
    };
    assert!(reasons.iter().any(says), "{status:#}");
}

/// Waits until the log works again.
fn mended(writer: &mut Writer) {
    wait::until(
        "a log that works",
        || writer.status(),
        |status| status["log"]["fault"].is_null() && status["log"]["tombstones_fault"].is_null(),
    );
}

#[test]
fn a_full_disk_stops_no_write_and_is_mended_by_room() {
    let mut scene = Scene::new();
    let mut writer = scene.writer();
    writer.wait_for(100);
    for _ in 0..2 {
        scene.disk.fill();
        degraded(&mut writer);
        more_writes(&mut writer, 100);
        scene.disk.free();
        mended(&mut writer);
        more_writes(&mut writer, 100);
    }
    scene.finish(writer);
}

#[test]
fn a_host_that_is_killed_on_a_full_disk_knows_what_the_log_misses() {
    let mut scene = Scene::new();
    let mut writer = scene.writer();
    writer.wait_for(100);
    scene.disk.fill();
    degraded(&mut writer);
    more_writes(&mut writer, 100);
    scene.note(writer.kill());

    // The next one starts while the disk is still full, and is killed as well.
    let mut writer = scene.writer();
    writer.wait_for(50);
    degraded(&mut writer);
    scene.note(writer.kill());

    scene.disk.free();
    let mut writer = scene.writer();
    writer.wait_for(50);
    mended(&mut writer);
    scene.finish(writer);
}

#[test]
fn a_read_only_disk_is_no_reason_not_to_start() {
    let mut scene = Scene::new();
    let mut writer = scene.writer();
    writer.wait_for(100);
    scene.note(writer.kill());

    // What this one writes is nowhere but in the primary.
    scene.disk.set_read_only(true);
    let mut writer = scene.writer();
    writer.wait_for(100);
    degraded(&mut writer);
    scene.note(writer.kill());

    let mut writer = scene.writer();
    writer.wait_for(10);
    degraded(&mut writer);
    scene.disk.set_read_only(false);
    mended(&mut writer);
    more_writes(&mut writer, 10);
    scene.finish(writer);
}

#[test]
fn a_file_in_the_place_of_the_directory_is_no_reason_not_to_start() {
    let site = Site::new();
    let server = site.server("a");
    fs::write(site.queue_dir(), "in the way").unwrap();
    let config = site.config_file(&[("a", &server)], &[]);
    let program = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_writer"));
        program.env(PACE, "5");
        program
    };
    let mut writer = Writer::spawn(program(), &config, THREADS, 1, "");
    writer.wait_for(100);
    degraded(&mut writer);
    let mut ledger = writer.kill();

    let mut writer = Writer::spawn(program(), &config, THREADS, 2, "");
    writer.wait_for(50);
    degraded(&mut writer);
    fs::remove_file(site.queue_dir()).unwrap();
    mended(&mut writer);
    more_writes(&mut writer, 50);
    let (status, told) = writer.finish();
    assert!(status.success(), "{status}");
    ledger.add(told);
    let host = site.bare_host();
    let comparison = site.assert_equal(&host, &server);
    assert!(comparison.is_equal());
    assert_eq!(ledger.failures(), <&[String]>::default());
    assert!(ledger.check(host.primary()).is_clean());
    assert!(ledger.check(&site.database(&server)).is_clean());
}

/// A host and a secondary whose log is spoilt between one life of the module
/// and the next. Only the module begins anew: the primary has no part in what
/// is looked at, and opening it takes long.
struct Ground {
    host: Host,
    site: Site,
    // Lives as long as what is copied to it.
    _server: SecondaryServer,
    /// What the server has, over one connection: to sign in takes long.
    secondary: SurrealStorage,
    number: i64,
    ledger: Ledger,
}

/// Cases after which everything that was acknowledged is looked for, and not
/// only the two sides compared.
const CASES_OF_A_CHECK: u64 = 10;

/// A user whose password is checked with the least work that Argon2 may do:
/// the module signs in once a case.
const QUICK_USER: &str = "DEFINE USER quick ON ROOT PASSHASH \
    '$argon2id$v=19$m=8,t=1,p=1$bG9vcGJhY2s$VQGO7t1X2pnnL285GCd9cg' ROLES OWNER";

impl Ground {
    fn new() -> Self {
        let site = Site::new();
        let server = site.server("a");
        let secondary = site.database(&server);
        run(&secondary, QUICK_USER);
        let access = Access {
            username: "quick".to_owned(),
            password: "quick".to_owned(),
            ..Access::new("a", server.url())
        };
        // What waits is to be left in the log.
        let settings = [
            "shutdown_drain_timeout: 0s",
            "sync_batch_timeout: 1ms",
            "reconnect_backoff: 50ms",
        ];
        Self {
            host: site.host_with(&site.yaml_for(&[access], &settings)),
            secondary,
            _server: server,
            site,
            number: 0,
            ledger: Ledger::default(),
        }
    }

    /// A few writes that wait in the log when the module has gone.
    fn write(&mut self, chance: &mut fastrand::Rng) {
        let context = &CallContext::new();
        let storage = self.host.storage();
        for _ in 0..chance.u8(1..12) {
            self.number += 1;
            let number = self.number;
            let (kind, key) = match chance.u8(0..5) {
                0 => {
                    let path = format!("document {}", chance.u8(0..3));
                    let chunks = vec![format!("text {number}").into(); chance.usize(1..4)];
                    let embeddings = vec![Default::default(); chunks.len()];
                    let mark = Object::new()
                        .with("key", path.as_str())
                        .with("number", number);
                    storage
                        .save_document_chunks(context, &path, &chunks, &embeddings, &mark)
                        .unwrap();
                    ("document", format!("{path}#chunk0"))
                }
                _ => {
                    let key = format!("fact {}", chance.u8(0..20));
                    storage
                        .save_fact(context, OWNER, &key, &number.into())
                        .unwrap();
                    ("fact", key)
                }
            };
            self.ledger.note(Told::Acked { kind, key, number });
        }
    }

    /// Leaves a log in which something waits, and spoils it. Says how.
    fn leave_spoilt(&mut self, chance: &mut fastrand::Rng) -> String {
        let admin = AdminClient::local(&self.host).unwrap();
        admin.post("pause", &json!({})).unwrap();
        self.write(chance);
        // As a process leaves it that is killed, or one that ends in order.
        let queue = self.site.queue_dir();
        let killed = chance.bool();
        let kept = self.site.path().join("kept");
        if killed {
            copy(&queue, &kept);
        }
        let failures = self.host.unload_modules();
        assert!(failures.is_empty(), "{failures:?}");
        if killed {
            fs::remove_dir_all(&queue).unwrap();
            fs::rename(&kept, &queue).unwrap();
        }
        let damage: Vec<String> = (0..chance.u8(1..3))
            .map(|_| spoil_one(&queue, chance))
            .collect();
        let end = if killed { "killed" } else { "ended" };
        format!("{end}, {}", damage.join(", "))
    }

    /// Loads the module on what is left, and looks at both sides.
    fn look(&mut self, how: &str, thorough: bool, tally: &mut Tally) {
        self.host.load_modules();
        let failures = self.host.failures();
        assert!(failures.is_empty(), "{how}: {failures:?}");
        caught_up(&self.host);
        assert_eq!(replication(&self.host).dead_letters, 0, "{how}");
        let primary = self.host.primary();
        let comparison = compare(primary, &self.secondary).unwrap();
        tally.verdict.add(Verdict::from(&comparison));
        if thorough {
            tally.verdict.add(self.ledger.check(primary));
            tally.verdict.add(self.ledger.check(&self.secondary));
        }
        assert!(tally.verdict.is_clean(), "{how}:\n{tally}\n{comparison}");
    }
}

/// Copies a directory. What journals have before them is not on the disk, and
/// is not read.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .args(["-r", "--sparse=always"])
        .args([from, to])
        .status()
        .unwrap();
    assert!(copied.success(), "{copied}");
}

#[test]
fn a_log_that_is_damaged_anywhere_ends_in_equality() {
    // A case waits for much of its time.
    const GROUNDS: u64 = 4;
    const SHORT: u64 = 200;
    let mut chance = chance::seeded("damage");
    let cases = chance::number("FAULT_DAMAGE").unwrap_or(SHORT);
    let tried = AtomicU64::new(0);
    let seeds: Vec<u64> = (0..GROUNDS).map(|_| chance.u64(..)).collect();
    let on_one = |seed: u64, tally: &mut Tally| {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut ground = Ground::new();
        while tried.fetch_add(1, Ordering::Relaxed) < cases {
            tally.tried += 1;
            let how = ground.leave_spoilt(&mut chance);
            tally.acked = ground.ledger.acked();
            let thorough = tally.tried.is_multiple_of(CASES_OF_A_CHECK);
            ground.look(&how, thorough, tally);
            tally.survived += 1;
            if cases > SHORT {
                tally.tell_progress(cases / GROUNDS);
            }
        }
        let failures = ground.host.unload_modules();
        assert!(failures.is_empty(), "{failures:?}");
        ground.look("the end", true, tally);
    };
    let mut tallies: Vec<_> = seeds.iter().map(|_| Tally::default()).collect();
    let ended_well = thread::scope(|scope| {
        let on_one = &on_one;
        let grounds: Vec<_> = seeds
            .iter()
            .zip(&mut tallies)
            .map(|(seed, tally)| scope.spawn(move || on_one(*seed, tally)))
            .collect();
        let ends = grounds.into_iter().map(|ground| ground.join());
        ends.filter(Result::is_ok).count()
    });
    let mut all = Table::default();
    tallies.into_iter().for_each(|tally| all.add(tally));
    assert_eq!(ended_well, seeds.len(), "grounds on which all went well");
}
