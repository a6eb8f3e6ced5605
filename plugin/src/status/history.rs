//! [`History`]: how each secondary did in the last minutes, in memory.

use super::BacklogStatus;
use crate::sync_executor::Progress;
use parking_lot::Mutex;
use plugin_api::value::Timestamp;
use serde::Serialize;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// From one sample to the next.
pub const HISTORY_INTERVAL: Duration = Duration::from_secs(5);

/// Samples of a secondary that are kept: 15 minutes.
const CAPACITY: usize = 180;

/// What was measured at one time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// When.
    pub at: Timestamp,
    /// Operations that waited.
    pub backlog: u64,
    /// The age of the oldest of them, in seconds.
    pub lag_seconds: f64,
    /// Operations applied per second since the sample before.
    pub rate: f64,
    /// How long the latest batch took, in milliseconds; none if there was none
    /// since the sample before.
    pub apply_ms: Option<f64>,
}

/// The samples of one secondary, the oldest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SecondaryHistory {
    /// The secondary.
    pub name: String,
    /// Its samples.
    pub samples: Vec<Sample>,
}

/// The samples of all secondaries.
pub struct History(Mutex<Vec<Series>>);

struct Series {
    name: String,
    samples: VecDeque<Sample>,
    /// Where the counters were at the latest sample.
    applied: u64,
    batches: u64,
    at: Instant,
}

impl History {
    /// Without samples.
    pub fn new(secondaries: impl IntoIterator<Item = String>) -> Self {
        let series = |name| Series {
            name,
            samples: VecDeque::with_capacity(CAPACITY),
            applied: 0,
            batches: 0,
            at: Instant::now(),
        };
        Self(Mutex::new(secondaries.into_iter().map(series).collect()))
    }

    /// Adds a sample of a secondary.
    pub fn record(&self, secondary: &str, backlog: &BacklogStatus, progress: &Progress) {
        let mut all = self.0.lock();
        let Some(series) = all.iter_mut().find(|series| series.name == secondary) else {
            return;
        };
        let applied = progress.applied.saturating_sub(series.applied);
        let seconds = series.at.elapsed().as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = match seconds > 0.0 {
            true => applied as f64 / seconds,
            false => 0.0,
        };
        let has_batch = progress.batches > series.batches;
        if series.samples.len() == CAPACITY {
            series.samples.pop_front();
        }
        series.samples.push_back(Sample {
            at: Timestamp::now(),
            backlog: backlog.operations,
            lag_seconds: backlog.oldest_age_seconds,
            rate,
            apply_ms: has_batch.then_some(progress.batch_latency_ms),
        });
        series.applied = progress.applied;
        series.batches = progress.batches;
        series.at = Instant::now();
    }

    /// The samples after a time; all without one.
    pub fn after(&self, time: Option<Timestamp>) -> Vec<SecondaryHistory> {
        let is_newer = |sample: &&Sample| time.is_none_or(|time| sample.at > time);
        let all = self.0.lock();
        all.iter()
            .map(|series| SecondaryHistory {
                name: series.name.clone(),
                samples: series.samples.iter().filter(is_newer).copied().collect(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(applied: u64, batches: u64) -> Progress {
        Progress {
            applied,
            batches,
            batch_latency_ms: 7.0,
            ..Progress::default()
        }
    }

    #[test]
    fn a_sample_says_what_happened_since_the_one_before() {
        let history = History::new(["office".to_owned()]);
        let waiting = BacklogStatus {
            operations: 3,
            oldest_age_seconds: 0.5,
            ..BacklogStatus::default()
        };
        history.record("office", &waiting, &progress(10, 1));
        history.record("office", &waiting, &progress(10, 1));
        let all = history.after(None);
        let samples = &all[0].samples;
        assert_eq!((&*all[0].name, samples.len()), ("office", 2));
        assert_eq!((samples[0].backlog, samples[0].lag_seconds), (3, 0.5));
        assert!(samples[0].rate > 0.0);
        assert_eq!(samples[0].apply_ms, Some(7.0));
        assert_eq!((samples[1].rate, samples[1].apply_ms), (0.0, None));
        let newer = history.after(Some(samples[0].at));
        assert_eq!(newer[0].samples, samples[1..]);
    }

    #[test]
    fn only_the_last_minutes_are_kept() {
        let history = History::new(["office".to_owned()]);
        for applied in 0..1_000 {
            history.record(
                "office",
                &BacklogStatus::default(),
                &progress(applied, applied),
            );
            history.record("unknown", &BacklogStatus::default(), &progress(0, 0));
        }
        let all = history.after(None);
        assert_eq!((all.len(), all[0].samples.len()), (1, CAPACITY));
    }
}
