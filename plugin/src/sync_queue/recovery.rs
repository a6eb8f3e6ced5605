//! Opening the store: at the start, and again whenever it has failed.
//!
//! | finding | consequence |
//! | --- | --- |
//! | disk full, no permission, a file in the way | the store is unavailable and is retried |
//! | another process has it open | an error at the start: two hosts, one `queue_dir` |
//! | written by a newer version of the module | left as it is and not used; what the log misses is noted in the dirty flag |
//! | corrupt, or fewer commits than its marker records although the machine did not go down | moved aside; a new store, and a resync of every table |
//! | the machine went down while it was open | a resync of every table, unless `queue_fsync` is `always` |
//! | a table is new in the filter | a resync of that table |
//! | a copy of another log, or an earlier state of it | see [`super::lineage`] |

use super::{
    EVERY_TABLE, QueueError, SyncQueue, boot_record,
    bootstrap::BootstrapRegistry,
    intents::{IntentStore, Left},
    lineage::{COPIED, Lineage},
    log::{OperationLog, Partition, Position},
    log_ids::{LogIds, new_id},
    rejections::{Indexes, RejectionStore},
    resyncs::ResyncStore,
    store::{Store, WriteBatch},
};
use crate::self_healing;
use std::{collections::BTreeSet, path::PathBuf, sync::atomic::Ordering};

/// An opened store, and what was recovered from it.
struct Recovered {
    store: Store,
    id: String,
    partitions: Vec<Partition>,
    left: Left,
    rejections: Indexes,
    machine_went_down: bool,
    lineage: Lineage,
    added_tables: BTreeSet<String>,
}

/// What a call of [`SyncQueue::recover`] leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upkeep {
    /// Nothing.
    Done,
    /// The next part of what is being removed.
    Unfinished,
    /// What waits for the disk or the primary.
    Waiting,
}

impl SyncQueue {
    /// Opens the store if it is not open, writes the resync requests that are in
    /// memory, and removes a part of the entries that are no longer needed. Blocks.
    ///
    /// # Errors
    /// Why the store cannot be opened now.
    pub fn recover(&self) -> Result<Upkeep, QueueError> {
        let (mut left, mut lineage) = (Left::default(), Lineage::Continued);
        let opened = self.store.recover(
            |corrupt| self.open_store(corrupt),
            |recovered| {
                left = self.install(&recovered);
                lineage = recovered.lineage;
                recovered.store
            },
        );
        if let Err(error) = &opened {
            self.flag_possible_filter_change(error);
        }
        if opened? {
            tracing::info!(path = %self.config.dir.display(), "the queue store is open");
            self.settle_lineage(lineage);
            // The store may be another one, or may have lost its end.
            self.intents.lack_records();
            self.adopt(&left);
            self.wakeups.reopened();
        }
        // Before the requests, which may be carried out while a write is still in
        // flight: once they are durable, only its intent is left of it.
        self.intents.write_records()?;
        let persisted = self.persist_resync_requests();
        let recorded = self.record_epoch();
        Ok(match (self.log.truncate()?, persisted && recorded) {
            (_, false) => Upkeep::Waiting,
            (false, true) => Upkeep::Unfinished,
            (true, true) => Upkeep::Done,
        })
    }

    /// A store that was never open in this process may not have recorded that
    /// tables were removed from the filter. It misses their writes from now on,
    /// so the dirty flag has to be set.
    fn flag_possible_filter_change(&self, error: &QueueError) {
        let is_locked = matches!(error, QueueError::Storage(fjall::Error::Locked));
        if self.table_filter.is_restricted() && self.log.id().is_none() && !is_locked {
            self.log_row.set_dirty();
        }
    }

    /// Opens the store; a corrupt one is moved aside and replaced.
    fn open_store(&self, corrupt: bool) -> Result<Recovered, QueueError> {
        let recovered = self_healing::open_or_set_aside(
            corrupt,
            || self.set_aside_corrupt(),
            || self.try_open(),
        )?;
        let is_unresolved = recovered.machine_went_down || !recovered.added_tables.is_empty();
        self.has_unresolved_recovery
            .store(is_unresolved, Ordering::Release);
        for table in &recovered.added_tables {
            self.request_resync_everywhere(table, "the table was not replicated before");
        }
        if recovered.machine_went_down {
            self.request_resync_of_everything("the machine went down while the log was open");
        }
        Ok(recovered)
    }

    fn try_open(&self) -> Result<Recovered, QueueError> {
        let mut store = Store::open(&self.config.dir)?;
        let lineage = match self.log.id() {
            None => self.lineage(&store)?,
            Some(_) => Lineage::Continued,
        };
        if lineage == Lineage::Copied {
            drop(store);
            self.set_aside("copied", COPIED)?;
            store = Store::open(&self.config.dir)?;
        }
        let machine_went_down = boot_record::is_of_another_boot(&store)?;
        if store.lacks_commits() && !machine_went_down {
            return Err(QueueError::Corrupt(
                "the database has fewer commits than the commit marker records",
            ));
        }
        let (id, replaced) = self.load_id(&store)?;
        if !machine_went_down {
            boot_record::record(&store, self.config.fsync)?;
        }
        let recovered = self.load_partitions(&store)?;
        let partitions = self.log.continued(recovered, replaced);
        if replaced {
            OperationLog::save(&store, &self.secondaries, &partitions)?;
            BootstrapRegistry::add_all(&store, &self.secondaries)?;
        }
        match self.log.id() {
            None => self.begin_epoch(&store, lineage, &partitions)?,
            Some(_) => self.save_claims(&store)?,
        }
        let recovered = Recovered {
            id,
            machine_went_down,
            lineage,
            added_tables: self.table_filter.added_tables(&store)?,
            partitions,
            left: IntentStore::load_left(&store)?,
            rejections: RejectionStore::load(&store, &self.secondaries)?,
            store,
        };
        recovered.store.sync()?;
        recovered.store.record_commits();
        Ok(recovered)
    }

    /// Records the epoch of this opening. What is in a log that was restored to an
    /// earlier state is to be read from the primary again.
    fn begin_epoch(
        &self,
        store: &Store,
        lineage: Lineage,
        partitions: &[Partition],
    ) -> Result<(), QueueError> {
        let ends: Vec<Position> = partitions.iter().map(|it| it.end().position).collect();
        let mut batch = WriteBatch::new(store);
        if lineage == Lineage::Restored {
            OperationLog::set_refresh_horizons(&mut batch, &self.secondaries, &ends);
        }
        self.log_ids.load(store, &self.secondaries)?;
        self.epochs.load_and_begin(&mut batch, ends)?;
        batch.commit()
    }

    /// Has a store that is opened again know what the secondaries and the primary
    /// keep of this log; it may have replaced a corrupt one.
    fn save_claims(&self, store: &Store) -> Result<(), QueueError> {
        let mut batch = WriteBatch::new(store);
        self.log_ids.save(&mut batch);
        self.epochs.save(&mut batch);
        self.keep_known_to_primary(&mut batch);
        batch.commit()
    }

    /// Removes what belongs to secondaries that are no longer configured, and
    /// loads the partitions.
    fn load_partitions(&self, store: &Store) -> Result<Vec<Partition>, QueueError> {
        // In one batch: this is the part of a start that grows with the number
        // of secondaries.
        let mut batch = WriteBatch::new(store);
        OperationLog::remove_unconfigured(&mut batch, &self.secondaries)?;
        ResyncStore::remove_unconfigured(&mut batch, &self.secondaries)?;
        BootstrapRegistry::remove_unconfigured(&mut batch, &self.secondaries)?;
        LogIds::remove_unconfigured(&mut batch, &self.secondaries)?;
        RejectionStore::remove_unconfigured(&mut batch, &self.secondaries)?;
        let partitions = OperationLog::load(&mut batch, &self.secondaries)?;
        batch.commit()?;
        Ok(partitions)
    }

    /// The id of the log, which is generated once and stored with it. A log that
    /// replaces a corrupt one while the module runs gets the same id; true says
    /// that it is such a log.
    fn load_id(&self, store: &Store) -> Result<(String, bool), QueueError> {
        let stored = store.state.get("id")?;
        let stored = stored
            .map(|id| String::from_utf8(id.to_vec()))
            .transpose()
            .map_err(|_| QueueError::Corrupt("the log id is not text"))?;
        let id = match (self.log.id(), stored) {
            (None, Some(stored)) => return Ok((stored, false)),
            (Some(known), Some(stored)) if *known == stored => return Ok((stored, false)),
            (Some(_), Some(_)) => return Err(QueueError::Corrupt("it has the id of another log")),
            (Some(known), None) => (known.to_owned(), true),
            (None, None) => (new_id(), false),
        };
        // Together: a log without a recorded filter is older than filters were
        // recorded.
        let mut batch = WriteBatch::new(store);
        batch.insert_state("id", id.0.as_str());
        self.table_filter.record_in(&mut batch);
        batch.commit()?;
        Ok(id)
    }

    /// Publishes what was recovered. Returns what a former process left.
    fn install(&self, recovered: &Recovered) -> Left {
        let is_first = self.log.install(&recovered.id, &recovered.partitions);
        self.rejections.install(&recovered.rejections);
        match is_first {
            true => recovered.left.clone(),
            // The records are this process's own.
            false => Left::default(),
        }
    }

    fn set_aside_corrupt(&self) -> Result<(), QueueError> {
        let aside = self.set_aside("damaged", "the queue store was corrupt")?;
        tracing::error!(
            path = %aside.display(),
            "the queue store was corrupt; it was moved aside and replaced, and a resync of every \
             table is scheduled. If this happens again, check the disk"
        );
        Ok(())
    }

    /// Requests a resync of every table and moves the store aside. Until the new
    /// one is open, the state in memory stands for the store's.
    fn set_aside(&self, why: &str, reason: &str) -> Result<PathBuf, QueueError> {
        // The requests go to the new store. If the process were killed before
        // that, nothing would show what happened, so the flag has to be set.
        self.request_resync_of_everything(reason);
        self.log_row.set_dirty();
        if !self.log_row.is_dirty() {
            return Err(QueueError::Corrupt(
                "not moved aside yet: the dirty flag could not be set on the primary",
            ));
        }
        let dir = &self.config.dir;
        let aside =
            self_healing::set_aside_as(dir, why).map_err(|source| QueueError::Directory {
                dir: dir.clone(),
                source,
            })?;
        self.log.reset_to_end();
        Ok(aside)
    }

    /// Requests a resync of every table of every secondary.
    pub(super) fn request_resync_of_everything(&self, reason: &str) {
        self.request_resync_everywhere(EVERY_TABLE, reason);
    }

    /// Writes the resync requests that are in memory. Once all are durable, the
    /// dirty flag and what the recovery found are no longer needed. True if
    /// nothing is left to do.
    pub(super) fn persist_resync_requests(&self) -> bool {
        if !self.resyncs.flush() {
            return false;
        }
        let is_unresolved = self.has_unresolved_recovery.load(Ordering::Acquire);
        if !is_unresolved && !self.log_row.may_be_dirty() {
            return true;
        }
        if self.store.with(Store::sync).is_err() {
            return false;
        }
        let resolved = !is_unresolved || self.record_recovery().is_ok();
        if resolved {
            self.has_unresolved_recovery.store(false, Ordering::Release);
        }
        self.log_row.clear_dirty_if(|| self.resyncs.all_written());
        resolved && !self.log_row.may_be_dirty()
    }

    /// Records the present table filter and boot in place of those that the
    /// recovery found.
    fn record_recovery(&self) -> Result<(), QueueError> {
        self.store.with(|store| {
            self.table_filter.record(store)?;
            boot_record::record(store, self.config.fsync)
        })
    }
}
