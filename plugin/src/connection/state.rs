//! What is known about a connection, for those who look at it.

use plugin_api::{
    error::{ErrorKind, StorageError},
    value::Timestamp,
};
use serde::Serialize;
use std::time::Duration;

/// How a secondary's connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The first attempt is under way.
    Connecting,
    /// It is open.
    Connected,
    /// The server cannot be reached or does not answer. It is tried again.
    Unreachable,
    /// The server is there and does not let the module in, or misses
    /// something. It is tried again, and a person has to mend it.
    Refused,
    /// The module has shut down.
    Stopped,
}

/// Something that went wrong with a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionFailure {
    /// When.
    pub at: Timestamp,
    /// What, and what to do about it.
    pub message: String,
}

/// What is known about a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionState {
    /// How it stands.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// How often it was opened; the number of the current or last session.
    pub generation: u64,
    /// Failed attempts since it was last open.
    pub attempts: u32,
    /// The latest failure, also when it is mended.
    pub last_error: Option<ConnectionFailure>,
    /// How long the latest health check took.
    pub latency: Option<Duration>,
}

impl ConnectionState {
    pub(super) fn new() -> Self {
        Self {
            phase: Phase::Connecting,
            since: Timestamp::now(),
            generation: 0,
            attempts: 0,
            last_error: None,
            latency: None,
        }
    }

    /// Goes to `phase`; true if that is a change.
    pub(super) fn enter(&mut self, phase: Phase) -> bool {
        let changed = self.phase != phase;
        if changed {
            self.phase = phase;
            self.since = Timestamp::now();
        }
        changed
    }

    /// Notes a failure; true if it changes the phase.
    pub(super) fn fail(&mut self, error: &StorageError) -> bool {
        self.attempts = self.attempts.saturating_add(1);
        self.latency = None;
        self.last_error = Some(ConnectionFailure {
            at: Timestamp::now(),
            message: error.message.to_string(),
        });
        self.enter(match error.kind {
            ErrorKind::INVALID_INPUT | ErrorKind::NOT_FOUND | ErrorKind::UNSUPPORTED => {
                Phase::Refused
            }
            _ => Phase::Unreachable,
        })
    }
}
