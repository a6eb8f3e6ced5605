//! [`Row`]: a row of the database, read column by column.
//!
//! Reading is tolerant: rows that an older host wrote lack some columns, which
//! then read as empty.

use abi_stable::std_types::{ROption, RString, RVec};
use plugin_api::{
    error::{StorageError, StorageResult},
    records::{EMBEDDING_DIMENSION, StoredRow, WriteReceipt},
    value::{Object, RecordId, RecordKey, Timestamp, Value},
};

/// A row of a table or of an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row(Object);

impl Row {
    /// The rows of an answer; values that are not objects are left out.
    pub(crate) fn all(answer: Value) -> Vec<Self> {
        match answer {
            Value::Array(items) => items.into_iter().filter_map(Self::one).collect(),
            other => Self::one(other).into_iter().collect(),
        }
    }

    /// The first row of an answer.
    pub(crate) fn first(answer: Value) -> Option<Self> {
        Self::all(answer).into_iter().next()
    }

    fn one(value: Value) -> Option<Self> {
        match value {
            Value::Object(object) => Some(Self(object)),
            _ => None,
        }
    }

    fn get(&self, column: &str) -> Option<&Value> {
        self.0.get(column).filter(|value| !value.is_nullish())
    }

    /// The row's id.
    ///
    /// # Errors
    /// `Internal` for a row without one, which is a bug in the query.
    pub(crate) fn id(&self) -> StorageResult<RecordId> {
        self.get("id")
            .and_then(Value::as_record_id)
            .cloned()
            .ok_or_else(|| StorageError::internal("the database returned a row without an id"))
    }

    pub(crate) fn text(&self, column: &str) -> RString {
        self.optional_text(column).unwrap_or_default()
    }

    pub(crate) fn optional_text(&self, column: &str) -> ROption<RString> {
        self.get(column)
            .and_then(Value::as_str)
            .map(RString::from)
            .into()
    }

    pub(crate) fn texts(&self, column: &str) -> Vec<String> {
        let items = self
            .get(column)
            .and_then(Value::as_array)
            .unwrap_or_default();
        items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect()
    }

    pub(crate) fn number(&self, column: &str) -> u32 {
        let number = self.get(column).and_then(Value::as_int).unwrap_or_default();
        u32::try_from(number.max(0)).unwrap_or(u32::MAX)
    }

    pub(crate) fn count(&self, column: &str) -> u64 {
        let number = self.get(column).and_then(Value::as_int).unwrap_or_default();
        u64::try_from(number).unwrap_or_default()
    }

    pub(crate) fn float(&self, column: &str) -> f64 {
        self.get(column)
            .and_then(Value::as_float)
            .unwrap_or_default()
    }

    pub(crate) fn flag(&self, column: &str) -> bool {
        self.get(column)
            .and_then(Value::as_bool)
            .unwrap_or_default()
    }

    pub(crate) fn object(&self, column: &str) -> Object {
        self.optional_object(column).unwrap_or_default()
    }

    pub(crate) fn optional_object(&self, column: &str) -> ROption<Object> {
        self.get(column).and_then(Value::as_object).cloned().into()
    }

    /// A time; the start of 1970 if the row has none.
    pub(crate) fn time(&self, column: &str) -> Timestamp {
        self.optional_time(column).unwrap_or_default()
    }

    pub(crate) fn optional_time(&self, column: &str) -> ROption<Timestamp> {
        self.get(column).and_then(Value::as_datetime).into()
    }

    /// A record id that is stored as one, or as its text.
    pub(crate) fn reference(&self, column: &str) -> Option<RecordId> {
        match self.get(column)? {
            Value::RecordId(id) => Some((**id).clone()),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "embeddings are f32 by contract"
    )]
    pub(crate) fn embedding(&self) -> RVec<f32> {
        let items = self
            .get("embedding")
            .and_then(Value::as_array)
            .unwrap_or_default();
        items
            .iter()
            .map(|item| item.as_float().unwrap_or_default() as f32)
            .collect()
    }

    /// Takes a column out.
    pub(crate) fn take(&mut self, column: &str) -> Value {
        self.0.remove(column).unwrap_or_default()
    }

    /// The row as a receipt carries it.
    fn stored(mut self) -> StorageResult<StoredRow> {
        self.0.remove("embedding");
        self.stored_whole()
    }

    /// The same with its embedding.
    fn stored_whole(mut self) -> StorageResult<StoredRow> {
        let id = self.id()?;
        self.0.remove("id");
        Ok(StoredRow {
            id,
            columns: self.0,
        })
    }
}

/// A receipt for the rows of an answer.
pub(crate) fn receipt(answer: Value) -> StorageResult<WriteReceipt> {
    let rows: StorageResult<RVec<_>> = Row::all(answer).into_iter().map(Row::stored).collect();
    Ok(WriteReceipt { rows: rows? })
}

/// The same with the embeddings that the answer has.
pub(crate) fn whole_receipt(answer: Value) -> StorageResult<WriteReceipt> {
    let rows: StorageResult<RVec<_>> = Row::all(answer)
        .into_iter()
        .map(Row::stored_whole)
        .collect();
    Ok(WriteReceipt { rows: rows? })
}

/// Adds the zeros that were stored where the caller gave no embedding: for the
/// rows, by position, for which `absent` is true.
pub(crate) fn with_zero_embeddings(
    mut receipt: WriteReceipt,
    absent: impl Fn(usize) -> bool,
) -> WriteReceipt {
    for (position, row) in receipt.rows.iter_mut().enumerate() {
        if absent(position) {
            row.columns.insert("embedding", stored_embedding(&[]));
        }
    }
    receipt
}

/// An embedding's floats as they are stored: padded with zeros or cut to
/// [`EMBEDDING_DIMENSION`].
pub fn stored_floats(embedding: &[f32]) -> impl Iterator<Item = f32> {
    let given = embedding.iter().copied().chain(std::iter::repeat(0.0));
    given.take(EMBEDDING_DIMENSION)
}

/// An embedding as it is stored: the array of its [`stored_floats`].
pub fn stored_embedding(embedding: &[f32]) -> Value {
    stored_floats(embedding).map(f64::from).collect()
}

/// The same, where an empty embedding is stored as none.
pub fn optional_embedding(embedding: &[f32]) -> Value {
    if embedding.is_empty() {
        Value::None
    } else {
        stored_embedding(embedding)
    }
}

/// Reads the id of a row of `table`, with the table (`events:abc`) or without
/// (`abc`).
///
/// # Errors
/// `InvalidInput` for another table's id, or for text that is not an id.
pub fn record_id(table: &str, text: &str) -> StorageResult<RecordId> {
    let invalid = |reason: String| {
        StorageError::invalid_input(format!("{text:?} is not an id of {table}: {reason}"))
    };
    let id: RecordId = match text.parse() {
        Ok(id) => id,
        Err(reason) if text.contains(':') => return Err(invalid(reason)),
        Err(_) => format!("{table}:{text}").parse().map_err(invalid)?,
    };
    if id.table != table {
        return Err(invalid(format!("it belongs to {}", id.table)));
    }
    match &id.key {
        RecordKey::String(key) if key.is_empty() => Err(invalid("it is empty".to_owned())),
        _ => Ok(id),
    }
}
