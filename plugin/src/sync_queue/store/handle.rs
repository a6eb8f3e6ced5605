//! [`StoreHandle`]: how all parts of the queue share one store.

use super::{
    super::{Fsync, QueueError},
    Store,
};
use crate::{
    metrics::instruments::LogMetrics,
    self_healing::{Fault, GroupSync, SelfHealingStore},
};
use fjall::{Keyspace, OwnedWriteBatch, UserKey, UserValue};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};
use tokio::sync::Notify;

/// The queue's store: usable as a rule, reopened when it fails.
pub(in crate::sync_queue) struct StoreHandle {
    files: SelfHealingStore<Store>,
    fsync: Fsync,
    /// True while there are commits that `sync` has yet to bring to the disk.
    unsynced: AtomicBool,
    /// Notified of the first of these.
    sync_due: Notify,
    group: GroupSync,
    metrics: Arc<LogMetrics>,
    /// Called before each sync.
    #[cfg(test)]
    pub(in crate::sync_queue) before_sync: std::sync::OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl StoreHandle {
    /// A store that [`StoreHandle::recover`] has yet to open. `failed` is
    /// notified when it fails.
    pub(in crate::sync_queue) fn unopened(
        fsync: Fsync,
        failed: Arc<Notify>,
        metrics: Arc<LogMetrics>,
    ) -> Self {
        Self {
            files: SelfHealingStore::unopened("queue store", failed),
            fsync,
            unsynced: AtomicBool::new(false),
            sync_due: Notify::new(),
            group: GroupSync::default(),
            metrics,
            #[cfg(test)]
            before_sync: std::sync::OnceLock::new(),
        }
    }

    /// Runs `call` on the open store and records its commits. May wait for the
    /// disk, which does not stall the runtime.
    pub(in crate::sync_queue) fn with<T>(
        &self,
        call: impl FnOnce(&Store) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        self.files.with(|store| {
            let result = call(store);
            // With `always` the sync records them: until then a power cut may
            // take them back.
            if self.fsync != Fsync::Always {
                store.record_commits();
            }
            result
        })
    }

    /// Commits what `fill` adds to a batch, as durably as an operation.
    pub(in crate::sync_queue) fn commit(
        &self,
        fill: impl FnOnce(&mut WriteBatch<'_>),
    ) -> Result<(), QueueError> {
        self.commit_undurably(fill)?;
        self.make_durable()
    }

    /// The same, without waiting for the disk: [`StoreHandle::make_durable`] has
    /// to follow, once no lock is held.
    pub(in crate::sync_queue) fn commit_undurably(
        &self,
        fill: impl FnOnce(&mut WriteBatch<'_>),
    ) -> Result<(), QueueError> {
        self.with(|store| {
            let mut batch = WriteBatch::new(store);
            fill(&mut batch);
            batch.commit()
        })
    }

    /// Makes what this thread has committed as durable as `queue_fsync` asks for:
    /// with `always` it waits for the disk, together with others; otherwise the
    /// next [`SyncQueue::sync`](crate::sync_queue::SyncQueue::sync) brings it there.
    ///
    /// # Errors
    /// The disk has failed. What was committed may be lost with the machine.
    pub(in crate::sync_queue) fn make_durable(&self) -> Result<(), QueueError> {
        match self.fsync {
            Fsync::Always => self.group.wait(|| self.sync_now()),
            Fsync::None | Fsync::Interval(_) => {
                if !self.unsynced.swap(true, Ordering::Relaxed) {
                    self.sync_due.notify_one();
                }
                Ok(())
            }
        }
    }

    fn sync_now(&self) -> Result<(), QueueError> {
        self.with(|store| {
            #[cfg(test)]
            if let Some(before_sync) = self.before_sync.get() {
                before_sync();
            }
            let began = Instant::now();
            store.sync()?;
            let took = began.elapsed().as_secs_f64();
            self.metrics.fsync_seconds.observe(took);
            Ok(())
        })
    }

    /// Waits until there is something to sync.
    pub(in crate::sync_queue) async fn sync_due(&self) {
        self.sync_due.notified().await;
    }

    /// True if a sync is due.
    #[cfg(test)]
    pub(in crate::sync_queue) fn has_unsynced(&self) -> bool {
        self.unsynced.load(Ordering::Relaxed)
    }

    /// Syncs what was committed to the disk, if `queue_fsync` asks for it and
    /// there is anything new.
    pub(in crate::sync_queue) fn sync_if_due(&self) -> Result<(), QueueError> {
        if self.fsync == Fsync::None || !self.unsynced.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        self.sync_now()
    }

    /// Reopens the store if it has failed; see [`SelfHealingStore::recover`].
    pub(in crate::sync_queue) fn recover<O>(
        &self,
        open: impl FnOnce(bool) -> Result<O, QueueError>,
        publish: impl FnOnce(O) -> Store,
    ) -> Result<bool, QueueError> {
        self.files.recover(open, publish)
    }

    /// Why the store cannot be used; `None` if it can.
    pub(in crate::sync_queue) fn fault(&self) -> Option<Fault> {
        self.files.fault()
    }

    /// True unless a failure is known.
    pub(in crate::sync_queue) fn is_available(&self) -> bool {
        self.files.is_available()
    }

    /// Closes the store for good.
    pub(in crate::sync_queue) fn close(&self) {
        self.files.close();
    }
}

/// Writes to several parts of the queue that are committed together or not at
/// all.
pub(in crate::sync_queue) struct WriteBatch<'a> {
    /// The store that is written to.
    pub(in crate::sync_queue) store: &'a Store,
    writes: OwnedWriteBatch,
}

impl<'a> WriteBatch<'a> {
    /// An empty batch. Its commit survives the process, not a power cut.
    pub(in crate::sync_queue) fn new(store: &'a Store) -> Self {
        Self {
            store,
            writes: store.database.batch(),
        }
    }

    /// Adds a write to the keyspace `state`.
    pub(in crate::sync_queue) fn insert_state(
        &mut self,
        key: impl Into<UserKey>,
        value: impl Into<UserValue>,
    ) {
        self.insert(&self.store.state, key, value);
    }

    /// Adds a write.
    pub(in crate::sync_queue) fn insert(
        &mut self,
        keyspace: &Keyspace,
        key: impl Into<UserKey>,
        value: impl Into<UserValue>,
    ) {
        self.writes.insert(keyspace, key, value);
    }

    /// Adds a removal from the keyspace `state`.
    pub(in crate::sync_queue) fn remove_state(&mut self, key: impl Into<UserKey>) {
        self.remove(&self.store.state, key);
    }

    /// Adds a removal.
    pub(in crate::sync_queue) fn remove(&mut self, keyspace: &Keyspace, key: impl Into<UserKey>) {
        self.writes.remove(keyspace, key);
    }

    /// Commits all writes, or none.
    pub(in crate::sync_queue) fn commit(self) -> Result<(), QueueError> {
        Ok(self.writes.commit()?)
    }

    /// Adds the removal of every key of `state` that begins with `prefix` and
    /// that `keep` does not keep.
    pub(in crate::sync_queue) fn retain_state(
        &mut self,
        prefix: &str,
        keep: impl Fn(&[u8]) -> bool,
    ) -> Result<(), QueueError> {
        for entry in self.store.state.prefix(prefix) {
            let key = entry.key()?;
            if !keep(&key) {
                self.remove_state(key);
            }
        }
        Ok(())
    }
}
