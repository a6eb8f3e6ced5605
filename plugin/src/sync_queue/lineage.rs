//! Whether the log is the one that this host had last, or a copy of it.
//!
//! Two places tell. The **primary** keeps the epoch of the log's latest opening,
//! or of its orderly close; a **secondary** keeps the epoch that claimed its
//! positions last.
//!
//! | finding | meaning | consequence |
//! | --- | --- | --- |
//! | the primary does not know the log, and the log was known to a primary | copied from another host | it is moved aside: that host delivers what is in it |
//! | the primary has an epoch that the log never had | restored to an earlier state, or two hosts with one primary | resync of every table; what is in the log is read from the primary again |
//! | a secondary has an epoch that the log never had | another host with a copy of the log, or restored to an earlier state | the same, and the secondary knows the log by a new id |

use super::{
    EVERY_TABLE, QueueError, SyncQueue,
    bootstrap::BootstrapRegistry,
    epochs::{Epoch, Epochs},
    log::OperationLog,
    log_ids::{LogIds, new_id},
    store::{Store, WriteBatch},
};
use std::sync::atomic::Ordering;

/// Set once the primary has kept an epoch of the log.
const KNOWN_TO_PRIMARY: &str = "known_to_primary";

/// What the primary says about a log that is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lineage {
    /// The log of the last opening, as far as can be told.
    Continued,
    /// The log of another host.
    Copied,
    /// An earlier state of the log.
    Restored,
}

/// Why every table is resynced if the log was copied from another host.
pub(super) const COPIED: &str =
    "queue_dir was copied from another host; give each host a queue_dir of its own";

/// Why every table is resynced if the log was restored.
pub(super) const RESTORED: &str = "queue_dir was restored to an earlier state, or another host uses \
     a copy of it with the same primary";

/// Why a secondary is resynced that has an epoch the log never had.
const SHARED: &str = "another host uses a copy of queue_dir, or queue_dir was restored to an \
     earlier state; give each host a queue_dir of its own";

impl SyncQueue {
    /// Compares a store that is opened for the first time with the primary.
    pub(super) fn lineage(&self, store: &Store) -> Result<Lineage, QueueError> {
        let Ok(recorded) = self.log_row.epoch() else {
            // Every table is resynced anyway where the flag cannot be read either.
            return Ok(Lineage::Continued);
        };
        Ok(match recorded {
            None if store.state.contains_key(KNOWN_TO_PRIMARY)? => Lineage::Copied,
            None => Lineage::Continued,
            Some(_) if store.state.get("id")?.is_none() => Lineage::Continued,
            Some(epoch) if Epochs::is_recorded(store, epoch)? => Lineage::Continued,
            Some(_) => Lineage::Restored,
        })
    }

    /// Does what a finding calls for once the store is in use. A copied log has
    /// been replaced then.
    pub(super) fn settle_lineage(&self, lineage: Lineage) {
        let problem = match lineage {
            Lineage::Continued => return,
            Lineage::Copied => COPIED,
            Lineage::Restored => {
                self.request_resync_everywhere(EVERY_TABLE, RESTORED);
                RESTORED
            }
        };
        tracing::warn!(
            path = %self.config.dir.display(),
            reason = problem,
            "the log is not the one that this host had last; every table is resynced"
        );
        self.is_resynced_as_copy.store(true, Ordering::Release);
        self.log_row.rename();
    }

    /// Has a store that has replaced a corrupt one say what that said.
    pub(super) fn keep_known_to_primary(&self, batch: &mut WriteBatch<'_>) {
        if self.is_known_to_primary.load(Ordering::Acquire) {
            batch.insert_state(KNOWN_TO_PRIMARY, "");
        }
    }

    /// Has the primary keep the current epoch, unless it does. True if nothing is
    /// left to do.
    pub(super) fn record_epoch(&self) -> bool {
        if self.is_known_to_primary.load(Ordering::Acquire) || self.log.id().is_none() {
            return true;
        }
        // In this order: a log that says that the primary knows it is known there.
        let recorded = self.log_row.set_epoch(self.epochs.current())
            && self
                .store
                .commit(|batch| batch.insert_state(KNOWN_TO_PRIMARY, ""))
                .is_ok();
        self.is_known_to_primary.store(recorded, Ordering::Release);
        recorded
    }

    /// Ends the current epoch: who opens a copy of the log that was made before
    /// this learns of it from the primary.
    pub(super) fn end_epoch(&self) {
        if !self.is_known_to_primary.load(Ordering::Acquire) {
            return;
        }
        let next = Epoch::draw();
        let ends = self.log.end_positions();
        if self
            .store
            .commit(|batch| self.epochs.add(batch, next, ends))
            .is_ok()
        {
            self.log_row.set_epoch(next);
        }
    }

    /// A secondary has an epoch that this log never had: from now on it knows the
    /// log by a new id. Operations that wait are kept, and are read from the
    /// primary again. The first time, every secondary is resynced: if the log was
    /// restored to an earlier state, all of them lack what it has forgotten.
    ///
    /// # Errors
    /// If the store cannot be written; nothing has changed then but the requests.
    pub fn take_new_log_id(&self, secondary: &str) -> Result<(), QueueError> {
        tracing::warn!(
            secondary,
            path = %self.config.dir.display(),
            "the secondary's positions of this log were claimed by another host, or by a later \
             state of the log: queue_dir was copied or restored. The log takes a new id and is \
             resynced. Give each host a queue_dir of its own; otherwise no action is needed"
        );
        let affected = match self.is_resynced_as_copy.load(Ordering::Acquire) {
            true => &[secondary.to_owned()],
            false => &*self.secondaries,
        };
        for name in affected {
            self.request_resync(name, EVERY_TABLE, SHARED);
        }
        let ends = self.log.end_positions();
        let id = new_id();
        self.store.commit(|batch| {
            OperationLog::set_refresh_horizons(batch, affected, &ends);
            BootstrapRegistry::remove(batch, secondary);
            LogIds::set(batch, secondary, &id);
        })?;
        self.log_ids.install(secondary, id);
        self.is_resynced_as_copy.store(true, Ordering::Release);
        Ok(())
    }
}
