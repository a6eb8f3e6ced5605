//! [`InFlightWrite`]: a write in flight, as the log knows it.

use crate::{
    dedup::Key,
    error_policy::{self, Call, Effect},
    sync_queue::{Intent, QueueError, SyncQueue},
    sync_types::SyncOperation,
};
use plugin_api::{error::StorageError, panic::guard_or};

/// A write in flight, with an intent in the log.
///
/// If a panic drops it before its outcome is resolved, it schedules a refresh of
/// what it may have written.
pub(super) struct InFlightWrite<'a> {
    queue: &'a SyncQueue,
    table: &'a str,
    /// None where the log could not take it: then a resync of the table was
    /// requested, as for any other failure of the log.
    intent: Option<Intent>,
    resolved: bool,
}

impl<'a> InFlightWrite<'a> {
    /// Records the intent to write `table` under these order keys; under none
    /// if they are not known beforehand.
    pub(super) fn begin(queue: &'a SyncQueue, table: &'a str, keys: Vec<Key>) -> Self {
        let intent = queue
            .begin(table, keys)
            .map_err(|error| degrade(queue, table, &error))
            .ok();
        Self {
            queue,
            table,
            intent,
            resolved: false,
        }
    }

    /// The primary has committed it: queues it for the secondaries.
    pub(super) fn stored(mut self, operations: &[SyncOperation]) {
        if let Err(error) = self.queue.append(operations, self.intent.as_ref()) {
            degrade(self.queue, self.table, &error);
        }
        self.resolved = true;
    }

    /// The primary returned an error. If that leaves open whether it has
    /// committed the write, a refresh reads the primary again.
    pub(super) fn failed(mut self, error: &StorageError) {
        if is_uncertain(error) {
            self.schedule_refresh("the primary failed and may have committed the write");
        } else if let Some(intent) = &self.intent {
            self.queue.cancel(intent);
        }
        self.resolved = true;
    }

    /// Something may have been written: a refresh reads the primary again.
    pub(super) fn uncertain(mut self, reason: &str) {
        self.schedule_refresh(reason);
        self.resolved = true;
    }

    fn schedule_refresh(&self, reason: &str) {
        match &self.intent {
            None => self.queue.request_resync_everywhere(self.table, reason),
            Some(intent) => {
                if let Err(error) = self.queue.schedule_refresh(intent, reason) {
                    degrade(self.queue, self.table, &error);
                }
            }
        }
    }
}

impl Drop for InFlightWrite<'_> {
    fn drop(&mut self) {
        if !self.resolved {
            // A second panic would abort the host. The intent, if there is one,
            // is still there for the next start.
            guard_or((), || self.schedule_refresh("a write panicked"));
        }
    }
}

/// The log could not take a write that the primary may have: requests a resync
/// of its table.
fn degrade(queue: &SyncQueue, table: &str, error: &QueueError) {
    // Once for all writes while the log is unavailable, not for each of them.
    if queue.is_available() {
        tracing::error!(
            %error, %table,
            "the log could not take a write; the table will be resynced on every secondary"
        );
    }
    queue.request_resync_everywhere(table, "the log could not take a write");
}

/// True if the write may have been committed despite the error.
pub(super) fn is_uncertain(error: &StorageError) -> bool {
    error_policy::of(Call::WritePrimary, error.kind).effect == Effect::Uncertain
}
