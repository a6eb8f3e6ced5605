//! What waits for a secondary, and that it has it.

use super::{
    Backlog, Batch, PARTITIONS, Position, QueueError, SyncQueue, Watermark, refresh_horizon,
    store::{acked_key, log_key, position_of},
    truncation, wire,
};
use std::sync::atomic::Ordering;

/// Bytes of operations that one read returns at most.
const READ_BYTES: u64 = 8 << 20;

impl SyncQueue {
    /// How many operations wait for a secondary.
    pub fn backlog_operations(&self, secondary: &str) -> u64 {
        self.backlog_sums(secondary).operations
    }

    pub(super) fn backlog_sums(&self, secondary: &str) -> Backlog {
        let Some(index) = self.index(secondary) else {
            return Backlog::default();
        };
        let mut sum = Backlog::default();
        for partition in &self.partitions {
            let (operations, bytes) = partition.lock().behind(index);
            sum.operations += operations;
            sum.bytes += bytes;
        }
        sum
    }

    /// What waits for a secondary.
    pub fn backlog(&self, secondary: &str) -> Backlog {
        let oldest = (0..PARTITIONS)
            .filter(|&partition| self.has_backlog(secondary, partition))
            .filter_map(|partition| self.read(secondary, partition, 1).ok())
            .filter_map(|batch| Some(batch.operations.first()?.1.timestamp))
            .min();
        Backlog {
            oldest,
            ..self.backlog_sums(secondary)
        }
    }

    /// Is there anything in the partition that the secondary has not passed?
    pub fn has_backlog(&self, secondary: &str, partition: u16) -> bool {
        self.index(secondary).is_some_and(|index| {
            self.partitions[usize::from(partition)]
                .lock()
                .behind(index)
                .0
                > 0
        })
    }

    /// The next operations of a partition for a secondary, in order, at most
    /// `limit` of them.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn read(&self, secondary: &str, partition: u16, limit: usize) -> Result<Batch, QueueError> {
        let Some(index) = self.index(secondary) else {
            return Err(QueueError::Damaged("an unknown secondary reads the log"));
        };
        let (from, tail) = {
            let partition = self.partitions[usize::from(partition)].lock();
            (partition.acked(index), partition.tail())
        };
        let mut batch = Batch {
            operations: Vec::new(),
            begin: from,
            end: from,
            refreshed: Position::default(),
        };
        if from.position >= tail.position {
            return Ok(batch);
        }
        self.with_store(|store| {
            batch.refreshed = refresh_horizon::load(store, secondary, partition)?;
            let range =
                log_key(partition, from.position.next())..=log_key(partition, tail.position);
            for entry in store.log.range(range) {
                let (key, value) = entry.into_inner()?;
                let position = position_of(&key)?;
                let (totals, bytes) = value
                    .split_at_checked(16)
                    .ok_or(QueueError::Damaged("an entry is cut short"))?;
                let mut watermark = position.0.to_be_bytes().to_vec();
                watermark.extend_from_slice(totals);
                let end = Watermark::from_bytes(&watermark)?;
                if end.operations != batch.end.operations + 1 {
                    return self.missing(index, partition, from);
                }
                let mut operation = wire::decode(bytes)?;
                batch.end = end;
                if operation.is_for(secondary) {
                    operation.id = format!("{}-{partition}-{}", self.id(), position.0);
                    batch.operations.push((batch.end, operation));
                }
                let read = batch.end.bytes - from.bytes;
                if batch.operations.len() >= limit || read >= READ_BYTES {
                    return Ok(());
                }
            }
            if batch.end.operations != tail.operations {
                return self.missing(index, partition, from);
            }
            // A partition whose end was let go has a tail without an entry.
            batch.end = tail;
            Ok(())
        })?;
        Ok(batch)
    }

    /// Entries behind `from` are not there. Somebody else may have moved the
    /// reader on meanwhile, and removed them; otherwise they are lost.
    fn missing(&self, index: usize, partition: u16, from: Watermark) -> Result<(), QueueError> {
        match self.partitions[usize::from(partition)].lock().acked(index) == from {
            true => Err(QueueError::Damaged("entries of it are missing")),
            false => Ok(()),
        }
    }

    /// Notes that a secondary has everything of a partition up to `end`, and
    /// removes a piece of what no secondary needs any more.
    ///
    /// # Errors
    /// If the log cannot be written; the secondary then sees the operations
    /// again, which changes nothing there.
    pub fn ack(&self, secondary: &str, partition: u16, end: Watermark) -> Result<(), QueueError> {
        let Some(index) = self.index(secondary) else {
            return Ok(());
        };
        self.with_store(|store| {
            let mut guard = self.partitions[usize::from(partition)].lock();
            if end.position <= guard.acked(index).position {
                return Ok(());
            }
            let end = end.counted_from(guard.acked(index));
            let before = guard.slowest();
            let after = guard.slowest_if(index, end);
            let mut batch = store.database.batch();
            batch.insert(
                &store.state,
                acked_key(secondary, partition),
                end.to_bytes(),
            );
            let truncated_to = truncation::remove(
                store,
                &mut batch,
                partition,
                guard.truncated_to(),
                after.position,
            )?;
            batch.commit()?;
            guard.set_acked(index, end);
            guard.set_truncated_to(truncated_to);
            self.held
                .fetch_sub(after.bytes - before.bytes, Ordering::Relaxed);
            Ok(())
        })
    }
}
