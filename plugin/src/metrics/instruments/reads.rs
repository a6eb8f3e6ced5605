//! Merged reads, as far as one secondary takes part in them.

use super::REMOTE_SECONDS;
use crate::query_merger::read_specs::ReadMethod;
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};
use std::{
    array,
    sync::atomic::{AtomicU8, Ordering},
};

/// What became of a secondary's part in a merged read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Its rows are in the answer.
    Merged,
    /// It was not asked: the primary had the row.
    NotNeeded,
    /// It was not asked: it is not connected.
    NotConnected,
    /// It did not answer in time, or was not asked because it did not before.
    TooSlow,
    /// It answered with an error, or its connection was lost.
    Failed,
}

impl ReadOutcome {
    /// Every outcome.
    pub const ALL: [Self; 5] = [
        Self::Merged,
        Self::NotNeeded,
        Self::NotConnected,
        Self::TooSlow,
        Self::Failed,
    ];

    /// Its label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::NotNeeded => "not_needed",
            Self::NotConnected => "not_connected",
            Self::TooSlow => "too_slow",
            Self::Failed => "failed",
        }
    }
}

/// What a circuit breaker does with reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// They wait for the secondary.
    Closed,
    /// They wait for it, and its last answer was an error.
    Failing,
    /// They do without it, but for probes.
    Open,
}

impl BreakerState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Closed, Self::Failing, Self::Open];

    /// Its label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Failing => "failing",
            Self::Open => "open",
        }
    }
}

/// What merged reads measure of one secondary.
#[derive(Debug)]
pub struct ReadMetrics {
    outcomes: [[Counter; ReadOutcome::ALL.len()]; ReadMethod::ALL.len()],
    /// Its answers to single questions; a read may ask several.
    pub answer_seconds: Histogram,
    /// As the last change left it.
    breaker: AtomicU8,
}

impl Default for ReadMetrics {
    fn default() -> Self {
        Self {
            outcomes: array::from_fn(|_| array::from_fn(|_| Counter::default())),
            answer_seconds: Histogram::new(REMOTE_SECONDS),
            breaker: AtomicU8::new(BreakerState::Closed as u8),
        }
    }
}

impl ReadMetrics {
    /// How many reads by this method had this outcome.
    pub fn outcome(&self, method: ReadMethod, outcome: ReadOutcome) -> &Counter {
        &self.outcomes[method as usize][outcome as usize]
    }

    /// The circuit breaker's state changed.
    pub fn set_breaker(&self, state: BreakerState) {
        self.breaker.store(state as u8, Ordering::Relaxed);
    }

    /// Is the circuit breaker in this state?
    pub fn is_breaker(&self, state: BreakerState) -> bool {
        self.breaker.load(Ordering::Relaxed) == state as u8
    }
}
