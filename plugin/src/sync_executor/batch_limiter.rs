//! [`BatchLimiter`]: how many bytes go into one transaction.

use super::batch::TRANSACTION_BYTES;
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// The size of the first transactions, before anything is known: those of all
/// workers together get through a slow line in time.
const FIRST: usize = 64 << 10;

/// A transaction that is committed, however late, does not lower the limit below
/// this: a small one that takes long says nothing about its size.
const LEAST: usize = 16 << 10;

/// A transaction takes about this part of the timeout, so that a line that
/// becomes slower, or is shared, does not make it time out.
const PART_OF_TIMEOUT: u32 = 5;

/// The largest size of a transaction, in bytes; one change is never too large.
///
/// The limit follows what was measured: the size that takes a fifth of
/// `operation_timeout`, over the line and on the server together. All workers
/// share it, as they share the line. It at most doubles, or halves, at a time.
pub(super) struct BatchLimiter {
    bytes: AtomicUsize,
    target: Duration,
}

impl BatchLimiter {
    /// For transactions that may take `timeout`.
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            bytes: AtomicUsize::new(FIRST),
            target: timeout / PART_OF_TIMEOUT,
        }
    }

    /// The present limit.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A transaction of so many bytes was committed and took so long.
    pub(super) fn committed(&self, bytes: usize, took: Duration) {
        let limit = self.bytes();
        let says_something = bytes >= limit / 2 || took > self.target;
        if !says_something {
            return;
        }
        let of_target = self.target.as_secs_f64() / took.as_secs_f64().max(1e-6);
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate; the cast saturates"
        )]
        let fitting = (bytes as f64 * of_target) as usize;
        let next = fitting
            .clamp(limit / 2, limit.saturating_mul(2))
            .clamp(LEAST, TRANSACTION_BYTES);
        self.bytes.store(next, Ordering::Relaxed);
    }

    /// A transaction of so many bytes was not committed in time.
    pub(super) fn timed_out(&self, bytes: usize) {
        self.bytes.fetch_min((bytes / 2).max(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_precision_loss)]

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    /// A line, as seen by one of the workers that share it.
    struct Line {
        bytes_per_second: f64,
        round_trip: Duration,
    }

    impl Line {
        /// Sends a backlog, and returns how many transactions timed out and how
        /// much of the line was used.
        fn carry(&self, limiter: &BatchLimiter, transactions: usize) -> (usize, f64) {
            let (mut timeouts, mut carried, mut time) = (0, 0, Duration::ZERO);
            for _ in 0..transactions {
                let bytes = limiter.bytes();
                let took =
                    self.round_trip + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second);
                time += took.min(TIMEOUT);
                if took > TIMEOUT {
                    limiter.timed_out(bytes);
                    timeouts += 1;
                } else {
                    limiter.committed(bytes, took);
                    carried += bytes;
                }
            }
            let used = carried as f64 / self.bytes_per_second / time.as_secs_f64();
            (timeouts, used)
        }
    }

    #[test]
    fn the_limit_settles_where_a_transaction_takes_a_fifth_of_the_timeout() {
        for bytes_per_second in [3e3, 12e3, 125e3, 1.25e6, 12.5e6, 1e9] {
            let line = Line {
                bytes_per_second,
                round_trip: Duration::from_millis(80),
            };
            let limiter = BatchLimiter::new(TIMEOUT);
            line.carry(&limiter, 20);
            let settled = limiter.bytes();
            let (timeouts, used) = line.carry(&limiter, 100);
            assert_eq!(timeouts, 0, "{bytes_per_second}");
            assert_eq!(
                limiter.bytes(),
                settled,
                "{bytes_per_second}: it oscillates"
            );
            let wanted = bytes_per_second * 6.0;
            let wanted = wanted.clamp(LEAST as f64, TRANSACTION_BYTES as f64);
            assert!(
                (0.9..=1.0).contains(&(settled as f64 / wanted)),
                "{settled} of {wanted}"
            );
            if wanted < TRANSACTION_BYTES as f64 {
                assert!(used > 0.95, "{bytes_per_second}: {used}");
            }
        }
    }

    #[test]
    fn a_line_that_becomes_slow_costs_few_timeouts_and_one_that_recovers_is_used_again() {
        let fast = Line {
            bytes_per_second: 1e9,
            round_trip: Duration::from_millis(1),
        };
        let slow = Line {
            bytes_per_second: 20e3,
            round_trip: Duration::from_millis(1),
        };
        let limiter = BatchLimiter::new(TIMEOUT);
        fast.carry(&limiter, 10);
        assert_eq!(limiter.bytes(), TRANSACTION_BYTES);
        let (timeouts, _) = slow.carry(&limiter, 20);
        assert!(timeouts <= 3, "{timeouts}");
        assert_eq!(slow.carry(&limiter, 100).0, 0);
        fast.carry(&limiter, 10);
        assert_eq!(limiter.bytes(), TRANSACTION_BYTES);
    }

    #[test]
    fn small_transactions_that_take_long_do_not_make_all_transactions_small() {
        let limiter = BatchLimiter::new(TIMEOUT);
        for _ in 0..100 {
            limiter.committed(200, TIMEOUT / 2);
        }
        assert_eq!(limiter.bytes(), LEAST);
        // Without waiting they say nothing.
        limiter.committed(200, Duration::from_millis(1));
        assert_eq!(limiter.bytes(), LEAST);
        limiter.timed_out(200);
        assert_eq!(limiter.bytes(), 100);
        limiter.timed_out(0);
        assert_eq!(limiter.bytes(), 1, "one change is never too large");
    }
}
