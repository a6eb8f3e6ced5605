//! [`RetryQueue`]: operations that the secondary rejects by themselves.
//!
//! Such an operation is deferred, so that the others go on, and retried after a
//! wait that doubles each time, as a refresh at the log's end. After its last
//! attempt it is a dead letter. A newer write of its key that is applied
//! resolves it either way.

use super::{batch::Change, context::Context};
use crate::{
    connection::jitter, error_policy::Failure, sync_queue::QueueError, sync_types::SyncOperation,
};
use plugin_api::{panic::guard, value::Timestamp};
use std::{sync::Arc, time::Duration};

/// How many retries are appended to the log between two pauses.
const RETRIES_AT_ONCE: usize = 500;

/// The wait after the log could not be read; the longest for further rejections.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The rejected operations of one secondary.
pub(super) struct RetryQueue {
    context: Arc<Context>,
}

impl RetryQueue {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Defers an operation until its next attempt, or makes it a dead letter.
    pub(super) fn defer(
        &self,
        operation: &SyncOperation,
        failure: &Failure,
    ) -> Result<(), QueueError> {
        let Context {
            queue,
            config,
            progress,
            ..
        } = &*self.context;
        let secondary = self.context.name();
        let Failure { error, policy } = failure;
        progress.metrics.rejected.inc();
        let mut operation = operation.clone();
        operation.last_error = Some(error.to_string());
        let again = operation.retry_count < config.max_retries;
        let due = again.then(|| {
            let wait = longest_wait(config.retry_interval, operation.retry_count);
            Timestamp::now().after(jitter(wait))
        });
        operation.retry_count += 1;
        match due {
            Some(due) => tracing::warn!(
                secondary, key = %operation.key, %error, %due,
                "an operation was rejected; it is retried"
            ),
            None => {
                progress.metrics.dead_lettered.inc();
                tracing::error!(
                    secondary, key = %operation.key, %error,
                    attempts = operation.retry_count, remedy = policy.remedy,
                    "an operation was rejected for good; it is a dead letter"
                );
            }
        }
        queue.reject(secondary, &operation, due)
    }

    /// Drops the rejected operations of keys that have now been applied.
    pub(super) fn resolve(&self, changes: &[Change]) -> Result<(), QueueError> {
        let queue = &self.context.queue;
        if !queue.may_have_rejected() {
            return Ok(());
        }
        changes
            .iter()
            .try_for_each(|change| queue.resolve(self.context.name(), &change.operation.key))
    }

    /// Appends the operations to the log again whose wait is over, until
    /// stopped.
    pub(super) async fn run(self) {
        let Context { queue, config, .. } = &*self.context;
        let secondary = self.context.name();
        let mut states = self.context.manager.subscribe();
        while !self.context.is_stopped() {
            let next = match self.context.manager.snapshot().is_paused() {
                true => None,
                false => {
                    guard("retrying", || Ok(self.queue_due_retries()?)).unwrap_or_else(|error| {
                        tracing::debug!(secondary, %error, "retries wait");
                        Some(AFTER_FAILURE)
                    })
                }
            };
            tokio::select! {
                () = sleep_for(next) => {}
                () = queue.rejection_stored(secondary) => {}
                _ = states.changed() => {}
            }
            // Many may be rejected at once.
            let gather = config.retry_interval / 4;
            tokio::time::sleep(gather.clamp(Duration::from_millis(10), AFTER_FAILURE)).await;
        }
    }

    /// Returns how long to wait for the next one.
    fn queue_due_retries(&self) -> Result<Option<Duration>, QueueError> {
        let Context {
            queue,
            config,
            progress,
            ..
        } = &*self.context;
        let secondary = self.context.name();
        let longest =
            |rejections: u32| longest_wait(config.retry_interval, rejections.saturating_sub(1));
        let now = Timestamp::now();
        let due = queue.due_retries(secondary, now, longest, RETRIES_AT_ONCE)?;
        for retry in &due {
            queue.retry(secondary, &retry.key)?;
            progress.metrics.retried.inc();
        }
        Ok(match due.len() {
            RETRIES_AT_ONCE => Some(Duration::ZERO),
            _ => queue.next_retry(secondary).map(|next| next.since(now)),
        })
    }
}

async fn sleep_for(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

/// The longest wait of an operation that was rejected so often before.
fn longest_wait(interval: Duration, rejections: u32) -> Duration {
    interval.saturating_mul(2u32.saturating_pow(rejections))
}
