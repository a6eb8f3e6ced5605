//! Operations that the secondary refuses by themselves.
//!
//! Such an operation is put aside, so that the others go on, and tried again
//! after a wait that doubles each time, as a refresh at the log's end. After
//! its last try it is a dead letter. A newer write of its key that goes through
//! settles it either way.

use super::{batch::Change, reconcile::log_failure, replicator::Replicator};
use crate::{
    connection::jitter,
    sync_queue::{QueueError, Retry},
    sync_types::SyncOperation,
};
use plugin_api::{error::StorageError, panic::guard, value::Timestamp};
use std::{sync::Arc, time::Duration};

impl Replicator {
    /// Puts an operation aside.
    pub(super) fn defer(
        &self,
        operation: &SyncOperation,
        error: &StorageError,
    ) -> Result<(), QueueError> {
        self.progress.refused();
        let mut operation = operation.clone();
        operation.last_error = Some(error.to_string());
        let again = operation.retry_count < self.config.max_retries;
        let due = again.then(|| {
            let wait = longest_wait(self.config.retry_interval, operation.retry_count);
            Timestamp::now().after(jitter(wait))
        });
        operation.retry_count += 1;
        match due {
            Some(due) => tracing::warn!(
                secondary = %self.name(), key = %operation.key, %error, %due,
                "the secondary refused an operation; it is tried again"
            ),
            None => tracing::error!(
                secondary = %self.name(), key = %operation.key, %error,
                tries = operation.retry_count,
                "the secondary refused an operation for good; it is among the dead letters"
            ),
        }
        self.queue.reject(self.name(), &operation, due)
    }

    /// Forgets former refusals of keys that have now gone through.
    pub(super) fn resolve(&self, changes: &[Change]) -> Result<(), QueueError> {
        if !self.queue.may_have_rejected() {
            return Ok(());
        }
        changes
            .iter()
            .try_for_each(|change| self.queue.resolve(self.name(), &change.operation.key))
    }

    /// Queues the operations again whose wait is over.
    pub(super) async fn run_due_retries(self: Arc<Self>) {
        let tick = (self.config.retry_interval / 4)
            .clamp(Duration::from_millis(10), Duration::from_secs(1));
        while !self.is_stopped() {
            tokio::time::sleep(tick).await;
            if self.is_paused() || !self.queue.may_have_rejected() {
                continue;
            }
            let queued = guard("retrying", || self.queue_due_retries().map_err(log_failure));
            if let Err(error) = queued {
                tracing::debug!(secondary = %self.name(), %error, "retries wait");
            }
        }
    }

    fn queue_due_retries(&self) -> Result<(), QueueError> {
        let now = Timestamp::now();
        self.queue
            .retries(self.name())?
            .iter()
            .filter(|retry| is_due(retry, self.config.retry_interval, now))
            .try_for_each(|retry| self.queue.retry(self.name(), &retry.key))
    }
}

/// The longest wait of an operation that was refused so often before.
fn longest_wait(interval: Duration, refused: u32) -> Duration {
    interval.saturating_mul(2u32.saturating_pow(refused))
}

/// Is its wait over? Also if more is left than it ever had: the clock was set
/// back, or the interval made shorter.
fn is_due(retry: &Retry, interval: Duration, now: Timestamp) -> bool {
    let longest = longest_wait(interval, retry.retry_count.saturating_sub(1));
    retry.due <= now || retry.due > now.after(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedup::Key;
    use plugin_api::value::RecordId;

    #[test]
    fn a_clock_that_was_set_back_does_not_hold_a_retry_back() {
        const INTERVAL: Duration = Duration::from_secs(5);
        let now = Timestamp::now();
        let is_due_at = |due| {
            let retry = Retry {
                key: Key::of_id(&RecordId::new("events", "e")),
                retry_count: 3,
                due,
            };
            is_due(&retry, INTERVAL, now)
        };
        assert!(is_due_at(now));
        assert!(!is_due_at(now.after(INTERVAL)));
        // The third wait is four times as long as the first.
        assert!(!is_due_at(now.after(4 * INTERVAL)));
        assert!(is_due_at(now.after(5 * INTERVAL)));
        assert!(is_due_at(now.after(Duration::from_secs(400 * 86_400))));
    }
}
