//! The demo: a project's own text, replicated to a real SurrealDB server.
//!
//! | module | what it shows |
//! | --- | --- |
//! | `deployment` | starts the secondary, the primary and the module; waits, compares, measures the lag |
//! | `ingest` | writes a [corpus](crate::corpus) through the host |
//! | `search` | finds what was written by its words |
//! | `merged_reads` | reads rows that only the secondary has, and rows that differ |
//! | `outage` | kills the secondary and starts it again |
//! | `timings` | durations and their quantiles |
//! | `checks` | what was checked, and the verdict |

mod checks;
mod deployment;
mod ingest;
mod merged_reads;
mod outage;
mod search;
mod timings;

use crate::{corpus::Corpus, output::say};
use checks::Checks;
use deployment::Deployment;
use ingest::Written;
use outage::Outage;
use std::path::PathBuf;
use timings::{Timings, human};

/// The user whose memories the demo writes.
const USER: &str = "team";

/// What the demo works on.
pub struct Options {
    /// The project that is the input.
    pub repo: PathBuf,
    /// Where the databases and the configuration are kept.
    pub home: PathBuf,
    /// The directory with the module's library.
    pub modules_dir: PathBuf,
    /// At most so many items of each kind; 0 for all.
    pub limit: usize,
}

/// Runs the demo; `Ok(false)` if a check failed.
///
/// # Errors
/// What kept it from going on.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    let mut checks = Checks::default();

    say("1. A SurrealDB server as the secondary, a host with its primary, the module")?;
    let mut deployment = Deployment::start(options)?;

    say("\n2. This project, written through the host")?;
    let corpus = Corpus::read(&options.repo, options.limit)?;
    for note in &corpus.notes {
        say(format_args!("  ({note})"))?;
    }
    let written = ingest::ingest(deployment.host(), &corpus, &mut checks)?;
    let caught_up = deployment.wait_until_caught_up("replicating")?;
    say(format_args!(
        "  {} rows in {:.1} s; the secondary had all of them {} after the last write",
        written.rows,
        written.took.as_secs_f64(),
        human(caught_up)
    ))?;

    say("\n3. Primary and secondary, compared row by row")?;
    let comparison = deployment.compare()?;
    say(comparison.to_string().trim_end())?;
    checks.check(
        &format!("all {} rows are equal", comparison.rows()),
        comparison.is_equal(),
    )?;
    checks.check(
        "they are exactly the rows that were written",
        written.is_what_the_primary_holds(&comparison),
    )?;

    say("\n4. Searches by words")?;
    search::show(deployment.host(), &corpus, &mut checks)?;

    say("\n5. Replication lag")?;
    let lag = deployment.lag()?;
    say(format_args!(
        "  from a write to its row on the secondary: {lag}"
    ))?;

    say("\n6. Reads merged from both databases")?;
    merged_reads::show(&mut deployment, &mut checks)?;

    say("\n7. The secondary is killed")?;
    let outage = outage::show(&mut deployment, &mut checks)?;

    say("\nSummary")?;
    summarize(&written, &lag, &outage)?;
    deployment.stop()?;
    say(format_args!("  {}", checks.verdict()))?;
    Ok(checks.all_held())
}

fn summarize(written: &Written, lag: &Timings, outage: &Outage) -> anyhow::Result<()> {
    say(format_args!(
        "  written    {} rows, {:.0} rows/s",
        written.rows,
        written.rate()
    ))?;
    say(format_args!("  lag        {lag}"))?;
    for (what, before, during) in [
        ("a write", &outage.writes_before, &outage.writes_during),
        ("a read", &outage.reads_before, &outage.reads_during),
    ] {
        say(format_args!("  {what:<10} {before} before the outage"))?;
        say(format_args!("  {:<10} {during} during the outage", ""))?;
    }
    say(format_args!(
        "  caught up  {} operations in {}",
        outage.backlog,
        human(outage.catch_up)
    ))?;
    Ok(())
}
