//! [`StateMachine`]: what is known about a secondary, and what follows from it.

use super::{Event, SecondaryState, Transition};
use crate::error_policy::{self, Action, Call, Policy};
use plugin_api::{error::StorageError, value::Timestamp};
use serde::Serialize;
use std::time::Duration;

/// Something that went wrong with a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConnectionFailure {
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub message: String,
    /// What an operator has to do.
    #[serde(skip)]
    pub remedy: &'static str,
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
    connected_since: Option<Timestamp>,
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
            connected_since: None,
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

    /// When the open session began; none while there is none.
    pub fn connected_since(&self) -> Option<Timestamp> {
        self.connected_since
    }

    /// The number of the open session, if its positions have been compared
    /// with the log.
    pub fn reconciled_generation(&self) -> Option<u64> {
        matches!(self.link, Link::Open(Progress::Reconciled { .. })).then_some(self.generation)
    }

    /// Was the session of that number lost? False while the module shuts down.
    pub fn has_lost(&self, generation: u64) -> bool {
        match self.link {
            Link::Open(_) => self.generation != generation,
            Link::Connecting | Link::Unreachable | Link::Rejected => true,
            Link::Stopped => false,
        }
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
                self.connected_since = Some(Timestamp::now());
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
            Event::Lost {
                generation,
                failure,
            } => {
                is_open(generation)?;
                // Whatever was wrong with a call, the server had accepted the
                // connection.
                self.link = Link::Unreachable;
                Some(self.note_failure(&failure.error, failure.policy))
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
                self.connected_since = None;
                self.latency = None;
                Some("the module shuts down".to_owned())
            }
        }
    }

    fn note_failure(&mut self, error: &StorageError, policy: Policy) -> String {
        let message = error.message.to_string();
        self.attempts = self.attempts.saturating_add(1);
        self.latency = None;
        self.connected_since = None;
        self.last_error = Some(ConnectionFailure {
            at: Timestamp::now(),
            message: message.clone(),
            remedy: policy.remedy,
        });
        message
    }
}
