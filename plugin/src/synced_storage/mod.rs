//! [`SyncedStorage`]: the write path.
//!
//! Every write runs on the primary first. What the primary stored is then
//! appended to the log, and only then does the write return; it never waits for
//! a secondary. A delete runs on the primary alone and leaves a tombstone.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`methods`] | the methods, a line each: what they lock, delete and embed |
//! | [`spec`] | such a line as data, and what follows from it |
//! | [`query`] | raw SurrealQL that may write |
//! | [`in_flight_write`] | a write in flight, as the log knows it |
//!
//! [`SyncedStorage::write`] and [`SyncedStorage::delete`] are what all methods
//! share.

mod in_flight_write;
mod methods;
mod query;
mod spec;

use crate::{
    dedup::Key,
    error_policy::{self, Action, Call},
    fail_points,
    key_locks::{KeyGuard, KeyLocks},
    metrics::instruments::{WriteKind, WriteMetrics},
    sync_executor::TableFilter,
    sync_queue::SyncQueue,
    tombstones::{TombstoneError, TombstoneUndo, Tombstones},
};
use in_flight_write::InFlightWrite;
use plugin_api::{
    error::{StorageError, StorageResult},
    records::WriteReceipt,
    storage::{CallContext, FullStorage},
    value::Object,
};
use spec::{DeleteSpec, LockScope, WriteSpec};
use std::sync::Arc;

/// The write path of a wrapped storage.
pub struct SyncedStorage {
    primary: FullStorage,
    /// None where nothing is replicated: `sync_enabled: false`.
    queue: Option<Arc<SyncQueue>>,
    tombstones: Arc<Tombstones>,
    tables: TableFilter,
    /// Shared by all wrapped storages: they write the same primary.
    locks: Arc<KeyLocks>,
    metrics: Arc<WriteMetrics>,
}

impl SyncedStorage {
    /// The write path over `primary`. Without a queue nothing is replicated;
    /// deletes leave tombstones all the same.
    pub fn new(
        primary: FullStorage,
        queue: Option<Arc<SyncQueue>>,
        tombstones: Arc<Tombstones>,
        tables: TableFilter,
        locks: Arc<KeyLocks>,
        metrics: Arc<WriteMetrics>,
    ) -> Self {
        Self {
            primary,
            queue,
            tombstones,
            tables,
            locks,
            metrics,
        }
    }

    fn lock(&self, tables: &[&str], lock_scope: &LockScope) -> KeyGuard<'_> {
        match lock_scope {
            LockScope::Keys(_) | LockScope::Document(_) | LockScope::NewRow => {
                self.locks.keys(tables, lock_scope.keys())
            }
            LockScope::RowById(_) | LockScope::Tables => self.locks.tables(tables),
        }
    }

    /// The queue, if `table` is replicated.
    fn queue_for(&self, table: &str) -> Option<&SyncQueue> {
        self.queue.as_deref().filter(|_| self.tables.selects(table))
    }

    /// Runs a write on the primary and queues what it stored.
    ///
    /// A failure of the log does not fail the write: a resync of the table is
    /// requested instead.
    fn write(
        &self,
        write: &WriteSpec<'_>,
        call: impl FnOnce(&FullStorage) -> StorageResult<WriteReceipt>,
    ) -> StorageResult<WriteReceipt> {
        write.check()?;
        let mut timer = self.metrics.begin(WriteKind::Write);
        let _guard = self.lock(&[write.table], &write.lock_scope);
        let Some(queue) = self.queue_for(write.table) else {
            let receipt = timer.primary(|| call(&self.primary))?;
            self.clear_tombstones(write.table, &receipt, &write.row_keys(&receipt));
            return Ok(receipt);
        };
        let in_flight = InFlightWrite::begin(queue, write.table, write.lock_scope.keys().to_vec());
        fail_points::pass("before_primary_write");
        let receipt = match timer.primary(|| call(&self.primary)) {
            Ok(receipt) => receipt,
            Err(error) => {
                in_flight.failed(&error);
                return Err(error);
            }
        };
        fail_points::pass("after_primary_commit");
        let keys = write.row_keys(&receipt);
        self.clear_tombstones(write.table, &receipt, &keys);
        let operations = write.operations(&receipt, keys);
        in_flight.stored(&operations);
        let (table, operations) = (write.table, operations.len());
        tracing::debug!(table, operations, "a write is stored on the primary");
        Ok(receipt)
    }

    /// The rows of a receipt exist again: merged reads may return the
    /// secondaries' copies.
    fn clear_tombstones(&self, table: &str, receipt: &WriteReceipt, keys: &[Key]) {
        for (row, key) in receipt.rows.iter().zip(keys) {
            self.clear_tombstone(table, key, &row.columns);
        }
    }

    fn clear_tombstone(&self, table: &str, key: &Key, columns: &Object) {
        if let Err(error) = self.tombstones.clear(key, table, columns) {
            warn_of_tombstones(&error);
        }
    }

    /// Deletes on the primary and leaves tombstones. The secondaries keep their
    /// copies.
    fn delete(
        &self,
        context: &CallContext,
        delete: &DeleteSpec<'_>,
        call: impl FnOnce(&FullStorage) -> StorageResult<()>,
    ) -> StorageResult<()> {
        let mut timer = self.metrics.begin(WriteKind::Delete);
        let _guard = self.lock(delete.tables, &delete.lock_scope);
        let keys = delete.keys(&self.primary, context)?;
        // The tombstones come first. A row that the primary still has is read
        // from there whatever they say; once it is gone, no copy may be read.
        let undo = self.tombstones.mark(&keys, &delete.scopes);
        let undo = undo.map_err(|error| warn_of_tombstones(&error)).ok();
        let deleted = timer.primary(|| call(&self.primary));
        if let Some(undo) = undo {
            self.end_delete(undo, deleted.as_ref().err());
        }
        deleted
    }

    /// Ends a delete: what becomes of its tombstones.
    fn end_delete(&self, undo: TombstoneUndo, error: Option<&StorageError>) {
        let action = error.map(|error| error_policy::of(Call::DeletePrimary, error.kind).action);
        let ended = match action {
            None | Some(Action::FailCallDeleted) => {
                self.tombstones.decided(&undo);
                Ok(())
            }
            Some(Action::FailCall) => self.tombstones.rollback(undo),
            Some(_) => self.tombstones.unsettle(&undo),
        };
        if let Err(error) = ended {
            warn_of_tombstones(&error);
        }
    }
}

fn warn_of_tombstones(error: &TombstoneError) {
    tracing::warn!(
        %error,
        "a tombstone could not be stored or removed on disk; it is kept in memory until the disk \
         accepts it, and a restart before that may show deleted rows in merged reads or hide \
         rows that were written again"
    );
}
