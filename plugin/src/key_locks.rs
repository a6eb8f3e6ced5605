//! Who may write what at the same time.
//!
//! Two writes of one key must not enter the log in the other order than the
//! primary committed them, so a write holds its key from before the primary's
//! write until it is in the log. Keys share a fixed number of stripes.
//!
//! A row whose id the primary makes up has no key to lock beforehand. So every
//! table also has a gate: ordinary writes pass it together; a change of a row
//! by id, or of many rows at once, passes it alone.

use crate::dedup::Key;
use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
};

const STRIPES: usize = 256;

/// The table_locks, one for each table; relationship types share the last one.
const LOCKED_TABLES: &[&str] = &[
    "kv_memories",
    "vector_memories",
    "entities",
    "knowledge_base",
    "events",
    "code_projects",
    "code_files",
    "code_symbols",
    "code_chunks",
    "code_indexing_jobs",
    "relationships",
];

/// The locks of the write path.
pub struct KeyLocks {
    stripes: Vec<Mutex<()>>,
    table_locks: Vec<RwLock<()>>,
    hasher: RandomState,
}

/// Held while a write is under way.
pub struct KeyGuard<'a> {
    _shared: Vec<RwLockReadGuard<'a, ()>>,
    _exclusive: Vec<RwLockWriteGuard<'a, ()>>,
    _stripes: Vec<MutexGuard<'a, ()>>,
}

fn table_lock(table: &str) -> usize {
    LOCKED_TABLES
        .iter()
        .position(|name| *name == table)
        .unwrap_or(LOCKED_TABLES.len() - 1)
}

impl Default for KeyLocks {
    fn default() -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(),
            table_locks: LOCKED_TABLES.iter().map(|_| RwLock::new(())).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl KeyLocks {
    /// Locks some keys of one table. Other keys of it stay free, unless they
    /// share a stripe.
    pub fn keys<'k>(&self, table: &str, keys: impl IntoIterator<Item = &'k Key>) -> KeyGuard<'_> {
        // Stripes are taken in one order everywhere, so no two writes can wait
        // for each other; and each once, though several keys may share it.
        let stripes: BTreeSet<usize> = keys
            .into_iter()
            .map(|key| self.hasher.hash_one(key) as usize % STRIPES)
            .collect();
        KeyGuard {
            _shared: vec![self.table_locks[table_lock(table)].read()],
            _exclusive: Vec::new(),
            _stripes: stripes
                .into_iter()
                .map(|at| self.stripes[at].lock())
                .collect(),
        }
    }

    /// Locks all tables against all other writes.
    pub fn every_table(&self) -> KeyGuard<'_> {
        self.tables(LOCKED_TABLES)
    }

    /// Locks whole tables against all other writes.
    pub fn tables(&self, tables: &[&str]) -> KeyGuard<'_> {
        let table_locks: BTreeSet<usize> = tables.iter().map(|table| table_lock(table)).collect();
        KeyGuard {
            _shared: Vec::new(),
            _exclusive: table_locks
                .into_iter()
                .map(|at| self.table_locks[at].write())
                .collect(),
            _stripes: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_stripe_lock_it_once() {
        let locks = KeyLocks::default();
        let keys: Vec<Key> = (0..10_000i64)
            .map(|n| Key::new("kv_memories", [&"u".into(), &n.into()]))
            .collect();
        let guard = locks.keys("kv_memories", &keys);
        assert_eq!(guard._stripes.len(), STRIPES);
    }

    #[test]
    fn a_whole_table_excludes_its_keys_and_no_other_tables() {
        let locks = KeyLocks::default();
        let _all = locks.tables(&["events", "entities"]);
        assert!(locks.table_locks[table_lock("events")].try_read().is_none());
        assert!(
            locks.table_locks[table_lock("kv_memories")]
                .try_read()
                .is_some()
        );
    }
}
