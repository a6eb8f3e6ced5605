//! The files of the queue: keyspaces of one fjall database, and their keys.
//!
//! | keyspace | key | value |
//! | --- | --- | --- |
//! | `log` | partition, position | an operation ([`super::wire`]) |
//! | `state` | a path such as `acked/NAME/3` | see the module that writes it |
//! | `refused` | secondary, order key | a refused operation ([`super::refused`]) |
//!
//! Beside them lies the file `reached` ([`super::reached`]).

use super::{QueueError, commit_marker::Reached, watermark::Position};
use crate::self_healing;
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode,
    config::{BlockSizePolicy, CompressionPolicy},
};
use std::path::Path;

/// Bytes of a keyspace kept in memory before they go to disk.
const LOG_MEMTABLE_BYTES: u64 = 4 << 20;
/// Bytes of the log that are compressed together.
const LOG_BLOCK_BYTES: u32 = 16 << 10;
const SMALL_MEMTABLE_BYTES: u64 = 1 << 20;
const CACHE_BYTES: u64 = 8 << 20;
const JOURNAL_BYTES: u64 = 64 << 20;

/// An open database.
pub(super) struct Store {
    pub(super) database: Database,
    pub(super) log: Keyspace,
    pub(super) state: Keyspace,
    pub(super) refused: Keyspace,
    reached: Reached,
}

impl Store {
    /// Opens or creates the database in `dir`, readable by its owner only.
    pub(super) fn open(dir: &Path) -> Result<Self, QueueError> {
        let database = self_healing::open(
            dir,
            |builder| {
                builder
                    .cache_size(CACHE_BYTES)
                    .max_journaling_size(JOURNAL_BYTES)
            },
            |source| QueueError::Directory {
                dir: dir.to_owned(),
                source,
            },
        )?;
        let reached = Reached::open(dir, &database)?;
        let small = || KeyspaceCreateOptions::default().max_memtable_size(SMALL_MEMTABLE_BYTES);
        let log = database.keyspace("log", || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(LOG_MEMTABLE_BYTES)
                // Entries are removed soon after they are written; kept apart,
                // large ones are not rewritten by each compaction until then.
                .with_kv_separation(Some(KvSeparationOptions::default()))
                // From the first level on: a backlog waits there, and half of
                // what a short operation takes is the same from row to row.
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
                .data_block_size_policy(BlockSizePolicy::all(LOG_BLOCK_BYTES))
        })?;
        Ok(Self {
            log,
            state: database.keyspace("state", small)?,
            refused: database.keyspace("refused", small)?,
            database,
            reached,
        })
    }

    /// Notes what has been committed, where damage to the database does not
    /// take it along.
    pub(super) fn note_reached(&self) {
        self.reached.note(&self.database);
    }

    /// Brings everything written so far to the disk itself.
    pub(super) fn sync(&self) -> Result<(), QueueError> {
        Ok(self.database.persist(PersistMode::SyncData)?)
    }
}

/// The names of the keyspaces.
pub(super) const KEYSPACES: &[&str] = &["log", "state", "refused"];

/// The key of an entry in the log. Sorted like (partition, position).
pub(super) fn log_key(partition: u16, position: Position) -> [u8; 10] {
    let mut key = [0; 10];
    key[..2].copy_from_slice(&partition.to_be_bytes());
    key[2..].copy_from_slice(&position.0.to_be_bytes());
    key
}

/// The position in the key of an entry.
pub(super) fn position_of(key: &[u8]) -> Result<Position, QueueError> {
    key.get(2..10)
        .and_then(|bytes| bytes.try_into().ok())
        .map(|bytes| Position(u64::from_be_bytes(bytes)))
        .ok_or(QueueError::Damaged("a key of the log has no position"))
}

/// Where a secondary's watermark of a partition is kept.
pub(super) fn acked_key(secondary: &str, partition: u16) -> String {
    format!("acked/{secondary}/{partition}")
}
