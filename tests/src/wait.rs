//! Waiting for a condition.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// How long a condition may take on a busy machine before it counts as a hang.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `look` gives a value that `is_good`, and returns it.
///
/// # Panics
/// If it does not come, with what was seen last.
pub fn until<T: Debug>(what: &str, mut look: impl FnMut() -> T, is_good: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = look();
        if is_good(&seen) {
            return seen;
        }
        assert!(
            Instant::now() < deadline,
            "{what} did not come within {PATIENCE:?}; last seen: {seen:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
