//! Conversion between the contract's [`Value`] and the database's, without loss.
//!
//! A kind of the database that the contract has no variant for (a duration, a
//! decimal, a set, …) becomes an [`Extension`] with the database's own encoding.

use abi_stable::std_types::RBox;
use plugin_api::{
    error::{StorageError, StorageResult},
    value::{Extension, Object, RecordId, RecordKey, Timestamp, Value},
};
use surrealdb::types::{self as db, ToSql};

/// How many levels of arrays and objects a value may have. The database's limit
/// is 256; this leaves room for the row around it.
pub const MAX_DEPTH: usize = 128;

/// The database's form of a value.
///
/// # Errors
/// `InvalidInput` for a value nested deeper than [`MAX_DEPTH`], a time out of
/// range, or an extension whose bytes cannot be decoded.
pub fn to_database(value: Value) -> StorageResult<db::Value> {
    to_database_at(value, MAX_DEPTH)
}

/// The database's form of the parameters of a query.
pub(crate) fn to_parameters(parameters: Object) -> StorageResult<db::Variables> {
    parameters
        .into_iter()
        .map(|(name, value)| Ok((name.into_string(), to_database(value)?)))
        .collect()
}

fn to_database_at(value: Value, depth: usize) -> StorageResult<db::Value> {
    let below = || {
        depth.checked_sub(1).ok_or_else(|| {
            StorageError::invalid_input(format!(
                "the value is nested deeper than {MAX_DEPTH} levels; flatten it or store it as text"
            ))
        })
    };
    Ok(match value {
        Value::None => db::Value::None,
        Value::Null => db::Value::Null,
        Value::Bool(flag) => db::Value::Bool(flag),
        Value::Int(number) => db::Value::Number(db::Number::Int(number)),
        Value::Float(number) => db::Value::Number(db::Number::Float(number)),
        Value::String(text) => db::Value::String(text.into_string()),
        Value::Bytes(bytes) => db::Value::Bytes(bytes.into_vec().into()),
        Value::Datetime(time) => db::Value::Datetime(to_datetime(time)?),
        Value::RecordId(id) => db::Value::RecordId(to_record_id(RBox::into_inner(id), below()?)?),
        Value::Array(items) => {
            let depth = below()?;
            let items: StorageResult<Vec<_>> = items
                .into_iter()
                .map(|item| to_database_at(item, depth))
                .collect();
            db::Value::Array(db::Array::from(items?))
        }
        Value::Object(object) => db::Value::Object(to_object(object, below()?)?),
        Value::Extension(extension) => db::decode(&extension.data).map_err(|error| {
            StorageError::invalid_input(format!(
                "the {} \"{}\" cannot be decoded by this version: {error}",
                extension.kind, extension.text
            ))
        })?,
    })
}

fn to_object(object: Object, depth: usize) -> StorageResult<db::Object> {
    let mut entries = db::Object::new();
    for (key, value) in object {
        entries.insert(key.into_string(), to_database_at(value, depth)?);
    }
    Ok(entries)
}

fn to_datetime(time: Timestamp) -> StorageResult<db::Datetime> {
    db::Datetime::from_timestamp(time.seconds, time.nanos)
        .ok_or_else(|| StorageError::invalid_input(format!("{time} is outside the range of times")))
}

fn to_record_id(id: RecordId, depth: usize) -> StorageResult<db::RecordId> {
    let key = match id.key {
        RecordKey::Int(number) => db::RecordIdKey::Number(number),
        RecordKey::String(text) => db::RecordIdKey::String(text.into_string()),
        RecordKey::Other(value) => {
            match to_database_at(RBox::into_inner(value), depth)? {
                db::Value::Uuid(uuid) => db::RecordIdKey::Uuid(uuid),
                db::Value::Array(items) => db::RecordIdKey::Array(items),
                db::Value::Object(object) => db::RecordIdKey::Object(object),
                // A range of keys is represented by the id that contains it.
                db::Value::RecordId(db::RecordId {
                    key: key @ db::RecordIdKey::Range(_),
                    ..
                }) => key,
                other => {
                    return Err(StorageError::invalid_input(format!(
                        "{} cannot be the key of a record id",
                        other.to_sql()
                    )));
                }
            }
        }
    };
    Ok(db::RecordId {
        table: id.table.into_string().into(),
        key,
    })
}

/// The contract's form of a value of the database.
pub fn from_database(value: db::Value) -> Value {
    match value {
        db::Value::None => Value::None,
        db::Value::Null => Value::Null,
        db::Value::Bool(flag) => Value::Bool(flag),
        db::Value::Number(db::Number::Int(number)) => Value::Int(number),
        db::Value::Number(db::Number::Float(number)) => Value::Float(number),
        db::Value::String(text) => Value::String(text.into()),
        db::Value::Bytes(bytes) => Value::Bytes(bytes.to_vec().into()),
        db::Value::Datetime(time) => {
            let time = time.into_inner();
            Value::Datetime(Timestamp {
                seconds: time.timestamp(),
                nanos: time.timestamp_subsec_nanos(),
            })
        }
        db::Value::RecordId(id) => Value::from(from_record_id(id)),
        db::Value::Array(items) => items.into_iter().map(from_database).collect(),
        db::Value::Object(object) => Value::Object(
            object
                .into_iter()
                .map(|(key, value)| (key, from_database(value)))
                .collect(),
        ),
        other => extension(&other),
    }
}

fn from_record_id(id: db::RecordId) -> RecordId {
    let other = |value| RecordKey::Other(RBox::new(value));
    let key = match id.key {
        db::RecordIdKey::Number(number) => RecordKey::Int(number),
        db::RecordIdKey::String(text) => RecordKey::String(text.into()),
        db::RecordIdKey::Uuid(uuid) => other(from_database(db::Value::Uuid(uuid))),
        db::RecordIdKey::Array(items) => other(from_database(db::Value::Array(items))),
        db::RecordIdKey::Object(object) => other(from_database(db::Value::Object(object))),
        key @ db::RecordIdKey::Range(_) => other(extension(&db::Value::RecordId(db::RecordId {
            table: id.table.clone(),
            key,
        }))),
    };
    RecordId {
        table: id.table.as_str().into(),
        key,
    }
}

fn extension(value: &db::Value) -> Value {
    let kind = match value {
        db::Value::Number(_) => "decimal",
        db::Value::Duration(_) => "duration",
        db::Value::Uuid(_) => "uuid",
        db::Value::Geometry(_) => "geometry",
        db::Value::Table(_) => "table",
        db::Value::File(_) => "file",
        db::Value::Range(_) => "range",
        db::Value::Regex(_) => "regex",
        db::Value::Set(_) => "set",
        db::Value::RecordId(_) => "record range",
        _ => "other",
    };
    match db::encode(value) {
        Ok(data) => Value::from(Extension {
            kind: kind.into(),
            text: value.to_sql().into(),
            data: data.into(),
        }),
        // Whatever the database can send can be encoded.
        Err(_) => Value::from(value.to_sql()),
    }
}

#[cfg(test)]
mod tests;
