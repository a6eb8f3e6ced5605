//! [`SecondaryState`]: what a secondary is doing, and how that changes.
//!
//! A [`StateMachine`] takes [`Event`]s from what observes something (the
//! connection, the executor, an operator) and is the only place where a state
//! changes. Everybody else reads it: status, metrics, workers.
//!
//! ```text
//! Connecting ──► Reconciling ──► Backfilling ◄──► Streaming
//!     │               ▲
//!     ▼               │            Paused: over each of these three
//! Unreachable ────────┤
//! Rejected ───────────┘            Stopped: from everywhere, for good
//! ```
//!
//! Each of the states with a session goes to `Unreachable` when the session is
//! lost. Pausing hides the progress of the session and keeps it: a secondary
//! that is resumed goes on where it was.

mod machine;

pub use machine::{Applied, ConnectionFailure, StateMachine};

use crate::error_policy::Failure;
use plugin_api::error::StorageError;
use serde::Serialize;
use std::{fmt, time::Duration};

/// What a secondary is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SecondaryState {
    /// The first attempt to connect is under way.
    Connecting,
    /// Connected; its replication positions are being compared with the log.
    /// Until that is done an empty backlog means nothing.
    Reconciling,
    /// The log is being applied, and tables are to be scanned for a resync.
    Backfilling,
    /// The log is being applied, and nothing else is to be done.
    Streaming,
    /// Connected, and nothing is applied: an operator has paused replication,
    /// or `sync_enabled` is false.
    Paused,
    /// The server cannot be reached or does not answer. Retried automatically.
    Unreachable,
    /// The server rejects the connection: credentials, version, permissions.
    /// Retried automatically, but an operator has to fix the cause.
    Rejected,
    /// The module has shut down.
    Stopped,
}

impl SecondaryState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Connecting,
        Self::Reconciling,
        Self::Backfilling,
        Self::Streaming,
        Self::Paused,
        Self::Unreachable,
        Self::Rejected,
        Self::Stopped,
    ];

    /// The name in status, metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Reconciling => "reconciling",
            Self::Backfilling => "backfilling",
            Self::Streaming => "streaming",
            Self::Paused => "paused",
            Self::Unreachable => "unreachable",
            Self::Rejected => "rejected",
            Self::Stopped => "stopped",
        }
    }

    /// Is a session open?
    pub const fn is_connected(self) -> bool {
        match self {
            Self::Reconciling | Self::Backfilling | Self::Streaming | Self::Paused => true,
            Self::Connecting | Self::Unreachable | Self::Rejected | Self::Stopped => false,
        }
    }

    /// May the log be applied?
    pub const fn is_replicating(self) -> bool {
        matches!(self, Self::Backfilling | Self::Streaming)
    }

    /// The log message of a change to this state.
    const fn message(self) -> &'static str {
        match self {
            Self::Connecting => "connecting to the secondary",
            Self::Reconciling => {
                "the secondary is connected; comparing its replication positions with the log"
            }
            Self::Backfilling => "the secondary is replicating, and tables wait for a resync",
            Self::Streaming => "the secondary is replicating",
            Self::Paused => "replication to the secondary is paused",
            Self::Unreachable => {
                "the secondary cannot be reached; writes wait in the log, reads come from the \
                 primary; no action needed once the server answers, the connection is retried \
                 automatically"
            }
            Self::Rejected => {
                "the secondary rejects the connection; writes wait in the log; action required: \
                 fix what the reason names, the connection is retried automatically"
            }
            Self::Stopped => "replication to the secondary has stopped",
        }
    }
}

impl fmt::Display for SecondaryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that was observed of a secondary. Events about a session name its
/// generation; those about another than the open one are ignored.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// A session was opened.
    Connected {
        /// The session's number.
        generation: u64,
    },
    /// An attempt to open a session failed.
    ConnectFailed(&'a StorageError),
    /// The session is lost.
    Lost {
        /// The session's number.
        generation: u64,
        /// Why.
        failure: &'a Failure,
    },
    /// A health check was answered.
    HealthChecked {
        /// The session's number.
        generation: u64,
        /// How long the answer took.
        latency: Duration,
    },
    /// The positions of the session have been compared with the log.
    Reconciled {
        /// The session's number.
        generation: u64,
        /// Are tables to be resynced?
        resync_pending: bool,
    },
    /// The resync requests were read, after the session had been reconciled.
    ResyncObserved {
        /// The session's number.
        generation: u64,
        /// Are there any?
        pending: bool,
    },
    /// An operator pauses replication.
    Pause,
    /// An operator resumes replication.
    Resume,
    /// The module shuts down.
    ShutDown,
}

/// A change from one state to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The state before.
    pub from: SecondaryState,
    /// The state after.
    pub to: SecondaryState,
    /// What caused it.
    pub reason: String,
}

impl Transition {
    /// Logs it: a line with the fields `secondary`, `from`, `to` and `reason`.
    pub fn log(&self, secondary: &str) {
        let Self { from, to, reason } = self;
        match to {
            SecondaryState::Unreachable | SecondaryState::Rejected => {
                tracing::warn!(secondary, %from, %to, reason, "{}", to.message());
            }
            _ => tracing::info!(secondary, %from, %to, reason, "{}", to.message()),
        }
    }
}

#[cfg(test)]
mod tests;
