//! [`CircuitBreaker`]: keeps reads from waiting for a secondary that is too slow.

use super::{
    backend::{Connected, Secondary},
    read_specs::ReadMethod,
};
use crate::{
    error_policy::{Action, Call, Failure},
    metrics::instruments::{BreakerState, ReadMetrics, ReadOutcome},
};
use parking_lot::Mutex;
use plugin_api::error::{StorageError, StorageResult};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A secondary and its circuit breaker.
///
/// One response that takes the whole query timeout opens the breaker: from then
/// on reads do without the secondary, except for one probe per query timeout,
/// which no read waits for. A probe that is answered in time closes it. Errors
/// that come in time do not open it: they cost a read nothing.
pub(super) struct CircuitBreaker {
    secondary: Arc<dyn Secondary>,
    query_timeout: Duration,
    state: Mutex<State>,
    metrics: Arc<ReadMetrics>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Reads wait for the secondary.
    Closed {
        /// Its last response was an error.
        failing: bool,
    },
    /// The last response timed out: the secondary gets probes only.
    Open { last_probe: Instant },
}

/// A secondary that takes part in one read.
#[derive(Clone)]
pub(super) struct Participant {
    pub(super) breaker: Arc<CircuitBreaker>,
    pub(super) connected: Connected,
    /// False for a probe: its response is used if it comes in time, but not
    /// waited for.
    pub(super) awaited: bool,
}

impl CircuitBreaker {
    pub(super) fn new(
        secondary: Arc<dyn Secondary>,
        query_timeout: Duration,
        metrics: Arc<ReadMetrics>,
    ) -> Self {
        Self {
            secondary,
            query_timeout,
            state: Mutex::new(State::Closed { failing: false }),
            metrics,
        }
    }

    pub(super) fn name(&self) -> &str {
        self.secondary.name()
    }

    pub(super) fn priority(&self) -> u32 {
        self.secondary.priority()
    }

    /// Counts what became of the secondary's part in a read.
    pub(super) fn count(&self, method: ReadMethod, outcome: ReadOutcome) {
        self.metrics.outcome(method, outcome).inc();
    }

    /// The secondary for one read.
    ///
    /// # Errors
    /// It is not to be asked: it is not connected, or the breaker is open and no
    /// probe is due.
    pub(super) fn participant(self: &Arc<Self>) -> Result<Participant, ReadOutcome> {
        let connected = self.secondary.connected();
        let connected = connected.ok_or(ReadOutcome::NotConnected)?;
        let awaited = match &mut *self.state.lock() {
            State::Closed { .. } => true,
            State::Open { last_probe } => {
                if last_probe.elapsed() < self.query_timeout {
                    return Err(ReadOutcome::TooSlow);
                }
                *last_probe = Instant::now();
                false
            }
        };
        Ok(Participant {
            breaker: Arc::clone(self),
            connected,
            awaited,
        })
    }

    /// Records a response that took `took` of the `timeout` that it had;
    /// `error` if it was one.
    pub(super) fn responded(
        &self,
        connected: &Connected,
        took: Duration,
        timeout: Duration,
        error: Option<&StorageError>,
    ) {
        self.metrics.answer_seconds.observe(took.as_secs_f64());
        if took >= timeout {
            self.timed_out(timeout);
            return;
        }
        let Some(error) = error else {
            self.succeeded();
            return;
        };
        let failure = Failure::of(Call::ReadSecondary, error.clone());
        match failure.policy.action {
            Action::Overlook => return,
            Action::Reconnect => self.secondary.lost(connected, &failure),
            _ => {}
        }
        self.failed(error);
    }

    /// Is the secondary to be asked whether it is there, as its response is late?
    pub(super) fn is_check_due(&self, generation: u64) -> bool {
        self.secondary.is_check_due(generation)
    }

    /// Asks it. If it is gone, records and returns the error; blocks.
    pub(super) fn check_alive(&self, generation: u64) -> StorageResult<()> {
        self.secondary
            .check_alive(generation)
            .inspect_err(|error| self.failed(error))
    }

    /// Records that no response came within `timeout`. Says nothing about the
    /// secondary if that was the caller's own deadline, shorter than the query
    /// timeout.
    pub(super) fn timed_out(&self, timeout: Duration) {
        if timeout < self.query_timeout {
            return;
        }
        {
            let mut state = self.state.lock();
            if matches!(*state, State::Open { .. }) {
                return;
            }
            *state = State::Open {
                last_probe: Instant::now(),
            };
            self.metrics.set_breaker(BreakerState::Open);
        }
        tracing::warn!(
            secondary = self.secondary.name(),
            timeout = ?self.query_timeout,
            "the secondary did not answer a read within query_timeout; reads do without it, and one probe per query_timeout checks whether it is fast enough again"
        );
    }

    fn failed(&self, error: &StorageError) {
        if self.close(true) {
            tracing::warn!(
                secondary = self.secondary.name(),
                %error,
                "the secondary answers reads with errors; reads do without its rows until it succeeds"
            );
        }
    }

    fn succeeded(&self) {
        if self.close(false) {
            tracing::info!(
                secondary = self.secondary.name(),
                "the secondary answers reads again; its rows are merged"
            );
        }
    }

    /// Closes the breaker. False if that changes nothing.
    fn close(&self, failing: bool) -> bool {
        let mut state = self.state.lock();
        let unchanged = matches!(*state, State::Closed { failing: before } if before == failing);
        *state = State::Closed { failing };
        self.metrics.set_breaker(match failing {
            true => BreakerState::Failing,
            false => BreakerState::Closed,
        });
        !unchanged
    }
}
