//! [`Store`]: the queue's files, the keyspaces of one fjall database.
//!
//! | keyspace | key | value |
//! | --- | --- | --- |
//! | `log` | partition, position | an operation ([`super::log`]) |
//! | `state` | a path such as `acked/NAME/3` | see the module that writes it |
//! | `refused` | secondary, digest of the order key | a rejected operation ([`super::rejections`]) |
//!
//! Beside them lies the file `reached` ([`commit_marker`]). Names and keys on
//! disk never change: the data outlives versions of the module.
//!
//! | module | contents |
//! | --- | --- |
//! | [`commit_marker`] | the last commit that the database must contain |
//! | [`handle`] | [`StoreHandle`], through which all parts of the queue use the store, and [`WriteBatch`] |

pub(super) mod commit_marker;
mod handle;

pub(super) use handle::{StoreHandle, WriteBatch};

use super::QueueError;
use crate::self_healing;
use commit_marker::CommitMarker;
use fjall::{
    CompressionType, Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode,
    config::{BlockSizePolicy, CompressionPolicy},
};
use std::path::Path;

/// Bytes of the log's memtable before it is flushed.
const LOG_MEMTABLE_BYTES: u64 = 4 << 20;
/// Bytes of the log that are compressed together.
const LOG_BLOCK_BYTES: u32 = 16 << 10;
const SMALL_MEMTABLE_BYTES: u64 = 1 << 20;
const CACHE_BYTES: u64 = 8 << 20;
const JOURNAL_BYTES: u64 = 64 << 20;

/// The names of the keyspaces.
const KEYSPACES: &[&str] = &["log", "state", "refused"];

/// An open database.
pub(super) struct Store {
    database: Database,
    pub(super) log: Keyspace,
    pub(super) state: Keyspace,
    pub(super) rejected: Keyspace,
    pub(super) commit_marker: CommitMarker,
}

impl Store {
    /// Opens or creates the database in `dir`, readable by its owner only.
    pub(super) fn open(dir: &Path) -> Result<Self, QueueError> {
        let database = self_healing::open(dir, |builder| {
            builder
                .cache_size(CACHE_BYTES)
                .max_journaling_size(JOURNAL_BYTES)
        })
        .map_err(|error| QueueError::of_opening(dir, error))?;
        let commit_marker = CommitMarker::open(dir, &database, KEYSPACES)?;
        let small = || KeyspaceCreateOptions::default().max_memtable_size(SMALL_MEMTABLE_BYTES);
        let log = database.keyspace("log", || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(LOG_MEMTABLE_BYTES)
                // Entries are removed soon after they are written; kept apart,
                // large ones are not rewritten by each compaction until then.
                .with_kv_separation(Some(KvSeparationOptions::default()))
                // From the first level on: a backlog waits there, and half of
                // the bytes of a short operation are the same from row to row.
                .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
                .data_block_size_policy(BlockSizePolicy::all(LOG_BLOCK_BYTES))
        })?;
        Ok(Self {
            log,
            state: database.keyspace("state", small)?,
            rejected: database.keyspace("refused", small)?,
            database,
            commit_marker,
        })
    }

    /// Records what has been committed in the commit marker.
    pub(super) fn record_commits(&self) {
        self.commit_marker.record(self.database.visible_seqno());
    }

    /// Syncs everything committed so far to the disk, and records it.
    pub(super) fn sync(&self) -> Result<(), QueueError> {
        let committed = self.database.visible_seqno();
        self.database.persist(PersistMode::SyncData)?;
        self.commit_marker.record(committed);
        Ok(())
    }

    /// True if commits are missing that were acknowledged: corruption, unless the
    /// machine went down before they were synced.
    pub(super) fn lacks_commits(&self) -> bool {
        self.commit_marker.is_ahead_of_recovered()
    }
}
