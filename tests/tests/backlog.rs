//! What a long outage of the secondary costs the host: memory that does not
//! grow with it, and little more disk than what was written.
//!
//! The long form: `BACKLOG_OPERATIONS=1000000 cargo test -p replication-tests
//! --test backlog -- --nocapture`; it ends with a table.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use replication_tests::{chance, site::Site};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

/// What CI writes while the secondary is down.
const OPERATIONS: u64 = 20_000;

/// What is written before, so that caches are as full as they become.
const WARM_UP: u64 = 12_000;

/// A host in a process of its own.
struct Process {
    child: Child,
    commands: ChildStdin,
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
            commands: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Gives a command and waits for its answer.
    fn tell(&mut self, command: &str) -> u64 {
        writeln!(self.commands, "{command}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim().parse().expect(command)
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
                // Removed meanwhile: it takes nothing.
                fs::metadata(&path).map_or(0, |metadata| metadata.blocks() * 512)
            }
        })
        .sum()
}

#[test]
fn measure() {
    let operations = chance::number("BACKLOG_OPERATIONS").unwrap_or(OPERATIONS);
    for (primary, bare) in [("mem", true), ("mem", false), ("kv", true), ("kv", false)] {
        let site = Site::new();
        let mut server = site.server("a");
        let more = ["queue_max_bytes: 16GiB"];
        let config = site.config_file(&[("a", &server)], &more);
        let mut yaml = fs::read_to_string(&config).unwrap();
        if bare {
            yaml = yaml.replace("enabled: true", "enabled: false");
        }
        if primary == "mem" {
            let kv = format!("surrealkv://{}/primary", site.path().display());
            yaml = yaml.replace(&kv, "mem://");
        }
        fs::write(&config, yaml).unwrap();
        let mut host = Process::start(&config, 300, false);
        let started = Instant::now();
        host.tell(&format!("write {WARM_UP}"));
        println!("{primary} bare {bare} warm {:?}", started.elapsed());
        if !bare {
            host.tell("drain");
            println!("drained {:?}", started.elapsed());
            server.kill();
        }
        let idle = host.resident();
        let log = site.queue_dir().join("log");
        let before = if bare { 0 } else { on_disk(&log) };
        let mut written = 0;
        for part in 0..5 {
            let started = Instant::now();
            written += host.tell(&format!("write {}", operations / 5));
            println!(
                "{part}: {} KiB over idle {idle}, {} ops/s",
                host.resident() - idle,
                (operations / 5) as f64 / started.elapsed().as_secs_f64()
            );
            if !bare {
                println!(
                    "{} on disk, before {before}, of {written} = {:.2}",
                    on_disk(&log),
                    on_disk(&log) as f64 / written as f64
                );
            }
        }
        if !bare {
            server.restart().unwrap();
            let started = Instant::now();
            host.tell("drain");
            println!(
                "drained in {:?}; {} KiB over idle",
                started.elapsed(),
                host.resident() - idle
            );
            println!("{} on disk", on_disk(&log));
        }
    }
}
