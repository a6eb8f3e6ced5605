//! The secondary is killed while the host works, and is started again.

use super::{
    Checks, USER,
    deployment::Deployment,
    timings::{Timings, human},
};
use crate::{embedder::embed, host::Host, output::say};
use plugin_api::{
    error::StorageResult,
    storage::{CallContext, Storage},
    value::{Object, Value},
};
use std::time::Duration;

/// How many writes and reads are timed, with the secondary and without it.
const SAMPLES: usize = 40;

/// What was measured.
pub(super) struct Outage {
    pub(super) writes_before: Timings,
    pub(super) writes_during: Timings,
    pub(super) reads_before: Timings,
    pub(super) reads_during: Timings,
    pub(super) backlog: u64,
    pub(super) catch_up: Duration,
}

/// Kills the secondary, writes and reads, starts it again, and compares.
pub(super) fn show(deployment: &mut Deployment, checks: &mut Checks) -> anyhow::Result<Outage> {
    let (writes_before, reads_before) = work(deployment.host(), "before")?;
    deployment.wait_until_caught_up("replicating")?;

    deployment.server().kill();
    say("  killed with SIGKILL")?;
    let (writes_during, reads_during) = work(deployment.host(), "during")?;
    say(format_args!(
        "  {:<8} {:<46} {}",
        "", "before the outage", "during the outage"
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
    let backlog = deployment.replication()?.backlog;
    checks.check(
        &format!("writes and reads succeed; {backlog} operations wait in the log"),
        backlog > 0,
    )?;

    deployment.server().restart()?;
    say("  started again with its data")?;
    let catch_up = deployment.wait_until_caught_up("catching up")?;
    say(format_args!("  caught up in {}", human(catch_up)))?;
    let comparison = deployment.compare()?;
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
        catch_up,
    })
}

/// Writes and reads of several kinds, each timed.
fn work(host: &Host, when: &str) -> StorageResult<(Timings, Timings)> {
    let storage = host.storage();
    let context = CallContext::new();
    let mut writes = Timings::default();
    let mut reads = Timings::default();
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
