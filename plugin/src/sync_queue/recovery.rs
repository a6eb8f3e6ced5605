//! Opening the files of the log: at the start, and again whenever they have
//! failed.
//!
//! | what is found | what follows |
//! | --- | --- |
//! | no room, no permission, a file in the way | the log is unavailable; it is tried again |
//! | another process has it open | an error at the start: two hosts, one `queue_dir` |
//! | damage, or less than it must have | set aside; a new one, and every table is marked |
//! | the machine went down while it was open | every table is marked, unless all was on the disk |
//! | it was not told of a table's writes | the table is marked |

use super::{
    EVERY_TABLE, Fsync, Intent, PARTITIONS, QueueError, SyncQueue, boot_id,
    partition::{self, Partition},
    store::Store,
    table_filter,
};
use crate::self_healing;
use std::{collections::BTreeSet, sync::atomic::Ordering};

/// Under it lies the boot of the machine in which the log was opened, if what
/// it took may not be on the disk; gone once it was closed in order.
pub(super) const DIRTY_BOOT_ID: &str = "open_since";

/// An open log, and what is to be taken over from it.
struct Opened {
    store: Store,
    id: String,
    partitions: Vec<Partition>,
    intents: Vec<Intent>,
    any_refused: bool,
    machine_went_down: bool,
    added_tables: BTreeSet<String>,
}

impl SyncQueue {
    /// Opens the log if it is not open, and keeps it in order. Blocks; call it
    /// again and again.
    ///
    /// # Errors
    /// Why it cannot be opened now.
    pub fn recover(&self) -> Result<(), QueueError> {
        let mut intents = Vec::new();
        let opened = self.files.recover(
            |damaged| self.open_files(damaged),
            |opened| {
                intents = self.install(&opened);
                opened.store
            },
        );
        if let Err(error) = &opened {
            self.flag_what_it_is_not_told(error);
        }
        if opened? {
            tracing::info!(dir = %self.config.dir.display(), "the log is open");
            self.finish_intents(&intents);
            self.wake();
        }
        self.settle_marks();
        self.sweep()
    }

    /// A log that was not open yet may not know that it hears of fewer tables
    /// than before: what it misses of the others is compared.
    fn flag_what_it_is_not_told(&self, error: &QueueError) {
        let of_another = matches!(error, QueueError::Storage(fjall::Error::Locked));
        if self.config.tables.is_some() && self.id.get().is_none() && !of_another {
            self.dirty_flag.set();
        }
    }

    /// Opens the files; damaged ones are set aside and new ones begun.
    fn open_files(&self, damaged: bool) -> Result<Opened, QueueError> {
        let opened =
            self_healing::open_or_set_aside(damaged, || self.set_aside(), || self.attempt())?;
        let traces = opened.machine_went_down || !opened.added_tables.is_empty();
        self.has_unresolved_recovery
            .store(traces, Ordering::Release);
        for table in &opened.added_tables {
            self.request_resync_everywhere(table, "it was not replicated before");
        }
        if opened.machine_went_down {
            self.mark_everything("the machine went down while the log was open");
        }
        Ok(opened)
    }

    fn attempt(&self) -> Result<Opened, QueueError> {
        let store = Store::open(&self.config.dir)?;
        let (id, replaced) = self.id_of(&store)?;
        let machine_went_down = was_open_in_another_boot(&store)?;
        if !machine_went_down {
            self.note_boot(&store)?;
        }
        let found = partition::load(&store, &self.secondaries)?;
        let partitions = self.seen_from_now(found, replaced);
        if replaced {
            partition::save(&store, &self.secondaries, &partitions)?;
            self.set_all_fed(&store)?;
        }
        let opened = Opened {
            id,
            machine_went_down,
            added_tables: table_filter::added(&store, &self.config.tables)?,
            partitions,
            intents: super::intents::open_intents(&store)?,
            any_refused: !store.refused.is_empty()?,
            store,
        };
        opened.store.sync()?;
        opened.store.note_reached();
        Ok(opened)
    }

    /// What was found, where the log was open before in this process: whether
    /// it is the same or another `replaced` it, its positions go on.
    fn seen_from_now(&self, found: Vec<Partition>, replaced: bool) -> Vec<Partition> {
        if self.id.get().is_none() {
            return found;
        }
        let pairs = found.into_iter().zip(&self.partitions);
        pairs
            .map(|(found, before)| found.after(&before.lock(), replaced))
            .collect()
    }

    /// The id of the log: made once, kept with it. A log that replaces a
    /// damaged one while the module works goes by the same name; true says so.
    fn id_of(&self, store: &Store) -> Result<(String, bool), QueueError> {
        let stored = store.state.get("id")?;
        let stored = stored
            .map(|id| String::from_utf8(id.to_vec()))
            .transpose()
            .map_err(|_| QueueError::Damaged("its id is no text"))?;
        let id = match (self.id.get(), stored) {
            (None, Some(stored)) => return Ok((stored, false)),
            (Some(known), Some(stored)) if *known == stored => return Ok((stored, false)),
            (Some(_), Some(_)) => return Err(QueueError::Damaged("it is not this log")),
            (Some(known), None) => (known.clone(), true),
            (None, None) => (new_id(), false),
        };
        // Together: a log without a selection is one that was made before there
        // were any.
        let mut batch = store.database.batch();
        batch.insert(&store.state, "id", id.0.as_str());
        table_filter::begin(store, &mut batch, &self.config.tables);
        batch.commit()?;
        Ok(id)
    }

    /// Has the log say what it is now: the marks for what it was are on the
    /// disk.
    pub(super) fn note_opening(&self) -> Result<(), QueueError> {
        self.with_store(|store| {
            table_filter::note(store, &self.config.tables)?;
            self.note_boot(store)
        })
    }

    /// Notes in which boot the log is open, if the machine going down may cost
    /// something.
    fn note_boot(&self, store: &Store) -> Result<(), QueueError> {
        match self.config.fsync {
            Fsync::Always => store.state.remove(DIRTY_BOOT_ID)?,
            Fsync::None | Fsync::Interval(_) => store
                .state
                .insert(DIRTY_BOOT_ID, boot_id::current().unwrap_or_default())?,
        }
        Ok(())
    }

    /// Makes what was opened the log's state. Gives the intents that a former
    /// process left.
    fn install(&self, opened: &Opened) -> Vec<Intent> {
        // Opened before: the intents belong to writes that are under way.
        let again = self.id.set(opened.id.clone()).is_err();
        let mut held = 0;
        for (ours, found) in self.partitions.iter().zip(&opened.partitions) {
            let mut ours = ours.lock();
            let tail = ours.tail().position;
            ours.clone_from(found);
            ours.raise_tail(tail);
            held += ours.held_bytes();
        }
        self.held.store(held, Ordering::Relaxed);
        self.rejected_somewhere
            .store(opened.any_refused, Ordering::Release);
        if again {
            return Vec::new();
        }
        self.next_intent_after(&opened.intents);
        opened.intents.clone()
    }

    /// Marks every table and renames the damaged files. What is in memory
    /// stands for what was in the files until then.
    fn set_aside(&self) -> Result<(), QueueError> {
        // The marks come into the new log. A process that is killed before that
        // leaves no damage to be found, so the flag has to be up.
        self.mark_everything("the log was damaged");
        self.dirty_flag.set();
        if !self.dirty_flag.is_up() {
            return Err(QueueError::Damaged(
                "it stays where it is until the primary can note that",
            ));
        }
        let dir = &self.config.dir;
        let aside = self_healing::set_aside(dir).map_err(|source| QueueError::Directory {
            dir: dir.clone(),
            source,
        })?;
        tracing::error!(
            set_aside = %aside.display(),
            "the log was damaged; it was set aside, a new one begun, and every table will be \
             compared with the primary again"
        );
        for partition in &self.partitions {
            partition.lock().reset_to_tail();
        }
        Ok(())
    }

    /// Marks every table of every secondary.
    pub(super) fn mark_everything(&self, reason: &str) {
        self.request_resync_everywhere(EVERY_TABLE, reason);
    }

    /// Ends what a killed process had begun.
    fn finish_intents(&self, intents: &[Intent]) {
        const REASON: &str = "a write was under way when the process ended";
        for intent in intents {
            if let Err(error) = self.schedule_refresh(intent, REASON) {
                // The intent stays for the next start; what it names does not
                // wait that long.
                tracing::warn!(%error, "a former write cannot be looked at; its table is marked");
                self.request_resync_everywhere(intent.table(), REASON);
            }
        }
    }
}

/// Did the machine go down while the log was open? Then what had not reached
/// the disk is gone.
fn was_open_in_another_boot(store: &Store) -> Result<bool, QueueError> {
    let boot = boot_id::current();
    Ok(store
        .state
        .get(DIRTY_BOOT_ID)?
        .is_some_and(|former| boot.is_none_or(|now| *former != *now.as_bytes())))
}

fn new_id() -> String {
    std::iter::repeat_with(fastrand::alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .take(20)
        .collect()
}

/// The partitions of a log that is not open yet.
pub(super) fn no_partitions() -> Vec<parking_lot::Mutex<Partition>> {
    (0..PARTITIONS)
        .map(|_| parking_lot::Mutex::default())
        .collect()
}
