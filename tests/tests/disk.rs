//! The log's disk is full, read-only, or damaged, or a newer version has written it:
//! the host still starts and writes, reports the fault, and in the end both databases
//! are equal.
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
    damage::damage_one,
    ledger::{Ledger, Table, Tally, Violations},
    load::{OWNER, WriteResult},
    random,
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

/// Writing threads of a host.
const THREADS: i64 = 2;

/// The size of the disk in KiB: enough for some thousand writes.
const SIZE: u32 = 8 << 10;

/// A primary, a secondary, and a small disk for the log.
struct Fixture {
    site: Site,
    server: SecondaryServer,
    config: PathBuf,
    disk: SmallDisk,
    round: i64,
    ledger: Ledger,
}

impl Fixture {
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

    /// Records what a host that has ended acknowledged.
    fn note(&mut self, ledger: Ledger) {
        assert_eq!(ledger.failures(), <&[String]>::default());
        self.ledger.add(ledger);
    }

    /// Waits until a host has caught up and ended, and compares the databases,
    /// without the module: one without this log would replicate everything again.
    fn finish(mut self, writer: Writer) {
        let (status, ledger) = writer.finish();
        assert!(status.success(), "{status}");
        self.note(ledger);
        let host = self.site.bare_host();
        let secondary = self.site.database(&self.server);
        let comparison = compare(host.primary(), &secondary).unwrap();
        assert!(comparison.is_equal(), "{comparison:#?}");
        let mut violations = self.ledger.check(host.primary());
        violations.add(self.ledger.check(&secondary));
        assert!(violations.is_clean(), "{violations:#?}");
    }
}

/// Waits until that many more writes are acknowledged.
fn more_writes(writer: &mut Writer, more: u64) {
    let wanted = writer.ledger_so_far().acked() + more;
    writer.wait_for(wanted);
}

/// Waits until the status says that the log is unavailable, and the remedy.
fn unhealthy(writer: &mut Writer) {
    let status = wait::until(
        "an unhealthy status",
        || writer.status(),
        |status| status["log"]["fault"].is_object(),
    );
    assert_eq!(status["health"], "unhealthy");
    let reasons = status["reasons"].as_array().unwrap();
    let says = |reason: &Json| {
        let remedy = reason["remedy"].as_str().unwrap();
        remedy.contains("free space") && remedy.contains("automatically")
    };
    assert!(reasons.iter().any(says), "{status:#}");
}

/// Waits until the log works again.
fn recovered(writer: &mut Writer) {
    wait::until(
        "the log to recover",
        || writer.status(),
        |status| status["log"]["fault"].is_null() && status["log"]["tombstones_fault"].is_null(),
    );
}

#[test]
fn writes_continue_on_a_full_disk_and_the_log_recovers_when_space_is_freed() {
    let mut fixture = Fixture::new();
    let mut writer = fixture.writer();
    writer.wait_for(100);
    for _ in 0..2 {
        fixture.disk.fill();
        unhealthy(&mut writer);
        more_writes(&mut writer, 100);
        fixture.disk.free();
        recovered(&mut writer);
        more_writes(&mut writer, 100);
    }
    fixture.finish(writer);
}

#[test]
fn a_host_killed_on_a_full_disk_replicates_what_the_log_is_missing() {
    let mut fixture = Fixture::new();
    let mut writer = fixture.writer();
    writer.wait_for(100);
    fixture.disk.fill();
    unhealthy(&mut writer);
    more_writes(&mut writer, 100);
    fixture.note(writer.kill());

    // The next host starts while the disk is still full, and is killed as well.
    let mut writer = fixture.writer();
    writer.wait_for(50);
    unhealthy(&mut writer);
    fixture.note(writer.kill());

    fixture.disk.free();
    let mut writer = fixture.writer();
    writer.wait_for(50);
    recovered(&mut writer);
    fixture.finish(writer);
}

#[test]
fn a_host_starts_with_its_log_on_a_read_only_disk() {
    let mut fixture = Fixture::new();
    let mut writer = fixture.writer();
    writer.wait_for(100);
    fixture.note(writer.kill());

    // The writes of this host are only in the primary.
    fixture.disk.set_read_only(true);
    let mut writer = fixture.writer();
    writer.wait_for(100);
    unhealthy(&mut writer);
    fixture.note(writer.kill());

    let mut writer = fixture.writer();
    writer.wait_for(10);
    unhealthy(&mut writer);
    fixture.disk.set_read_only(false);
    recovered(&mut writer);
    more_writes(&mut writer, 10);
    fixture.finish(writer);
}

#[test]
fn a_host_starts_with_a_file_in_the_place_of_queue_dir() {
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
    unhealthy(&mut writer);
    let mut ledger = writer.kill();

    let mut writer = Writer::spawn(program(), &config, THREADS, 2, "");
    writer.wait_for(50);
    unhealthy(&mut writer);
    fs::remove_file(site.queue_dir()).unwrap();
    recovered(&mut writer);
    more_writes(&mut writer, 50);
    let (status, later) = writer.finish();
    assert!(status.success(), "{status}");
    ledger.add(later);
    let host = site.bare_host();
    let comparison = site.assert_equal(&host, &server);
    assert!(comparison.is_equal());
    assert_eq!(ledger.failures(), <&[String]>::default());
    assert!(ledger.check(host.primary()).is_clean());
    assert!(ledger.check(&site.database(&server)).is_clean());
}

/// The names and sizes of the files in a directory.
fn files(dir: &Path) -> Vec<(PathBuf, u64)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.path(), entry.metadata().unwrap().len()))
        .collect();
    files.sort();
    files
}

#[test]
fn the_files_of_a_newer_version_are_left_as_they_are_and_replication_continues_with_it() {
    let site = Site::new();
    let server = site.server("a");
    let config = site.config_file(&[("a", &server)], &[]);
    let program = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_writer"));
        program.env(PACE, "5");
        program
    };
    let mut writer = Writer::spawn(program(), &config, THREADS, 1, "");
    writer.wait_for(100);
    let mut ledger = writer.kill();

    // What a newer version leaves: its format, and what else nobody knows.
    let stores = ["log", "deleted"].map(|name| site.queue_dir().join(name));
    let formats: Vec<_> = stores.iter().map(|dir| dir.join("format")).collect();
    let ours: Vec<_> = formats.iter().map(|path| fs::read(path).unwrap()).collect();
    for path in &formats {
        fs::write(path, "99 99\n").unwrap();
    }
    let before = stores.each_ref().map(|dir| files(dir));

    let mut writer = Writer::spawn(program(), &config, THREADS, 2, "");
    writer.wait_for(100);
    let status = writer.status();
    assert_eq!(status["health"], "unhealthy");
    let reasons = status["reasons"].to_string();
    for said in [
        "newer version",
        "install the newer module again",
        "queue_dir",
    ] {
        assert!(reasons.contains(said), "{said}: {status:#}");
    }
    for fault in ["fault", "tombstones_fault"] {
        assert!(status["log"][fault].is_object(), "{status:#}");
    }
    ledger.add(writer.kill());
    assert_eq!(stores.each_ref().map(|dir| files(dir)), before);
    let beside = files(&site.queue_dir()).into_iter().map(|(path, _)| path);
    let beside: Vec<_> = beside.filter(|path| !stores.contains(path)).collect();
    assert_eq!(
        beside,
        [site.queue_dir().join("queue_id")],
        "nothing is moved aside"
    );

    // The newer version is installed again.
    for (path, ours) in formats.iter().zip(ours) {
        fs::write(path, ours).unwrap();
    }
    let mut writer = Writer::spawn(program(), &config, THREADS, 3, "");
    writer.wait_for(50);
    recovered(&mut writer);
    let (status, later) = writer.finish();
    assert!(status.success(), "{status}");
    ledger.add(later);
    let host = site.bare_host();
    assert!(site.assert_equal(&host, &server).is_equal());
    assert_eq!(ledger.failures(), <&[String]>::default());
    assert!(ledger.check(host.primary()).is_clean());
    assert!(ledger.check(&site.database(&server)).is_clean());
}

/// A host and a secondary whose log is damaged between two runs of the module.
/// Only the module restarts: the primary is not under test, and opening it takes
/// long.
struct DamagedLog {
    host: Host,
    site: Site,
    // Kept running for as long as the connections to it.
    _server: SecondaryServer,
    /// The server's database, over one connection: signing in takes long.
    secondary: SurrealStorage,
    number: i64,
    ledger: Ledger,
}

/// Every so many cases, the acknowledged writes are checked one by one, in
/// addition to comparing the databases.
const CASES_PER_CHECK: u64 = 10;

/// A user whose password costs Argon2 the least work: the module signs in once
/// per case.
const QUICK_USER: &str = "DEFINE USER quick ON ROOT PASSHASH \
    '$argon2id$v=19$m=8,t=1,p=1$bG9vcGJhY2s$VQGO7t1X2pnnL285GCd9cg' ROLES OWNER";

impl DamagedLog {
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
        // The backlog is to stay in the log.
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

    /// A few writes that stay in the log when the module ends.
    fn write(&mut self, random: &mut fastrand::Rng) {
        let context = &CallContext::new();
        let storage = self.host.storage();
        for _ in 0..random.u8(1..12) {
            self.number += 1;
            let number = self.number;
            let (kind, key) = match random.u8(0..5) {
                0 => {
                    let path = format!("document {}", random.u8(0..3));
                    let chunks = vec![format!("text {number}").into(); random.usize(1..4)];
                    let embeddings = vec![Default::default(); chunks.len()];
                    let metadata = Object::new()
                        .with("key", path.as_str())
                        .with("number", number);
                    storage
                        .save_document_chunks(context, &path, &chunks, &embeddings, &metadata)
                        .unwrap();
                    ("document", format!("{path}#chunk0"))
                }
                _ => {
                    let key = format!("fact {}", random.u8(0..20));
                    storage
                        .save_fact(context, OWNER, &key, &number.into())
                        .unwrap();
                    ("fact", key)
                }
            };
            self.ledger.note(WriteResult::Acked { kind, key, number });
        }
    }

    /// Leaves a log with a backlog and damages it. Returns how.
    fn leave_damaged(&mut self, random: &mut fastrand::Rng) -> String {
        let admin = AdminClient::local(&self.host).unwrap();
        admin.post("pause", &json!({})).unwrap();
        self.write(random);
        // As a killed process leaves it, or one that ends in order.
        let queue = self.site.queue_dir();
        let killed = random.bool();
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
        let damage: Vec<String> = (0..random.u8(1..3))
            .map(|_| damage_one(&queue, random))
            .collect();
        let end = if killed { "killed" } else { "ended" };
        format!("{end}, {}", damage.join(", "))
    }

    /// Loads the module on what is left, and compares the databases.
    fn verify(&mut self, how: &str, thorough: bool, tally: &mut Tally) {
        self.host.load_modules();
        let failures = self.host.failures();
        assert!(failures.is_empty(), "{how}: {failures:?}");
        caught_up(&self.host);
        assert_eq!(replication(&self.host).dead_letters, 0, "{how}");
        let primary = self.host.primary();
        let comparison = compare(primary, &self.secondary).unwrap();
        tally.violations.add(Violations::from(&comparison));
        if thorough {
            tally.violations.add(self.ledger.check(primary));
            tally.violations.add(self.ledger.check(&self.secondary));
        }
        assert!(tally.violations.is_clean(), "{how}:\n{tally}\n{comparison}");
    }
}

/// Copies a directory. The unwritten rest of journals stays a hole.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .args(["-r", "--sparse=always"])
        .args([from, to])
        .status()
        .unwrap();
    assert!(copied.success(), "{copied}");
}

#[test]
fn a_log_that_is_damaged_anywhere_converges() {
    // A case mostly waits.
    const FIXTURES: u64 = 4;
    const SHORT: u64 = 200;
    let mut random = random::seeded("damage");
    let cases = random::number("FAULT_DAMAGE").unwrap_or(SHORT);
    let tried = AtomicU64::new(0);
    let seeds: Vec<u64> = (0..FIXTURES).map(|_| random.u64(..)).collect();
    let on_one = |seed: u64, tally: &mut Tally| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut fixture = DamagedLog::new();
        while tried.fetch_add(1, Ordering::Relaxed) < cases {
            tally.tried += 1;
            let how = fixture.leave_damaged(&mut random);
            tally.acked = fixture.ledger.acked();
            let thorough = tally.tried.is_multiple_of(CASES_PER_CHECK);
            fixture.verify(&how, thorough, tally);
            tally.survived += 1;
            if cases > SHORT {
                tally.print_progress(cases / FIXTURES);
            }
        }
        let failures = fixture.host.unload_modules();
        assert!(failures.is_empty(), "{failures:?}");
        fixture.verify("the end", true, tally);
    };
    let mut tallies: Vec<_> = seeds.iter().map(|_| Tally::default()).collect();
    let ended_well = thread::scope(|scope| {
        let on_one = &on_one;
        let fixtures: Vec<_> = seeds
            .iter()
            .zip(&mut tallies)
            .map(|(seed, tally)| scope.spawn(move || on_one(*seed, tally)))
            .collect();
        let ends = fixtures.into_iter().map(|fixture| fixture.join());
        ends.filter(Result::is_ok).count()
    });
    let mut all = Table::default();
    tallies.into_iter().for_each(|tally| all.add(tally));
    assert_eq!(ended_well, seeds.len(), "fixtures without a failure");
}
