//! Appending to the log, and what happens when it is full.

use super::{
    EVERY_TABLE, Fsync, Intent, PARTITIONS, QueueError, SyncQueue, partition_of, refused,
    store::log_key, wire,
};
use crate::{dedup::Key, fail_points, sync_types::SyncOperation};
use std::{collections::BTreeMap, sync::atomic::Ordering};

/// What an append settles.
#[derive(Clone, Copy, Debug)]
pub enum Settles<'a> {
    /// Nothing: it comes by itself.
    Nothing,
    /// The write that announced itself.
    Intent(&'a Intent),
    /// What this secondary refused under this key: it is tried again.
    Refusal(&'a str, &'a Key),
}

impl<'a> From<Option<&'a Intent>> for Settles<'a> {
    fn from(intent: Option<&'a Intent>) -> Self {
        intent.map_or(Self::Nothing, Self::Intent)
    }
}

impl SyncQueue {
    /// Appends operations, all or none, and ends what they settle in the same
    /// step. When this returns they survive the process.
    ///
    /// # Errors
    /// [`QueueError::Full`], or why nothing can be written.
    pub fn append(
        &self,
        operations: &[SyncOperation],
        settles: Settles<'_>,
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
            match settles {
                Settles::Nothing => {}
                Settles::Intent(intent) => batch.remove(&store.state, intent.key()),
                Settles::Refusal(secondary, key) => {
                    batch.remove(&store.refused, refused::entry_key(secondary, key));
                }
            }
            if self.config.fsync == Fsync::Always {
                batch = batch.durability(Some(fjall::PersistMode::SyncData));
            }
            batch.commit()?;
            for (mut guard, tail) in tails {
                guard.set_tail(tail);
            }
            Ok(())
        })?;
        self.held.fetch_add(wanted, Ordering::Relaxed);
        self.unsynced.store(true, Ordering::Relaxed);
        fail_points::pass("after_append");
        self.wake();
        Ok(())
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
            self.mark_resync(furthest, EVERY_TABLE, "the log reached queue_max_bytes");
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
