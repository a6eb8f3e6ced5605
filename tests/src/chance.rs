//! Chance that can be repeated.

/// Numbers from `FAULT_SEED`, or from a new seed. The seed is printed, so that
/// a failure can be looked at again.
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

/// All of these in an order by chance, again and again: each comes as often as
/// any other.
pub fn in_turn<T: Clone>(mut chance: fastrand::Rng, all: &[T]) -> impl Iterator<Item = T> {
    std::iter::repeat_with(move || {
        let mut turn = all.to_vec();
        chance.shuffle(&mut turn);
        turn
    })
    .flatten()
}
