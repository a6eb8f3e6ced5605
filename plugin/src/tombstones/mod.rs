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
//! Tombstones live in a database of their own and survive a restart and a
//! killed process. Scopes are few and are kept in memory as well; keys are
//! looked up on disk, and only if there are any. While the database cannot be
//! used, tombstones are kept in memory, and written once it can be.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`scope`] | [`Scope`], and all scopes in memory |
//! | [`store`] | the entries, on disk or waiting in memory |
//! | [`files`] | the database |

mod error;
mod files;
mod scope;
mod store;

pub use error::TombstoneError;
pub use scope::Scope;

use crate::{dedup::Key, self_healing::Fault};
use files::Files;
use parking_lot::RwLock;
use plugin_api::value::Object;
use scope::Scopes;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};
use store::Store;

/// First byte of an entry: what it is about.
const KEY: u8 = b'k';
const SCOPE: u8 = b's';

/// First byte of a key's value: deleted, or written again after a scope was
/// marked.
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
}

/// What [`Tombstones::mark`] has replaced: the argument of
/// [`Tombstones::rollback`].
#[derive(Debug, Default)]
pub struct TombstoneUndo {
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
        let tombstones = Self::of(Store::unopened(None, false));
        let install = |found| tombstones.install(found);
        tombstones.store.open(files, install)?;
        Ok(tombstones)
    }

    /// The tombstones kept in the directory `dir`; a corrupt database is moved
    /// aside and replaced by a new one. While it cannot be used they are in
    /// memory, until [`Tombstones::recover`] has opened it. With `sync_always`
    /// each mark is synced to the disk.
    ///
    /// # Errors
    /// [`TombstoneError::Locked`].
    pub fn open_in(dir: &Path, sync_always: bool) -> Result<Self, TombstoneError> {
        let tombstones = Self::of(Store::unopened(Some(dir), sync_always));
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

    fn of(store: Store) -> Self {
        Self {
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
        let any_keys = found.any_keys || self.store.any_unwritten();
        self.any_keys.store(any_keys, Ordering::Release);
    }

    /// Marks rows and scopes as deleted, all or none; a scope also covers the
    /// rows that were written again before. Returns what undoes it.
    ///
    /// # Errors
    /// The marks cannot be stored now; they are kept in memory.
    pub fn mark(&self, keys: &[Key], scopes: &[Scope]) -> Result<TombstoneUndo, TombstoneError> {
        let mut known = self.scopes.write();
        let mut undo = TombstoneUndo {
            sequence: known.last_sequence() + 1,
            ..TombstoneUndo::default()
        };
        let mut changes = Changes::new();
        for key in keys {
            let entry = entry(KEY, key);
            // One that cannot be read is not rolled back: it stays deleted.
            if let Ok(previous) = self.store.read(&entry) {
                undo.entries.insert(entry.clone(), previous);
            }
            changes.insert(entry, Some(vec![DELETED]));
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
        self.store.write(changes).map(|()| undo)
    }

    /// Undoes a mark whose delete did not happen. The keys' locks are still
    /// held; a scope that was marked again meanwhile stays marked.
    ///
    /// # Errors
    /// The change cannot be stored now; it is kept in memory.
    pub fn rollback(&self, undo: TombstoneUndo) -> Result<(), TombstoneError> {
        let mut known = self.scopes.write();
        let mut changes = undo.entries;
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
        self.store.write(changes)
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
        let is_covered = known.newest_covering(table, columns).is_some();
        let entry = entry(KEY, key);
        if is_covered {
            let mut value = vec![ALIVE];
            value.extend(known.last_sequence().to_be_bytes());
            self.any_keys.store(true, Ordering::Release);
            return self.store.write(Changes::from([(entry, Some(value))]));
        }
        if !self.any_keys.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.store.read(&entry) {
            Ok(None) => Ok(()),
            Ok(Some(_)) | Err(_) => self.store.write(Changes::from([(entry, None)])),
        }
    }

    /// Is a secondary's row hidden: the row `key` of `table` with these columns?
    ///
    /// If the tombstones cannot be read the row counts as hidden: the primary
    /// does not have it, and what was deleted must not come back.
    pub fn hides(&self, table: &str, key: &Key, columns: &Object) -> bool {
        let covering = self.scopes.read().newest_covering(table, columns);
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
