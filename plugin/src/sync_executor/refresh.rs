//! Reading the primary's present rows for the operations that carry none.

use super::batch::{Change, TargetState, path_of};
use crate::{dedup::Key, sync_types::RowImage};
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::{CallContext, FullStorage, Storage as _},
    value::{Object, Value},
};
use std::time::Duration;
use surreal_storage::{
    schema::Table,
    table_scan::{MAX_ROW_BYTES, PAGE_BYTES, why_unreadable},
};

/// How many keys are read with one query.
const KEYS_PER_QUERY: usize = 100;

/// How much of a piece is ready to be applied.
pub(super) struct Loaded {
    /// So many changes from the beginning of the piece fit into a transaction,
    /// and have their rows.
    pub(super) changes: usize,
    /// About how many bytes they are.
    pub(super) bytes: usize,
    /// Were any rows read from the primary?
    pub(super) read: bool,
}

/// Reads the primary's rows for the changes that need a refresh, until about
/// `limit` bytes are ready.
///
/// Rows are read as late as possible, and after the primary has committed
/// everything that stands before them in the log; so they are never older than
/// what the log says.
pub(super) async fn load_rows(
    primary: &FullStorage,
    changes: &mut [Change],
    limit: usize,
    timeout: Duration,
) -> StorageResult<Loaded> {
    let mut loaded = Loaded {
        changes: 0,
        bytes: 0,
        read: false,
    };
    for at in 0..changes.len() {
        if at > 0 && loaded.bytes >= limit {
            break;
        }
        if changes[at].needs_refresh {
            read_page(primary, &mut changes[at..], timeout).await?;
            loaded.read = true;
        }
        let bytes = changes[at].wire_bytes();
        if at > 0 && loaded.bytes + bytes > limit {
            break;
        }
        loaded.changes += 1;
        loaded.bytes += bytes;
    }
    Ok(loaded)
}

/// Reads the rows of the first of these changes, which needs a refresh, and of
/// others with it. A document is read alone: it may have many rows.
async fn read_page(
    primary: &FullStorage,
    changes: &mut [Change],
    timeout: Duration,
) -> StorageResult<()> {
    let alone = changes.first().is_some_and(Change::is_of_document);
    let mut page: Vec<&mut Change> = changes
        .iter_mut()
        .filter(|change| change.needs_refresh && change.is_of_document() == alone)
        .take(if alone { 1 } else { KEYS_PER_QUERY })
        .collect();
    let keys: Vec<Key> = page
        .iter()
        .map(|change| change.operation.key.clone())
        .collect();
    let primary = primary.clone();
    let states = tokio::task::spawn_blocking(move || present(&primary, &keys, timeout))
        .await
        .map_err(|error| StorageError::internal(format!("reading the primary: {error}")))??;
    for (change, state) in page.iter_mut().zip(states) {
        // What the primary has deleted meanwhile stays as it was logged.
        if !matches!(state, TargetState::Unchanged) {
            change.target = state;
        }
        change.needs_refresh = false;
    }
    Ok(())
}

/// The primary's state of each key. What is too large for one answer is read in
/// parts: a message that is too large would cost the host's connection.
fn present(
    primary: &FullStorage,
    keys: &[Key],
    timeout: Duration,
) -> StorageResult<Vec<TargetState>> {
    let budget = match keys {
        [_] => MAX_ROW_BYTES,
        keys => PAGE_BYTES / keys.len() as u64,
    };
    let mut parameters = Object::new().with("budget", i64::try_from(budget).unwrap_or(i64::MAX));
    // A statement each: within one, the database takes the rows `[1]` and `[1.0]` for the
    // same.
    let statements = keys.iter().enumerate().map(|(at, key)| {
        let select = select(&mut parameters, at, key);
        format!(
            "{{ LET $found = {select}; \
                LET $bytes = bytes::len(<bytes>(<string> $found)); \
                RETURN IF $bytes <= $budget {{ $found }} ELSE {{ $bytes }} }};"
        )
    });
    let sql: String = statements.collect();
    let context = CallContext::with_timeout(timeout);
    let answer = match (primary.query(&context, &sql, &parameters), keys) {
        // The table is gone, and the row with it.
        (Err(error), [_]) if error.kind == ErrorKind::NOT_FOUND => {
            return Ok(vec![TargetState::Unchanged]);
        }
        (Err(error), [key]) if error.kind == ErrorKind::TIMEOUT => {
            // If the primary answers, it is not at fault.
            let context = CallContext::with_timeout(timeout);
            primary.query(&context, "RETURN 1", &Object::new())?;
            return Err(unreadable(key, None));
        }
        (Err(error), keys) if error.kind == ErrorKind::TIMEOUT => {
            return halves(primary, keys, timeout);
        }
        (Err(error), _) => return Err(error.context("reading the primary's rows for a refresh")),
        (Ok(answer), _) => answer,
    };
    let results = answer.as_array().unwrap_or_default();
    if results.len() != keys.len() {
        return Err(StorageError::internal(format!(
            "the primary answered {} of {} statements of a refresh",
            results.len(),
            keys.len()
        )));
    }
    match (results.iter().find_map(Value::as_int), keys) {
        (None, _) => keys
            .iter()
            .zip(results)
            .map(|(key, result)| state(key, result))
            .collect(),
        (Some(bytes), [key]) => Err(unreadable(key, u64::try_from(bytes).ok())),
        (Some(_), keys) => halves(primary, keys, timeout),
    }
}

/// The same in two parts.
fn halves(
    primary: &FullStorage,
    keys: &[Key],
    timeout: Duration,
) -> StorageResult<Vec<TargetState>> {
    let (first, second) = keys.split_at(keys.len() / 2);
    let mut states = present(primary, first, timeout)?;
    states.append(&mut present(primary, second, timeout)?);
    Ok(states)
}

/// The row or document of this key cannot be read.
fn unreadable(key: &Key, bytes: Option<u64>) -> StorageError {
    let mut reason = String::new();
    // Writing to a string cannot fail.
    let _ = why_unreadable(&mut reason, key, bytes);
    StorageError::invalid_input(reason)
}

/// A statement that selects the rows of `key`.
fn select(parameters: &mut Object, at: usize, key: &Key) -> String {
    let (table, values) = key.parts();
    let mut bind = |place: usize, value: Value| {
        let name = format!("k{at}_{place}");
        parameters.insert(name.as_str(), value);
        name
    };
    let facts = Table::of(&table);
    let condition = if facts.is_grouped() {
        let group = bind(0, values.into_iter().next().unwrap_or_default());
        facts.group_condition(&format!("${group}"))
    } else {
        facts
            .key
            .iter()
            .zip(values)
            .enumerate()
            .map(|(place, (column, value))| format!("{column} = ${}", bind(place, value)))
            .collect::<Vec<_>>()
            .join(" AND ")
    };
    let name = bind(99, table.into());
    format!("(SELECT * FROM type::table(${name}) WHERE {condition})")
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
    } else if Table::of(&key.table()).is_grouped() {
        TargetState::document(path_of(key), rows)
    } else {
        TargetState::Rows(rows)
    })
}

/// A row as selected, id and embedding among its columns.
pub(super) fn row(value: &Value) -> StorageResult<RowImage> {
    let mut columns = value
        .as_object()
        .cloned()
        .ok_or_else(|| StorageError::internal("a row of the primary is not an object"))?;
    match columns.remove("id") {
        Some(Value::RecordId(id)) => Ok(RowImage {
            id: (*id).clone(),
            columns,
            embedding: None,
        }),
        _ => Err(StorageError::internal("a row of the primary has no id")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{
        sync_executor::batch::{TRANSACTION_BYTES, last_of_each_key},
        sync_queue::{Position, Watermark},
        sync_types::{SyncOperation, document_key},
        test_server,
    };
    use tokio::runtime::Handle;

    fn primary() -> FullStorage {
        let context = CallContext::new();
        let storage = tokio::task::block_in_place(|| {
            let storage = test_server::primary(&Handle::current());
            let chunks = vec!["x".repeat(TRANSACTION_BYTES / 3).into(); 2];
            let no_embeddings = vec![Default::default(); 2];
            for path in ["a", "b", "c"] {
                let metadata = Object::new();
                storage
                    .save_document_chunks(&context, path, &chunks, &no_embeddings, &metadata)
                    .unwrap();
            }
            storage
        });
        FullStorage::new(storage)
    }

    fn refreshes(paths: &[&str]) -> Vec<Change> {
        let places = (1..).map(|at| Watermark {
            position: Position(at),
            ..Watermark::default()
        });
        let refresh = |path: &&str| SyncOperation::refresh(document_key(*path));
        let operations = places.zip(paths.iter().map(refresh)).collect();
        last_of_each_key(operations, Position::default())
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_more_rows_are_read_than_fit_into_a_transaction() {
        let primary = primary();
        let timeout = Duration::from_secs(60);
        let mut changes = refreshes(&["a", "none", "b", "c"]);
        let loaded = load_rows(&primary, &mut changes, TRANSACTION_BYTES, timeout)
            .await
            .unwrap();
        assert_eq!((loaded.changes, loaded.read), (2, true));
        let needs_refresh: Vec<_> = changes.iter().map(|change| change.needs_refresh).collect();
        assert_eq!(needs_refresh, [false, false, false, true]);

        // A single one is never too much, and nothing is read twice.
        let loaded = load_rows(&primary, &mut changes[..2], TRANSACTION_BYTES, timeout)
            .await
            .unwrap();
        assert_eq!((loaded.changes, loaded.read), (2, false));
        let loaded = load_rows(&primary, &mut changes[2..], 1, timeout)
            .await
            .unwrap();
        assert_eq!((loaded.changes, loaded.read), (1, false));
    }
}
