//! [`rows_by_id`]: the rows with given record ids.

use super::{
    MAX_ROW_BYTES, Measured, PAGE_BYTES, ScannedRow, Unreadable, measured::MAX_ROWS, read_measured,
    rows, scanned_row,
};
use plugin_api::{
    error::{ErrorKind, StorageResult},
    storage::{CallContext, Storage},
    value::{Object, RecordId, RecordKey, Value},
};
use std::{collections::HashMap, time::Duration};

/// The rows with these record ids, as far as they exist, in parts of a bounded number
/// of bytes: a part that is too large is halved. Rows that cannot be read are left out,
/// and returned by their ids.
///
/// # Errors
/// The database's.
pub fn rows_by_id(
    database: &(impl Storage + ?Sized),
    timeout: Duration,
    projection: &str,
    ids: &[RecordId],
) -> StorageResult<(Vec<ScannedRow>, Vec<Unreadable>)> {
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    let groups = without_equal_numbers(ids);
    let parts = groups.iter().flat_map(|group| group.chunks(MAX_ROWS));
    let mut parts: Vec<&[RecordId]> = parts.collect();
    parts.reverse();
    while let Some(part) = parts.pop() {
        let ids: Value = part.iter().cloned().collect();
        let parameters = Object::new().with("ids", ids);
        let context = CallContext::with_timeout(timeout);
        let budget = match part {
            [_] => MAX_ROW_BYTES,
            _ => PAGE_BYTES,
        };
        let select = format!("SELECT {projection} FROM $ids");
        match (
            read_measured(database, &context, &select, &parameters, budget),
            part,
        ) {
            (Err(error), _) if error.kind == ErrorKind::NOT_FOUND => {}
            (Ok(Measured::Values(values, _)), _) => {
                for value in values {
                    found.push(scanned_row(value)?);
                }
            }
            (Ok(Measured::TooMany(sizes)), [id]) => unreadable.push(Unreadable {
                id: id.clone(),
                bytes: Some(sizes.iter().sum()),
            }),
            (Err(error), [id]) if error.kind == ErrorKind::TIMEOUT => {
                // If not even its id can be read, the row is not at fault.
                let context = CallContext::with_timeout(timeout);
                let exists = "SELECT id FROM $ids";
                rows(database, &context, exists, &parameters).map_err(|_| error)?;
                unreadable.push(Unreadable {
                    id: id.clone(),
                    bytes: None,
                });
            }
            (Err(error), _) if error.kind != ErrorKind::TIMEOUT => return Err(error),
            (_, part) => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
        }
    }
    Ok((found, unreadable))
}

/// The ids in groups, each for statements of its own. Within one statement the
/// database takes ids for the same that differ only in the kind of a number, such as
/// `[1]` and `[1.0]`.
fn without_equal_numbers(ids: &[RecordId]) -> Vec<Vec<RecordId>> {
    let mut groups: Vec<Vec<RecordId>> = Vec::new();
    let mut seen: HashMap<String, usize> = HashMap::new();
    for id in ids {
        let group = match &id.key {
            RecordKey::Other(key) => {
                let times = seen.entry(format!("{:?}", as_floats(key))).or_default();
                *times += 1;
                *times - 1
            }
            RecordKey::Int(_) | RecordKey::String(_) => 0,
        };
        if group == groups.len() {
            groups.push(Vec::new());
        }
        groups[group].push(id.clone());
    }
    groups
}

/// The value with all its numbers as floats.
fn as_floats(value: &Value) -> Value {
    match value {
        #[allow(
            clippy::cast_precision_loss,
            reason = "numbers that become equal only cost a statement"
        )]
        Value::Int(number) => Value::Float(*number as f64),
        // Minus zero becomes zero.
        Value::Float(number) => Value::Float(number + 0.0),
        Value::Extension(other) if &*other.kind == "decimal" => {
            match other.text.trim_end_matches("dec").parse() {
                Ok(number) => Value::Float(number),
                Err(_) => value.clone(),
            }
        }
        Value::Array(values) => values.iter().map(as_floats).collect(),
        Value::Object(object) => {
            let columns = object.iter();
            let columns = columns.map(|(name, value)| (name, as_floats(value)));
            Value::Object(columns.collect())
        }
        other => other.clone(),
    }
}
