//! What the parts of the module measure while they work.
//!
//! Each part holds the instruments that it writes to: a field for each, so that
//! nothing is looked up and nothing is allocated when a value is recorded. A
//! counter is an atomic; a histogram takes a lock for some ten nanoseconds.
//! The [`super::catalogue`] gives them names and labels when they are scraped.

use crate::query_merger::read_specs::ReadMethod;
use parking_lot::Mutex;
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};
use std::{
    array,
    collections::BTreeMap,
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

/// What takes part of a write's time on the host's side, in seconds.
const LOCAL_SECONDS: [f64; 14] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0,
];

/// A request over a network, in seconds: up to 33 s, beyond the default of
/// `operation_timeout`.
const REMOTE_SECONDS: [f64; 16] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
    8.192, 16.384, 32.768,
];

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

/// What kind of call of the host changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// One of the methods that write.
    Write,
    /// One of the methods that delete.
    Delete,
    /// Raw SurrealQL that may write.
    Query,
}

impl WriteKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Write, Self::Delete, Self::Query];

    /// Its label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Query => "query",
        }
    }
}

/// What the module adds to the host's writes.
#[derive(Debug)]
pub struct WriteMetrics {
    /// The time that the primary took, by kind.
    primary: [Histogram; WriteKind::ALL.len()],
    /// All other time until the call returned: locks, intent, append, tombstones.
    overhead: [Histogram; WriteKind::ALL.len()],
}

impl Default for WriteMetrics {
    fn default() -> Self {
        let histograms = || array::from_fn(|_| Histogram::new(LOCAL_SECONDS));
        Self {
            primary: histograms(),
            overhead: histograms(),
        }
    }
}

impl WriteMetrics {
    /// A write begins.
    pub fn begin(&self, kind: WriteKind) -> WriteTimer<'_> {
        WriteTimer {
            metrics: self,
            kind,
            began: Instant::now(),
            primary: None,
        }
    }

    /// The time that the primary took.
    pub fn primary(&self, kind: WriteKind) -> &Histogram {
        &self.primary[kind as usize]
    }

    /// All other time until the call returned.
    pub fn overhead(&self, kind: WriteKind) -> &Histogram {
        &self.overhead[kind as usize]
    }
}

/// Measures one write. It ends when this is dropped; a write that never got to the
/// primary does not count.
pub struct WriteTimer<'a> {
    metrics: &'a WriteMetrics,
    kind: WriteKind,
    began: Instant,
    primary: Option<Duration>,
}

impl WriteTimer<'_> {
    /// Runs the primary's part.
    pub fn primary<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let answer = call();
        *self.primary.get_or_insert_default() += began.elapsed();
        answer
    }
}

impl Drop for WriteTimer<'_> {
    fn drop(&mut self) {
        let Some(primary) = self.primary else {
            return;
        };
        let overhead = self.began.elapsed().saturating_sub(primary);
        let Self { metrics, kind, .. } = self;
        metrics.primary(*kind).observe(primary.as_secs_f64());
        metrics.overhead(*kind).observe(overhead.as_secs_f64());
    }
}

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

#[cfg(test)]
mod tests {
    #![allow(clippy::print_stdout)]

    use super::*;
    use crate::metrics::tests::observed;
    use std::thread;

    #[test]
    fn recording_costs_a_write_next_to_nothing_with_several_writers_at_once() {
        const EACH: u32 = 100_000;
        let metrics = WriteMetrics::default();
        let began = Instant::now();
        thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    for _ in 0..EACH {
                        let mut timer = metrics.begin(WriteKind::Write);
                        timer.primary(|| std::hint::black_box(1));
                    }
                });
            }
        });
        let each = began.elapsed() / (4 * EACH);
        println!("{each:?} for each write, by four writers at once");
        let (writes, _) = observed(metrics.overhead(WriteKind::Write));
        assert_eq!(writes, u64::from(4 * EACH));
        assert!(each < Duration::from_micros(50), "{each:?}");
    }

    #[test]
    fn a_write_that_never_got_to_the_primary_does_not_count() {
        let metrics = WriteMetrics::default();
        drop(metrics.begin(WriteKind::Delete));
        assert_eq!(observed(metrics.overhead(WriteKind::Delete)).0, 0);
        let mut timer = metrics.begin(WriteKind::Delete);
        timer.primary(|| thread::sleep(Duration::from_millis(20)));
        drop(timer);
        let (deletes, seconds) = observed(metrics.primary(WriteKind::Delete));
        assert!(deletes == 1 && seconds >= 0.02, "{seconds}");
        assert_eq!(observed(metrics.overhead(WriteKind::Delete)).0, 1);
        assert_eq!(observed(metrics.overhead(WriteKind::Write)).0, 0);
    }
}
