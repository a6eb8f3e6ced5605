//! Random numbers from a seed.

/// A generator with the seed `FAULT_SEED`, or a new one. The seed is printed, so
/// that a failure can be reproduced.
pub fn seeded(what: &str) -> fastrand::Rng {
    let seed = number("FAULT_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{what}: FAULT_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// A number from the environment.
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// All of these in random order, again and again: each as often as any other.
pub fn in_random_order<T: Clone>(mut random: fastrand::Rng, all: &[T]) -> impl Iterator<Item = T> {
    std::iter::repeat_with(move || {
        let mut turn = all.to_vec();
        random.shuffle(&mut turn);
        turn
    })
    .flatten()
}
