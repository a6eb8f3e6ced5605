//! Reading the primary's present rows for the operations that carry none.

use super::batch::{Change, TargetState, path_of};
use crate::{
    dedup::{Key, key_columns},
    sync_types::Row,
};
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::{CallContext, FullStorage, Storage as _},
    value::{Object, Value},
};
use std::{fmt::Write as _, time::Duration};

/// How many keys are read with one query.
const KEYS_PER_QUERY: usize = 100;

/// Gives every change that is to be read the primary's state. Says whether
/// there were any.
///
/// Read as late as possible, and after everything before it in the log was
/// committed there; so what is read is never older than what the log says.
pub(super) async fn read_present(
    primary: &FullStorage,
    changes: &mut [Change],
    timeout: Duration,
) -> StorageResult<bool> {
    let mut unread: Vec<&mut Change> = changes.iter_mut().filter(|change| change.unread).collect();
    let any = !unread.is_empty();
    for page in unread.chunks_mut(KEYS_PER_QUERY) {
        let keys: Vec<Key> = page
            .iter()
            .map(|change| change.operation.key.clone())
            .collect();
        let primary = primary.clone();
        let states = tokio::task::spawn_blocking(move || present(&primary, &keys, timeout))
            .await
            .map_err(|error| StorageError::internal(format!("reading the primary: {error}")))??;
        for (change, state) in page.iter_mut().zip(states) {
            // What the primary deleted meanwhile stays as it was logged.
            if !matches!(state, TargetState::Unchanged) {
                change.target = state;
            }
            change.unread = false;
        }
    }
    Ok(any)
}

/// The primary's state of each key.
fn present(
    primary: &FullStorage,
    keys: &[Key],
    timeout: Duration,
) -> StorageResult<Vec<TargetState>> {
    let mut sql = String::new();
    let mut parameters = Object::new();
    for (at, key) in keys.iter().enumerate() {
        select(&mut sql, &mut parameters, at, key);
    }
    let context = CallContext::with_timeout(timeout);
    let answer = match primary.query(&context, &sql, &parameters) {
        // Its table is gone, and the row with it.
        Err(error) if error.kind == ErrorKind::NOT_FOUND && keys.len() == 1 => {
            return Ok(vec![TargetState::Unchanged]);
        }
        answer => {
            answer.map_err(|error| error.context("reading the primary's rows for a refresh"))?
        }
    };
    let results = answer.as_array().unwrap_or_default();
    if results.len() != keys.len() {
        return Err(StorageError::internal(format!(
            "the primary answered {} of {} refreshes",
            results.len(),
            keys.len()
        )));
    }
    keys.iter()
        .zip(results)
        .map(|(key, result)| state(key, result))
        .collect()
}

/// One statement that selects the rows of `key`.
fn select(sql: &mut String, parameters: &mut Object, at: usize, key: &Key) {
    let (table, values) = key.parts();
    let mut bind = |place: usize, value: Value| {
        let name = format!("k{at}_{place}");
        parameters.insert(name.as_str(), value);
        name
    };
    let condition = if table == "knowledge_base" {
        let path = bind(0, values.into_iter().next().unwrap_or_default());
        format!("source_file = ${path} OR file_path = ${path}")
    } else {
        key_columns(&table)
            .iter()
            .zip(values)
            .enumerate()
            .map(|(place, (column, value))| format!("{column} = ${}", bind(place, value)))
            .collect::<Vec<_>>()
            .join(" AND ")
    };
    let name = bind(99, table.into());
    // Writing to a string cannot fail.
    let _ = writeln!(sql, "SELECT * FROM type::table(${name}) WHERE {condition};");
}

fn state(key: &Key, result: &Value) -> StorageResult<TargetState> {
    let rows = result
        .as_array()
        .unwrap_or_default()
        .iter()
        .map(row)
        .collect::<StorageResult<Vec<_>>>()?;
    Ok(if rows.is_empty() {
        // Deleted on the primary: the secondary keeps its copy, as an archive.
        TargetState::Unchanged
    } else if key.parts().0 == "knowledge_base" {
        TargetState::Document(path_of(key), rows)
    } else {
        TargetState::Rows(rows)
    })
}

/// A row as selected, id and embedding among its columns.
pub(super) fn row(value: &Value) -> StorageResult<Row> {
    let mut columns = value
        .as_object()
        .cloned()
        .ok_or_else(|| StorageError::internal("the primary's row is no object"))?;
    match columns.remove("id") {
        Some(Value::RecordId(id)) => Ok(Row {
            id: (*id).clone(),
            columns,
            embedding: None,
        }),
        _ => Err(StorageError::internal("the primary's row has no id")),
    }
}
