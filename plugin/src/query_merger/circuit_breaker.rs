//! [`CircuitBreaker`]: what the merger knows of one secondary from its answers so far.

use super::backend::{Backend, Secondary};
use crate::error_policy::{self, Action, Call};
use parking_lot::Mutex;
use plugin_api::error::{ErrorKind, StorageError};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How a secondary answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// In time.
    Answering,
    /// Not within the query timeout: asked by probes only.
    Slow,
    /// In time, but with errors.
    Failing,
}

/// A secondary and its circuit breaker.
///
/// One answer past the time allowed opens the breaker: from then on reads do
/// without the secondary, but for a probe once every query timeout, which
/// nobody waits for. A probe that is answered in time closes it.
pub(super) struct CircuitBreaker {
    secondary: Arc<dyn Secondary>,
    query_timeout: Duration,
    state: Mutex<State>,
}

struct State {
    condition: Condition,
    last_probe: Instant,
}

/// A secondary's storage, for one read.
#[derive(Clone)]
pub(super) struct Participant {
    pub(super) breaker: Arc<CircuitBreaker>,
    pub(super) backend: Arc<dyn Backend>,
    pub(super) connection: u64,
    /// False for a probe: its answer is welcome but not waited for.
    pub(super) awaited: bool,
}

impl CircuitBreaker {
    pub(super) fn new(secondary: Arc<dyn Secondary>, query_timeout: Duration) -> Self {
        Self {
            secondary,
            query_timeout,
            state: Mutex::new(State {
                condition: Condition::Answering,
                last_probe: Instant::now(),
            }),
        }
    }

    pub(super) fn priority(&self) -> u32 {
        self.secondary.priority()
    }

    /// The secondary for one read, unless it is down or known to be slow.
    pub(super) fn take(self: &Arc<Self>) -> Option<Participant> {
        let (backend, connection) = self.secondary.storage()?;
        let awaited = {
            let mut state = self.state.lock();
            let slow = state.condition == Condition::Slow;
            if slow && state.last_probe.elapsed() < self.query_timeout {
                return None;
            }
            state.last_probe = Instant::now();
            !slow
        };
        Some(Participant {
            breaker: Arc::clone(self),
            backend,
            connection,
            awaited,
        })
    }

    /// An answer came after `took`, where `timeout` was allowed; `error` if it
    /// was one.
    pub(super) fn answered(
        &self,
        connection: u64,
        took: Duration,
        timeout: Duration,
        error: Option<&StorageError>,
    ) {
        let condition = match error.map(|error| error.kind) {
            _ if took >= timeout => return self.timed_out(timeout),
            Some(ErrorKind::TIMEOUT) => return,
            Some(_) => Condition::Failing,
            None => Condition::Answering,
        };
        let reconnects = |error: &&StorageError| {
            error_policy::of(Call::ReadSecondary, error.kind).action == Action::Reconnect
        };
        if let Some(error) = error.filter(reconnects) {
            self.secondary.lost(connection, error);
        }
        self.now(condition, error);
    }

    /// An answer is late: looks whether the server is gone, and notes it if so.
    pub(super) fn look(&self, connection: u64) -> Option<StorageError> {
        let error = self.secondary.is_gone()?;
        self.secondary.lost(connection, &error);
        self.now(Condition::Failing, Some(&error));
        Some(error)
    }

    /// No answer came within `timeout`. No classification if that was the caller's own
    /// deadline, shorter than the query timeout.
    pub(super) fn timed_out(&self, timeout: Duration) {
        if timeout >= self.query_timeout {
            self.now(Condition::Slow, None);
        }
    }

    /// Notes the condition; says so when it is another than before.
    fn now(&self, condition: Condition, error: Option<&StorageError>) {
        {
            let mut state = self.state.lock();
            if state.condition == condition {
                return;
            }
            state.condition = condition;
            state.last_probe = Instant::now();
        }
        let secondary = self.secondary.name();
        match condition {
            Condition::Answering => {
                tracing::info!(secondary, "reads are merged with this secondary again");
            }
            Condition::Slow => tracing::warn!(
                secondary,
                query_timeout = ?self.query_timeout,
                "the secondary answers reads too slowly; they are the primary's alone until it is faster"
            ),
            Condition::Failing => {
                let error = error.map(ToString::to_string).unwrap_or_default();
                tracing::warn!(
                    secondary,
                    error,
                    "the secondary fails reads; they do without it until it answers"
                );
            }
        }
    }
}
