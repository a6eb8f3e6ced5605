//! The commands that steer replication.

use super::{Command, DeadLetters, HostOption, output::say, session};
use crate::{host::Host, steering::Steering};
use serde_json::{Value as Json, json};

pub(super) fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Status(options) => get(&options.host, "status"),
        Command::Pause(options) => post(&options.host, "pause", &Json::Null),
        Command::Resume(options) => post(&options.host, "resume", &Json::Null),
        Command::DeadLetters { action } => match action {
            DeadLetters::List(options) => get(&options.host, "dead-letters"),
            DeadLetters::Replay(options) => post(
                &options.host,
                "dead-letters/replay",
                &json!({"ids": options.ids}),
            ),
            DeadLetters::Discard(options) => post(
                &options.host,
                "dead-letters/discard",
                &json!({"ids": options.ids}),
            ),
        },
        Command::Resync(options) => {
            post(&options.host, "resync", &json!({"tables": options.tables}))
        }
        Command::Verify(options) => {
            post(&options.host, "verify", &json!({"tables": options.tables}))
        }
        _ => anyhow::bail!("is not a steering command"),
    }
}

fn get(host: &HostOption, route: &str) -> anyhow::Result<bool> {
    with(host, |steering| Ok(steering.get(route)?))
}

fn post(host: &HostOption, route: &str, body: &Json) -> anyhow::Result<bool> {
    with(host, |steering| Ok(steering.post(route, body)?))
}

/// Asks the chosen host, and prints what it answers.
fn with(
    option: &HostOption,
    ask: impl FnOnce(&Steering) -> anyhow::Result<Json>,
) -> anyhow::Result<bool> {
    let (steering, host): (Steering, Option<Host>) = match (&option.url, &option.config) {
        (Some(url), _) => (Steering::at(url), None),
        (None, Some(config)) => {
            let host = session::open(config)?;
            (Steering::of(&host)?, Some(host))
        }
        (None, None) => anyhow::bail!("--config or --url is required"),
    };
    let answer = ask(&steering);
    drop(steering);
    if let Some(host) = host {
        session::close(host)?;
    }
    say(format_args!("{:#}", answer?))?;
    Ok(true)
}
