//! [`BatchLimiter`]: how many changes a secondary takes in one transaction.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The most changes of a transaction. Over a slow line a batch may not get
/// through in its time, however often it is sent; so it is halved when one fails
/// that way, and doubled when one goes through.
pub(super) struct BatchLimiter {
    now: AtomicUsize,
    most: usize,
}

impl BatchLimiter {
    /// At most so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            now: AtomicUsize::new(most),
            most,
        }
    }

    /// So many, now.
    pub(super) fn get(&self) -> usize {
        self.now.load(Ordering::Relaxed)
    }

    /// So many changes did not get through.
    pub(super) fn shrink(&self, tried: usize) {
        self.now.fetch_min((tried / 2).max(1), Ordering::Relaxed);
    }

    /// A transaction went through.
    pub(super) fn grow(&self) {
        // Two at once may count as one.
        let more = self.get().saturating_mul(2).min(self.most);
        self.now.store(more, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shrinks_to_one_and_grows_to_what_is_configured() {
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
