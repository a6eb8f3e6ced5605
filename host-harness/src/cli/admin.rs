//! The commands that show and control replication.

use super::{AdminCommand, DeadLetters, HostOption, SecondaryOption, session};
use crate::{
    admin::{AdminClient, AdminError},
    host::Host,
    output::{bar, say, spinner},
};
use serde_json::{Value as Json, json};
use std::{
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};

/// How long a command waits for the host that it started to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the status is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

pub(super) fn run(command: AdminCommand) -> anyhow::Result<bool> {
    match command {
        AdminCommand::Status(options) => request(&options.host, |admin| {
            admin.get("status", options.secondary.query().as_slice())
        }),
        AdminCommand::Pause(host) => on_running_host(&host, "pause"),
        AdminCommand::Resume(host) => on_running_host(&host, "resume"),
        AdminCommand::DeadLetters { action } => dead_letters(action),
        AdminCommand::Resync(options) => request(&options.host, |admin| {
            let body = body(&options.secondary, "tables", &options.tables);
            let answer = admin.post("resync", &body)?;
            wait_until_caught_up(admin, "resyncing")?;
            Ok(answer)
        }),
        AdminCommand::Verify(options) => {
            let answer = ask(&options.host, |admin| {
                let body = body(&options.secondary, "tables", &options.tables);
                let spinner = spinner("comparing");
                let answer = admin.post("verify", &body)?;
                spinner.finish_and_clear();
                wait_until_caught_up(admin, "repairing")?;
                Ok(answer)
            })?;
            Ok(answer["equal"] == json!(true))
        }
    }
}

fn dead_letters(action: DeadLetters) -> anyhow::Result<bool> {
    match action {
        DeadLetters::List { host, secondary } => request(&host, |admin| {
            list_dead_letters(admin, secondary.secondary.as_deref())
        }),
        DeadLetters::Replay(options) => request(&options.host, |admin| {
            let body = body(&options.secondary, "ids", &options.ids);
            let answer = admin.post("dead-letters/replay", &body)?;
            wait_until_caught_up(admin, "replaying")?;
            Ok(answer)
        }),
        DeadLetters::Discard(options) => request(&options.host, |admin| {
            let body = body(&options.secondary, "ids", &options.ids);
            admin.post("dead-letters/discard", &body)
        }),
    }
}

/// All dead letters, which the module lists in pages.
fn list_dead_letters(admin: &AdminClient, secondary: Option<&str>) -> Result<Json, AdminError> {
    let mut letters = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let secondary = secondary.map(|name| ("secondary", name));
        let after = next.as_deref().map(|next| ("after", next));
        let query: Vec<_> = secondary.into_iter().chain(after).collect();
        let page = admin.get("dead-letters", &query)?;
        letters.extend(
            page["dead_letters"]
                .as_array()
                .into_iter()
                .flatten()
                .cloned(),
        );
        next = page["next"].as_str().map(str::to_owned);
        if next.is_none() {
            return Ok(json!({ "dead_letters": letters }));
        }
    }
}

/// The body of a request about some `ids` or `tables`; no secondary means all.
fn body(secondary: &SecondaryOption, name: &str, values: &[String]) -> Json {
    let mut body = json!({ name: values });
    if let Some(secondary) = &secondary.secondary {
        body["secondary"] = json!(secondary);
    }
    body
}

/// A request whose effect ends with the host's process.
fn on_running_host(host: &HostOption, route: &str) -> anyhow::Result<bool> {
    if host.url.is_none() {
        anyhow::bail!(
            "{route} needs a running host: its effect would end with the host that --config starts. \
             Run `host-harness serve` and give its address as --url"
        );
    }
    request(host, |admin| admin.post(route, &Json::Null))
}

/// Asks the chosen host, and prints its answer.
fn request(
    option: &HostOption,
    question: impl FnOnce(&AdminClient) -> Result<Json, AdminError>,
) -> anyhow::Result<bool> {
    ask(option, question).map(|_| true)
}

/// Asks the chosen host, prints its answer, and returns it.
fn ask(
    option: &HostOption,
    question: impl FnOnce(&AdminClient) -> Result<Json, AdminError>,
) -> anyhow::Result<Json> {
    let (admin, host) = open(option)?;
    let answer = question(&admin);
    drop(admin);
    if let Some(host) = host {
        host.shutdown()?;
    }
    let answer = answer?;
    say(format_args!("{answer:#}"))?;
    Ok(answer)
}

fn open(option: &HostOption) -> anyhow::Result<(AdminClient, Option<Host>)> {
    match (&option.url, &option.config) {
        (Some(url), _) => Ok((AdminClient::remote(url)?, None)),
        (None, Some(config)) => {
            let host = session::start(config)?;
            let admin = AdminClient::local(&host)?;
            wait_until_connected(&admin)?;
            Ok((admin, Some(host)))
        }
        (None, None) => anyhow::bail!("--config or --url is required"),
    }
}

/// Waits until the first attempt to connect to each secondary has ended, well or
/// not, but not for ever.
pub(super) fn wait_until_connected(admin: &AdminClient) -> Result<(), AdminError> {
    let started = Instant::now();
    while admin.replication()?.is_connecting() && started.elapsed() < CONNECT_TIMEOUT {
        thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

/// Shows progress until every secondary has caught up. Stops waiting when one is
/// disconnected or paused, since the rest is then replicated later; if an operator
/// paused replication, with a hint how to resume it.
fn wait_until_caught_up(admin: &AdminClient, what: &str) -> Result<(), AdminError> {
    let before = admin.replication()?;
    let progress = bar(what, usize::try_from(before.backlog).unwrap_or(usize::MAX));
    loop {
        let now = admin.replication()?;
        let done = now.replicated.saturating_sub(before.replicated);
        // Every row that is scanned becomes an operation.
        progress.set_length((done + now.backlog + now.to_scan).max(1));
        progress.set_position(done);
        if now.is_caught_up() || now.is_stalled() || now.paused {
            progress.finish_and_clear();
            if now.paused && now.has_pending_work() {
                hint_at_resume(admin);
            }
            return Ok(());
        }
        thread::sleep(POLL_INTERVAL);
    }
}

/// Says that the rest waits, and which command resumes replication. On stderr,
/// since the answer goes to stdout.
fn hint_at_resume(admin: &AdminClient) {
    let url = match admin.url() {
        Some(url) => format!(" --url {url}"),
        // A host that was just started is never paused.
        None => String::new(),
    };
    // With stderr closed there is nowhere left to report to.
    let _ = writeln!(
        io::stderr(),
        "replication is paused: the rest is replicated after `host-harness resume{url}`"
    );
}
