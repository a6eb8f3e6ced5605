//! Retrying after a conflict with another transaction.

use plugin_api::error::{ErrorKind, StorageResult};
use std::{future::Future, time::Duration};

/// A conflict that outlasts so many attempts is permanent, such as one with a
/// unique index over other columns that a user has defined.
const MAX_ATTEMPTS: u32 = 100;

/// The longest pause between two attempts, in microseconds.
const MAX_PAUSE_US: u64 = 50_000;

/// Runs `attempt` until it does not end in a conflict, with exponential backoff
/// and jitter. The caller's deadline bounds every attempt, and so all of them.
///
/// # Errors
/// Those of the last attempt.
pub(crate) async fn while_in_conflict<T, F>(mut attempt: impl FnMut() -> F) -> StorageResult<T>
where
    F: Future<Output = StorageResult<T>>,
{
    let mut pause_us = 1_000;
    for _ in 1..MAX_ATTEMPTS {
        match attempt().await {
            Err(error) if error.kind == ErrorKind::CONFLICT => {
                tokio::time::sleep(Duration::from_micros(fastrand::u64(1..=pause_us))).await;
                pause_us = (pause_us * 2).min(MAX_PAUSE_US);
            }
            result => return result,
        }
    }
    attempt().await
}
