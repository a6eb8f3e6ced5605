//! [`InFlightWrite`]: a write in flight, as the log knows it.

use crate::{
    dedup::Key,
    error_policy::{self, Action, Call},
    sync_queue::{Intent, SyncQueue},
    sync_types::SyncOperation,
};
use plugin_api::{error::StorageError, panic::guard_or};

/// A write in flight, with an intent in the log.
///
/// If a panic drops it before its outcome is known, what it may have written is
/// unsettled.
pub(super) struct InFlightWrite<'a> {
    queue: &'a SyncQueue,
    intent: Intent,
    ended: bool,
}

impl<'a> InFlightWrite<'a> {
    /// Records the intent to write `table` under these order keys; under none
    /// if they are not known beforehand.
    pub(super) fn begin(queue: &'a SyncQueue, table: &str, keys: Vec<Key>) -> Self {
        Self {
            queue,
            intent: queue.begin(table, keys),
            ended: false,
        }
    }

    /// The primary has committed it: queues it for the secondaries.
    pub(super) fn stored(self, operations: &[SyncOperation]) {
        self.end(|queue, intent| queue.commit(operations, intent));
    }

    /// The primary returned an error. Unless that is certain to mean that nothing
    /// was written and nothing will be, the write is unsettled.
    pub(super) fn failed(self, error: &StorageError) {
        match error_policy::of(Call::WritePrimary, error.kind).action {
            Action::FailCall => self.end(SyncQueue::cancel),
            _ => self.end(|queue, intent| {
                queue.unsettle(
                    intent,
                    "the primary failed and may have committed the write",
                );
            }),
        }
    }

    /// The primary has ended it, and may have written something: the secondaries
    /// get what it holds now.
    pub(super) fn ended(self, reason: &str) {
        self.end(|queue, intent| queue.refresh(intent, reason));
    }

    fn end(mut self, end: impl FnOnce(&SyncQueue, &Intent)) {
        end(self.queue, &self.intent);
        self.ended = true;
    }
}

impl Drop for InFlightWrite<'_> {
    fn drop(&mut self) {
        if !self.ended {
            // A second panic would abort the host. The intent is still there for
            // the next start.
            guard_or((), || self.queue.unsettle(&self.intent, "a write panicked"));
        }
    }
}
