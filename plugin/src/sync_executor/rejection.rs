//! [`RetryQueue`]: operations that the secondary rejects by themselves.
//!
//! Such an operation is deferred, so that the others go on, and retried after a
//! wait that doubles each time, as a refresh at the log's end. After its last
//! attempt it is a dead letter. A newer write of its key that is applied
//! resolves it either way.

use super::{batch::Change, context::Context};
use crate::{
    connection::jitter,
    error_policy::Failure,
    sync_queue::{QueueError, Retry},
    sync_types::SyncOperation,
};
use plugin_api::{panic::guard, value::Timestamp};
use std::{sync::Arc, time::Duration};

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
        progress.rejected();
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
            None => tracing::error!(
                secondary, key = %operation.key, %error,
                attempts = operation.retry_count, remedy = policy.remedy,
                "an operation was rejected for good; it is a dead letter"
            ),
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
        let Context { queue, config, .. } = &*self.context;
        let secondary = self.context.name();
        if !queue.may_have_rejected() {
            return Ok(None);
        }
        let now = Timestamp::now();
        let mut next: Option<Duration> = None;
        for retry in queue.retries(secondary)? {
            match wait_of(&retry, config.retry_interval, now) {
                Duration::ZERO => queue.retry(secondary, &retry.key)?,
                wait => next = Some(next.map_or(wait, |next| next.min(wait))),
            }
        }
        Ok(next)
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

/// What is left of its wait. None if more is left than the whole wait: the clock
/// was moved back, or the interval was made shorter.
fn wait_of(retry: &Retry, interval: Duration, now: Timestamp) -> Duration {
    let longest = longest_wait(interval, retry.retry_count.saturating_sub(1));
    match retry.due > now.after(longest) {
        true => Duration::ZERO,
        false => retry.due.since(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedup::Key;
    use plugin_api::value::RecordId;

    #[test]
    fn a_retry_survives_a_clock_set_back() {
        const INTERVAL: Duration = Duration::from_secs(5);
        let now = Timestamp::now();
        let is_due_at = |due| {
            let retry = Retry {
                key: Key::of_id(&RecordId::new("events", "e")),
                retry_count: 3,
                due,
            };
            wait_of(&retry, INTERVAL, now).is_zero()
        };
        assert!(is_due_at(now));
        assert!(!is_due_at(now.after(INTERVAL)));
        // The third wait is four times as long as the first.
        assert!(!is_due_at(now.after(4 * INTERVAL)));
        assert!(is_due_at(now.after(5 * INTERVAL)));
        assert!(is_due_at(now.after(Duration::from_secs(400 * 86_400))));
    }
}
