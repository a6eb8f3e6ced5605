//! Trying again while another transaction is in the way.

use plugin_api::error::{ErrorKind, StorageResult};
use std::{future::Future, time::Duration};

/// After so many attempts a conflict is one that does not go away by itself,
/// such as a unique index of somebody else's over other columns.
const ATTEMPTS: u32 = 100;

/// The longest pause between two attempts, in microseconds.
const LONGEST_PAUSE_US: u64 = 50_000;

/// Runs `attempt` until it does not end in a conflict, with growing, random
/// pauses. Every attempt is bounded by its caller's deadline, and so is this.
///
/// # Errors
/// Those of the last attempt.
pub(crate) async fn while_in_conflict<T, F>(mut attempt: impl FnMut() -> F) -> StorageResult<T>
where
    F: Future<Output = StorageResult<T>>,
{
    let mut pause_us = 1_000;
    for _ in 1..ATTEMPTS {
        match attempt().await {
            Err(error) if error.kind == ErrorKind::CONFLICT => {
                tokio::time::sleep(Duration::from_micros(fastrand::u64(1..=pause_us))).await;
                pause_us = (pause_us * 2).min(LONGEST_PAUSE_US);
            }
            result => return result,
        }
    }
    attempt().await
}
