//! The queue's methods for the rest of the module.

use super::{
    Backlog, Batch, DeadLetter, Fsync, Intent, Position, QueueError, ResyncRequest, Retry,
    SyncQueue, Watermark, intents::IntentStore, rejections::RejectionStore,
};
use crate::{dedup::Key, fail_points, self_healing::Fault, sync_types::SyncOperation};
use plugin_api::value::Timestamp;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The store.
impl SyncQueue {
    /// Why the queue cannot be used; `None` if it can.
    pub fn fault(&self) -> Option<Fault> {
        self.store.fault()
    }

    /// True unless a failure of the store is known.
    pub fn is_available(&self) -> bool {
        self.store.is_available()
    }

    /// Syncs what was committed to the disk, if `queue_fsync` asks for it and
    /// there is anything new.
    ///
    /// # Errors
    /// Why the sync failed. What it was to write may be lost, so a resync of
    /// every table is requested.
    pub fn sync(&self) -> Result<(), QueueError> {
        let synced = self.store.sync_if_due();
        if let Err(QueueError::Storage(fjall::Error::Io(_))) = &synced {
            self.request_resync_of_everything("the log could not be synced to the disk");
        }
        synced
    }

    /// How often [`SyncQueue::sync`] should be called; `None` for never.
    pub fn sync_interval(&self) -> Option<Duration> {
        match self.config.fsync {
            Fsync::Interval(interval) => Some(interval),
            Fsync::None | Fsync::Always => None,
        }
    }

    /// A future that completes at the next append or [`SyncQueue::wake`]. Create
    /// it before checking for work, so that no notification is missed.
    pub fn woken(&self) -> impl Future<Output = ()> + use<> {
        Arc::clone(&self.changed).notified_owned()
    }

    /// Wakes all tasks that wait for the queue.
    pub fn wake(&self) {
        self.changed.notify_waiters();
    }
}

/// The operation log.
impl SyncQueue {
    /// The id under which the secondaries store this log's positions.
    pub fn id(&self) -> &str {
        self.log.id().unwrap_or_default()
    }

    /// Appends operations, all or none, and removes their intent. When this
    /// returns they survive the process.
    ///
    /// # Errors
    /// [`QueueError::Full`], or why the store cannot be written.
    pub fn append(
        &self,
        operations: &[SyncOperation],
        intent: Option<&Intent>,
    ) -> Result<(), QueueError> {
        self.append_with(operations, |batch| {
            if let Some(intent) = intent {
                IntentStore::remove(batch, intent);
            }
        })?;
        fail_points::pass("after_append");
        Ok(())
    }

    /// The next operations of a partition for a secondary, in order, at most
    /// `limit` of them.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn read(&self, secondary: &str, partition: u16, limit: usize) -> Result<Batch, QueueError> {
        self.log.read(secondary, partition, limit)
    }

    /// Records that a secondary has applied a partition up to `end`, and removes
    /// a chunk of what no secondary needs any more.
    ///
    /// # Errors
    /// If the store cannot be written; the secondary then reads the operations
    /// again, which is idempotent.
    pub fn ack(&self, secondary: &str, partition: u16, end: Watermark) -> Result<(), QueueError> {
        self.log.ack(secondary, partition, end)
    }

    /// Records, before a secondary gets present rows in place of the operations
    /// up to `position`, that what follows in the log by now may be older.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn raise_refresh_horizon(
        &self,
        secondary: &str,
        partition: u16,
        position: Position,
    ) -> Result<(), QueueError> {
        self.log
            .raise_refresh_horizon(secondary, partition, position)
    }

    /// Operations, bytes and age of what waits for a secondary.
    pub fn backlog(&self, secondary: &str) -> Backlog {
        self.log.backlog(secondary)
    }

    /// How many operations wait for a secondary.
    pub fn backlog_operations(&self, secondary: &str) -> u64 {
        self.log.backlog_size(secondary).operations
    }

    /// True if the partition has anything that the secondary has not passed.
    pub fn has_backlog(&self, secondary: &str, partition: u16) -> bool {
        self.log.has_backlog(secondary, partition)
    }

    /// Bytes of operations in the log that some secondary has yet to pass, each
    /// counted once. This is what `max_bytes` limits.
    pub fn held_bytes(&self) -> u64 {
        self.log.held_bytes()
    }

    /// True if a secondary has applied positions that this log does not know.
    pub fn is_ahead_of_log(&self, applied: &BTreeMap<u16, Position>) -> bool {
        self.log.is_behind(applied)
    }

    /// The secondary's watermark of each partition.
    pub fn acked(&self, secondary: &str) -> Vec<Watermark> {
        self.log.acked(secondary)
    }

    /// Where each partition ends now.
    pub fn ends(&self) -> Vec<Watermark> {
        self.log.ends()
    }

    /// True if a secondary has passed all operations up to these ends.
    pub fn has_passed(&self, secondary: &str, ends: &[Watermark]) -> bool {
        self.log.has_passed(secondary, ends)
    }

    /// Has the next position of a partition come after `position`, which a
    /// secondary reports as applied.
    pub fn raise_end(&self, partition: u16, position: Position) {
        self.log.partition(partition).lock().raise_end(position);
    }
}

/// Writes in progress.
impl SyncQueue {
    /// Stores the intent to write these order keys; none if the primary
    /// generates the key.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn begin(&self, table: &str, keys: Vec<Key>) -> Result<Intent, QueueError> {
        fail_points::pass("before_intent");
        self.intents.begin(table, keys)
    }

    /// Resolves a write whose outcome is unknown: rows whose keys are known are
    /// refreshed; otherwise a resync of the table is requested.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn schedule_refresh(&self, intent: &Intent, reason: &str) -> Result<(), QueueError> {
        if !intent.keys().is_empty() {
            let refreshes: Vec<_> = intent
                .keys()
                .iter()
                .map(|key| SyncOperation::refresh(key.clone()))
                .collect();
            return self.append(&refreshes, Some(intent));
        }
        self.request_resync_everywhere(intent.table(), reason);
        self.cancel(intent);
        Ok(())
    }

    /// Removes an intent: nothing was written.
    pub fn cancel(&self, intent: &Intent) {
        self.intents.cancel(intent);
    }
}

/// Rejected operations.
impl SyncQueue {
    /// Stores that `secondary` rejected `operation`. With `due` it waits for a
    /// retry until then, without it is a dead letter.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn reject(
        &self,
        secondary: &str,
        operation: &SyncOperation,
        due: Option<Timestamp>,
    ) -> Result<(), QueueError> {
        self.rejections.reject(secondary, operation, due)
    }

    /// False if certainly no operation is rejected. Needs no disk access.
    pub fn may_have_rejected(&self) -> bool {
        self.rejections.may_have_any()
    }

    /// The operations that wait for their retry.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn retries(&self, secondary: &str) -> Result<Vec<Retry>, QueueError> {
        self.rejections.retries(secondary)
    }

    /// The dead letters of a secondary.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn dead_letters(&self, secondary: &str) -> Result<Vec<DeadLetter>, QueueError> {
        self.rejections.dead_letters(secondary)
    }

    /// How many operations wait for their retry, and how many are dead letters.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn count_rejected(&self, secondary: &str) -> Result<(usize, usize), QueueError> {
        self.rejections.count(secondary)
    }

    /// Appends a refresh of a rejected key in place of the rejection. It keeps
    /// its retry count unless it is a dead letter.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn retry(&self, secondary: &str, key: &Key) -> Result<(), QueueError> {
        let Some(refresh) = self.rejections.refresh_for(secondary, key)? else {
            return Ok(());
        };
        // In one batch: the refresh may be applied at once, and rejected again.
        self.append_with(&[refresh], |batch| {
            RejectionStore::remove(batch, secondary, key);
        })
    }

    /// Removes the rejection of a key: a newer write of it was applied.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn resolve(&self, secondary: &str, key: &Key) -> Result<(), QueueError> {
        self.rejections.resolve(secondary, key)
    }

    /// Retries the dead letters of these ids; all of them for no ids. Returns
    /// how many.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub fn replay(&self, secondary: &str, ids: &[String]) -> Result<usize, QueueError> {
        self.rejections.for_each_dead_letter(secondary, ids, |key| {
            self.retry(secondary, key)?;
            Ok(true)
        })
    }

    /// Discards the dead letters of these ids; all of them for no ids. Returns
    /// how many.
    ///
    /// # Errors
    /// If the store cannot be read or written.
    pub fn discard(&self, secondary: &str, ids: &[String]) -> Result<usize, QueueError> {
        self.rejections.for_each_dead_letter(secondary, ids, |key| {
            self.rejections.discard(secondary, key)
        })
    }
}

/// Resync requests and bootstrapped secondaries.
impl SyncQueue {
    /// Requests a resync of a table of a secondary. A scan of it that is in
    /// progress is followed by another. If the store cannot be written the
    /// request is kept in memory until it can.
    pub fn request_resync(&self, secondary: &str, table: &str, reason: &str) {
        self.resyncs.request(secondary, table, reason);
        self.wake();
    }

    /// Requests a resync of a table, as [`SyncQueue::request_resync`] does, for
    /// every secondary.
    pub fn request_resync_everywhere(&self, table: &str, reason: &str) {
        for secondary in &*self.secondaries {
            self.request_resync(secondary, table, reason);
        }
    }

    /// The resync requests of a secondary.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn resync_requests(&self, secondary: &str) -> Result<Vec<ResyncRequest>, QueueError> {
        self.resyncs.requests(secondary)
    }

    /// Stores a request's cursor: the pages up to there have been copied. False if
    /// the table has been requested again meanwhile: then the cursor is not kept,
    /// and another scan follows this one.
    ///
    /// # Errors
    /// If the store cannot be written; the page is copied again later.
    pub fn advance_resync(
        &self,
        secondary: &str,
        request: &ResyncRequest,
    ) -> Result<bool, QueueError> {
        self.resyncs.advance(secondary, request)
    }

    /// Removes a request: its table has been scanned. A request that was made
    /// again meanwhile stays.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn clear_resync(&self, secondary: &str, request: &ResyncRequest) -> Result<(), QueueError> {
        self.resyncs.clear(secondary, request)
    }

    /// True if this log has ever bootstrapped that secondary.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn is_bootstrapped(&self, secondary: &str) -> Result<bool, QueueError> {
        self.bootstraps.contains(secondary)
    }

    /// Records that this log has bootstrapped that secondary.
    ///
    /// # Errors
    /// If the store cannot be written.
    pub fn set_bootstrapped(&self, secondary: &str) -> Result<(), QueueError> {
        self.bootstraps.add(secondary)
    }
}
