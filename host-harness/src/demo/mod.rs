//! The demo: a project's own text, replicated to a real server.
//!
//! | room | what happens there |
//! | --- | --- |
//! | `stage` | the server, the primary, the module; waiting until all is copied; comparing |
//! | `feed` | a [corpus](crate::corpus) is written through the host |
//! | `merging` | rows only on the secondary, conflicting rows on both, and what reads give |
//! | `outage` | the server is killed and comes back |
//! | `measure` | times and what to say of them |

mod feed;
mod measure;
mod merging;
mod outage;
mod stage;

use crate::{corpus::Corpus, output::say};
use stage::Stage;
use std::path::PathBuf;

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
    pub most: usize,
}

/// What was checked, and whether it held.
#[derive(Default)]
struct Checks {
    held: usize,
    failed: Vec<String>,
}

impl Checks {
    /// Notes and prints one check.
    fn check(&mut self, what: &str, holds: bool) -> anyhow::Result<()> {
        if holds {
            self.held += 1;
            say(format_args!("  ✓ {what}"))?;
        } else {
            self.failed.push(what.to_owned());
            say(format_args!("  ✗ {what}"))?;
        }
        Ok(())
    }
}

/// Runs the demo; `Ok(false)` if a comparison did not hold.
///
/// # Errors
/// What kept it from going on.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    let mut checks = Checks::default();

    say("1. A server, a primary, a module")?;
    let mut stage = Stage::set(options)?;

    say("\n2. This project, written through the host")?;
    let corpus = Corpus::gather(&options.repo, options.most)?;
    let fed = feed::feed(stage.host(), &corpus)?;
    let caught_up = stage.wait_until_copied("copying to the server")?;
    say(format_args!(
        "  {} rows in {:.1} s; the server had them all {} after the last write",
        fed.rows,
        fed.took.as_secs_f64(),
        measure::human(caught_up)
    ))?;
    for note in &corpus.notes {
        say(format_args!("  ({note})"))?;
    }

    say("\n3. Primary and secondary, row by row")?;
    let first = stage.compare()?;
    say(format_args!("{}", first.to_string().trim_end()))?;
    checks.check(
        &format!("all {} rows are equal", first.rows()),
        first.is_equal(),
    )?;
    checks.check(
        "they are exactly the rows that were written",
        fed.is_all_there(&first),
    )?;

    say("\n4. Searching by words")?;
    feed::search(stage.host(), &corpus, &mut checks)?;

    say("\n5. How far behind the secondary is")?;
    let lag = stage.lag()?;
    say(format_args!(
        "  from a write to its row on the server: {lag}"
    ))?;

    say("\n6. Reads from both")?;
    merging::show(&mut stage, &mut checks)?;

    say("\n7. The server is killed")?;
    let outage = outage::show(&mut stage, &mut checks)?;

    say("\nWhat was seen")?;
    say(format_args!(
        "  written      {} rows, {:.0} rows/s",
        fed.rows,
        fed.rate()
    ))?;
    say(format_args!("  lag          {lag}"))?;
    for (what, before, during) in [
        ("a write took", &outage.writes_before, &outage.writes_during),
        ("a read took", &outage.reads_before, &outage.reads_during),
    ] {
        say(format_args!("  {what:<12} {before} with the server"))?;
        say(format_args!("  {:<12} {during} without", ""))?;
    }
    say(format_args!(
        "  caught up    {} operations in {}",
        outage.backlog,
        measure::human(outage.catching_up)
    ))?;
    stage.close()?;
    match checks.failed.as_slice() {
        [] => say(format_args!("  all {} checks held", checks.held))?,
        failed => say(format_args!(
            "  {} held, {} FAILED: {}",
            checks.held,
            failed.len(),
            failed.join("; ")
        ))?,
    }
    Ok(checks.failed.is_empty())
}
