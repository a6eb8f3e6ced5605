//! Times, and what to say of them.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// The times of several runs of the same thing.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    /// Runs something and keeps its time.
    pub(super) fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.0.push(started.elapsed());
        result
    }

    /// The time that `part` of all runs did not exceed.
    fn quantile(&self, part: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a short list"
        )]
        let place = (sorted.len() as f64 * part) as usize;
        sorted
            .get(place.min(sorted.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [middle, most, longest] = [0.5, 0.95, 1.0].map(|part| human(self.quantile(part)));
        write!(f, "{middle} (95 %: {most}, longest: {longest})")
    }
}

/// A time in the unit that suits it.
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
    fn times_are_told_in_their_unit() {
        let told = [12, 1_234, 123_456, 1_234_567].map(|us| human(Duration::from_micros(us)));
        assert_eq!(told, ["12 µs", "1.2 ms", "123 ms", "1.2 s"]);
    }

    #[test]
    fn quantiles_are_of_the_sorted_times() {
        let times = Times((1..=100).rev().map(Duration::from_micros).collect());
        assert_eq!(times.to_string(), "51 µs (95 %: 96 µs, longest: 100 µs)");
        assert_eq!(
            Times::default().to_string(),
            "0 µs (95 %: 0 µs, longest: 0 µs)"
        );
    }
}
