//! The disk under the log is full, read-only, or damaged: the host starts and
//! writes all the same, says what is wrong, and in the end both sides are equal.
//!
//! The long form: `FAULT_DAMAGE=10000 cargo test -p replication-tests --test
//! disk -- --nocapture damaged`; it ends with a table. `TMPDIR=/dev/shm` makes
//! it quicker.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use host_harness::{compare::compare, server::SecondaryServer};
use replication_tests::{ledger::Ledger, site::Site, small_disk::SmallDisk, wait, writer::Writer};
use serde_json::Value as Json;
use std::{fs, path::PathBuf, process::Command};

/// Threads that write in a host.
const THREADS: i64 = 4;

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
        let program = self.disk.command(env!("CARGO_BIN_EXE_writer"));
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

/// Waits until the status says that the log cannot be used, and what mends it.
fn degraded(writer: &mut Writer) {
    let status = wait::until(
        "a degraded status",
        || writer.status(),
        |status| status["log"]["trouble"].is_object(),
    );
    assert_eq!(status["health"], "degraded");
    let reasons = status["reasons"].as_array().unwrap();
    let says = |reason: &Json| {
        let mended_by = reason["mended_by"].as_str().unwrap();
        mended_by.contains("free space") && mended_by.contains("by itself")
    };
    assert!(reasons.iter().any(says), "{status:#}");
}

/// Waits until the log works again.
fn mended(writer: &mut Writer) {
    wait::until(
        "a log that works",
        || writer.status(),
        |status| status["log"]["trouble"].is_null() && status["log"]["deletes_trouble"].is_null(),
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
    let program = || Command::new(env!("CARGO_BIN_EXE_writer"));
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
