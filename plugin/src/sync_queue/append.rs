//! Appending to the log, and what happens when it is full.

use super::{
    EVERY_TABLE, Fsync, Intent, PARTITIONS, QueueError, SyncQueue, partition_of,
    store::{Store, log_key},
    wire,
};
use crate::{fail_points, sync_types::SyncOperation};
use fjall::OwnedWriteBatch as WriteBatch;
use std::{collections::BTreeMap, sync::atomic::Ordering};

impl SyncQueue {
    /// Appends operations, all or none, and ends the intent that announced
    /// them. When this returns they survive the process.
    ///
    /// # Errors
    /// [`QueueError::Full`], or why nothing can be written.
    pub fn append(
        &self,
        operations: &[SyncOperation],
        intent: Option<&Intent>,
    ) -> Result<(), QueueError> {
        self.append_with(operations, |store, batch| {
            if let Some(intent) = intent {
                batch.remove(&store.state, intent.key());
            }
        })?;
        fail_points::pass("after_append");
        Ok(())
    }

    /// Appends operations together with whatever else must be written with
    /// them or not at all.
    pub(super) fn append_with(
        &self,
        operations: &[SyncOperation],
        beside: impl FnOnce(&Store, &mut WriteBatch),
    ) -> Result<(), QueueError> {
        let mut by_partition: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
        let mut wanted = 0;
        for operation in operations {
            let bytes = wire::encode(operation)?;
            wanted += bytes.len() as u64;
            by_partition
                .entry(partition_of(&operation.key))
                .or_default()
                .push(bytes);
        }
        self.make_room(wanted)?;
        self.with_store(|store| {
            let mut batch = store.database.batch();
            // Held until the batch is committed, so that the entries of a
            // partition become visible in the order of their positions. Taken
            // in ascending order, so two appends cannot wait for each other.
            let mut tails = Vec::with_capacity(by_partition.len());
            for (partition, entries) in by_partition {
                let guard = self.partitions[usize::from(partition)].lock();
                let mut tail = guard.tail();
                for bytes in entries {
                    tail = tail.advanced(tail.position.next(), bytes.len() as u64);
                    let mut value = tail.to_bytes()[8..].to_vec();
                    value.extend(bytes);
                    batch.insert(&store.log, log_key(partition, tail.position), value);
                }
                tails.push((guard, tail));
            }
            beside(store, &mut batch);
            self.durable(batch).commit()?;
            // Before anybody can see them, and take them off again.
            self.held.fetch_add(wanted, Ordering::Relaxed);
            for (mut guard, tail) in tails {
                guard.set_tail(tail);
            }
            Ok(())
        })?;
        self.unsynced.store(true, Ordering::Relaxed);
        self.wake();
        Ok(())
    }

    /// Commits something that must survive as long as an operation does.
    pub(super) fn commit(
        &self,
        fill: impl FnOnce(&Store, &mut WriteBatch),
    ) -> Result<(), QueueError> {
        self.with_store(|store| {
            let mut batch = store.database.batch();
            fill(store, &mut batch);
            Ok(self.durable(batch).commit()?)
        })?;
        self.unsynced.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn durable(&self, batch: WriteBatch) -> WriteBatch {
        match self.config.fsync {
            Fsync::Always => batch.durability(Some(fjall::PersistMode::SyncData)),
            Fsync::None | Fsync::Interval(_) => batch,
        }
    }

    /// Lets go of the secondaries that are furthest behind until `wanted` bytes
    /// fit. Each of them is marked for resync instead.
    fn make_room(&self, wanted: u64) -> Result<(), QueueError> {
        while self.held.load(Ordering::Relaxed) + wanted > self.config.max_bytes {
            let full = || QueueError::Full {
                held: self.held.load(Ordering::Relaxed),
                wanted,
            };
            let (behind, furthest) = self
                .secondaries
                .iter()
                .map(|name| (self.backlog_sums(name).bytes, name))
                .max()
                .ok_or_else(full)?;
            if behind == 0 || wanted > self.config.max_bytes {
                return Err(full());
            }
            tracing::warn!(
                secondary = %furthest,
                bytes = behind,
                "the log reached queue_max_bytes; this secondary's backlog is let go, and its \
                 tables will be compared with the primary once it is back"
            );
            self.request_resync(furthest, EVERY_TABLE, "the log reached queue_max_bytes");
            self.skip_to_end(furthest)?;
        }
        Ok(())
    }

    /// Lets a secondary pass everything that is in the log now.
    fn skip_to_end(&self, secondary: &str) -> Result<(), QueueError> {
        for partition in 0..PARTITIONS {
            let tail = self.partitions[usize::from(partition)].lock().tail();
            self.ack(secondary, partition, tail)?;
        }
        Ok(())
    }
}
