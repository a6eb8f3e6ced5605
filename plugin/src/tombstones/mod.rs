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
//! Tombstones live in a keyspace of the module's database and survive a restart
//! and a killed process. Scopes are few and are kept in memory as well; keys are
//! looked up on disk, and only if there are any.

mod scope;

pub use scope::Scope;

use crate::dedup::Key;
use fjall::{Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::RwLock;
use plugin_api::{error::StorageError, value::Object};
use scope::Scopes;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const KEYSPACE: &str = "tombstones";

/// First byte of an entry: what it is about.
const KEY: u8 = b'k';
const SCOPE: u8 = b's';

/// First byte of a key's value: deleted, or alive since a count of scopes.
const DELETED: u8 = 0;
const REVIVED: u8 = 1;

/// Longer keys are stored as their digest: the database takes 64 KiB at most.
const LONGEST_PLAIN: usize = 1024;

/// The tombstones could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the tombstones cannot be read or written: {0}; check the disk that holds queue_dir")]
pub struct TombstoneError(#[from] fjall::Error);

impl From<TombstoneError> for StorageError {
    fn from(error: TombstoneError) -> Self {
        Self::internal(error.to_string())
    }
}

/// The durable set of tombstones. All methods may be called from any thread.
///
/// # Order of calls
///
/// A delete is marked first and runs on the primary then; a write runs on the
/// primary first and is cleared then. Both under the key's lock. A reader looks
/// at the primary before it looks here, so it never takes a row that was just
/// written again for a deleted one, nor the other way round.
pub struct Tombstones {
    database: fjall::Database,
    entries: Keyspace,
    scopes: RwLock<Scopes>,
    any_keys: AtomicBool,
    marks: AtomicU64,
}

impl Tombstones {
    /// Opens the tombstones kept in `database`.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn open(database: &fjall::Database) -> Result<Self, TombstoneError> {
        let entries = database.keyspace(KEYSPACE, KeyspaceCreateOptions::default)?;
        let mut scopes = Scopes::default();
        for entry in entries.prefix([SCOPE]) {
            let value = entry.value()?;
            let Some((count, scope)) = value.split_first_chunk() else {
                continue;
            };
            if let Some(scope) = Key::from_bytes(scope) {
                scopes.insert(Scope::from_key(scope), u64::from_be_bytes(*count));
            }
        }
        let any_keys = entries.prefix([KEY]).next().is_some();
        Ok(Self {
            database: database.clone(),
            entries,
            scopes: RwLock::new(scopes),
            any_keys: AtomicBool::new(any_keys),
            marks: AtomicU64::new(0),
        })
    }

    /// Marks one row as deleted.
    ///
    /// # Errors
    /// The mark cannot be stored.
    pub fn mark_key(&self, key: &Key) -> Result<(), TombstoneError> {
        self.mark(std::slice::from_ref(key), &[])
    }

    /// Marks all rows of a scope as deleted, those revived before included.
    ///
    /// # Errors
    /// The mark cannot be stored.
    pub fn mark_scope(&self, scope: Scope) -> Result<(), TombstoneError> {
        self.mark(&[], &[scope])
    }

    /// Marks rows and scopes as deleted, all or none.
    ///
    /// # Errors
    /// The marks cannot be stored.
    pub fn mark(&self, keys: &[Key], scopes: &[Scope]) -> Result<(), TombstoneError> {
        let mut known = self.scopes.write();
        let count = known.count() + 1;
        let mut batch = self.database.batch().durability(Some(PersistMode::Buffer));
        for key in keys {
            batch.insert(&self.entries, entry(KEY, key), [DELETED]);
        }
        for scope in scopes {
            let mut value = count.to_be_bytes().to_vec();
            value.extend_from_slice(scope.key().as_bytes());
            batch.insert(&self.entries, entry(SCOPE, scope.key()), value);
        }
        batch.commit()?;
        for scope in scopes {
            known.insert(scope.clone(), count);
        }
        if !keys.is_empty() {
            self.any_keys.store(true, Ordering::Release);
        }
        self.marks.fetch_add(1, Ordering::Release);
        Ok(())
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
    /// The mark cannot be removed.
    pub fn clear(&self, key: &Key, table: &str, columns: &Object) -> Result<(), TombstoneError> {
        let known = self.scopes.read();
        let revived = known.newest_covering(table, columns).map(|_| known.count());
        match revived {
            Some(count) => {
                let mut value = vec![REVIVED];
                value.extend(count.to_be_bytes());
                self.entries.insert(entry(KEY, key), value)?;
                self.any_keys.store(true, Ordering::Release);
            }
            None if self.any_keys.load(Ordering::Acquire) => {
                let entry = entry(KEY, key);
                if self.entries.contains_key(&entry)? {
                    self.entries.remove(entry)?;
                }
            }
            None => {}
        }
        Ok(())
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
        match self.entries.get(entry(KEY, key)) {
            Ok(Some(value)) => match value.split_first() {
                Some((&REVIVED, count)) => {
                    let count = count.try_into().map_or(0, u64::from_be_bytes);
                    covering.is_some_and(|covering| covering > count)
                }
                _ => true,
            },
            Ok(None) => covering.is_some(),
            Err(error) => {
                tracing::warn!(%error, %key, "tombstones cannot be read; the row is left out");
                true
            }
        }
    }

    /// True if nothing was ever deleted: no row can be hidden.
    pub fn is_empty(&self) -> bool {
        !self.any_keys.load(Ordering::Acquire) && self.scopes.read().is_empty()
    }
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
