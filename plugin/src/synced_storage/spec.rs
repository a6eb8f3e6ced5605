//! What differs between writes, and between deletes, as data: [`WriteSpec`] and
//! [`DeleteSpec`].

use crate::{
    dedup::{Key, key_columns},
    sync_types::{RowImage, SyncOperation},
    tombstones::Scope,
};
use plugin_api::{
    error::StorageResult,
    records::{StoredRow, WriteReceipt},
    storage::{CallContext, FullStorage, Storage as _},
    value::{Object, RecordId, Value},
};
use surreal_storage::stored_floats;

/// The rows that a write or a delete concerns, and how they are locked while it
/// is in flight. It also says what the rows of a write's receipt are to the
/// secondaries: an upsert each, unless it is a document.
pub(super) enum LockScope {
    /// These rows are locked, and the table lock is shared.
    Keys(Vec<Key>),
    /// A document with all its chunks, locked as one; the table lock is shared.
    /// The rows of the receipt replace all that a secondary has of it.
    Document(Key),
    /// A row whose id the primary is about to assign: there is no key to lock.
    /// The table lock is shared.
    NewRow,
    /// A row by its id, which another write may just have created without a
    /// lock: the table lock is exclusive. None where the id is not valid.
    RowById(Option<Key>),
    /// Any row of the tables: their locks are exclusive.
    Tables,
}

/// One write: everything about it but the call itself.
pub(super) struct WriteSpec<'a> {
    pub(super) table: &'a str,
    pub(super) lock_scope: LockScope,
    /// The embedding given for each row of the receipt, in order; none for the
    /// rows after the last.
    pub(super) embeddings: Vec<Option<&'a [f32]>>,
}

/// Which rows a delete takes by their keys; the scopes cover others.
pub(super) enum DeleteTarget<'a> {
    /// Those that are locked, as far as they exist.
    Locked,
    /// These, as far as they exist.
    Keys(Vec<Key>),
    /// Those that the primary has in a file of code. A scope over the file
    /// would miss a secondary's copy from before a row moved into it.
    InFile {
        /// The tables of the rows.
        tables: Vec<&'a str>,
        /// The file's project.
        project_id: &'a str,
        /// The file.
        file_path: &'a str,
    },
    /// This one, unless it belongs to another user on the primary.
    OfUser {
        /// The row; none where the id is not valid.
        id: Option<RecordId>,
        /// The user who deletes it.
        user_id: &'a str,
    },
}

/// One delete: everything about it but the call itself.
pub(super) struct DeleteSpec<'a> {
    pub(super) tables: &'a [&'a str],
    pub(super) lock_scope: LockScope,
    pub(super) target: DeleteTarget<'a>,
    pub(super) scopes: Vec<Scope>,
}

impl LockScope {
    /// The keys, as far as they are known beforehand.
    pub(super) fn keys(&self) -> &[Key] {
        match self {
            Self::Keys(keys) => keys,
            Self::Document(key) => std::slice::from_ref(key),
            Self::RowById(key) => key.as_slice(),
            Self::NewRow | Self::Tables => &[],
        }
    }
}

impl WriteSpec<'_> {
    /// Checks that what is written has one order key. The row of a chunk would
    /// have two, its document's and its own, if it could be saved as a document.
    pub(super) fn check(&self) -> StorageResult<()> {
        let LockScope::Document(key) = &self.lock_scope else {
            return Ok(());
        };
        let (_, values) = key.parts();
        let path = values.first().and_then(Value::as_str).unwrap_or_default();
        surreal_storage::check_document_path(path)
    }

    /// The key of each row of a receipt. Those that were locked are not encoded
    /// again: a receipt has a row for each of them, in their order.
    pub(super) fn row_keys(&self, receipt: &WriteReceipt) -> Vec<Key> {
        let locked = self.lock_scope.keys();
        let of_document = matches!(self.lock_scope, LockScope::Document(_));
        if !of_document && locked.len() == receipt.rows.len() {
            return locked.to_vec();
        }
        let rows = receipt.rows.iter();
        rows.map(|row| Key::of_row(self.table, &row.id, &row.columns))
            .collect()
    }

    /// What the secondaries are to do for the rows that the primary stored,
    /// which have these keys.
    pub(super) fn operations(&self, receipt: &WriteReceipt, keys: Vec<Key>) -> Vec<SyncOperation> {
        let rows = receipt.rows.iter().enumerate();
        let rows = rows.map(|(at, row)| self.row_image(at, row));
        match &self.lock_scope {
            LockScope::Document(document) => {
                vec![SyncOperation::replace_document(
                    document.clone(),
                    rows.collect(),
                )]
            }
            _ => rows
                .zip(keys)
                .map(|(row, key)| SyncOperation::upsert_of_key(self.table, key, row))
                .collect(),
        }
    }

    /// A row as stored, with the embedding that was given for it.
    fn row_image(&self, at: usize, row: &StoredRow) -> RowImage {
        let given = self.embeddings.get(at).copied().flatten();
        let embedding = given
            .filter(|_| row.columns.get("embedding").is_none())
            .map(|given| stored_floats(given).collect());
        RowImage::of_receipt(row, embedding)
    }
}

impl DeleteSpec<'_> {
    /// The keys of the rows that it takes.
    pub(super) fn keys(
        &self,
        primary: &FullStorage,
        context: &CallContext,
    ) -> StorageResult<Vec<Key>> {
        match &self.target {
            DeleteTarget::Locked => Ok(self.lock_scope.keys().to_vec()),
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
                // A row of no user is an empty user's.
                let is_anothers = owner.any(|owner| match owner.is_nullish() {
                    true => !user_id.is_empty(),
                    false => *owner != Value::from(*user_id),
                });
                Ok(match is_anothers {
                    true => Vec::new(),
                    false => vec![Key::of_id(id)],
                })
            }
            DeleteTarget::InFile {
                tables,
                project_id,
                file_path,
            } => {
                let file = Object::new()
                    .with("project_id", *project_id)
                    .with("file_path", *file_path);
                let mut keys = Vec::new();
                for table in tables {
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
