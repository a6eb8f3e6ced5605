//! Counts and rates of one secondary.

use crate::metrics::instruments::ReplicationMetrics;
use parking_lot::Mutex;
use plugin_api::value::Timestamp;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// The window over which the rate is measured.
const WINDOW: Duration = Duration::from_secs(10);

/// What was applied to a secondary since the module started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Progress {
    /// Operations applied.
    pub applied: u64,
    /// Batches committed.
    pub batches: u64,
    /// Operations applied per second, over the last seconds.
    pub rate: f64,
    /// How long the latest batch took, in milliseconds.
    pub batch_latency_ms: f64,
    /// Rejections; an operation counts each time that it is rejected.
    pub rejected: u64,
}

/// The scan of a table that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanProgress {
    /// When this process began the scan, or continued it.
    pub started: Timestamp,
    /// Rows that the table had then.
    pub total: u64,
}

/// The counters of one secondary.
pub(super) struct Counters {
    scans: Mutex<BTreeMap<String, ScanProgress>>,
    pub(super) metrics: Arc<ReplicationMetrics>,
    batches: AtomicU64,
    recent: Mutex<Recent>,
}

struct Recent {
    since: Instant,
    applied: u64,
    rate: f64,
    latency: Duration,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            scans: Mutex::default(),
            metrics: Arc::default(),
            batches: AtomicU64::new(0),
            recent: Mutex::new(Recent {
                since: Instant::now(),
                applied: 0,
                rate: 0.0,
                latency: Duration::ZERO,
            }),
        }
    }
}

impl Recent {
    /// Begins a new window when the present one is over.
    fn roll(&mut self) {
        let age = self.since.elapsed();
        if age >= WINDOW {
            #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
            let applied = self.applied as f64;
            self.rate = applied / age.as_secs_f64();
            self.applied = 0;
            self.since = Instant::now();
        }
    }
}

impl Counters {
    pub(super) fn applied(&self, operations: usize, latency: Duration) {
        let operations = operations as u64;
        self.metrics.applied.inc_by(operations);
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.metrics.batch_seconds.observe(latency.as_secs_f64());
        let mut recent = self.recent.lock();
        recent.roll();
        recent.applied += operations;
        recent.latency = latency;
    }

    /// The scan of a table of so many rows begins, or continues.
    pub(super) fn scan_begins(&self, table: &str, total: u64) {
        let started = Timestamp::now();
        let scan = ScanProgress { started, total };
        self.scans.lock().insert(table.to_owned(), scan);
    }

    /// The scan has come to its end, or is interrupted.
    pub(super) fn scan_ends(&self, table: &str) {
        self.scans.lock().remove(table);
    }

    pub(super) fn scans(&self) -> BTreeMap<String, ScanProgress> {
        self.scans.lock().clone()
    }

    pub(super) fn snapshot(&self) -> Progress {
        let mut recent = self.recent.lock();
        recent.roll();
        let age = recent.since.elapsed().as_secs_f64().max(1.0);
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        let running = recent.applied as f64 / age;
        Progress {
            applied: self.metrics.applied.get(),
            batches: self.batches.load(Ordering::Relaxed),
            rate: running.max(if recent.applied == 0 {
                recent.rate
            } else {
                0.0
            }),
            batch_latency_ms: recent.latency.as_secs_f64() * 1000.0,
            rejected: self.metrics.rejected.get(),
        }
    }
}
