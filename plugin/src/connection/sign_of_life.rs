//! [`SignsOfLife`]: when a secondary was last known to be there, and when it is
//! due to be asked.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// A secondary that has answered is not asked again before this has passed.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the open connection has to answer before the server's port is tried,
/// for which a new one has to be opened.
pub(super) const PING_TIMEOUT: Duration = Duration::from_millis(500);

/// The signs of life of one secondary.
#[derive(Debug, Default)]
pub(super) struct SignsOfLife {
    /// When it last answered, or was last asked.
    last: Mutex<Option<Instant>>,
}

impl SignsOfLife {
    /// It has answered.
    pub(super) fn seen(&self) {
        *self.last.lock() = Some(Instant::now());
    }

    /// True if it is to be asked now. Then the caller asks, and nobody else does
    /// for a while.
    pub(super) fn ask(&self) -> bool {
        let mut last = self.last.lock();
        let due = last.is_none_or(|last| last.elapsed() >= INTERVAL);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secondary_that_has_just_answered_or_was_just_asked_is_not_asked() {
        let signs = SignsOfLife::default();
        assert!(signs.ask());
        assert!(!signs.ask());
        *signs.last.lock() = Instant::now().checked_sub(INTERVAL);
        assert!(signs.ask());
        *signs.last.lock() = Instant::now().checked_sub(INTERVAL);
        signs.seen();
        assert!(!signs.ask());
    }
}
