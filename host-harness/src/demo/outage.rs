//! The server is killed in the middle of work, and comes back.

use super::{
    Checks, USER,
    measure::{Times, human},
    stage::Stage,
};
use crate::{embedder::embed, host::Host, output::say};
use plugin_api::{
    error::StorageResult,
    storage::{CallContext, Storage},
    value::{Object, Value},
};
use std::time::Duration;

/// How many writes and reads are timed, each time.
const SAMPLES: usize = 40;

/// What was seen.
pub(super) struct Outage {
    pub(super) writes_before: Times,
    pub(super) writes_during: Times,
    pub(super) reads_before: Times,
    pub(super) reads_during: Times,
    pub(super) backlog: u64,
    pub(super) catching_up: Duration,
}

/// Kills the server, works on, starts it again, and compares.
pub(super) fn show(stage: &mut Stage, checks: &mut Checks) -> anyhow::Result<Outage> {
    let (writes_before, reads_before) = work(stage.host(), "before")?;
    stage.wait_until_copied("copying what was written")?;

    stage.server().kill();
    say("  killed")?;
    let (writes_during, reads_during) = work(stage.host(), "during")?;
    say(format_args!(
        "  {:<8} {:<46} {}",
        "", "with the server", "without"
    ))?;
    say(format_args!(
        "  {:<8} {:<46} {}",
        "a write",
        writes_before.to_string(),
        writes_during
    ))?;
    say(format_args!(
        "  {:<8} {:<46} {}",
        "a read",
        reads_before.to_string(),
        reads_during
    ))?;
    let backlog = stage.replication()?.backlog;
    checks.check(
        &format!("writes and reads went on; {backlog} operations wait in the log"),
        backlog > 0,
    )?;

    stage.server().restart()?;
    say("  started again, with the data that it had")?;
    let catching_up = stage.wait_until_copied("catching up")?;
    say(format_args!("  caught up in {}", human(catching_up)))?;
    let comparison = stage.compare()?;
    if !comparison.is_equal() {
        say(&comparison)?;
    }
    checks.check(
        &format!("all {} rows are equal again", comparison.rows()),
        comparison.is_equal(),
    )?;
    Ok(Outage {
        writes_before,
        writes_during,
        reads_before,
        reads_during,
        backlog,
        catching_up,
    })
}

/// Writes and reads of several kinds, each timed.
fn work(host: &Host, when: &str) -> StorageResult<(Times, Times)> {
    let storage = host.storage();
    let context = CallContext::new();
    let mut writes = Times::default();
    let mut reads = Times::default();
    for sample in 0..SAMPLES {
        let key = format!("outage/{when}/{sample}");
        let text = format!("Note {sample} written {when} the outage");
        let embedding = embed(&text);
        if sample % 2 == 0 {
            writes.time(|| storage.save_fact(&context, USER, &key, &Value::from(text.as_str())))?;
            reads.time(|| storage.get_fact(&context, USER, &key))?;
        } else {
            let metadata = Object::new().with("key", key.as_str());
            writes.time(|| {
                storage.save_event(&context, USER, "outage", &text, &embedding, &metadata)
            })?;
            reads.time(|| storage.list_facts(&context, USER))?;
        }
    }
    Ok((writes, reads))
}
