//! [`InFlightWrite`]: a write under way, as the log knows it.

use crate::{
    dedup::Key,
    error_policy::{self, Call, Effect},
    sync_queue::{Intent, QueueError, SyncQueue},
    sync_types::SyncOperation,
};
use plugin_api::{error::StorageError, panic::guard_or};

/// A write that is under way, and known to the log as such.
///
/// Dropped before its outcome is resolved, by a panic, it has the secondaries look
/// at what it may have written.
pub(super) struct InFlightWrite<'a> {
    queue: &'a SyncQueue,
    table: &'a str,
    /// None where the log could not take the announcement: then the table is
    /// marked, as for any other failure of the log.
    intent: Option<Intent>,
    resolved: bool,
}

impl<'a> InFlightWrite<'a> {
    /// Announces a write of `table`, of these order keys; of none if they are
    /// not known beforehand.
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

    /// The primary has it: the secondaries are to have it too.
    pub(super) fn stored(mut self, operations: &[SyncOperation]) {
        if let Err(error) = self.queue.append(operations, self.intent.as_ref()) {
            degrade(self.queue, self.table, &error);
        }
        self.resolved = true;
    }

    /// The primary failed. As a rule it is certain that nothing was written.
    /// After some errors it is not: then the primary is looked at again.
    pub(super) fn failed(mut self, error: &StorageError) {
        if is_uncertain(error) {
            self.schedule_refresh("the primary's answer was unclear");
        } else if let Some(intent) = &self.intent {
            self.queue.cancel(intent);
        }
        self.resolved = true;
    }

    /// Something may have been written: the primary is looked at again.
    pub(super) fn unclear(mut self, reason: &str) {
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
            // A second panic would end the host. The announcement, if there is
            // one, is still there for the next start.
            guard_or((), || self.schedule_refresh("a write ended in a panic"));
        }
    }
}

/// The log cannot take a write that the primary has: its table is compared
/// with the primary as soon as that is possible.
fn degrade(queue: &SyncQueue, table: &str, error: &QueueError) {
    // Once for all writes while the log is unavailable, not for each of them.
    if queue.is_available() {
        tracing::error!(
            %error, %table,
            "the log could not take a write; the table will be compared with the primary"
        );
    }
    queue.request_resync_everywhere(table, "the log could not take a write");
}

/// True if the write may have been committed despite the error.
pub(super) fn is_uncertain(error: &StorageError) -> bool {
    error_policy::of(Call::WritePrimary, error.kind).effect == Effect::Uncertain
}
