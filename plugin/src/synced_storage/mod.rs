//! [`SyncedStorage`]: the write path.
//!
//! Every write runs on the primary first. What the primary stored is then
//! appended to the log, and only then does the write return; it never waits for
//! a secondary.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`methods`] | each method: which keys it holds meanwhile, and what its rows are |
//! | [`query`] | raw SurrealQL that may write |
//! | [`in_flight_write`] | a write under way, as the log knows it |
//!
//! [`SyncedStorage::write`] is the mechanism that the methods share.

mod in_flight_write;
mod methods;
mod query;

use crate::{
    dedup::{Key, key_columns},
    fail_points,
    key_locks::{KeyGuard, KeyLocks},
    sync_executor::TableFilter,
    sync_queue::SyncQueue,
    sync_types::{RowImage, SyncOperation},
    tombstones::{Scope, TombstoneError, TombstoneUndo, Tombstones},
};
use in_flight_write::{InFlightWrite, is_uncertain};
use parking_lot::RwLock;
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    records::WriteReceipt,
    storage::{CallContext, FullStorage, Storage as _},
    value::{Object, RecordId, Value},
};
use std::sync::Arc;
use surreal_storage::stored_floats;

/// What a write holds while it is under way.
enum LockScope {
    /// These rows, or documents: nobody else writes them meanwhile.
    Keys(Vec<Key>),
    /// A row whose id the primary is about to make up.
    NewRow,
    /// A row by its id, which another write may just have made up: nobody else
    /// writes the table meanwhile.
    ById(Option<Key>),
}

impl LockScope {
    /// The keys, as far as they are known beforehand.
    fn keys(&self) -> Vec<Key> {
        match self {
            Self::Keys(keys) => keys.clone(),
            Self::NewRow => Vec::new(),
            Self::ById(key) => key.iter().cloned().collect(),
        }
    }
}

/// What the rows of a receipt are to the secondaries.
enum ReceiptKind<'a> {
    /// Each stands for itself.
    Rows,
    /// All rows of the document at this path; others of it are no more.
    Document(&'a str),
}

/// One write: everything about it but the call itself.
struct WriteSpec<'a> {
    table: &'a str,
    lock_scope: LockScope,
    receipt_kind: ReceiptKind<'a>,
    /// The embedding given for each row of the receipt, in order.
    embeddings: Vec<Option<&'a [f32]>>,
}

/// Which rows a delete takes by their keys.
enum DeleteTarget<'a> {
    /// These, as far as they are there.
    Keys(Vec<Key>),
    /// Those that the primary has in a file of code. What covers the file would
    /// miss a secondary's copy from before a row moved into it.
    InFile {
        /// The file's project.
        project_id: &'a str,
        /// The file.
        file_path: &'a str,
    },
    /// This one, unless the primary has it as another user's.
    OfUser {
        /// The row.
        id: Option<RecordId>,
        /// The user who deletes it.
        user_id: &'a str,
    },
}

/// One delete: everything about it but the call itself.
struct DeleteSpec<'a> {
    tables: &'a [&'a str],
    lock_scope: LockScope,
    target: DeleteTarget<'a>,
    scopes: Vec<Scope>,
}

/// The write path of a wrapped storage.
pub struct SyncedStorage {
    primary: FullStorage,
    /// None where nothing is copied: `sync_enabled: false`.
    queue: Option<Arc<SyncQueue>>,
    tombstones: Arc<Tombstones>,
    tables: TableFilter,
    /// Shared by all wrapped storages: they write the same primary.
    locks: Arc<KeyLocks>,
    /// Taken for reading by every write, so that closing waits for them.
    closed: RwLock<bool>,
}

impl SyncedStorage {
    /// The write path over `primary`. Without a queue nothing is copied, and
    /// deletes are remembered all the same.
    pub fn new(
        primary: FullStorage,
        queue: Option<Arc<SyncQueue>>,
        tombstones: Arc<Tombstones>,
        tables: TableFilter,
        locks: Arc<KeyLocks>,
    ) -> Self {
        Self {
            primary,
            queue,
            tombstones,
            tables,
            locks,
            closed: RwLock::new(false),
        }
    }

    /// Ends the intake: waits for the writes that are under way, and refuses
    /// later ones.
    pub fn close(&self) {
        *self.closed.write() = true;
    }

    fn lock(&self, table: &str, lock_scope: &LockScope) -> KeyGuard<'_> {
        match lock_scope {
            LockScope::Keys(keys) => self.locks.keys(table, keys),
            LockScope::NewRow => self.locks.keys(table, []),
            LockScope::ById(_) => self.locks.tables(&[table]),
        }
    }

    /// The queue, if it is to hear of `table`.
    fn queue_for(&self, table: &str) -> Option<&SyncQueue> {
        self.queue.as_deref().filter(|_| self.tables.selects(table))
    }

    /// Runs a write on the primary and queues what it stored.
    ///
    /// A failure of the log does not fail the write: the table is marked for
    /// resync instead.
    fn write(
        &self,
        write: &WriteSpec<'_>,
        call: impl FnOnce(&FullStorage) -> StorageResult<WriteReceipt>,
    ) -> StorageResult<WriteReceipt> {
        let closed = self.closed.read();
        if *closed {
            return Err(closed_error());
        }
        let _held = self.lock(write.table, &write.lock_scope);
        let Some(queue) = self.queue_for(write.table) else {
            let receipt = call(&self.primary)?;
            self.clear_tombstones(&write.rows(&receipt), write.table);
            return Ok(receipt);
        };
        let in_flight = InFlightWrite::begin(queue, write.table, write.lock_scope.keys());
        fail_points::pass("before_primary_write");
        let receipt = match call(&self.primary) {
            Ok(receipt) => receipt,
            Err(error) => {
                in_flight.failed(&error);
                return Err(error);
            }
        };
        fail_points::pass("after_primary_commit");
        let rows = write.rows(&receipt);
        self.clear_tombstones(&rows, write.table);
        in_flight.stored(&write.operations(rows));
        Ok(receipt)
    }

    /// The rows exist again: merged reads may show their copies.
    fn clear_tombstones(&self, rows: &[RowImage], table: &str) {
        for row in rows {
            let key = Key::of_row(table, &row.id, &row.columns);
            if let Err(error) = self.tombstones.clear(&key, table, &row.columns) {
                warn_of_tombstones(&error);
            }
        }
    }

    /// Deletes on the primary, and remembers it. The secondaries keep their
    /// copies.
    fn delete(
        &self,
        context: &CallContext,
        delete: &DeleteSpec<'_>,
        call: impl FnOnce(&FullStorage) -> StorageResult<()>,
    ) -> StorageResult<()> {
        let closed = self.closed.read();
        if *closed {
            return Err(closed_error());
        }
        let _held = match delete.tables {
            [table] => self.lock(table, &delete.lock_scope),
            tables => self.locks.tables(tables),
        };
        let keys = delete.keys(&self.primary, context)?;
        // First the mark: while the row is still there the primary shows it,
        // whatever is marked; once it is gone nobody must show a copy.
        let marked = match self.tombstones.mark(&keys, &delete.scopes) {
            Ok(marked) => Some(marked),
            Err(error) => {
                warn_of_tombstones(&error);
                None
            }
        };
        let deleted = call(&self.primary);
        if let (Err(error), Some(marked)) = (&deleted, marked) {
            self.rollback_tombstones(marked, error);
        }
        deleted
    }

    /// A delete failed. Where it is certain that nothing was deleted, what it
    /// covers on the secondaries is not hidden either.
    fn rollback_tombstones(&self, marked: TombstoneUndo, error: &StorageError) {
        let certain = !(is_uncertain(error) || error.kind == ErrorKind::NOT_FOUND);
        if certain && let Err(error) = self.tombstones.rollback(marked) {
            warn_of_tombstones(&error);
        }
    }
}

impl DeleteSpec<'_> {
    /// The keys of the rows that it takes.
    fn keys(&self, primary: &FullStorage, context: &CallContext) -> StorageResult<Vec<Key>> {
        match &self.target {
            DeleteTarget::Keys(keys) => Ok(keys.clone()),
            DeleteTarget::OfUser { id: None, .. } => Ok(Vec::new()),
            DeleteTarget::OfUser {
                id: Some(id),
                user_id,
            } => {
                let row = Object::new().with("id", id.clone());
                let sql = "SELECT VALUE user_id FROM $id";
                let answer = primary.query(context, sql, &row)?;
                let mut owner = answer.first_rows().iter();
                let anothers = owner.any(|owner| *owner != Value::from(*user_id));
                Ok(if anothers {
                    vec![]
                } else {
                    vec![Key::of_id(id)]
                })
            }
            DeleteTarget::InFile {
                project_id,
                file_path,
            } => {
                let file = Object::new()
                    .with("project_id", *project_id)
                    .with("file_path", *file_path);
                let mut keys = Vec::new();
                for table in self.tables {
                    let columns = key_columns(table).join(", ");
                    let sql = format!(
                        "SELECT {columns} FROM {table} \
                         WHERE project_id = $project_id AND file_path = $file_path"
                    );
                    let answer = primary.query(context, &sql, &file)?;
                    let rows = answer.first_rows().iter().filter_map(Value::as_object);
                    keys.extend(rows.map(|row| Key::of_columns(table, row)));
                }
                Ok(keys)
            }
        }
    }
}

impl WriteSpec<'_> {
    /// The rows that the primary stored, with the embeddings that were given.
    fn rows(&self, receipt: &WriteReceipt) -> Vec<RowImage> {
        receipt
            .rows
            .iter()
            .enumerate()
            .map(|(at, row)| {
                let given = self.embeddings.get(at).copied().flatten();
                let embedding = given
                    .filter(|_| row.columns.get("embedding").is_none())
                    .map(|given| stored_floats(given).collect());
                RowImage::of_receipt(row, embedding)
            })
            .collect()
    }

    fn operations(&self, rows: Vec<RowImage>) -> Vec<SyncOperation> {
        match self.receipt_kind {
            ReceiptKind::Rows => rows
                .into_iter()
                .map(|row| SyncOperation::upsert(self.table, row))
                .collect(),
            ReceiptKind::Document(path) => vec![SyncOperation::replace_document(path, rows)],
        }
    }
}

fn warn_of_tombstones(error: &TombstoneError) {
    tracing::warn!(%error, "what was deleted or revived is remembered by this process only");
}

fn closed_error() -> StorageError {
    StorageError::closed(
        "the replication module has been cleaned up; a write now would miss the secondaries: \
         load the module again, or write to the host's own storage",
    )
}
