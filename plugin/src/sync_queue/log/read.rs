//! A secondary's backlog, and its acknowledgements.

use super::{
    super::store::WriteBatch, Acked, OperationLog, PARTITIONS, Position, QueueError, Watermark,
    acked_key, entry_key, position_of, refresh_horizon, truncation, wire,
};
use crate::sync_types::SyncOperation;
use plugin_api::value::Timestamp;
use std::sync::atomic::Ordering;

/// Bytes of operations that one read returns at most.
const READ_BYTES: u64 = 8 << 20;

/// What waits for one secondary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Backlog {
    /// Operations.
    pub operations: u64,
    /// Their bytes in the log.
    pub bytes: u64,
    /// When the oldest of them was written.
    pub oldest: Option<Timestamp>,
}

/// Consecutive operations of one partition.
#[derive(Debug)]
pub struct Batch {
    /// The operations that are meant for the reader, each with its watermark.
    pub operations: Vec<(Watermark, SyncOperation)>,
    /// The reader's watermark before them.
    pub begin: Watermark,
    /// The position that the reader has confirmed: that of `begin`, or an earlier
    /// one if its backlog was evicted since.
    pub confirmed: Position,
    /// The reader's watermark once it has applied them.
    pub end: Watermark,
    /// Rows up to here may already be newer on the secondary.
    pub refresh_horizon: Position,
}

impl OperationLog {
    /// The backlog without the age of its oldest operation.
    pub(in crate::sync_queue) fn backlog_size(&self, secondary: &str) -> Backlog {
        let Some(index) = self.index(secondary) else {
            return Backlog::default();
        };
        let mut sum = Backlog::default();
        for partition in &self.partitions {
            let (operations, bytes) = partition.lock().backlog(index);
            sum.operations += operations;
            sum.bytes += bytes;
        }
        sum
    }

    pub(in crate::sync_queue) fn backlog(&self, secondary: &str) -> Backlog {
        let oldest = (0..PARTITIONS)
            .filter(|&partition| self.has_backlog(secondary, partition))
            .filter_map(|partition| self.read(secondary, partition, 1).ok())
            .filter_map(|batch| Some(batch.operations.first()?.1.timestamp))
            .min();
        Backlog {
            oldest,
            ..self.backlog_size(secondary)
        }
    }

    pub(in crate::sync_queue) fn has_backlog(&self, secondary: &str, partition: u16) -> bool {
        self.index(secondary)
            .is_some_and(|index| self.partition(partition).lock().backlog(index).0 > 0)
    }

    pub(in crate::sync_queue) fn read(
        &self,
        secondary: &str,
        partition: u16,
        limit: usize,
    ) -> Result<Batch, QueueError> {
        let Some(index) = self.index(secondary) else {
            return Err(QueueError::Corrupt("an unknown secondary reads the log"));
        };
        let (acked, log_end) = {
            let partition = self.partition(partition).lock();
            (partition.acked(index), partition.end())
        };
        let from = acked.watermark;
        let mut batch = Batch {
            operations: Vec::new(),
            begin: from,
            confirmed: acked.confirmed,
            end: from,
            refresh_horizon: Position::default(),
        };
        if from.position >= log_end.position {
            return Ok(batch);
        }
        self.store.with(|store| {
            batch.refresh_horizon = refresh_horizon::load(store, secondary, partition)?;
            let range =
                entry_key(partition, from.position.next())..=entry_key(partition, log_end.position);
            for entry in store.log.range(range) {
                let (key, value) = entry.into_inner()?;
                let position = position_of(&key)?;
                let (totals, bytes) = value
                    .split_at_checked(16)
                    .ok_or(QueueError::Corrupt("a log entry is truncated"))?;
                let mut watermark = position.0.to_be_bytes().to_vec();
                watermark.extend_from_slice(totals);
                let end = Watermark::from_bytes(&watermark)?;
                if end.operations != batch.end.operations + 1 {
                    return self.missing(index, partition, from);
                }
                let mut operation = wire::decode(bytes)?;
                batch.end = end;
                if operation.is_for(secondary) {
                    let log = self.id().unwrap_or_default();
                    operation.id = format!("{log}-{partition}-{}", position.0);
                    batch.operations.push((batch.end, operation));
                }
                let read = batch.end.bytes - from.bytes;
                if batch.operations.len() >= limit || read >= READ_BYTES {
                    return Ok(());
                }
            }
            if batch.end.operations != log_end.operations {
                return self.missing(index, partition, from);
            }
            // The end of a partition may be a position without an entry.
            batch.end = log_end;
            Ok(())
        })?;
        Ok(batch)
    }

    /// Entries after `from` are missing. Either another thread has moved the
    /// reader on meanwhile and removed them, or they are lost.
    fn missing(&self, index: usize, partition: u16, from: Watermark) -> Result<(), QueueError> {
        match self.partition(partition).lock().acked(index).watermark == from {
            true => Err(QueueError::Corrupt("log entries are missing")),
            false => Ok(()),
        }
    }

    /// True if nothing is left in the store of what every secondary has passed.
    pub(in crate::sync_queue) fn ack(
        &self,
        secondary: &str,
        partition: u16,
        end: Watermark,
    ) -> Result<bool, QueueError> {
        self.advance(secondary, partition, |acked| {
            let is_late = end.position <= acked.watermark.position;
            Acked {
                watermark: if is_late { acked.watermark } else { end },
                confirmed: acked.confirmed.max(end.position),
            }
        })
    }

    /// Moves a secondary to the end of the log. What it has confirmed stays: its
    /// next batch begins there.
    pub(in crate::sync_queue) fn skip_to_end(&self, secondary: &str) -> Result<(), QueueError> {
        for partition in 0..PARTITIONS {
            let watermark = self.partition(partition).lock().end();
            self.advance(secondary, partition, |acked| Acked { watermark, ..acked })?;
        }
        Ok(())
    }

    /// Moves a secondary, and removes a chunk of what none needs any more. True if
    /// nothing is left of that.
    fn advance(
        &self,
        secondary: &str,
        partition: u16,
        to: impl FnOnce(Acked) -> Acked,
    ) -> Result<bool, QueueError> {
        let Some(index) = self.index(secondary) else {
            return Ok(true);
        };
        self.store.with(|store| {
            let _changing = self.changing(partition);
            let known = self.partition(partition).lock().clone();
            let from = known.acked(index);
            let mut to = to(from);
            to.watermark = to.watermark.counted_from(from.watermark);
            if to == from {
                return Ok(true);
            }
            let before = known.slowest();
            let after = known.slowest_if(index, to.watermark);
            let mut batch = WriteBatch::new(store);
            batch.insert_state(acked_key(secondary, partition), to.to_bytes());
            let truncated_to =
                truncation::remove(&mut batch, partition, known.truncated_to(), after.position)?;
            batch.commit()?;
            let mut known = self.partition(partition).lock();
            known.set_acked(index, to);
            known.set_truncated_to(truncated_to);
            self.held
                .fetch_sub(after.bytes - before.bytes, Ordering::Relaxed);
            Ok(truncated_to >= after.position)
        })
    }
}
