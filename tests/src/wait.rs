//! Waiting for a condition.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// How long a condition may take on a busy machine.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Calls `read` until it returns a value that `is_expected`, and returns that.
///
/// # Panics
/// After [`TIMEOUT`], with the last value.
pub fn until<T: Debug>(
    what: &str,
    mut read: impl FnMut() -> T,
    is_expected: impl Fn(&T) -> bool,
) -> T {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let value = read();
        if is_expected(&value) {
            return value;
        }
        assert!(
            Instant::now() < deadline,
            "waited {TIMEOUT:?} for {what}; last value: {value:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}
