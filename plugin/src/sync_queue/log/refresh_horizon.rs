//! The refresh horizon: up to where a partition may hold older states than a
//! secondary already has.
//!
//! A refresh writes the primary's row as it is now. What follows it in the log
//! by then may be an older state of the same row; applied as it was logged, it
//! would roll the secondary back until the newer one follows. So a refresh
//! records where the partition ended when the row had been read, and operations
//! up to there are read from the primary as well.
//!
//! That is enough: a key is locked from the primary's commit to the append, so
//! every former state of what a read can see is in the log.

use super::{super::store::WriteBatch, OperationLog, Position, QueueError, Store};

/// How the keys of these records begin.
pub(super) const PREFIX: &str = "refreshed/";

fn storage_key(secondary: &str, partition: u16) -> String {
    format!("{PREFIX}{secondary}/{partition}")
}

impl OperationLog {
    /// Adds that everything up to these ends is older than what secondaries may
    /// have.
    pub(in crate::sync_queue) fn set_refresh_horizons(
        batch: &mut WriteBatch<'_>,
        secondaries: &[String],
        ends: &[Position],
    ) {
        for secondary in secondaries {
            for (partition, end) in (0..).zip(ends) {
                batch.insert_state(storage_key(secondary, partition), end.0.to_be_bytes());
            }
        }
    }

    pub(in crate::sync_queue) fn raise_refresh_horizon(
        &self,
        secondary: &str,
        partition: u16,
        position: Position,
    ) -> Result<(), QueueError> {
        let end = self.partition(partition).lock().end().position;
        if end <= position {
            return Ok(());
        }
        let value = end.0.to_be_bytes();
        self.store.with(|store| {
            Ok(store
                .state
                .insert(storage_key(secondary, partition), value)?)
        })
    }
}

/// Up to which position a secondary may have newer states than the partition.
pub(super) fn load(store: &Store, secondary: &str, partition: u16) -> Result<Position, QueueError> {
    let Some(value) = store.state.get(storage_key(secondary, partition))? else {
        return Ok(Position::default());
    };
    let bytes = value.as_ref().try_into();
    let bytes = bytes.map_err(|_| QueueError::Corrupt("a refresh horizon is truncated"))?;
    Ok(Position(u64::from_be_bytes(bytes)))
}
