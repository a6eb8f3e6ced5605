//! Real databases, compared row by row.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{compare::compare, host::database_runtime};
use plugin_api::{
    storage::{CallContext, Storage},
    value::{Object, RecordId, Value},
};
use std::time::Duration;
use surreal_storage::{SurrealStorage, Target, Timeouts};
use tokio::runtime::Runtime;

fn database(runtime: &Runtime) -> SurrealStorage {
    let target = Target {
        url: "mem://".into(),
        credentials: None,
        ca_file: None,
        namespace: "test".into(),
        database: "test".into(),
    };
    let timeouts = Timeouts {
        connect: Duration::from_secs(10),
        operation: Duration::from_secs(30),
    };
    let storage = SurrealStorage::new(target, timeouts, runtime.handle().clone());
    storage.connect(&CallContext::new()).unwrap();
    storage.initialize_schema(&CallContext::new()).unwrap();
    storage
}

fn put(storage: &SurrealStorage, id: RecordId, row: Object) {
    let sql = "UPSERT ONLY $id CONTENT $row RETURN NONE";
    let parameters = Object::new().with("id", id).with("row", row);
    storage
        .query(&CallContext::new(), sql, &parameters)
        .unwrap();
}

fn fact(key: &str, value: impl Into<Value>) -> Object {
    let time = Value::Datetime("2026-01-31T12:00:00.123456789Z".parse().unwrap());
    Object::new()
        .with("user_id", "ada")
        .with("key", key)
        .with("value", value)
        .with("created_at", time.clone())
        .with("updated_at", time)
}

#[test]
fn equal_databases_compare_equal_over_several_pages() {
    let runtime = database_runtime().unwrap();
    let (primary, secondary) = (database(&runtime), database(&runtime));
    for storage in [&primary, &secondary] {
        for number in 0..450 {
            let key = format!("k{number}");
            put(
                storage,
                RecordId::new("kv_memories", key.as_str()),
                fact(&key, i64::from(number)),
            );
        }
        let edge = Object::new()
            .with("from_entity", "entities:a")
            .with("to_entity", "entities:b");
        storage
            .query(
                &CallContext::new(),
                "DEFINE TABLE knows SCHEMALESS",
                &Object::new(),
            )
            .unwrap();
        put(storage, RecordId::new("knows", "e"), edge);
    }
    let comparison = compare(&primary, &secondary).unwrap();
    assert!(comparison.is_equal(), "{comparison}");
    assert_eq!(comparison.rows(), 451);
    let tables: Vec<&str> = comparison
        .tables
        .iter()
        .map(|table| table.table.as_str())
        .collect();
    assert_eq!(tables, ["knows", "kv_memories"]);
}

#[test]
fn every_kind_of_difference_is_found() {
    let runtime = database_runtime().unwrap();
    let (primary, secondary) = (database(&runtime), database(&runtime));
    let id = |key: &str| RecordId::new("kv_memories", key);
    put(&primary, id("same"), fact("same", 1_i64));
    put(&secondary, id("same"), fact("same", 1_i64));
    put(&primary, id("missing"), fact("missing", 1_i64));
    put(&secondary, id("extra"), fact("extra", 1_i64));
    put(&primary, id("type"), fact("type", 1_i64));
    put(&secondary, id("type"), fact("type", 1.0));
    put(&primary, id("time"), fact("time", 1_i64));
    let later = Value::Datetime("2026-01-31T12:00:00.123456790Z".parse().unwrap());
    put(
        &secondary,
        id("time"),
        fact("time", 1_i64).with("updated_at", later),
    );
    let edge = Object::new()
        .with("from_entity", "entities:a")
        .with("to_entity", "entities:b");
    secondary
        .query(
            &CallContext::new(),
            "DEFINE TABLE knows SCHEMALESS",
            &Object::new(),
        )
        .unwrap();
    put(&secondary, RecordId::new("knows", "e"), edge);
    // A table that is not the host's is not replicated.
    secondary
        .query(
            &CallContext::new(),
            "DEFINE TABLE notes SCHEMALESS; CREATE notes",
            &Object::new(),
        )
        .unwrap();

    let comparison = compare(&primary, &secondary).unwrap();
    assert!(!comparison.is_equal());
    let [knows, facts] = comparison.tables.as_slice() else {
        panic!("{comparison}");
    };
    assert_eq!(knows.extra, [RecordId::new("knows", "e")]);
    assert_eq!((facts.primary_rows, facts.secondary_rows), (4, 4));
    assert_eq!(facts.missing, [id("missing")]);
    assert_eq!(facts.extra, [id("extra")]);
    let different: Vec<(RecordId, Vec<&str>)> = facts
        .different
        .iter()
        .map(|row| {
            (
                row.id.clone(),
                row.columns
                    .iter()
                    .map(|column| column.column.as_str())
                    .collect(),
            )
        })
        .collect();
    assert_eq!(
        different,
        [
            (id("time"), vec!["updated_at"]),
            (id("type"), vec!["value"])
        ]
    );
    let text = comparison.to_string();
    assert!(
        text.contains("missing on the secondary: kv_memories:missing"),
        "{text}"
    );
    assert!(text.contains("different: kv_memories:time"), "{text}");
}
