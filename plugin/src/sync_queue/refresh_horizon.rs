//! How far a partition may hold older states than a secondary has already.
//!
//! A refresh brings the primary's row as it is now. What is behind it in the log
//! by then may be an older state of the same row; applied as it was logged, it
//! would set the secondary back until the newer one follows. So a refresh notes
//! where the partition ended when the row had been read, and whatever stands up
//! to there is read anew as well.
//!
//! That is enough: a key is locked from the primary's commit to the append, so
//! what a read can see has all of its former states in the log.

use super::{Position, QueueError, SyncQueue, store::Store};

fn key(secondary: &str, partition: u16) -> String {
    format!("{PREFIX}{secondary}/{partition}")
}

/// How the keys of these notes begin.
pub(super) const PREFIX: &str = "refreshed/";

impl SyncQueue {
    /// Notes, before a secondary gets present rows in the place of what stands
    /// up to `place`, that whatever is behind it by now may be older.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn raise_refresh_horizon(
        &self,
        secondary: &str,
        partition: u16,
        place: Position,
    ) -> Result<(), QueueError> {
        let end = self.partitions[usize::from(partition)]
            .lock()
            .tail()
            .position;
        if end <= place {
            return Ok(());
        }
        let value = end.0.to_be_bytes();
        self.with_store(|store| Ok(store.state.insert(key(secondary, partition), value)?))
    }
}

/// Up to which position a secondary may have newer states than a partition.
pub(super) fn load(store: &Store, secondary: &str, partition: u16) -> Result<Position, QueueError> {
    let Some(value) = store.state.get(key(secondary, partition))? else {
        return Ok(Position::default());
    };
    let bytes = value.as_ref().try_into();
    let bytes = bytes.map_err(|_| QueueError::Damaged("a position is cut short"))?;
    Ok(Position(u64::from_be_bytes(bytes)))
}
