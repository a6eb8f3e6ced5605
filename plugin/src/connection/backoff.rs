//! [`Backoff`]: waits between attempts, exponential, with jitter.

use std::time::Duration;

/// The first wait, unless the ceiling is lower.
const FIRST: Duration = Duration::from_millis(100);

/// How long to wait before each next attempt.
#[derive(Debug)]
pub(crate) struct Backoff {
    ceiling: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(ceiling: Duration) -> Self {
        Self {
            ceiling,
            next: FIRST.min(ceiling),
        }
    }

    /// The wait before the next attempt: a length that doubles up to the
    /// ceiling, with [`jitter`].
    pub(crate) fn wait(&mut self) -> Duration {
        let longest = self.next;
        self.next = longest.saturating_mul(2).min(self.ceiling);
        jitter(longest)
    }

    /// Starts again with the shortest wait.
    pub(crate) fn reset(&mut self) {
        *self = Self::new(self.ceiling);
    }
}

/// A random wait in the upper half of `longest`, so that those who wait for the
/// same thing do not all retry at the same instant.
pub(crate) fn jitter(longest: Duration) -> Duration {
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_ceiling_and_start_again() {
        let ceiling = Duration::from_millis(450);
        let mut backoff = Backoff::new(ceiling);
        for longest in [100, 200, 400, 450, 450].map(Duration::from_millis) {
            let wait = backoff.wait();
            assert!(
                wait >= longest / 2 && wait <= longest,
                "{wait:?} of {longest:?}"
            );
        }
        backoff.reset();
        assert!(backoff.wait() <= FIRST);
        assert!(Backoff::new(Duration::from_millis(1)).wait() <= Duration::from_millis(1));
    }
}
