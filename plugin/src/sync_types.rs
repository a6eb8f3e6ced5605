//! [`SyncOperation`]: a change on its way from the primary to the secondaries,
//! with the images of the rows that it carries.

use crate::dedup::Key;
use plugin_api::{
    records::StoredRow,
    value::{Object, RecordId, Timestamp, Value},
};
use serde::{Serialize, Serializer, ser::SerializeMap};
use std::fmt;
use surreal_storage::schema::{DOCUMENTS, Table};

/// What an operation does on the secondary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationType {
    /// Stores one row, replacing whatever is there under its id or its key.
    Upsert,
    /// Stores all rows of a document and removes its others.
    Replace,
    /// Reads the row from the primary when it is applied, and stores that. Carries
    /// no data, so it can never restore an older state.
    Refresh,
}

impl OperationType {
    /// The name in exports and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upsert => "upsert",
            Self::Replace => "replace",
            Self::Refresh => "refresh",
        }
    }
}

/// The image of a row as the primary stored it.
#[derive(Clone, Debug, PartialEq)]
pub struct RowImage {
    /// The primary's record id.
    pub id: RecordId,
    /// All columns without the id, and without the embedding if it is below.
    pub columns: Object,
    /// 768 floats, in a compact form because they are most of a row's bytes.
    pub embedding: Option<Vec<f32>>,
}

impl RowImage {
    /// The row of a receipt, with the embedding that the caller gave.
    pub fn of_receipt(row: &StoredRow, embedding: Option<Vec<f32>>) -> Self {
        Self {
            id: row.id.clone(),
            columns: row.columns.clone(),
            embedding,
        }
    }

    /// The whole row as one object, as it is sent to a database.
    pub fn into_object(self) -> Object {
        let mut object = self.columns;
        if let Some(embedding) = self.embedding {
            object.insert("embedding", Value::floats(&embedding));
        }
        object.insert("id", self.id);
        object
    }
}

/// Is a row with these columns an edge of the database itself, as RELATE makes it?
pub fn is_relation(columns: &Object) -> bool {
    let is_end = |name| matches!(columns.get(name), Some(Value::RecordId(_)));
    is_end("in") && is_end("out")
}

impl Serialize for RowImage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        for (name, value) in self.columns.iter() {
            map.serialize_entry(name, value)?;
        }
        if let Some(embedding) = &self.embedding {
            map.serialize_entry("embedding", embedding)?;
        }
        map.end()
    }
}

/// The key of what is kept in order: a row, or a document with all its chunks.
///
/// Two operations with the same order key reach a secondary in the order in
/// which the primary committed them.
pub fn order_key(table: &str, id: &RecordId, columns: &Object) -> Key {
    match Table::of(table).group_of(columns) {
        Some(group) => Key::new(table, [group]),
        None => Key::of_row(table, id, columns),
    }
}

/// The order key of a document, chunked or not.
pub fn document_key(path: impl Into<Value>) -> Key {
    Key::new(DOCUMENTS.name, [&path.into()])
}

/// One change on its way to the secondaries.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SyncOperation {
    /// Its position in the log; empty until it is appended.
    pub id: String,
    /// The table that it changes.
    pub table: String,
    /// What it does.
    pub operation_type: OperationType,
    /// The primary's id of the row; none for a document or a refresh.
    pub record_id: Option<RecordId>,
    /// Its order key, see [`order_key`].
    #[serde(serialize_with = "as_text")]
    pub key: Key,
    /// The rows as stored; none for a refresh.
    pub data: Vec<RowImage>,
    /// When the write happened.
    pub timestamp: Timestamp,
    /// How often the secondary has rejected it.
    pub retry_count: u32,
    /// The error of the last rejection.
    pub last_error: Option<String>,
    /// The only secondary that it is meant for; none for all.
    pub target: Option<String>,
}

fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

impl SyncOperation {
    fn new(table: &str, operation_type: OperationType, key: Key) -> Self {
        Self {
            id: String::new(),
            table: table.to_owned(),
            operation_type,
            record_id: None,
            key,
            data: Vec::new(),
            timestamp: Timestamp::now(),
            retry_count: 0,
            last_error: None,
            target: None,
        }
    }

    /// Stores one row on the secondaries.
    pub fn upsert(table: &str, row: RowImage) -> Self {
        let key = order_key(table, &row.id, &row.columns);
        Self::upsert_of_key(table, key, row)
    }

    /// The same for a row whose order key has been encoded already.
    pub fn upsert_of_key(table: &str, key: Key, row: RowImage) -> Self {
        debug_assert_eq!(key, order_key(table, &row.id, &row.columns));
        Self {
            record_id: Some(row.id.clone()),
            data: vec![row],
            ..Self::new(table, OperationType::Upsert, key)
        }
    }

    /// Stores all rows of the document of this key on the secondaries and removes
    /// its others there.
    pub fn replace_document(key: Key, rows: Vec<RowImage>) -> Self {
        Self {
            data: rows,
            ..Self::new(DOCUMENTS.name, OperationType::Replace, key)
        }
    }

    /// Reads the row under `key` from the primary and stores it on the secondaries.
    pub fn refresh(key: Key) -> Self {
        let (table, _) = key.parts();
        Self::new(&table, OperationType::Refresh, key)
    }

    /// The same operation for one secondary only.
    #[must_use]
    pub fn only_for(mut self, secondary: &str) -> Self {
        self.target = Some(secondary.to_owned());
        self
    }

    /// Is it meant for this secondary?
    pub fn is_for(&self, secondary: &str) -> bool {
        self.target.as_deref().is_none_or(|only| only == secondary)
    }
}
