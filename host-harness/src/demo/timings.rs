//! [`Timings`]: how long something took, several times.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// How long each of several runs of the same operation took.
#[derive(Clone, Debug, Default)]
pub(super) struct Timings(Vec<Duration>);

impl Timings {
    /// Runs something and records how long it took.
    pub(super) fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.0.push(started.elapsed());
        result
    }

    /// The time that this fraction of the runs did not exceed.
    fn quantile(&self, fraction: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index of a short list"
        )]
        let index = (sorted.len() as f64 * fraction) as usize;
        sorted
            .get(index.min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }
}

impl fmt::Display for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p95, max] = [0.5, 0.95, 1.0].map(|part| human(self.quantile(part)));
        write!(f, "{p50} (p95 {p95}, max {max})")
    }
}

/// A duration in the unit that suits it.
pub(super) fn human(time: Duration) -> String {
    match time.as_micros() {
        us @ ..1_000 => format!("{us} µs"),
        us @ ..100_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        us @ ..1_000_000 => format!("{} ms", us / 1_000),
        us => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_in_a_fitting_unit() {
        let shown = [12, 1_234, 123_456, 1_234_567].map(|us| human(Duration::from_micros(us)));
        assert_eq!(shown, ["12 µs", "1.2 ms", "123 ms", "1.2 s"]);
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_durations() {
        let timings = Timings((1..=100).rev().map(Duration::from_micros).collect());
        assert_eq!(timings.to_string(), "51 µs (p95 96 µs, max 100 µs)");
        assert_eq!(Timings::default().to_string(), "0 µs (p95 0 µs, max 0 µs)");
    }
}
