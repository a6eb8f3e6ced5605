//! What was deleted through the module, remembered for as long as a secondary
//! may still hold a copy.
//!
//! A delete touches the primary alone; the secondary keeps its rows as an
//! archive. With `deleted_reads: hide` a merged read leaves out the rows that a
//! tombstone covers:
//!
//! - a *key* tombstone covers one row;
//! - a [`Scope`] covers all rows of a table whose columns have given values: a
//!   project, the symbols of a file, the chunks of a document.
//!
//! Writing a key again clears its tombstone. Inside a scope it records that this
//! key alone is alive; a later delete of the scope covers it again. To tell
//! which came last, every scope is stamped with a counter and the key remembers
//! the count at which it was revived.
//!
//! Tombstones live in a database of their own and survive a restart and a
//! killed process. Scopes are few and are kept in memory as well; keys are
//! looked up on disk, and only if there are any. While the database cannot be
//! used, what is marked is kept in memory, and written once it can.

mod files;
mod scope;

pub use scope::Scope;

use crate::{
    dedup::Key,
    self_healing::{self, Fault, SelfHealingStore, Severity, StoreError},
};
use files::Files;
use parking_lot::{Mutex, RwLock};
use plugin_api::{error::StorageError, value::Object};
use scope::Scopes;
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// First byte of an entry: what it is about.
const KEY: u8 = b'k';
const SCOPE: u8 = b's';

/// First byte of a key's value: deleted, or alive since a count of scopes.
const DELETED: u8 = 0;
const REVIVED: u8 = 1;

/// Longer keys are stored as their digest: the database takes 64 KiB at most.
const LONGEST_PLAIN: usize = 1024;

/// Why the tombstones cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TombstoneError {
    /// Another process has them open.
    #[error("queue_dir {} is in use by another process; stop it, or give this host its own queue_dir", .0.display())]
    Locked(PathBuf),
    /// Their directory cannot be made or opened.
    #[error("{} cannot be used: {source}", .dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The disk, or the database on it.
    #[error("the tombstones cannot be read or written: {0}; check the disk that holds queue_dir")]
    Storage(#[from] fjall::Error),
    /// Working with it panicked: a damaged file can do that.
    #[error("working with the tombstones panicked")]
    Panicked,
    /// They are not open, or not open again yet.
    #[error("the tombstones are unavailable; status says why")]
    Unavailable,
    /// They were closed.
    #[error("the tombstones are closed")]
    Closed,
}

impl StoreError for TombstoneError {
    fn severity(&self) -> Option<Severity> {
        match self {
            Self::Storage(error) => self_healing::severity(error),
            Self::Directory { .. } => Some(Severity::Environment),
            Self::Panicked => Some(Severity::Damaged),
            Self::Locked(_) | Self::Unavailable | Self::Closed => None,
        }
    }

    fn unavailable() -> Self {
        Self::Unavailable
    }

    fn closed() -> Self {
        Self::Closed
    }

    fn panicked() -> Self {
        Self::Panicked
    }
}

impl From<TombstoneError> for StorageError {
    fn from(error: TombstoneError) -> Self {
        Self::internal(error.to_string())
    }
}

/// What is written under an entry; none removes it.
type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The durable set of tombstones. All methods may be called from any thread.
///
/// # Order of calls
///
/// A delete is marked first and runs on the primary then; a write runs on the
/// primary first and is cleared then. Both under the key's lock. A reader looks
/// at the primary before it looks here, so it never takes a row that was just
/// written again for a deleted one, nor the other way round.
pub struct Tombstones {
    files: SelfHealingStore<Files>,
    /// Where they are opened; none if they were given.
    dir: Option<PathBuf>,
    sync_always: bool,
    unsynced: AtomicBool,
    scopes: RwLock<Scopes>,
    any_keys: AtomicBool,
    /// What could not be written yet. Locked for every write.
    unwritten: Mutex<Changes>,
    any_unwritten: AtomicBool,
    marks: AtomicU64,
}

/// What a mark has replaced, to take it back.
#[derive(Debug, Default)]
pub struct TombstoneUndo {
    entries: Changes,
    scopes: Vec<(Scope, Option<u64>)>,
    count: u64,
}

impl Tombstones {
    /// The tombstones kept in `database`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn open(database: &fjall::Database) -> Result<Self, TombstoneError> {
        let files = Files::of(database.clone())?;
        let tombstones = Self::unopened(None, false);
        tombstones.files.recover(
            |_| {
                tombstones.take_over(files.load()?);
                Ok::<_, TombstoneError>(files)
            },
            |files| files,
        )?;
        Ok(tombstones)
    }

    /// The tombstones kept in the directory `dir`; damaged ones are set aside
    /// and begun anew. If it cannot be used they are in memory until
    /// [`Tombstones::recover`] has opened it. With `sync_always` each mark is
    /// brought to the disk itself.
    ///
    /// # Errors
    /// [`TombstoneError::Locked`].
    pub fn open_in(dir: &Path, sync_always: bool) -> Result<Self, TombstoneError> {
        let tombstones = Self::unopened(Some(dir.to_owned()), sync_always);
        match tombstones.recover() {
            Err(TombstoneError::Storage(fjall::Error::Locked)) => {
                Err(TombstoneError::Locked(dir.to_owned()))
            }
            Ok(()) => Ok(tombstones),
            // It is told, and tried again. Until then nobody knows what was
            // deleted.
            Err(_) => {
                tombstones.any_keys.store(true, Ordering::Release);
                Ok(tombstones)
            }
        }
    }

    fn unopened(dir: Option<PathBuf>, sync_always: bool) -> Self {
        Self {
            files: SelfHealingStore::unopened(),
            dir,
            sync_always,
            unsynced: AtomicBool::new(false),
            scopes: RwLock::default(),
            any_keys: AtomicBool::new(false),
            unwritten: Mutex::default(),
            any_unwritten: AtomicBool::new(false),
            marks: AtomicU64::new(0),
        }
    }

    /// Opens the files if they are not open, and writes what could not be
    /// written. Blocks; call it again and again.
    ///
    /// # Errors
    /// Why they cannot be used now.
    pub fn recover(&self) -> Result<(), TombstoneError> {
        if let Some(dir) = &self.dir {
            self.files.recover(
                |damaged| {
                    let files = Files::open_or_set_aside(dir, damaged, || self.rewrite_scopes())?;
                    // Before others can use the files: they hold the scopes
                    // while they do.
                    self.take_over(files.load()?);
                    Ok::<_, TombstoneError>(files)
                },
                |files| files,
            )?;
        }
        match self.any_unwritten.load(Ordering::Acquire) {
            true => self.write(Changes::new()),
            false => Ok(()),
        }
    }

    /// Brings what was marked to the disk itself, if there is anything new.
    ///
    /// # Errors
    /// What the disk says.
    pub fn sync(&self) -> Result<(), TombstoneError> {
        match self.unsynced.swap(false, Ordering::Relaxed) {
            true => self.files.with(Files::sync),
            false => Ok(()),
        }
    }

    /// Why they cannot be stored; none if they can.
    pub fn fault(&self) -> Option<Fault> {
        self.files.fault()
    }

    /// Closes the files: what is marked from now on is forgotten.
    pub fn close(&self) {
        let closed = self.recover().and_then(|()| self.sync());
        if let Err(error) = closed {
            tracing::warn!(%error, "some deletes are forgotten");
        }
        self.files.close();
    }

    fn take_over(&self, found: files::Found) {
        let mut known = self.scopes.write();
        for (scope, count) in found.scopes {
            // What is known already is newer.
            if known.marked(&scope).is_none_or(|known| known < count) {
                known.insert(scope, count);
            }
        }
        let any_unwritten = self.any_unwritten.load(Ordering::Acquire);
        self.any_keys
            .store(found.any_keys || any_unwritten, Ordering::Release);
    }

    /// The scopes are known; files that are made anew shall have them too.
    fn rewrite_scopes(&self) {
        let known = self.scopes.read();
        let entries = known.all().map(|(scope, count)| scope_entry(scope, count));
        let mut unwritten = self.unwritten.lock();
        for (entry, value) in entries {
            unwritten.entry(entry).or_insert(Some(value));
        }
        self.any_unwritten
            .store(!unwritten.is_empty(), Ordering::Release);
    }

    /// Writes changes, and what could not be written before, all or none. What
    /// cannot be written counts all the same, and is written later.
    fn write(&self, changes: Changes) -> Result<(), TombstoneError> {
        let mut unwritten = self.unwritten.lock();
        unwritten.extend(changes);
        let written = self
            .files
            .with(|files| files.write(&unwritten, self.sync_always));
        if written.is_ok() {
            unwritten.clear();
            self.unsynced.store(true, Ordering::Relaxed);
        }
        self.any_unwritten
            .store(!unwritten.is_empty(), Ordering::Release);
        written
    }

    /// What is under an entry.
    fn read(&self, entry: &[u8]) -> Result<Option<Vec<u8>>, TombstoneError> {
        if self.any_unwritten.load(Ordering::Acquire)
            && let Some(value) = self.unwritten.lock().get(entry)
        {
            return Ok(value.clone());
        }
        self.files.with(|files| files.read(entry))
    }

    /// Marks rows and scopes as deleted, all or none; of a scope also the rows
    /// that were revived before. Gives what takes it back.
    ///
    /// # Errors
    /// The marks cannot be stored now; they count as long as the process lives.
    pub fn mark(&self, keys: &[Key], scopes: &[Scope]) -> Result<TombstoneUndo, TombstoneError> {
        let mut known = self.scopes.write();
        let mut marked = TombstoneUndo {
            count: known.count() + 1,
            ..TombstoneUndo::default()
        };
        let mut changes = Changes::new();
        for key in keys {
            let entry = entry(KEY, key);
            // One that cannot be read is not put back: it stays deleted.
            if let Ok(former) = self.read(&entry) {
                marked.entries.insert(entry.clone(), former);
            }
            changes.insert(entry, Some(vec![DELETED]));
        }
        for scope in scopes {
            marked.scopes.push((scope.clone(), known.marked(scope)));
            let (entry, value) = scope_entry(scope, marked.count);
            changes.insert(entry, Some(value));
            known.insert(scope.clone(), marked.count);
        }
        if !keys.is_empty() {
            self.any_keys.store(true, Ordering::Release);
        }
        self.marks.fetch_add(1, Ordering::Release);
        self.write(changes).map(|()| marked)
    }

    /// Takes a mark back: nothing was deleted after all. The keys' locks are
    /// still held; a scope that was marked again meanwhile stays marked.
    ///
    /// # Errors
    /// The change cannot be stored now; it counts as long as the process lives.
    pub fn rollback(&self, marked: TombstoneUndo) -> Result<(), TombstoneError> {
        let mut known = self.scopes.write();
        let mut changes = marked.entries;
        for (scope, former) in marked.scopes {
            if known.marked(&scope) != Some(marked.count) {
                continue;
            }
            let entry = entry(SCOPE, scope.key());
            let value = former.map(|count| scope_entry(&scope, count).1);
            changes.insert(entry, value);
            match former {
                Some(count) => known.insert(scope, count),
                None => known.remove(&scope),
            }
        }
        self.write(changes)
    }

    /// How many deletes were marked since this was opened. If it is the same
    /// before and after, no row was deleted and written again in between.
    pub fn marks(&self) -> u64 {
        self.marks.load(Ordering::Acquire)
    }

    /// Says that a row was written again: `key` with these columns of `table`
    /// is no longer hidden by what was deleted before.
    ///
    /// # Errors
    /// The change cannot be stored now; it counts as long as the process lives.
    pub fn clear(&self, key: &Key, table: &str, columns: &Object) -> Result<(), TombstoneError> {
        let known = self.scopes.read();
        let revived = known.newest_covering(table, columns).map(|_| known.count());
        let entry = entry(KEY, key);
        match revived {
            Some(count) => {
                let mut value = vec![REVIVED];
                value.extend(count.to_be_bytes());
                self.any_keys.store(true, Ordering::Release);
                self.write(Changes::from([(entry, Some(value))]))
            }
            None if self.any_keys.load(Ordering::Acquire) => match self.read(&entry) {
                Ok(None) => Ok(()),
                Ok(Some(_)) | Err(_) => self.write(Changes::from([(entry, None)])),
            },
            None => Ok(()),
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
        match self.read(&entry(KEY, key)) {
            Ok(Some(value)) => match value.split_first() {
                Some((&REVIVED, count)) => {
                    let count = count.try_into().map_or(0, u64::from_be_bytes);
                    covering.is_some_and(|covering| covering > count)
                }
                _ => true,
            },
            Ok(None) => covering.is_some(),
            Err(error) => {
                // Told once, where it is mended.
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

/// How a scope that was marked at a count is stored.
fn scope_entry(scope: &Scope, count: u64) -> (Vec<u8>, Vec<u8>) {
    let mut value = count.to_be_bytes().to_vec();
    value.extend_from_slice(scope.key().as_bytes());
    (entry(SCOPE, scope.key()), value)
}

/// The bytes under which an entry is stored.
fn entry(about: u8, key: &Key) -> Vec<u8> {
    let bytes = key.as_bytes();
    let mut entry = vec![about];
    if bytes.len() <= LONGEST_PLAIN {
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
