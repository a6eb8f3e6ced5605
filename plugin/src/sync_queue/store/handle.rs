//! [`StoreHandle`]: how all parts of the queue share one store.

use super::{
    super::{Fsync, QueueError},
    Store,
};
use crate::self_healing::{Fault, SelfHealingStore};
use fjall::{Keyspace, OwnedWriteBatch, PersistMode, UserKey, UserValue};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
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
}

impl StoreHandle {
    /// A store that [`StoreHandle::recover`] has yet to open. `failed` is
    /// notified when it fails.
    pub(in crate::sync_queue) fn unopened(fsync: Fsync, failed: Arc<Notify>) -> Self {
        Self {
            files: SelfHealingStore::unopened("queue store", failed),
            fsync,
            unsynced: AtomicBool::new(false),
            sync_due: Notify::new(),
        }
    }

    /// Runs `call` on the open store and records its commits.
    pub(in crate::sync_queue) fn with<T>(
        &self,
        call: impl FnOnce(&Store) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        self.files.with(|store| {
            let result = call(store);
            store.record_commits();
            result
        })
    }

    /// Commits what `fill` adds to a batch, as durably as an operation.
    pub(in crate::sync_queue) fn commit(
        &self,
        fill: impl FnOnce(&mut WriteBatch<'_>),
    ) -> Result<(), QueueError> {
        self.with(|store| {
            let mut batch = self.durable_batch(store);
            fill(&mut batch);
            batch.commit()
        })?;
        self.mark_unsynced();
        Ok(())
    }

    /// An empty batch whose commit survives a power cut if `queue_fsync` is
    /// `always`.
    pub(in crate::sync_queue) fn durable_batch<'a>(&self, store: &'a Store) -> WriteBatch<'a> {
        let mut batch = WriteBatch::new(store);
        if self.fsync == Fsync::Always {
            batch.writes = batch.writes.durability(Some(PersistMode::SyncData));
        }
        batch
    }

    /// Has the next [`SyncQueue::sync`](crate::sync_queue::SyncQueue::sync) write to the disk.
    pub(in crate::sync_queue) fn mark_unsynced(&self) {
        if !self.unsynced.swap(true, Ordering::Relaxed) {
            self.sync_due.notify_one();
        }
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
        self.with(Store::sync)
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
