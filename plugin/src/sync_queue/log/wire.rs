//! How an operation is encoded in the log.
//!
//! The format is compact, because the backlog of a long outage is on disk:
//! common column names take one byte, floats that fit in 32 bits take 32 bits.
//! The names and the variants may only grow at their ends: a log outlives the
//! version that wrote it.

use crate::{
    dedup::Key,
    sync_types::{OperationType, RowImage, SyncOperation, order_key},
};
use abi_stable::std_types::RBox;
use plugin_api::value::{Extension, Object, RecordId, RecordKey, Timestamp, Value};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The version of this format, the first byte of an entry.
const VERSION: u8 = 1;

/// Column names that are encoded as their index in this list. Append only.
const NAMES: &[&str] = &[
    "id",
    "user_id",
    "key",
    "value",
    "created_at",
    "updated_at",
    "content",
    "embedding",
    "metadata",
    "file_path",
    "source_file",
    "chunk_index",
    "chunk_count",
    "entity_type",
    "name",
    "properties",
    "from_entity",
    "to_entity",
    "relationship_type",
    "subject",
    "project_id",
    "root_path",
    "language_stats",
    "last_indexed_at",
    "indexing_status",
    "watcher_enabled",
    "language",
    "file_hash",
    "symbols_count",
    "indexed_at",
    "symbol_type",
    "name_path",
    "start_line",
    "end_line",
    "start_byte",
    "end_byte",
    "source_code",
    "signature",
    "doc_string",
    "parent_id",
    "symbol_id",
    "start_offset",
    "end_offset",
    "symbol_name",
    "project_path",
    "status",
    "progress",
    "files_total",
    "files_indexed",
    "started_at",
    "completed_at",
    "error",
];

#[derive(Serialize, Deserialize)]
enum Name<'a> {
    Known(u8),
    #[serde(borrow)]
    Other(Cow<'a, str>),
}

#[derive(Serialize, Deserialize)]
struct Id<'a> {
    #[serde(borrow)]
    table: Cow<'a, str>,
    #[serde(borrow)]
    key: IdKey<'a>,
}

#[derive(Serialize, Deserialize)]
enum IdKey<'a> {
    Int(i64),
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Other(Box<Item<'a>>),
}

/// A [`Value`] as encoded.
#[derive(Serialize, Deserialize)]
enum Item<'a> {
    None,
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// A float that 32 bits hold exactly.
    Single(f32),
    #[serde(borrow)]
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    Time(i64, u32),
    Id(Id<'a>),
    Array(Vec<Item<'a>>),
    /// An array of nothing but floats that 32 bits hold exactly.
    Singles(Vec<f32>),
    Object(Vec<(Name<'a>, Item<'a>)>),
    Extension(Cow<'a, str>, Cow<'a, str>, Cow<'a, [u8]>),
}

#[derive(Serialize, Deserialize)]
struct WireRow<'a> {
    #[serde(borrow)]
    id: Id<'a>,
    #[serde(borrow)]
    columns: Vec<(Name<'a>, Item<'a>)>,
    embedding: Option<Cow<'a, [f32]>>,
}

#[derive(Serialize, Deserialize)]
struct WireOperation<'a> {
    kind: u8,
    /// Empty for an upsert, whose row determines it.
    #[serde(borrow)]
    key: Cow<'a, [u8]>,
    rows: Vec<WireRow<'a>>,
    time: (i64, u32),
    retry_count: u32,
    last_error: Option<Cow<'a, str>>,
    target: Option<Cow<'a, str>>,
}

/// Why a log entry cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Written by a newer version.
    #[error(
        "the log has an entry of a newer version of the module: it has format {0}, and this \
         version reads formats up to {VERSION}; install the newer module again"
    )]
    Version(u8),
    /// Not a valid entry.
    #[error("the log entry is corrupt: {0}")]
    Corrupt(String),
}

/// The bytes of an operation, without its id.
pub(in crate::sync_queue) fn encode(operation: &SyncOperation) -> Result<Vec<u8>, WireError> {
    let wire = WireOperation {
        kind: match operation.operation_type {
            OperationType::Upsert => 0,
            OperationType::Replace => 1,
            OperationType::Refresh => 2,
        },
        key: match has_key_in_row(operation) {
            true => Cow::Borrowed(&[]),
            false => Cow::Borrowed(operation.key.as_bytes()),
        },
        rows: operation.data.iter().map(WireRow::from).collect(),
        time: (operation.timestamp.seconds, operation.timestamp.nanos),
        retry_count: operation.retry_count,
        last_error: operation.last_error.as_deref().map(Cow::Borrowed),
        target: operation.target.as_deref().map(Cow::Borrowed),
    };
    postcard::to_extend(&wire, vec![VERSION]).map_err(|error| WireError::Corrupt(error.to_string()))
}

/// True if the key is that of the one row of an upsert: then it is not encoded.
fn has_key_in_row(operation: &SyncOperation) -> bool {
    matches!(
        (operation.operation_type, &*operation.data),
        (OperationType::Upsert, [row]) if *row.id.table == *operation.table
    )
}

/// The operation of an entry's bytes.
pub(in crate::sync_queue) fn decode(bytes: &[u8]) -> Result<SyncOperation, WireError> {
    let corrupt = |problem: &str| WireError::Corrupt(problem.to_owned());
    let (&version, body) = bytes.split_first().ok_or_else(|| corrupt("it is empty"))?;
    match version {
        VERSION => {}
        0 => return Err(corrupt("it has no version")),
        newer => return Err(WireError::Version(newer)),
    }
    let wire: WireOperation<'_> =
        postcard::from_bytes(body).map_err(|error| corrupt(&error.to_string()))?;
    let rows: Vec<RowImage> = wire
        .rows
        .into_iter()
        .map(RowImage::try_from)
        .collect::<Result<_, _>>()?;
    let key = match (&*wire.key, &*rows) {
        ([], [row]) => Some(order_key(&row.id.table, &row.id, &row.columns)),
        (bytes, _) => Key::from_bytes(bytes),
    };
    let mut operation =
        SyncOperation::refresh(key.ok_or_else(|| corrupt("its key cannot be decoded"))?);
    operation.operation_type = match wire.kind {
        0 => OperationType::Upsert,
        1 => OperationType::Replace,
        2 => OperationType::Refresh,
        other => return Err(corrupt(&format!("operation type {other}"))),
    };
    operation.data = rows;
    if operation.operation_type == OperationType::Upsert {
        operation.record_id = operation.data.first().map(|row| row.id.clone());
    }
    operation.timestamp = Timestamp {
        seconds: wire.time.0,
        nanos: wire.time.1,
    };
    operation.retry_count = wire.retry_count;
    operation.last_error = wire.last_error.map(Cow::into_owned);
    operation.target = wire.target.map(Cow::into_owned);
    Ok(operation)
}

fn name(text: &str) -> Name<'_> {
    NAMES
        .iter()
        .position(|known| *known == text)
        .and_then(|place| u8::try_from(place).ok())
        .map_or(Name::Other(Cow::Borrowed(text)), Name::Known)
}

fn named<'a>(name: &'a Name<'a>) -> Result<&'a str, WireError> {
    match name {
        Name::Other(text) => Ok(text),
        Name::Known(place) => NAMES
            .get(usize::from(*place))
            .copied()
            .ok_or_else(|| WireError::Corrupt(format!("column name {place}"))),
    }
}

fn columns(object: &Object) -> Vec<(Name<'_>, Item<'_>)> {
    object
        .iter()
        .map(|(key, value)| (name(key), Item::from(value)))
        .collect()
}

fn object(columns: Vec<(Name<'_>, Item<'_>)>) -> Result<Object, WireError> {
    columns
        .into_iter()
        .map(|(name, item)| Ok((named(&name)?.to_owned(), Value::try_from(item)?)))
        .collect()
}

/// The number in 32 bits, if they hold it exactly.
#[allow(clippy::cast_possible_truncation, reason = "checked by going back")]
fn single(number: f64) -> Option<f32> {
    let short = number as f32;
    (f64::from(short).to_bits() == number.to_bits()).then_some(short)
}

fn singles(items: &[Value]) -> Option<Vec<f32>> {
    if items.is_empty() {
        return None;
    }
    items
        .iter()
        .map(|item| match item {
            Value::Float(number) => single(*number),
            _ => None,
        })
        .collect()
}

impl<'a> From<&'a RecordId> for Id<'a> {
    fn from(id: &'a RecordId) -> Self {
        Self {
            table: Cow::Borrowed(&id.table),
            key: match &id.key {
                RecordKey::Int(number) => IdKey::Int(*number),
                RecordKey::String(text) => IdKey::Text(Cow::Borrowed(text)),
                RecordKey::Other(value) => IdKey::Other(Box::new(Item::from(&**value))),
            },
        }
    }
}

impl TryFrom<Id<'_>> for RecordId {
    type Error = WireError;

    fn try_from(id: Id<'_>) -> Result<Self, WireError> {
        Ok(Self {
            table: id.table.into_owned().into(),
            key: match id.key {
                IdKey::Int(number) => RecordKey::Int(number),
                IdKey::Text(text) => RecordKey::String(text.into_owned().into()),
                IdKey::Other(item) => RecordKey::Other(RBox::new(Value::try_from(*item)?)),
            },
        })
    }
}

impl<'a> From<&'a Value> for Item<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::None => Self::None,
            Value::Null => Self::Null,
            Value::Bool(flag) => Self::Bool(*flag),
            Value::Int(number) => Self::Int(*number),
            Value::Float(number) => single(*number).map_or(Self::Float(*number), Self::Single),
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            Value::Bytes(bytes) => Self::Bytes(Cow::Borrowed(bytes)),
            Value::Datetime(time) => Self::Time(time.seconds, time.nanos),
            Value::RecordId(id) => Self::Id(Id::from(&**id)),
            Value::Array(items) => singles(items).map_or_else(
                || Self::Array(items.iter().map(Self::from).collect()),
                Self::Singles,
            ),
            Value::Object(object) => Self::Object(columns(object)),
            Value::Extension(extension) => Self::Extension(
                Cow::Borrowed(&extension.kind),
                Cow::Borrowed(&extension.text),
                Cow::Borrowed(&extension.data),
            ),
        }
    }
}

impl TryFrom<Item<'_>> for Value {
    type Error = WireError;

    fn try_from(item: Item<'_>) -> Result<Self, WireError> {
        Ok(match item {
            Item::None => Self::None,
            Item::Null => Self::Null,
            Item::Bool(flag) => Self::Bool(flag),
            Item::Int(number) => Self::Int(number),
            Item::Float(number) => Self::Float(number),
            Item::Single(number) => Self::Float(f64::from(number)),
            Item::Text(text) => Self::String(text.into_owned().into()),
            Item::Bytes(bytes) => Self::Bytes(bytes.into_owned().into()),
            Item::Time(seconds, nanos) => Self::Datetime(Timestamp { seconds, nanos }),
            Item::Id(id) => Self::from(RecordId::try_from(id)?),
            Item::Array(items) => Self::Array(
                items
                    .into_iter()
                    .map(Self::try_from)
                    .collect::<Result<_, _>>()?,
            ),
            Item::Singles(numbers) => Self::floats(&numbers),
            Item::Object(columns) => Self::Object(object(columns)?),
            Item::Extension(kind, text, data) => Self::from(Extension {
                kind: kind.into_owned().into(),
                text: text.into_owned().into(),
                data: data.into_owned().into(),
            }),
        })
    }
}

impl<'a> From<&'a RowImage> for WireRow<'a> {
    fn from(row: &'a RowImage) -> Self {
        Self {
            id: Id::from(&row.id),
            columns: columns(&row.columns),
            embedding: row.embedding.as_deref().map(Cow::Borrowed),
        }
    }
}

impl TryFrom<WireRow<'_>> for RowImage {
    type Error = WireError;

    fn try_from(row: WireRow<'_>) -> Result<Self, WireError> {
        Ok(Self {
            id: row.id.try_into()?,
            columns: object(row.columns)?,
            embedding: row.embedding.map(Cow::into_owned),
        })
    }
}
