//! The replication to one secondary.

use super::REMOTE_SECONDS;
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

/// How far behind a secondary is: from milliseconds to a day.
const LAG_SECONDS: [f64; 16] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0,
    86400.0,
];

/// The scan of a table: up to a day.
const SCAN_SECONDS: [f64; 10] = [
    0.1, 0.5, 2.5, 10.0, 60.0, 300.0, 1800.0, 7200.0, 21600.0, 86400.0,
];

/// Operations of a transaction.
const OPERATIONS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0];

/// Bytes of a transaction, which has some 4 MiB at most, unless one row has more.
const BYTES: [f64; 9] = [
    256.0,
    1024.0,
    4096.0,
    16384.0,
    65536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
];

/// The bytes, or the operations, of something, for a histogram.
#[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn real(number: usize) -> f64 {
    number as f64
}

/// What the replication to one secondary measures.
#[derive(Debug)]
pub struct ReplicationMetrics {
    /// From the write of an operation until the secondary has committed it.
    pub lag_seconds: Histogram,
    /// Transactions, with reading what they refresh from the primary.
    pub batch_seconds: Histogram,
    /// Their operations.
    pub batch_operations: Histogram,
    /// About their bytes.
    pub batch_bytes: Histogram,
    /// Operations applied.
    pub applied: Counter,
    /// Conflicts with other transactions, or with a row that has the same key.
    pub conflicts: Counter,
    /// Rejections; an operation counts each time.
    pub rejected: Counter,
    /// Retries of rejected operations.
    pub retried: Counter,
    /// Operations that were given up.
    pub dead_lettered: Counter,
    /// Rows that resyncs have read and copied.
    pub resync_rows: Counter,
    /// Scans of a table that came to its end.
    pub resync_seconds: Histogram,
}

impl Default for ReplicationMetrics {
    fn default() -> Self {
        Self {
            lag_seconds: Histogram::new(LAG_SECONDS),
            batch_seconds: Histogram::new(REMOTE_SECONDS),
            batch_operations: Histogram::new(OPERATIONS),
            batch_bytes: Histogram::new(BYTES),
            applied: Counter::default(),
            conflicts: Counter::default(),
            rejected: Counter::default(),
            retried: Counter::default(),
            dead_lettered: Counter::default(),
            resync_rows: Counter::default(),
            resync_seconds: Histogram::new(SCAN_SECONDS),
        }
    }
}

impl ReplicationMetrics {
    /// A transaction of so many operations and about so many bytes was committed.
    pub fn committed(&self, operations: usize, bytes: usize) {
        if operations > 0 {
            self.batch_operations.observe(real(operations));
            self.batch_bytes.observe(real(bytes));
        }
    }
}
