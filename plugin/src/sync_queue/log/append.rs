//! Appending to the log.

use super::{super::store::WriteBatch, OperationLog, QueueError, entry_key, partition_of, wire};
use crate::sync_types::SyncOperation;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::Ordering,
};

/// Encoded operations.
pub(in crate::sync_queue) struct Entries {
    by_partition: BTreeMap<u16, Vec<Vec<u8>>>,
    /// Their bytes.
    pub(in crate::sync_queue) bytes: u64,
}

impl Entries {
    pub(in crate::sync_queue) fn of(operations: &[SyncOperation]) -> Result<Self, QueueError> {
        let mut entries = Self {
            by_partition: BTreeMap::new(),
            bytes: 0,
        };
        for operation in operations {
            let encoded = wire::encode(operation)?;
            entries.bytes += encoded.len() as u64;
            entries
                .by_partition
                .entry(partition_of(&operation.key))
                .or_default()
                .push(encoded);
        }
        Ok(entries)
    }

    /// The partitions that they belong to.
    pub(in crate::sync_queue) fn partitions(&self) -> BTreeSet<u16> {
        self.by_partition.keys().copied().collect()
    }
}

impl OperationLog {
    /// Appends entries, together with what `add_writes` adds to the batch. That is
    /// called once their partitions are locked, before they can be read.
    ///
    /// The order of a partition is settled when the batch is committed. What waits
    /// for the disk after that holds no lock, so that others can join in; readers
    /// get the entries once they are durable.
    pub(in crate::sync_queue) fn append(
        &self,
        entries: Entries,
        add_writes: impl FnOnce(&mut WriteBatch<'_>),
    ) -> Result<(), QueueError> {
        let ends = self.store.with(|store| {
            let mut batch = WriteBatch::new(store);
            // Held until the batch is committed, so that the entries of a
            // partition are committed in the order of their positions. Locked in
            // ascending order, so that two appends cannot deadlock.
            let mut changing = Vec::with_capacity(entries.by_partition.len());
            let mut ends = Vec::with_capacity(entries.by_partition.len());
            for (partition, encoded) in entries.by_partition {
                changing.push(self.changing(partition));
                let mut end = self.partition(partition).lock().assigned();
                for bytes in encoded {
                    end = end.advanced(end.position.next(), bytes.len() as u64);
                    let mut value = end.to_bytes()[8..].to_vec();
                    value.extend(bytes);
                    batch.insert(&store.log, entry_key(partition, end.position), value);
                }
                ends.push((partition, end));
            }
            add_writes(&mut batch);
            batch.commit()?;
            // Before a reader can see the entries and acknowledge them.
            self.held.fetch_add(entries.bytes, Ordering::Relaxed);
            for &(partition, end) in &ends {
                self.partition(partition).lock().assign(end);
            }
            Ok(ends)
        })?;
        self.store.make_durable()?;
        for (partition, end) in ends {
            self.partition(partition).lock().publish(end);
        }
        Ok(())
    }
}
