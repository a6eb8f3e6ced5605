//! Removing the entries that every secondary has passed.
//!
//! As a rule an acknowledgement removes what it covers. A backlog that is let go,
//! or that a former configuration left, goes piece by piece, so that nobody waits
//! for it.

use super::{
    PARTITIONS, Position, QueueError, SyncQueue,
    store::{Store, log_key, position_of},
};
use fjall::OwnedWriteBatch as WriteBatch;

/// Entries of one piece: those of several batches, a few milliseconds.
const ENTRIES: usize = 500;

impl SyncQueue {
    /// Removes a piece of what is left in each partition.
    ///
    /// # Errors
    /// If the log cannot be read or written.
    pub(super) fn sweep(&self) -> Result<(), QueueError> {
        (0..PARTITIONS).try_for_each(|partition| {
            self.with_store(|store| {
                let mut guard = self.partitions[usize::from(partition)].lock();
                let (from, to) = (guard.truncated_to(), guard.slowest().position);
                let mut batch = store.database.batch();
                let truncated_to = remove(store, &mut batch, partition, from, to)?;
                batch.commit()?;
                guard.set_truncated_to(truncated_to);
                Ok(())
            })
        })
    }
}

/// Removes a partition's entries behind `from`, up to `to` if that is one piece.
/// Gives up to where none is left.
pub(super) fn remove(
    store: &Store,
    batch: &mut WriteBatch,
    partition: u16,
    from: Position,
    to: Position,
) -> Result<Position, QueueError> {
    let mut truncated_to = from;
    if from >= to {
        return Ok(from);
    }
    let range = log_key(partition, from.next())..=log_key(partition, to);
    for (removed, entry) in store.log.range(range).enumerate() {
        if removed == ENTRIES {
            return Ok(truncated_to);
        }
        let key = entry.key()?;
        truncated_to = position_of(&key)?;
        batch.remove(&store.log, key);
    }
    Ok(to)
}
