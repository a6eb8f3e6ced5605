//! Tombstones: what was deleted through the module, remembered for as long as a
//! secondary may still hold a copy.
//!
//! A delete changes the primary only; the secondary keeps its rows as an
//! archive. With `deleted_reads: hide` a merged read leaves out the rows that a
//! tombstone covers:
//!
//! - a *key* tombstone covers one row;
//! - a [`Scope`] covers all rows of a table whose columns have given values: a
//!   project, the symbols of a file, the chunks of a document.
//!
//! Writing a key again clears its tombstone. Inside a scope it records that this
//! key alone is alive; a later delete of the scope covers it again. To order the
//! two, every mark of a scope gets a sequence number, and the key keeps the
//! highest one that there was when it was written again.
//!
//! A delete whose outcome is unknown may still run after such a write. Until it
//! cannot run any more, its tombstones are not cleared. One that then stays
//! although the row was written again has no effect while the primary has the
//! row.
//!
//! Tombstones live in a database of their own and survive a restart and a
//! killed process. Scopes are few and are kept in memory as well; keys are
//! looked up on disk, and only if there are any. While the database cannot be
//! used, tombstones are kept in memory, and written once it can be.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`scope`] | [`Scope`], and all scopes in memory |
//! | [`undecided`] | deletes that may still run on the primary |
//! | [`store`] | the entries, on disk or waiting in memory |
//! | [`files`] | the database |

mod error;
mod files;
mod scope;
mod store;
mod undecided;

pub use error::TombstoneError;
pub use scope::Scope;

use crate::{dedup::Key, metrics::TombstoneMetrics, self_healing::Fault};
use files::Files;
use parking_lot::RwLock;
use plugin_api::value::Object;
use scope::Scopes;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};
use store::Store;
use undecided::Undecided;

/// First byte of an entry: what it is about.
const KEY: u8 = b'k';
const SCOPE: u8 = b's';
const UNDECIDED: u8 = b'u';

/// First byte of a key's value: deleted, followed by the delete's number; or
/// written again after a scope was marked, followed by the last sequence number.
const DELETED: u8 = 0;
const ALIVE: u8 = 1;

/// Longer keys are stored as their digest: the database takes 64 KiB at most.
const MAX_PLAIN_BYTES: usize = 1024;

/// What is written under an entry; none removes it.
type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The durable set of tombstones. All methods may be called from any thread.
///
/// # Order of calls
///
/// A delete is marked before it runs on the primary; a write is cleared after it
/// ran on the primary. Both hold the key's lock. A reader reads the primary
/// before it asks here, so it never takes a row that was just written again for
/// a deleted one, nor the other way round.
pub struct Tombstones {
    store: Store,
    scopes: RwLock<Scopes>,
    /// False if there is no entry for any key.
    any_keys: AtomicBool,
    marks: AtomicU64,
    undecided: Undecided,
}

/// What [`Tombstones::mark`] has replaced: the argument of
/// [`Tombstones::rollback`].
#[derive(Debug, Default)]
pub struct TombstoneUndo {
    number: u64,
    entries: Changes,
    scopes: Vec<(Scope, Option<u64>)>,
    sequence: u64,
}

impl Tombstones {
    /// The tombstones kept in `database`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn open(database: &fjall::Database) -> Result<Self, TombstoneError> {
        let files = Files::of(database.clone())?;
        let tombstones = Self::of(Store::unopened(None, false), Duration::ZERO);
        let install = |found| tombstones.install(found);
        tombstones.store.open(files, install)?;
        Ok(tombstones)
    }

    /// The tombstones kept in the directory `dir`; a corrupt database is moved
    /// aside and replaced by a new one. While it cannot be used they are in
    /// memory, until [`Tombstones::recover`] has opened it. With `sync_always`
    /// each mark is synced to the disk. A request to the primary lives for
    /// `request_lifetime` at most after its caller has given up.
    ///
    /// # Errors
    /// [`TombstoneError::Locked`].
    pub fn open_in(
        dir: &Path,
        sync_always: bool,
        request_lifetime: Duration,
    ) -> Result<Self, TombstoneError> {
        let store = Store::unopened(Some(dir), sync_always);
        let tombstones = Self::of(store, request_lifetime);
        match tombstones.recover() {
            Err(TombstoneError::Storage(fjall::Error::Locked)) => {
                Err(TombstoneError::Locked(dir.to_owned()))
            }
            Ok(()) => Ok(tombstones),
            // The status reports it, and it is retried. Until it succeeds, any
            // key may have been deleted.
            Err(_) => {
                tombstones.any_keys.store(true, Ordering::Release);
                Ok(tombstones)
            }
        }
    }

    fn of(store: Store, request_lifetime: Duration) -> Self {
        Self {
            undecided: Undecided::new(request_lifetime),
            store,
            scopes: RwLock::default(),
            any_keys: AtomicBool::new(false),
            marks: AtomicU64::new(0),
        }
    }

    /// Waits until [`Tombstones::recover`] or [`Tombstones::sync`] has something
    /// to do.
    pub async fn upkeep_due(&self) {
        self.store.upkeep_due().await;
    }

    /// Opens the database if it is not open, and writes what could not be
    /// written. Blocks; to be called after [`Tombstones::upkeep_due`], and again
    /// until it succeeds.
    ///
    /// # Errors
    /// Why it cannot be used now.
    pub fn recover(&self) -> Result<(), TombstoneError> {
        let scopes = || {
            let known = self.scopes.read();
            let entries = known
                .all()
                .map(|(scope, sequence)| scope_entry(scope, sequence));
            entries.map(|(entry, value)| (entry, Some(value))).collect()
        };
        self.store.recover(scopes, |found| self.install(found))
    }

    /// Syncs what was marked to the disk, if there is anything new.
    ///
    /// # Errors
    /// The disk's.
    pub fn sync(&self) -> Result<(), TombstoneError> {
        self.store.sync()
    }

    /// Why they cannot be stored; none if they can.
    pub fn fault(&self) -> Option<Fault> {
        self.store.fault()
    }

    /// Closes the database: what is marked from now on is not stored.
    pub fn close(&self) {
        let closed = self.recover().and_then(|()| self.sync());
        if let Err(error) = closed {
            tracing::warn!(
                %error,
                "some tombstones were not persisted; deleted rows may reappear in merged reads \
                 after a restart"
            );
        }
        self.store.close();
    }

    /// Adds what the database holds to what is known in memory.
    fn install(&self, found: files::Found) {
        let mut known = self.scopes.write();
        for (scope, sequence) in found.scopes {
            // What is known already is newer.
            if known
                .sequence_of(&scope)
                .is_none_or(|known| known < sequence)
            {
                known.insert(scope, sequence);
            }
        }
        self.undecided.adopt(found.undecided);
        let any_keys = found.any_keys || self.store.any_unwritten();
        self.any_keys.store(any_keys, Ordering::Release);
    }

    /// Marks rows and scopes as deleted, all or none; a scope also covers the
    /// rows that were written again before. Returns what undoes it. The delete
    /// then ends with [`Tombstones::decided`], [`Tombstones::rollback`] or
    /// [`Tombstones::unsettle`].
    ///
    /// # Errors
    /// The marks cannot be stored now; they are kept in memory.
    pub fn mark(&self, keys: &[Key], scopes: &[Scope]) -> Result<TombstoneUndo, TombstoneError> {
        let mut known = self.scopes.write();
        let sequence = known.last_sequence() + 1;
        let scopes_sequence = (!scopes.is_empty()).then_some(sequence);
        let mut changes = Changes::new();
        let mut undo = TombstoneUndo {
            number: self.undecided.begin(scopes_sequence, &mut changes),
            sequence,
            ..TombstoneUndo::default()
        };
        let mut deleted = vec![DELETED];
        deleted.extend(undo.number.to_be_bytes());
        for key in keys {
            let entry = entry(KEY, key);
            // One that cannot be read is not rolled back: it stays deleted.
            if let Ok(previous) = self.store.read(&entry) {
                undo.entries.insert(entry.clone(), previous);
            }
            changes.insert(entry, Some(deleted.clone()));
        }
        for scope in scopes {
            undo.scopes.push((scope.clone(), known.sequence_of(scope)));
            let (entry, value) = scope_entry(scope, undo.sequence);
            changes.insert(entry, Some(value));
            known.insert(scope.clone(), undo.sequence);
        }
        if !keys.is_empty() {
            self.any_keys.store(true, Ordering::Release);
        }
        self.marks.fetch_add(1, Ordering::Release);
        let number = undo.number;
        let written = self.store.write(changes);
        // Readers do not wait for the disk.
        drop(known);
        let marked = written.and_then(|()| self.store.make_durable());
        if marked.is_err() {
            // Nobody will end it.
            let mut changes = Changes::new();
            self.undecided.end(number, &mut changes);
            self.store.write_later(changes);
        }
        marked.map(|()| undo)
    }

    /// Marks what a delete has taken that has run.
    #[cfg(test)]
    #[allow(clippy::unwrap_used, reason = "a failed test panics")]
    pub(crate) fn delete(&self, keys: &[Key], scopes: &[Scope]) {
        self.decided(&self.mark(keys, scopes).unwrap());
    }

    /// Ends a delete that has run, or whose rows are certainly not there.
    pub fn decided(&self, undo: &TombstoneUndo) {
        let mut changes = Changes::new();
        self.undecided.end(undo.number, &mut changes);
        // A process that is killed before leaves the delete undecided, no more.
        self.store.write_later(changes);
    }

    /// Ends a delete that may have run, or may yet: its tombstones stay, also
    /// where a row is written again, until it cannot run any more.
    ///
    /// # Errors
    /// The change cannot be stored now; it is kept in memory.
    pub fn unsettle(&self, undo: &TombstoneUndo) -> Result<(), TombstoneError> {
        self.write_if_any(self.undecided.unsettle(undo.number))
    }

    /// Forgets the deletes that cannot run any more, now that the primary has
    /// answered for that much longer; none if it does not answer. `oldest_write`
    /// is as in [`Unsettled::due`](crate::unsettled::Unsettled::due).
    pub fn settle(&self, answered: Option<Duration>, oldest_write: Option<Duration>) {
        let settled = self.write_if_any(self.undecided.settle(answered, oldest_write));
        if let Err(error) = settled {
            tracing::debug!(%error, "the record of a settled delete could not be removed");
        }
    }

    /// How many deletes have an unknown outcome.
    pub fn unsettled(&self) -> usize {
        self.undecided.unsettled()
    }

    /// Completes once a delete has an unknown outcome.
    pub async fn anything_unsettled(&self) {
        self.undecided.anything_unsettled().await;
    }

    fn write_if_any(&self, changes: Changes) -> Result<(), TombstoneError> {
        match changes.is_empty() {
            true => Ok(()),
            false => {
                self.store.write(changes)?;
                self.store.make_durable()
            }
        }
    }

    /// Undoes a mark whose delete did not happen. The keys' locks are still
    /// held; a scope that was marked again meanwhile stays marked.
    ///
    /// # Errors
    /// The change cannot be stored now; it is kept in memory.
    pub fn rollback(&self, undo: TombstoneUndo) -> Result<(), TombstoneError> {
        let mut known = self.scopes.write();
        let mut changes = undo.entries;
        self.undecided.end(undo.number, &mut changes);
        for (scope, previous) in undo.scopes {
            if known.sequence_of(&scope) != Some(undo.sequence) {
                continue;
            }
            let entry = entry(SCOPE, scope.key());
            let value = previous.map(|sequence| scope_entry(&scope, sequence).1);
            changes.insert(entry, value);
            match previous {
                Some(sequence) => known.insert(scope, sequence),
                None => known.remove(&scope),
            }
        }
        self.store.write(changes)?;
        drop(known);
        self.store.make_durable()
    }

    /// What is measured of them.
    pub fn metrics(&self) -> TombstoneMetrics {
        TombstoneMetrics {
            stored: self.store.approximate_len() as u64,
            marks: self.marks(),
            fsync_seconds: self.store.fsync_seconds().clone(),
        }
    }

    /// How many deletes were marked since this was opened. If it is the same
    /// before and after, no row was deleted and written again in between.
    pub fn marks(&self) -> u64 {
        self.marks.load(Ordering::Acquire)
    }

    /// Clears the tombstones of a row that was written again: `key` with these
    /// columns of `table` is no longer hidden by earlier deletes.
    ///
    /// # Errors
    /// The change cannot be stored now; it is kept in memory.
    pub fn clear(&self, key: &Key, table: &str, columns: &Object) -> Result<(), TombstoneError> {
        let known = self.scopes.read();
        let is_covered = known.covering(table, columns).next().is_some();
        if !is_covered && !self.any_keys.load(Ordering::Acquire) {
            return Ok(());
        }
        let entry = entry(KEY, key);
        let stored = self.store.read(&entry);
        let number = stored.as_ref().ok().and_then(Option::as_deref);
        let number = number.and_then(number_of_delete);
        if self
            .undecided
            .may_run(number, known.covering(table, columns))
        {
            return Ok(());
        }
        let value = if is_covered {
            let mut value = vec![ALIVE];
            value.extend(known.last_sequence().to_be_bytes());
            self.any_keys.store(true, Ordering::Release);
            Some(value)
        } else {
            if let Ok(None) = stored {
                return Ok(());
            }
            None
        };
        self.store.write(Changes::from([(entry, value)]))?;
        drop(known);
        self.store.make_durable()
    }

    /// Is a secondary's row hidden: the row `key` of `table` with these columns?
    ///
    /// If the tombstones cannot be read the row counts as hidden: the primary
    /// does not have it, and what was deleted must not come back.
    pub fn hides(&self, table: &str, key: &Key, columns: &Object) -> bool {
        let covering = self.scopes.read().covering(table, columns).max();
        if !self.any_keys.load(Ordering::Acquire) {
            return covering.is_some();
        }
        match self.store.read(&entry(KEY, key)) {
            Ok(Some(value)) => match value.split_first() {
                Some((&ALIVE, since)) => {
                    let since = since.try_into().map_or(0, u64::from_be_bytes);
                    covering.is_some_and(|covering| covering > since)
                }
                _ => true,
            },
            Ok(None) => covering.is_some(),
            Err(error) => {
                // The store logs it once, where it recovers.
                tracing::debug!(%error, %key, "tombstones cannot be read; the row is left out");
                true
            }
        }
    }

    /// True if nothing was ever deleted: no row can be hidden.
    pub fn is_empty(&self) -> bool {
        !self.any_keys.load(Ordering::Acquire) && self.scopes.read().is_empty()
    }
}

/// The number of the delete that left this value; none in one of an older version.
fn number_of_delete(value: &[u8]) -> Option<u64> {
    match value.split_first() {
        Some((&DELETED, number)) => Some(u64::from_be_bytes(number.try_into().ok()?)),
        _ => None,
    }
}

/// How a scope is stored, with the sequence number of its last mark.
fn scope_entry(scope: &Scope, sequence: u64) -> (Vec<u8>, Vec<u8>) {
    let mut value = sequence.to_be_bytes().to_vec();
    value.extend_from_slice(scope.key().as_bytes());
    (entry(SCOPE, scope.key()), value)
}

/// The bytes under which an entry is stored.
fn entry(about: u8, key: &Key) -> Vec<u8> {
    let bytes = key.as_bytes();
    let mut entry = vec![about];
    if bytes.len() <= MAX_PLAIN_BYTES {
        entry.extend_from_slice(bytes);
    } else {
        // No key is this short and starts like this: a table's name has less
        // than 2^32 - 1 bytes.
        entry.extend([0xff; 4]);
        entry.extend(Sha256::digest(bytes));
    }
    entry
}

#[cfg(test)]
mod tests;
