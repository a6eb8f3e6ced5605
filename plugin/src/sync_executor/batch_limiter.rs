//! [`BatchLimiter`]: how many changes go into one transaction.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The largest number of changes in a transaction. Over a slow line a batch may
/// time out however often it is sent; so the limit is halved when that happens,
/// and doubled when a transaction is committed.
pub(super) struct BatchLimiter {
    current: AtomicUsize,
    max: usize,
}

impl BatchLimiter {
    /// Starts with the largest limit.
    pub(super) fn new(max: usize) -> Self {
        Self {
            current: AtomicUsize::new(max),
            max,
        }
    }

    /// The present limit.
    pub(super) fn get(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// A transaction of so many changes was not committed in time.
    pub(super) fn shrink(&self, changes: usize) {
        self.current
            .fetch_min((changes / 2).max(1), Ordering::Relaxed);
    }

    /// A transaction was committed.
    pub(super) fn grow(&self) {
        // Two at the same time may count as one.
        let more = self.get().saturating_mul(2).min(self.max);
        self.current.store(more, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_halves_down_to_one_and_doubles_up_to_the_configured_size() {
        let limiter = BatchLimiter::new(100);
        limiter.shrink(100);
        assert_eq!(limiter.get(), 50);
        // A smaller one that failed says more than a larger one.
        limiter.shrink(3);
        limiter.shrink(80);
        assert_eq!(limiter.get(), 1);
        limiter.shrink(1);
        assert_eq!(limiter.get(), 1, "a single one is not too many");
        for _ in 0..10 {
            limiter.grow();
        }
        assert_eq!(limiter.get(), 100);
    }
}
