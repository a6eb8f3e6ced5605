//! The boot of the machine in which the log was opened.
//!
//! If the log was open in another boot than this one, the machine went down
//! while it was open, and what had not been synced to the disk is lost.

use super::{Fsync, QueueError, store::Store};

/// The key of the boot id while commits may not be on the disk yet; removed by
/// an orderly close.
pub(super) const DIRTY_BOOT_ID: &str = "open_since";

/// The id of the machine's current boot; `None` where the system has none.
pub(super) fn current_boot_id() -> Option<String> {
    // Only Linux has one. Elsewhere every boot counts as another one, so an
    // unclean shutdown costs a resync.
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

/// Records the current boot, if the machine going down may lose commits.
pub(super) fn record(store: &Store, fsync: Fsync) -> Result<(), QueueError> {
    match fsync {
        Fsync::Always => store.state.remove(DIRTY_BOOT_ID)?,
        Fsync::None | Fsync::Interval(_) => store
            .state
            .insert(DIRTY_BOOT_ID, current_boot_id().unwrap_or_default())?,
    }
    Ok(())
}

/// Removes the record: everything is on the disk.
pub(super) fn clear(store: &Store) -> Result<(), QueueError> {
    Ok(store.state.remove(DIRTY_BOOT_ID)?)
}

/// True if the machine went down while the log was open.
pub(super) fn is_of_another_boot(store: &Store) -> Result<bool, QueueError> {
    let boot = current_boot_id();
    Ok(store
        .state
        .get(DIRTY_BOOT_ID)?
        .is_some_and(|former| boot.is_none_or(|now| *former != *now.as_bytes())))
}
