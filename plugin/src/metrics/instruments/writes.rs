//! The host's writes: the primary's time, and what the module adds to it.

use super::LOCAL_SECONDS;
use prometheus_client::metrics::histogram::Histogram;
use std::{
    array,
    time::{Duration, Instant},
};

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
