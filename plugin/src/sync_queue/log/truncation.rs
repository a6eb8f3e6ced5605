//! Removing the entries that every secondary has passed.
//!
//! As a rule an acknowledgement removes what it covers. A backlog that was
//! evicted, or that a former configuration left, is removed in chunks, so that
//! nothing waits for it.

use super::{
    super::store::WriteBatch, OperationLog, PARTITIONS, Position, QueueError, entry_key,
    position_of,
};

/// Entries of one chunk: those of several batches, a few milliseconds.
const CHUNK_ENTRIES: usize = 500;

impl OperationLog {
    /// Removes a chunk of what is left in each partition. True if nothing is
    /// left then.
    pub(in crate::sync_queue) fn truncate(&self) -> Result<bool, QueueError> {
        let mut complete = true;
        for partition in 0..PARTITIONS {
            complete &= self.store.with(|store| {
                let _changing = self.changing(partition);
                let (from, to) = {
                    let known = self.partition(partition).lock();
                    (known.truncated_to(), known.slowest().position)
                };
                if from >= to {
                    return Ok(true);
                }
                let mut batch = WriteBatch::new(store);
                let truncated_to = remove(&mut batch, partition, from, to)?;
                batch.commit()?;
                self.partition(partition)
                    .lock()
                    .set_truncated_to(truncated_to);
                Ok(truncated_to >= to)
            })?;
        }
        Ok(complete)
    }
}

/// Adds the removal of a partition's entries after `from`, up to `to` or to the
/// end of one chunk. Returns up to where no entry is left.
pub(super) fn remove(
    batch: &mut WriteBatch<'_>,
    partition: u16,
    from: Position,
    to: Position,
) -> Result<Position, QueueError> {
    let mut truncated_to = from;
    if from >= to {
        return Ok(from);
    }
    let range = entry_key(partition, from.next())..=entry_key(partition, to);
    for (removed, entry) in batch.store.log.range(range).enumerate() {
        if removed == CHUNK_ENTRIES {
            return Ok(truncated_to);
        }
        let key = entry.key()?;
        truncated_to = position_of(&key)?;
        batch.remove(&batch.store.log, key);
    }
    Ok(to)
}
