//! [`SecondaryState`]: what a secondary is doing, and how that changes.
//!
//! A [`StateMachine`] takes [`Event`]s from whoever observes something (the
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

use crate::error_policy::{self, Action, Call, Policy};
use plugin_api::{
    error::{ErrorKind, StorageError},
    value::Timestamp,
};
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
        error: &'a StorageError,
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

/// Something that went wrong with a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionFailure {
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub message: String,
    /// What an operator is told to do.
    #[serde(skip)]
    pub remedy: &'static str,
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

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing: it is about a session that is not open, or comes too late.
    Ignored,
    /// It was noted, and changed the state if there is a transition.
    Noted(Option<Transition>),
}

/// The connection, and what is known about an open session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Connecting,
    Open(Progress),
    Unreachable,
    Rejected,
    Stopped,
}

/// How far an open session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Unreconciled,
    Reconciled { resync_pending: bool },
}

/// What is known about a secondary; [`StateMachine::state`] says what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateMachine {
    link: Link,
    replicates: bool,
    paused: bool,
    since: Timestamp,
    generation: u64,
    attempts: u32,
    last_error: Option<ConnectionFailure>,
    latency: Option<Duration>,
}

impl StateMachine {
    /// A secondary that is about to be connected for the first time. One that
    /// nothing is replicated to never gets beyond [`SecondaryState::Paused`].
    pub fn new(replicates: bool) -> Self {
        Self {
            link: Link::Connecting,
            replicates,
            paused: false,
            since: Timestamp::now(),
            generation: 0,
            attempts: 0,
            last_error: None,
            latency: None,
        }
    }

    /// What the secondary is doing.
    pub fn state(&self) -> SecondaryState {
        match self.link {
            Link::Connecting => SecondaryState::Connecting,
            Link::Unreachable => SecondaryState::Unreachable,
            Link::Rejected => SecondaryState::Rejected,
            Link::Stopped => SecondaryState::Stopped,
            Link::Open(_) if self.paused || !self.replicates => SecondaryState::Paused,
            Link::Open(Progress::Unreconciled) => SecondaryState::Reconciling,
            Link::Open(Progress::Reconciled {
                resync_pending: true,
            }) => SecondaryState::Backfilling,
            Link::Open(Progress::Reconciled {
                resync_pending: false,
            }) => SecondaryState::Streaming,
        }
    }

    /// When this state began.
    pub fn since(&self) -> Timestamp {
        self.since
    }

    /// How often it was connected: the number of the open or last session.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The number of the open session, if its positions have been compared
    /// with the log.
    pub fn reconciled_generation(&self) -> Option<u64> {
        matches!(self.link, Link::Open(Progress::Reconciled { .. })).then_some(self.generation)
    }

    /// Has an operator paused replication?
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Failed attempts since it was last connected.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The latest failure of the connection, also if it is connected again.
    pub fn last_error(&self) -> Option<&ConnectionFailure> {
        self.last_error.as_ref()
    }

    /// How long the latest health check of the open session took.
    pub fn latency(&self) -> Option<Duration> {
        self.latency
    }

    /// Notes an event. This is where every transition is made.
    pub fn apply(&mut self, event: Event<'_>) -> Applied {
        let from = self.state();
        let Some(reason) = self.note(event) else {
            return Applied::Ignored;
        };
        let to = self.state();
        if from == to {
            return Applied::Noted(None);
        }
        self.since = Timestamp::now();
        Applied::Noted(Some(Transition { from, to, reason }))
    }

    /// Notes an event, and says what to give as the reason of a transition.
    /// None if the event does not apply.
    fn note(&mut self, event: Event<'_>) -> Option<String> {
        if self.link == Link::Stopped {
            return None;
        }
        let is_open = |generation| {
            let open = matches!(self.link, Link::Open(_)) && self.generation == generation;
            open.then_some(())
        };
        match event {
            Event::Connected { generation } => {
                self.link = Link::Open(Progress::Unreconciled);
                self.generation = generation;
                self.attempts = 0;
                Some(format!("session {generation} is open"))
            }
            Event::ConnectFailed(error) => {
                let policy = error_policy::of(Call::Connect, error.kind);
                self.link = match policy.action {
                    Action::AwaitOperator => Link::Rejected,
                    _ => Link::Unreachable,
                };
                Some(self.note_failure(error, policy))
            }
            Event::Lost { generation, error } => {
                is_open(generation)?;
                // Whatever was wrong with a call, the server had accepted the
                // connection.
                self.link = Link::Unreachable;
                let policy = error_policy::of(Call::Connect, ErrorKind::CONNECTION);
                Some(self.note_failure(error, policy))
            }
            Event::HealthChecked {
                generation,
                latency,
            } => {
                is_open(generation)?;
                self.latency = Some(latency);
                Some(String::new())
            }
            Event::Reconciled {
                generation,
                resync_pending,
            } => {
                is_open(generation)?;
                self.link = Link::Open(Progress::Reconciled { resync_pending });
                Some(match resync_pending {
                    true => "positions compared; a resync is pending".to_owned(),
                    false => "positions compared; no resync is needed".to_owned(),
                })
            }
            Event::ResyncObserved {
                generation,
                pending,
            } => {
                let known = Link::Open(Progress::Reconciled {
                    resync_pending: !pending,
                });
                if self.link != known || self.generation != generation {
                    return None;
                }
                self.link = Link::Open(Progress::Reconciled {
                    resync_pending: pending,
                });
                Some(match pending {
                    true => "a resync was requested".to_owned(),
                    false => "every requested table has been scanned".to_owned(),
                })
            }
            Event::Pause => {
                self.paused = true;
                Some("an operator paused replication".to_owned())
            }
            Event::Resume => {
                self.paused = false;
                Some("an operator resumed replication".to_owned())
            }
            Event::ShutDown => {
                self.link = Link::Stopped;
                self.latency = None;
                Some("the module shuts down".to_owned())
            }
        }
    }

    fn note_failure(&mut self, error: &StorageError, policy: Policy) -> String {
        let message = error.message.to_string();
        self.attempts = self.attempts.saturating_add(1);
        self.latency = None;
        self.last_error = Some(ConnectionFailure {
            at: Timestamp::now(),
            message: message.clone(),
            remedy: policy.remedy,
        });
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SecondaryState::*;

    fn gone() -> StorageError {
        StorageError::connection("the server went away")
    }

    fn denied() -> StorageError {
        StorageError::invalid_input("wrong password")
    }

    /// The state after each of the events.
    fn states(machine: &mut StateMachine, events: &[Event<'_>]) -> Vec<SecondaryState> {
        let step = |event: &Event<'_>| {
            machine.apply(*event);
            machine.state()
        };
        events.iter().map(step).collect()
    }

    fn connected(generation: u64) -> Event<'static> {
        Event::Connected { generation }
    }

    fn reconciled(generation: u64, resync_pending: bool) -> Event<'static> {
        Event::Reconciled {
            generation,
            resync_pending,
        }
    }

    fn observed(generation: u64, pending: bool) -> Event<'static> {
        Event::ResyncObserved {
            generation,
            pending,
        }
    }

    #[test]
    fn a_new_secondary_is_connected_reconciled_backfilled_and_then_streams() {
        let mut machine = StateMachine::new(true);
        assert_eq!(machine.state(), Connecting);
        let events = [connected(1), reconciled(1, true), observed(1, false)];
        assert_eq!(
            states(&mut machine, &events),
            [Reconciling, Backfilling, Streaming]
        );
        assert_eq!(states(&mut machine, &[observed(1, true)]), [Backfilling]);
    }

    #[test]
    fn every_session_has_to_be_reconciled_anew() {
        let mut machine = StateMachine::new(true);
        let error = gone();
        let lost = Event::Lost {
            generation: 1,
            error: &error,
        };
        let events = [connected(1), reconciled(1, false), lost, connected(2)];
        assert_eq!(
            states(&mut machine, &events),
            [Reconciling, Streaming, Unreachable, Reconciling]
        );
        assert_eq!(machine.reconciled_generation(), None);
    }

    #[test]
    fn events_of_another_session_change_nothing() {
        let mut machine = StateMachine::new(true);
        states(&mut machine, &[connected(1), connected(2)]);
        let error = gone();
        let lost = Event::Lost {
            generation: 1,
            error: &error,
        };
        for late in [lost, reconciled(1, false), observed(1, false)] {
            assert_eq!(machine.apply(late), Applied::Ignored, "{late:?}");
        }
        assert_eq!(machine.state(), Reconciling);
    }

    #[test]
    fn requests_that_were_read_before_the_positions_were_compared_prove_nothing() {
        let mut machine = StateMachine::new(true);
        machine.apply(connected(1));
        assert_eq!(machine.apply(observed(1, false)), Applied::Ignored);
        assert_eq!(machine.state(), Reconciling);
    }

    #[test]
    fn a_failed_attempt_is_unreachable_or_rejected_by_its_error() {
        let mut machine = StateMachine::new(true);
        let (gone, denied) = (gone(), denied());
        let events = [
            Event::ConnectFailed(&gone),
            Event::ConnectFailed(&denied),
            Event::ConnectFailed(&denied),
        ];
        assert_eq!(
            states(&mut machine, &events),
            [Unreachable, Rejected, Rejected]
        );
        assert_eq!(machine.attempts(), 3);
        let failure = machine.last_error().cloned();
        assert!(failure.is_some_and(|failure| failure.remedy.contains("action required")));
    }

    #[test]
    fn a_session_that_is_lost_is_unreachable_whatever_the_error() {
        let mut machine = StateMachine::new(true);
        let error = StorageError::not_found("the namespace vanished");
        let lost = Event::Lost {
            generation: 1,
            error: &error,
        };
        assert_eq!(states(&mut machine, &[connected(1), lost])[1], Unreachable);
    }

    #[test]
    fn pausing_keeps_what_is_known_about_the_session() {
        let mut machine = StateMachine::new(true);
        let events = [
            Event::Pause,
            connected(1),
            Event::Resume,
            reconciled(1, true),
            Event::Pause,
            observed(1, false),
            Event::Resume,
        ];
        assert_eq!(
            states(&mut machine, &events),
            [
                Connecting,
                Paused,
                Reconciling,
                Backfilling,
                Paused,
                Paused,
                Streaming
            ]
        );
    }

    #[test]
    fn a_secondary_that_nothing_is_replicated_to_is_paused_while_connected() {
        let mut machine = StateMachine::new(false);
        assert_eq!(machine.state(), Connecting);
        assert_eq!(states(&mut machine, &[connected(1)]), [Paused]);
    }

    #[test]
    fn nothing_starts_a_stopped_one_again() {
        let mut machine = StateMachine::new(true);
        states(&mut machine, &[connected(1), Event::ShutDown]);
        assert_eq!(machine.state(), Stopped);
        let error = gone();
        for late in [
            connected(2),
            Event::ConnectFailed(&error),
            Event::Resume,
            Event::ShutDown,
        ] {
            assert_eq!(machine.apply(late), Applied::Ignored, "{late:?}");
        }
    }

    #[test]
    fn a_transition_names_both_states_and_the_reason() {
        let mut machine = StateMachine::new(true);
        let error = gone();
        assert_eq!(
            machine.apply(Event::ConnectFailed(&error)),
            Applied::Noted(Some(Transition {
                from: Connecting,
                to: Unreachable,
                reason: "the server went away".to_owned(),
            }))
        );
        let again = machine.apply(Event::ConnectFailed(&error));
        assert_eq!(again, Applied::Noted(None), "the same state is no change");
    }

    #[test]
    fn a_state_has_the_same_name_everywhere() {
        for state in SecondaryState::ALL {
            let json = serde_json::to_value(state).unwrap_or_default();
            assert_eq!(json, state.name());
        }
    }
}
