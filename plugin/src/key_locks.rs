//! The locks that keep writes in order: key stripes and table locks.
//!
//! Two writes of one key must enter the log in the order in which the primary
//! committed them. So a write locks its key before it runs on the primary and
//! holds the lock until it is in the log. Keys share a fixed number of stripes.
//!
//! A row whose id the primary assigns has no key to lock beforehand. So every
//! table also has a lock: ordinary writes hold it shared; a change of a row by
//! id, or of many rows at once, holds it exclusively.

use crate::dedup::Key;
use parking_lot::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::{
    collections::BTreeSet,
    hash::{BuildHasher, RandomState},
};
use surreal_storage::schema::TABLES;

const STRIPES: usize = 256;

/// The locks of the write path.
pub struct KeyLocks {
    stripes: Vec<Mutex<()>>,
    /// One for each of [`TABLES`], and one that all relationship types share.
    table_locks: Vec<RwLock<()>>,
    hasher: RandomState,
}

/// Held while a write is in flight.
pub struct KeyGuard<'a> {
    _shared: Vec<RwLockReadGuard<'a, ()>>,
    _exclusive: Vec<RwLockWriteGuard<'a, ()>>,
    _stripes: Vec<MutexGuard<'a, ()>>,
}

/// The place of a table's lock.
fn table_lock(table: &str) -> usize {
    let position = TABLES.iter().position(|known| known.name == table);
    position.unwrap_or(TABLES.len())
}

/// The places of these tables' locks, in the order in which they are taken.
fn in_order(tables: &[&str]) -> BTreeSet<usize> {
    tables.iter().map(|table| table_lock(table)).collect()
}

impl Default for KeyLocks {
    fn default() -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Mutex::new(())).collect(),
            table_locks: (0..=TABLES.len()).map(|_| RwLock::new(())).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl KeyLocks {
    /// Locks some keys of these tables. Other keys of them stay free, unless they
    /// share a stripe.
    pub fn keys(&self, tables: &[&str], keys: &[Key]) -> KeyGuard<'_> {
        // Locks are taken in one order everywhere, so that no two writes wait
        // for each other; and each once, though several keys may share it.
        let stripes: BTreeSet<usize> = keys
            .iter()
            .map(|key| self.hasher.hash_one(key) as usize % STRIPES)
            .collect();
        KeyGuard {
            _shared: in_order(tables)
                .into_iter()
                .map(|at| self.table_locks[at].read())
                .collect(),
            _exclusive: Vec::new(),
            _stripes: stripes
                .into_iter()
                .map(|at| self.stripes[at].lock())
                .collect(),
        }
    }

    /// Locks all tables against all other writes.
    pub fn every_table(&self) -> KeyGuard<'_> {
        self.exclusive((0..=TABLES.len()).collect())
    }

    /// Locks whole tables against all other writes.
    pub fn tables(&self, tables: &[&str]) -> KeyGuard<'_> {
        self.exclusive(in_order(tables))
    }

    fn exclusive(&self, table_locks: BTreeSet<usize>) -> KeyGuard<'_> {
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
    fn a_stripe_that_several_keys_share_is_locked_once() {
        let locks = KeyLocks::default();
        let keys: Vec<Key> = (0..10_000i64)
            .map(|n| Key::new("kv_memories", [&"u".into(), &n.into()]))
            .collect();
        let guard = locks.keys(&["kv_memories"], &keys);
        assert_eq!(guard._stripes.len(), STRIPES);
    }

    #[test]
    fn an_exclusive_table_lock_blocks_no_other_tables() {
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
