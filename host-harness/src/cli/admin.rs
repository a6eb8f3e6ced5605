//! The commands that show and control replication.

use super::{
    AdminCommand, DeadLetters, HostOption, SecondaryOption, StatusOptions, exit::UsageError,
    session, text, verify, watch,
};
use crate::{
    admin::{AdminClient, AdminError},
    host::Host,
    output::{bar, say},
};
use indicatif::ProgressDrawTarget;
use serde_json::{Value as Json, json};
use std::{
    cell::Cell,
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};

/// How long a command waits for the host that it started to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the status is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

pub(super) fn run(command: AdminCommand, json: bool) -> anyhow::Result<bool> {
    let answer =
        |host: &HostOption, question: Question<'_>, text: Text| request(host, question, text, json);
    match command {
        AdminCommand::Status(options) => status(&options, json),
        AdminCommand::Pause(host) => on_running_host(&host, "pause", json),
        AdminCommand::Resume(host) => on_running_host(&host, "resume", json),
        AdminCommand::DeadLetters { action } => match action {
            DeadLetters::List { host, secondary } => {
                let secondary = secondary.secondary.as_deref();
                answer(
                    &host,
                    &|admin| list_dead_letters(admin, secondary),
                    text::dead_letters,
                )
            }
            DeadLetters::Replay(options) => answer(
                &options.host,
                &|admin| {
                    let body = body(&options.secondary, "ids", &options.ids);
                    let answer = admin.post("dead-letters/replay", &body)?;
                    wait_until_caught_up(admin, "replaying", json)?;
                    Ok(answer)
                },
                text::fields,
            ),
            DeadLetters::Discard(options) => answer(
                &options.host,
                &|admin| {
                    let body = body(&options.secondary, "ids", &options.ids);
                    admin.post("dead-letters/discard", &body)
                },
                text::fields,
            ),
        },
        AdminCommand::Resync(options) => answer(
            &options.host,
            &|admin| {
                let body = body(&options.secondary, "tables", &options.tables);
                let answer = admin.post("resync", &body)?;
                wait_until_caught_up(admin, "resyncing", json)?;
                Ok(answer)
            },
            text::fields,
        ),
        AdminCommand::Verify(options) => verify::run(&options, json),
    }
}

/// What a host is asked.
type Question<'a> = &'a dyn Fn(&AdminClient) -> Result<Json, AdminError>;
/// An answer as people see it.
type Text = fn(&Json) -> String;

fn status(options: &StatusOptions, json: bool) -> anyhow::Result<bool> {
    let query = options.secondary.query();
    if options.watch {
        let (admin, _host) = open(&options.host)?;
        let interval = Duration::from_secs_f64(options.interval);
        let view = watch::View {
            query,
            interval,
            json,
        };
        watch::status(&admin, &view)?;
        return Ok(true);
    }
    let health = Cell::new(true);
    let question = |admin: &AdminClient| {
        let status = admin.get("status", query.as_slice())?;
        health.set(status["health"] == "healthy");
        Ok(status)
    };
    request(&options.host, &question, text::status, json)?;
    Ok(health.get() || !options.check)
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
pub(super) fn body(secondary: &SecondaryOption, name: &str, values: &[String]) -> Json {
    let mut body = json!({ name: values });
    if let Some(secondary) = &secondary.secondary {
        body["secondary"] = json!(secondary);
    }
    body
}

/// A request whose effect ends with the host's process.
fn on_running_host(host: &HostOption, route: &str, json: bool) -> anyhow::Result<bool> {
    if host.url.is_none() {
        return Err(UsageError(format!(
            "{route} needs a running host: its effect would end with the host that --config starts. \
             Run `host-harness serve` and give its address as --url"
        ))
        .into());
    }
    request(
        host,
        &|admin| admin.post(route, &Json::Null),
        text::fields,
        json,
    )
}

/// Asks the chosen host, and prints its answer.
fn request(
    option: &HostOption,
    question: Question<'_>,
    text: Text,
    json: bool,
) -> anyhow::Result<bool> {
    let (admin, host) = open(option)?;
    let answer = question(&admin);
    drop(admin);
    if let Some(host) = host {
        host.shutdown()?;
    }
    let answer = answer?;
    match json {
        true => say(format_args!("{answer:#}"))?,
        false => say(text(&answer).trim_end())?,
    }
    Ok(true)
}

pub(super) fn open(option: &HostOption) -> anyhow::Result<(AdminClient, Option<Host>)> {
    match (&option.url, &option.config) {
        (Some(url), _) => {
            let token = option.token.read()?;
            Ok((AdminClient::remote_with(url, token)?, None))
        }
        (None, Some(config)) => {
            let host = session::start(config)?;
            let admin = AdminClient::local(&host)?;
            wait_until_connected(&admin)?;
            Ok((admin, Some(host)))
        }
        (None, None) => Err(UsageError("--config or --url is required".to_owned()).into()),
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
pub(super) fn wait_until_caught_up(
    admin: &AdminClient,
    what: &str,
    is_quiet: bool,
) -> Result<(), AdminError> {
    let before = admin.replication()?;
    let progress = bar(what, usize::try_from(before.backlog).unwrap_or(usize::MAX));
    if is_quiet {
        progress.set_draw_target(ProgressDrawTarget::hidden());
    }
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
