//! The queue's methods for the rest of the module.

use super::{
    Backlog, Batch, DeadLetter, Epoch, Fsync, Intent, PartitionLease, Position, QueueError,
    RejectedCount, ResyncRequest, Retry, SyncQueue, Watermark, intents::IntentStore,
};
use crate::{
    dedup::Key, fail_points, metrics::instruments::LogMetrics, self_healing::Fault,
    sync_types::SyncOperation,
};
use plugin_api::value::Timestamp;
use std::{sync::Arc, time::Duration};

/// The store.
impl SyncQueue {
    /// What the queue measures.
    pub fn metrics(&self) -> Arc<LogMetrics> {
        Arc::clone(&self.metrics)
    }

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

    /// Waits until there is something that [`SyncQueue::sync`] would write.
    pub async fn sync_due(&self) {
        self.store.sync_due().await;
    }

    /// Waits until [`SyncQueue::recover`] has something to do.
    pub async fn recovery_due(&self) {
        self.wakeups.recovery.notified().await;
    }

    /// A future that completes when the store is reopened or closed. Create it
    /// before looking whether the store is available.
    pub fn reopened(&self) -> impl Future<Output = ()> + use<> {
        Arc::clone(&self.wakeups.reopened).notified_owned()
    }
}

/// What workers are at.
impl SyncQueue {
    /// Takes a partition with a backlog of this secondary that no worker is at;
    /// the next worker is called if there are others.
    pub fn take_partition(&self, secondary: &str) -> Option<PartitionLease> {
        let leases = &self.wakeups.of(secondary)?.leases;
        leases.take(|partition| self.has_backlog(secondary, partition))
    }

    /// Calls another worker: this one has to pause, and leaves a backlog.
    pub fn hand_over(&self, secondary: &str) {
        if let Some(wakeups) = self.wakeups.of(secondary) {
            wakeups.leases.hand_over();
        }
    }

    /// Waits until an idle worker of this secondary is called: something was
    /// appended, and what followed had `fill` to come; or something waits
    /// already.
    pub async fn called(&self, secondary: &str, fill: Duration) {
        match self.wakeups.of(secondary) {
            Some(wakeups) => wakeups.leases.called(fill).await,
            None => std::future::pending().await,
        }
    }

    /// Is no worker of this secondary at any partition?
    pub fn is_at_rest(&self, secondary: &str) -> bool {
        let wakeups = self.wakeups.of(secondary);
        wakeups.is_none_or(|wakeups| wakeups.leases.is_empty())
    }

    /// A future that completes when a worker of this secondary is done with a
    /// batch. Create it before looking at what the workers change.
    pub fn progressed(&self, secondary: &str) -> impl Future<Output = ()> + use<> {
        let ended = self.wakeups.of(secondary).map(|it| it.leases.ended());
        async move {
            match ended {
                Some(ended) => ended.await,
                None => std::future::pending().await,
            }
        }
    }
}

/// The operation log.
impl SyncQueue {
    /// The log's id. Empty until the store was open.
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
        if let Some(intent) = intent {
            self.intents.end(intent);
        }
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
        if !self.log.ack(secondary, partition, end)? {
            self.wakeups.recovery.notify_one();
        }
        Ok(())
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

    /// The secondary's watermark of each partition.
    pub fn acked(&self, secondary: &str) -> Vec<Watermark> {
        self.log.acked(secondary)
    }

    /// The position that a secondary has confirmed of each partition: that of its
    /// watermark, or an earlier one if its backlog was evicted since.
    pub fn confirmed(&self, secondary: &str) -> Vec<Position> {
        self.log.confirmed(secondary)
    }

    /// Where each partition ends now.
    pub fn ends(&self) -> Vec<Watermark> {
        self.log.ends()
    }

    /// True if a secondary has passed all operations up to these ends.
    pub fn has_passed(&self, secondary: &str, ends: &[Watermark]) -> bool {
        self.log.has_passed(secondary, ends)
    }
}

/// Claims on the secondaries' positions.
impl SyncQueue {
    /// The epoch of this opening, for which positions are claimed.
    pub fn epoch(&self) -> Epoch {
        self.epochs.current()
    }

    /// Up to where the log still has what it assigned in an epoch, by partition;
    /// for no epoch, what it assigned before it had any. `None` if another log has
    /// had that epoch.
    pub fn kept_of(&self, epoch: Option<Epoch>) -> Option<Vec<Position>> {
        self.epochs.kept_of(epoch)
    }

    /// The id under which a secondary keeps the log's positions.
    pub fn log_id(&self, secondary: &str) -> String {
        let taken = self.log_ids.get(secondary);
        taken.unwrap_or_else(|| self.id().to_owned())
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
        self.rejections.reject(secondary, operation, due)?;
        if let Some(wakeups) = self.wakeups.of(secondary) {
            wakeups.rejection.notify_one();
        }
        Ok(())
    }

    /// Waits until an operation of this secondary is rejected, or the store is
    /// reopened.
    pub async fn rejection_stored(&self, secondary: &str) {
        match self.wakeups.of(secondary) {
            Some(wakeups) => wakeups.rejection.notified().await,
            None => std::future::pending().await,
        }
    }

    /// False if certainly no operation is rejected. Needs no disk access.
    pub fn may_have_rejected(&self) -> bool {
        self.rejections.may_have_any()
    }

    /// The first operations whose wait for a retry is over, at most `limit` of them.
    /// `longest_wait` says how long an operation waits at most that was rejected so
    /// often: one that is due later than that is due now, because the clock was set
    /// back.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn due_retries(
        &self,
        secondary: &str,
        now: Timestamp,
        longest_wait: impl Fn(u32) -> Duration,
        limit: usize,
    ) -> Result<Vec<Retry>, QueueError> {
        self.rejections
            .due_retries(secondary, now, longest_wait, limit)
    }

    /// When the next retry of a secondary is due; none if none waits. Needs no disk
    /// access.
    pub fn next_retry(&self, secondary: &str) -> Option<Timestamp> {
        self.rejections.next_retry(secondary)
    }

    /// Up to `limit` dead letters of a secondary, in the order of their ids, with
    /// ids after `after`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn dead_letters(
        &self,
        secondary: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        self.rejections.dead_letters(secondary, after, limit)
    }

    /// How many operations wait for their retry, and how many are dead letters.
    /// Needs no disk access.
    pub fn count_rejected(&self, secondary: &str) -> RejectedCount {
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
        let mut removal = None;
        self.append_with(&[refresh], |batch| {
            removal = Some(self.rejections.remove(batch, secondary, key));
        })?;
        if let Some(removal) = removal {
            removal.committed();
        }
        Ok(())
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
        if let Some(wakeups) = self.wakeups.of(secondary) {
            wakeups.resync.notify_one();
        }
    }

    /// Waits until a resync of a table of this secondary is requested, or the
    /// store is reopened.
    pub async fn resync_requested(&self, secondary: &str) {
        match self.wakeups.of(secondary) {
            Some(wakeups) => wakeups.resync.notified().await,
            None => std::future::pending().await,
        }
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
