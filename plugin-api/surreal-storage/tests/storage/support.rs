//! What the tests share: a runtime, storages, embeddings, rows as they are.

use plugin_api::{
    records::{StoredRow, WriteReceipt},
    storage::{CallContext, Storage},
    value::{Object, Timestamp, Value},
};
use std::{sync::LazyLock, time::Duration};
use surreal_storage::{SurrealStorage, Target, Timeouts};
use tokio::runtime::{Handle, Runtime};

/// Like a host's: several threads with the stacks that the database wants.
pub(crate) fn runtime() -> Handle {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(4)
            .thread_stack_size(10 << 20)
            .enable_all()
            .build()
            .unwrap()
    });
    RUNTIME.handle().clone()
}

pub(crate) fn target(url: &str) -> Target {
    Target {
        url: url.to_owned(),
        credentials: None,
        ca_file: None,
        namespace: "test".to_owned(),
        database: "test".to_owned(),
    }
}

pub(crate) fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(20),
        operation: Duration::from_secs(60),
    }
}

/// No deadline but the storage's own.
pub(crate) fn cx() -> CallContext {
    CallContext::new()
}

/// A database in memory, connected, without any table.
pub(crate) fn bare() -> SurrealStorage {
    let storage = SurrealStorage::new(target("mem://"), timeouts(), runtime());
    storage.connect(&cx()).unwrap();
    storage
}

/// A database in memory with the schema.
pub(crate) fn storage() -> SurrealStorage {
    let storage = bare();
    storage.initialize_schema(&cx()).unwrap();
    storage
}

/// An embedding that points along the given components.
pub(crate) fn embedding(components: &[(usize, f32)]) -> Vec<f32> {
    let mut embedding = vec![0.0; 768];
    for &(at, value) in components {
        embedding[at] = value;
    }
    embedding
}

/// Runs statements on a storage; their results.
pub(crate) fn run(storage: &SurrealStorage, sql: &str) -> Vec<Value> {
    match storage.query(&cx(), sql, &Object::new()).unwrap() {
        Value::Array(results) => results.into(),
        other => panic!("not an array: {other}"),
    }
}

/// Rows of a table, as the database has them, by id.
pub(crate) fn rows(storage: &SurrealStorage, table: &str) -> Vec<Object> {
    let mut results = run(storage, &format!("SELECT * FROM `{table}` ORDER BY id"));
    match results.remove(0) {
        Value::Array(rows) => rows
            .into_iter()
            .map(|row| row.as_object().unwrap().clone())
            .collect(),
        other => panic!("not an array: {other}"),
    }
}

/// The one row of a receipt.
pub(crate) fn one(receipt: &WriteReceipt) -> &StoredRow {
    assert_eq!(receipt.rows.len(), 1, "{receipt:?}");
    &receipt.rows[0]
}

/// Checks that a receipt says what the database holds.
pub(crate) fn assert_stored(storage: &SurrealStorage, table: &str, receipt: &WriteReceipt) {
    let stored = rows(storage, table);
    for row in &receipt.rows {
        let id = Value::from(row.id.clone());
        let mut found = stored
            .iter()
            .find(|stored| stored.get("id") == Some(&id))
            .unwrap_or_else(|| panic!("{id} is not in {table}"))
            .clone();
        found.remove("id");
        if row.columns.get("embedding").is_none() {
            found.remove("embedding");
        }
        assert_eq!(found, row.columns);
    }
}

pub(crate) fn time(row: &StoredRow, column: &str) -> Timestamp {
    row.columns
        .get(column)
        .and_then(Value::as_datetime)
        .unwrap()
}

pub(crate) fn object<const N: usize>(entries: [(&str, Value); N]) -> Object {
    entries.into_iter().collect()
}
