//! Opening the store: at the start, and again whenever it has failed.
//!
//! | finding | consequence |
//! | --- | --- |
//! | disk full, no permission, a file in the way | the store is unavailable and is retried |
//! | another process has it open | an error at the start: two hosts, one `queue_dir` |
//! | corrupt, or fewer commits than its marker records | moved aside; a new store, and a resync of every table |
//! | the machine went down while it was open | a resync of every table, unless `queue_fsync` is `always` |
//! | a table is new in the filter | a resync of that table |

use super::{
    EVERY_TABLE, Intent, QueueError, SyncQueue, boot_record,
    bootstrap::BootstrapRegistry,
    intents::IntentStore,
    log::{OperationLog, Partition},
    rejections::RejectionStore,
    resyncs::ResyncStore,
    store::{Store, WriteBatch},
};
use crate::self_healing;
use std::{collections::BTreeSet, sync::atomic::Ordering};

/// An opened store, and what was recovered from it.
struct Recovered {
    store: Store,
    id: String,
    partitions: Vec<Partition>,
    intents: Vec<Intent>,
    has_rejections: bool,
    machine_went_down: bool,
    added_tables: BTreeSet<String>,
}

impl SyncQueue {
    /// Opens the store if it is not open, writes the resync requests that are in
    /// memory, and removes a part of the entries that are no longer needed. True
    /// if nothing is left to do; otherwise it is to be called again. Blocks.
    ///
    /// # Errors
    /// Why the store cannot be opened now.
    pub fn recover(&self) -> Result<bool, QueueError> {
        let mut intents = Vec::new();
        let opened = self.store.recover(
            |corrupt| self.open_store(corrupt),
            |recovered| {
                intents = self.install(&recovered);
                recovered.store
            },
        );
        if let Err(error) = &opened {
            self.flag_possible_filter_change(error);
        }
        if opened? {
            tracing::info!(dir = %self.config.dir.display(), "the queue store is open");
            self.resolve_intents(&intents);
            self.wakeups.reopened();
        }
        let persisted = self.persist_resync_requests();
        Ok(self.log.truncate()? && persisted)
    }

    /// A store that was never open in this process may not have recorded that
    /// tables were removed from the filter. It misses their writes from now on,
    /// so the dirty flag has to be set.
    fn flag_possible_filter_change(&self, error: &QueueError) {
        let is_locked = matches!(error, QueueError::Storage(fjall::Error::Locked));
        if self.table_filter.is_restricted() && self.log.id().is_none() && !is_locked {
            self.dirty_flag.set();
        }
    }

    /// Opens the store; a corrupt one is moved aside and replaced.
    fn open_store(&self, corrupt: bool) -> Result<Recovered, QueueError> {
        let recovered =
            self_healing::open_or_set_aside(corrupt, || self.set_aside(), || self.try_open())?;
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
        let store = Store::open(&self.config.dir)?;
        let (id, replaced) = self.load_id(&store)?;
        let machine_went_down = boot_record::is_of_another_boot(&store)?;
        if !machine_went_down {
            boot_record::record(&store, self.config.fsync)?;
        }
        let recovered = self.load_partitions(&store)?;
        let partitions = self.log.continued(recovered, replaced);
        if replaced {
            OperationLog::save(&store, &self.secondaries, &partitions)?;
            BootstrapRegistry::add_all(&store, &self.secondaries)?;
        }
        let recovered = Recovered {
            id,
            machine_went_down,
            added_tables: self.table_filter.added_tables(&store)?,
            partitions,
            intents: IntentStore::load(&store)?,
            has_rejections: !RejectionStore::is_empty(&store)?,
            store,
        };
        recovered.store.sync()?;
        recovered.store.record_commits();
        Ok(recovered)
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

    /// Publishes what was recovered. Returns the intents that a former process
    /// left.
    fn install(&self, recovered: &Recovered) -> Vec<Intent> {
        let is_first = self.log.install(&recovered.id, &recovered.partitions);
        self.rejections.install(recovered.has_rejections);
        if !is_first {
            // The intents belong to this process's writes in progress.
            return Vec::new();
        }
        self.intents.continue_after(&recovered.intents);
        recovered.intents.clone()
    }

    /// Requests a resync of every table and moves the corrupt store aside. Until
    /// the new one is open, the state in memory stands for the store's.
    fn set_aside(&self) -> Result<(), QueueError> {
        // The requests go to the new store. If the process were killed before
        // that, nothing would show the corruption, so the flag has to be set.
        self.request_resync_of_everything("the queue store was corrupt");
        self.dirty_flag.set();
        if !self.dirty_flag.is_set() {
            return Err(QueueError::Corrupt(
                "not moved aside yet: the dirty flag could not be set on the primary",
            ));
        }
        let dir = &self.config.dir;
        let aside = self_healing::set_aside(dir).map_err(|source| QueueError::Directory {
            dir: dir.clone(),
            source,
        })?;
        tracing::error!(
            set_aside = %aside.display(),
            "the queue store was corrupt; it was moved aside and replaced, and a resync of every \
             table is scheduled. If this happens again, check the disk"
        );
        self.log.reset_to_end();
        Ok(())
    }

    /// Requests a resync of every table of every secondary.
    pub(super) fn request_resync_of_everything(&self, reason: &str) {
        self.request_resync_everywhere(EVERY_TABLE, reason);
    }

    /// Resolves the writes that were in progress when a former process ended.
    fn resolve_intents(&self, intents: &[Intent]) {
        const REASON: &str = "the process ended while a write was in progress";
        for intent in intents {
            if let Err(error) = self.schedule_refresh(intent, REASON) {
                // The intent stays for the next start; the table does not wait
                // that long.
                tracing::warn!(
                    %error, table = %intent.table(),
                    "the refresh of an interrupted write could not be queued; scheduling a resync \
                     of its table"
                );
                self.request_resync_everywhere(intent.table(), REASON);
            }
        }
    }

    /// Writes the resync requests that are in memory. Once all are durable, the
    /// dirty flag and what the recovery found are no longer needed. True if
    /// nothing is left to do.
    pub(super) fn persist_resync_requests(&self) -> bool {
        let mut done = false;
        self.resyncs.flush(|| {
            let is_unresolved = self.has_unresolved_recovery.load(Ordering::Acquire);
            if !is_unresolved && !self.dirty_flag.may_be_set() {
                done = true;
                return;
            }
            if self.store.with(Store::sync).is_err() {
                return;
            }
            let resolved = !is_unresolved || self.record_recovery().is_ok();
            if resolved {
                self.has_unresolved_recovery.store(false, Ordering::Release);
            }
            self.dirty_flag.clear();
            done = resolved && !self.dirty_flag.may_be_set();
        });
        done
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

fn new_id() -> String {
    std::iter::repeat_with(fastrand::alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .take(20)
        .collect()
}
