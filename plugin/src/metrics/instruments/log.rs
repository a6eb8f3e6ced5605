//! The log: appends, syncs to the disk, evictions.

use super::LOCAL_SECONDS;
use parking_lot::Mutex;
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};
use std::collections::BTreeMap;

/// What the log measures.
#[derive(Debug)]
pub struct LogMetrics {
    /// Appends, until the operations are as durable as `queue_fsync` asks for.
    pub append_seconds: Histogram,
    /// Operations appended.
    pub appended: Counter,
    /// Their bytes.
    pub appended_bytes: Counter,
    /// Writes that the log could not take: their tables are resynced instead.
    pub missed: Counter,
    /// Syncs of the queue store to the disk.
    pub fsync_seconds: Histogram,
    evictions: Mutex<BTreeMap<String, u64>>,
}

impl Default for LogMetrics {
    fn default() -> Self {
        Self {
            append_seconds: Histogram::new(LOCAL_SECONDS),
            appended: Counter::default(),
            appended_bytes: Counter::default(),
            missed: Counter::default(),
            fsync_seconds: fsync_histogram(),
            evictions: Mutex::default(),
        }
    }
}

impl LogMetrics {
    /// The log was full: a secondary's backlog was dropped.
    pub fn evicted(&self, secondary: &str) {
        *self
            .evictions
            .lock()
            .entry(secondary.to_owned())
            .or_default() += 1;
    }

    /// How often that happened to a secondary.
    pub fn evictions(&self, secondary: &str) -> u64 {
        self.evictions
            .lock()
            .get(secondary)
            .copied()
            .unwrap_or_default()
    }
}

/// For the durations of syncs to the disk.
pub fn fsync_histogram() -> Histogram {
    Histogram::new(LOCAL_SECONDS)
}
