//! The long forms of the tests that break things, one after another.

use crate::build::cargo;
use anyhow::{Context, bail};
use std::{
    io::{self, BufRead, BufReader, Write},
    process::Stdio,
    time::{Duration, Instant},
};

/// A test that takes a number from the environment.
struct LongRun {
    /// Its name on the command line.
    name: &'static str,
    /// The environment variable that has the number.
    variable: &'static str,
    /// The number of a full run.
    full: u64,
    /// What `cargo test` runs.
    test: &'static [&'static str],
}

/// `docs/reliability.md` has their results.
const LONG_RUNS: &[LongRun] = &[
    LongRun {
        name: "kills",
        variable: "FAULT_KILLS",
        full: 500,
        test: &["--test", "crash", "killed_at_any_instant"],
    },
    LongRun {
        name: "server",
        variable: "FAULT_SERVER",
        full: 200,
        test: &["--test", "faults", "the_server_is_killed_or_paused"],
    },
    LongRun {
        name: "late-commits",
        variable: "FAULT_PRIMARY",
        full: 100,
        test: &["--test", "primary", "a_primary_commits_late"],
    },
    LongRun {
        name: "copies",
        variable: "FAULT_COPIES",
        full: 100,
        test: &["--test", "copied_queue_dir", "copied_and_restored_again"],
    },
    LongRun {
        name: "slow-poison",
        variable: "FAULT_POISON",
        full: 50,
        test: &[
            "--test",
            "slow_line",
            "an_operation_that_never_gets_through",
        ],
    },
    LongRun {
        name: "damage",
        variable: "FAULT_DAMAGE",
        full: 10_000,
        test: &["--test", "disk", "a_log_that_is_damaged"],
    },
    LongRun {
        name: "backlog",
        variable: "BACKLOG_OPERATIONS",
        full: 1_000_000,
        test: &["--test", "backlog"],
    },
    LongRun {
        name: "resync",
        variable: "FAULT_RESYNC",
        full: 1_000_000,
        test: &["--test", "resync", "killed_again_and_again"],
    },
    LongRun {
        name: "merged-reads",
        variable: "MERGE_CASES",
        full: 20_000,
        test: &["--lib", "every_read_is"],
    },
    LongRun {
        name: "concurrent-reads",
        variable: "READS",
        full: 1_000,
        test: &["--test", "concurrent_reads"],
    },
];

/// The names of all runs.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    LONG_RUNS.iter().map(|run| run.name)
}

/// Runs those of these names (all if there are none), each with `percent` of its
/// number. Prints their output, and at the end every table again, also of those that
/// failed.
pub(crate) fn run(names: &[String], percent: u64) -> anyhow::Result<()> {
    let chosen = |run: &&LongRun| names.is_empty() || names.iter().any(|name| name == run.name);
    let mut summary = String::new();
    let mut failed = Vec::new();
    for run in LONG_RUNS.iter().filter(chosen) {
        let started = Instant::now();
        let mut table = String::new();
        let ended = run.start((run.full * percent).div_ceil(100), &mut table);
        let took = humantime::format_duration(Duration::from_secs(started.elapsed().as_secs()));
        let result = match ended {
            Ok(true) => String::new(),
            Ok(false) => ", FAILED".to_owned(),
            Err(error) => format!(", FAILED: {error:#}"),
        };
        summary.push_str(&format!("\n## {}, {took}{result}\n\n{table}", run.name));
        if !result.is_empty() {
            failed.push(run.name);
        }
    }
    writeln!(io::stdout(), "{summary}")?;
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

impl LongRun {
    /// Runs it with this number. Adds the tables that it prints to `table`, and
    /// returns whether it passed.
    fn start(&self, count: u64, table: &mut String) -> anyhow::Result<bool> {
        let mut command = cargo();
        command
            .args(["test", "--workspace"])
            .args(self.test)
            .args(["--", "--nocapture"])
            .env(self.variable, count.to_string());
        let shown = format!(
            "{}={count} cargo test --workspace {} -- --nocapture",
            self.variable,
            self.test.join(" ")
        );
        writeln!(io::stdout(), "{shown}")?;
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run cargo")?;
        table.push_str(&format!("`{shown}`\n\n"));
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).lines() {
                let line = line?;
                writeln!(io::stdout(), "{line}")?;
                if line.starts_with('|') {
                    table.push_str(&line);
                    table.push('\n');
                }
            }
        }
        Ok(child.wait()?.success())
    }
}
