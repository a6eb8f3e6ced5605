//! What a long outage of the secondary costs the host: memory stays bounded, and
//! the log takes little more disk than what was written.
//!
//! The long form: `BACKLOG_OPERATIONS=1000000 cargo test --workspace
//! --test backlog -- --nocapture`; it ends with a table. `BACKLOG_SETTINGS` sets keys
//! of the module: `sync_workers: 1, sync_batch_size: 10`.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use host_harness::compare::compare;
use replication_tests::{random, site::Site};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

/// What CI writes while the secondary is down.
const OPERATIONS: u64 = 4_000;

/// Operations before the measurement, which fill the caches.
const WARM_UP: u64 = 1_000;

/// Bytes of a row's texts.
const ROW_BYTES: usize = 300;

/// A host in a process of its own.
struct Process {
    child: Child,
    /// None once the process is to end.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Process {
    fn start(config: &Path, row_bytes: usize, with_embedding: bool) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_backlog"))
            .arg(config)
            .args([row_bytes.to_string(), with_embedding.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            commands: child.stdin.take(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Gives a command and waits for its answer.
    fn tell(&mut self, command: &str) -> u64 {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim().parse().expect(command)
    }

    /// Makes it write that many operations. Returns the bytes that were stored and
    /// its largest resident memory, in KiB. Prints the progress of a long run.
    fn write(&mut self, operations: u64) -> (u64, i64) {
        const SLICES: u64 = 20;
        let (mut written, mut bytes, mut most) = (0, 0, 0);
        while written < operations {
            let slice = (operations / SLICES).max(1).min(operations - written);
            bytes += self.tell(&format!("write {slice}"));
            written += slice;
            let resident = self.resident();
            most = resident.max(most);
            if operations > OPERATIONS {
                println!("{written} of {operations} written, {resident} KiB");
            }
        }
        (bytes, most)
    }

    /// Makes it shut its host down, and waits until it has ended.
    fn finish(mut self) {
        self.commands = None;
        assert!(self.child.wait().unwrap().success());
    }

    /// Its resident memory, in KiB.
    fn resident(&self) -> i64 {
        let pid = self.child.id().to_string();
        let output = Command::new("ps").args(["-o", "rss=", "-p", &pid]).output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.trim().parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The bytes that a directory takes on the disk. A journal's unused rest is a
/// hole in the file.
fn on_disk(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            if path.is_dir() {
                on_disk(&path)
            } else {
                // Removed meanwhile: it takes no space.
                fs::metadata(&path).map_or(0, |metadata| metadata.blocks() * 512)
            }
        })
        .sum()
}

/// The limit for the growth of resident memory, in KiB.
const MEMORY: i64 = 64 << 10;

/// What journals take, however short a backlog is. `sync_queue::tests::backlog`
/// checks that the rest is proportional to what was written.
const JOURNALS: u64 = 128 << 20;

/// From this number of operations on, the limit includes the journals.
const LONG: u64 = 1_000_000;

#[test]
fn a_long_outage_takes_bounded_memory_and_little_disk_and_is_caught_up_on() {
    let operations = random::number("BACKLOG_OPERATIONS").unwrap_or(OPERATIONS);
    println!(
        "| operations | bytes of rows | log on disk | ratio | memory | after draining | \
         drained in |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    // Fewer operations with an embedding of 3 kB: each takes twenty times as long.
    let embedded = (operations / 50).max(OPERATIONS / 10);
    for (operations, with_embedding) in [(operations, false), (embedded, true)] {
        let site = Site::new();
        // In a process of its own: it keeps up to a gigabyte of recent writes in
        // memory.
        let primary = site.server("primary");
        let mut server = site.server("a");
        let settings = std::env::var("BACKLOG_SETTINGS").unwrap_or_default();
        let settings: Vec<&str> = settings.split_terminator(',').map(str::trim).collect();
        let settings = [&["queue_max_bytes: 16GiB"], &*settings].concat();
        let yaml = site.yaml(&[("a", &server)], &settings);
        let config = site.path().join("host.yaml");
        fs::write(&config, site.with_primary_on(&yaml, &primary)).unwrap();

        let mut host = Process::start(&config, ROW_BYTES, with_embedding);
        host.tell(&format!("write {WARM_UP}"));
        host.tell("drain");
        server.kill();
        let idle = host.resident();
        let (written, most) = host.write(operations);
        let memory = most - idle;
        let log = on_disk(&site.queue_dir().join("log"));
        server.restart().unwrap();
        let started = Instant::now();
        host.tell("drain");
        let drained = started.elapsed();
        let after = host.resident() - idle;
        host.finish();
        println!(
            "| {operations} | {written} | {log} | {:.2} | {memory} KiB | {after} KiB | {:.1} s |",
            log as f64 / written as f64,
            drained.as_secs_f64()
        );

        assert!(memory < MEMORY, "{memory} KiB more");
        assert!(after < MEMORY, "{after} KiB more after draining");
        let journals = if operations < LONG { JOURNALS } else { 0 };
        assert!(
            log < written * 13 / 10 + journals,
            "{log} bytes for {written}"
        );
        let comparison = compare(&site.database(&primary), &site.database(&server)).unwrap();
        assert!(comparison.is_equal(), "{comparison:#?}");
    }
}
