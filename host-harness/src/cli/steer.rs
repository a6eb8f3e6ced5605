//! The commands that steer replication.

use super::{Command, DeadLetters, HostOption, SteerOptions, session};
use crate::{
    host::Host,
    output::{bar, say, spinner},
    steering::{Replication, Steering, SteeringError},
};
use serde_json::{Value as Json, json};
use std::{
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};

/// How long a host that was just started may take to connect.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How often a state is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(super) fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Status(options) => with(&options, |steering, _| steering.get("status", &[])),
        Command::Pause(options) => lasting(&options, "pause"),
        Command::Resume(options) => lasting(&options, "resume"),
        Command::DeadLetters { action } => match action {
            DeadLetters::List(options) => with(&options, |steering, _| {
                let secondary = options.secondary.as_deref().map(|name| ("secondary", name));
                steering.get("dead-letters", secondary.as_slice())
            }),
            DeadLetters::Replay(options) => with(&options.steer, |steering, mut body| {
                body["ids"] = json!(options.ids);
                let answer = steering.post("dead-letters/replay", &body)?;
                watch(steering, "replaying")?;
                Ok(answer)
            }),
            DeadLetters::Discard(options) => with(&options.steer, |steering, mut body| {
                body["ids"] = json!(options.ids);
                steering.post("dead-letters/discard", &body)
            }),
        },
        Command::Resync(options) => with(&options.steer, |steering, mut body| {
            body["tables"] = json!(options.tables);
            let answer = steering.post("resync", &body)?;
            watch(steering, "copying again")?;
            Ok(answer)
        }),
        Command::Verify(options) => with(&options.steer, |steering, mut body| {
            body["tables"] = json!(options.tables);
            let sign_of_life = spinner("comparing");
            let answer = steering.post("verify", &body)?;
            sign_of_life.finish_and_clear();
            watch(steering, "repairing")?;
            Ok(answer)
        }),
        _ => anyhow::bail!("is not a steering command"),
    }
}

/// A command whose effect ends with the host.
fn lasting(options: &SteerOptions, route: &str) -> anyhow::Result<bool> {
    if options.host.url.is_none() {
        anyhow::bail!(
            "{route} is for a host that stays: its effect ends with the host. \
             Start `host-harness serve` and give its --url"
        );
    }
    with(options, |steering, body| steering.post(route, &body))
}

/// Asks the chosen host, and prints what it answers. The body that `ask` gets
/// names the secondary that was chosen.
fn with(
    options: &SteerOptions,
    ask: impl FnOnce(&Steering, Json) -> Result<Json, SteeringError>,
) -> anyhow::Result<bool> {
    let (steering, host) = open(&options.host)?;
    let body = match &options.secondary {
        Some(name) => json!({"secondary": name}),
        None => json!({}),
    };
    let answer = ask(&steering, body);
    drop(steering);
    if let Some(host) = host {
        session::close(host)?;
    }
    say(format_args!("{:#}", answer?))?;
    Ok(true)
}

fn open(option: &HostOption) -> anyhow::Result<(Steering, Option<Host>)> {
    match (&option.url, &option.config) {
        (Some(url), _) => Ok((Steering::at(url), None)),
        (None, Some(config)) => {
            let host = session::open(config)?;
            let steering = Steering::of(&host)?;
            let started = Instant::now();
            while steering.replication()?.connecting && started.elapsed() < CONNECT_WITHIN {
                thread::sleep(LOOK_EVERY);
            }
            Ok((steering, Some(host)))
        }
        (None, None) => anyhow::bail!("--config or --url is required"),
    }
}

/// Shows how far the secondaries are until they have everything, or until one
/// is out of reach: then the rest happens by itself, later. Nothing does on a
/// host that is paused, so there it says what ends that.
fn watch(steering: &Steering, what: &str) -> Result<(), SteeringError> {
    let before = steering.replication()?;
    let progress = bar(what, usize::try_from(before.backlog).unwrap_or(usize::MAX));
    loop {
        let status = steering.get("status", &[])?;
        let now = Replication::read(&status)?;
        let done = now.copied.saturating_sub(before.copied);
        // Every row that is walked becomes an operation.
        progress.set_length((done + now.backlog + now.to_walk).max(1));
        progress.set_position(done);
        let paused = status["paused"] == true;
        if now.is_caught_up() || !now.connected || paused {
            progress.finish_and_clear();
            if paused && !now.is_caught_up() {
                tell_of_the_pause(steering);
            }
            return Ok(());
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Says that copying waits, and for which command. On stderr, as the answer is
/// on stdout.
fn tell_of_the_pause(steering: &Steering) {
    let url = match steering {
        Steering::At(address) => format!(" --url http://{address}"),
        // A pause ends with its host, so one that was just started has none.
        Steering::Here(_) => String::new(),
    };
    // If stderr is closed, nobody is there to be told.
    let _ = writeln!(
        io::stderr(),
        "replication is paused: what is left waits until `host-harness resume{url}`"
    );
}
