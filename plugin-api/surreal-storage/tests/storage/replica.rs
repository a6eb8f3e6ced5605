//! What a receipt says is enough to make a replica of the rows.

use crate::support::{bare, cx, embedding, object, rows, storage};
use abi_stable::std_types::{RString, RVec};
use plugin_api::{
    records::{CodeChunk, CodeFile, CodeProject, CodeSymbol, IndexingJob, WriteReceipt},
    storage::{CodeStorage, Storage},
    value::{Object, Value},
};
use surreal_storage::{SurrealStorage, schema, stored_embedding};

/// One write to every table, with the embedding that each row was given.
fn writes(s: &SurrealStorage) -> Vec<(WriteReceipt, Option<Vec<f32>>)> {
    let given = embedding(&[(0, 0.1), (767, -0.3)]);
    let metadata = object([("Ключ", vec![Value::Null, 1.5_f64.into()].into())]);
    let named = |name: &str| s.create_entity(&cx(), "t", name, &metadata).unwrap();
    let texts: [RString; 2] = ["a".into(), "b".into()];
    let embeddings: [RVec<f32>; 2] = [given.clone().into(), given.clone().into()];
    let symbol = CodeSymbol {
        project_id: "p".into(),
        name_path: "f".into(),
        embedding: given.clone().into(),
        metadata: Some(metadata.clone()).into(),
        ..CodeSymbol::default()
    };
    let chunk = CodeChunk {
        symbol_id: "f".into(),
        embedding: given.clone().into(),
        ..CodeChunk::default()
    };
    let project = CodeProject {
        project_id: "p".into(),
        language_stats: metadata.clone(),
        ..CodeProject::default()
    };
    let file = CodeFile {
        project_id: "p".into(),
        file_path: "a.rs".into(),
        ..CodeFile::default()
    };
    let bare_symbol = CodeSymbol {
        name_path: "g".into(),
        embedding: RVec::new(),
        ..symbol.clone()
    };
    let (none, some) = (None, Some(given.clone()));
    vec![
        (
            s.save_fact(&cx(), "u", "k", &metadata.clone().into())
                .unwrap(),
            none.clone(),
        ),
        (
            s.index_vector(&cx(), "u", "c", &given, &metadata).unwrap(),
            some.clone(),
        ),
        (
            s.index_vector(&cx(), "u", "c", &[], &metadata).unwrap(),
            none.clone(),
        ),
        (named("x"), none.clone()),
        (named("y"), none.clone()),
        (
            s.create_relationship(&cx(), "x", "y", "knows", &metadata)
                .unwrap(),
            none.clone(),
        ),
        (
            s.save_document(&cx(), "a.md", "c", &given, &metadata)
                .unwrap(),
            some.clone(),
        ),
        (
            s.save_document_chunks(&cx(), "b.md", &texts, &embeddings, &metadata)
                .unwrap(),
            some.clone(),
        ),
        (
            s.save_event(&cx(), "u", "s", "c", &given, &metadata)
                .unwrap(),
            some.clone(),
        ),
        (
            s.create_code_project(&cx(), &project).unwrap(),
            none.clone(),
        ),
        (
            s.update_project_status(&cx(), "p", "completed").unwrap(),
            none.clone(),
        ),
        (s.save_code_file(&cx(), &file).unwrap(), none.clone()),
        (s.save_code_symbols(&cx(), &[symbol]).unwrap(), some.clone()),
        (
            s.save_code_symbol(&cx(), &bare_symbol).unwrap(),
            none.clone(),
        ),
        (s.save_code_chunk(&cx(), &chunk).unwrap(), some),
        (
            s.create_indexing_job(&cx(), &IndexingJob::default())
                .unwrap(),
            none,
        ),
    ]
}

fn carry(to: &SurrealStorage, receipts: Vec<(WriteReceipt, Option<Vec<f32>>)>) {
    for (receipt, given) in receipts {
        for mut row in receipt.rows {
            if let Some(given) = &given {
                row.columns.insert("embedding", stored_embedding(given));
            }
            let parameters = Object::new().with("id", row.id).with("row", row.columns);
            to.query(&cx(), "UPSERT $id REPLACE $row", &parameters)
                .unwrap();
        }
    }
}

fn tables() -> impl Iterator<Item = &'static str> {
    schema::TABLES
        .iter()
        .map(|table| table.name)
        .chain(["knows"])
}

#[test]
fn a_replica_built_from_receipts_equals_its_primary() {
    let (primary, replica) = (storage(), storage());
    carry(&replica, writes(&primary));
    for table in tables() {
        let rows_of_primary = rows(&primary, table);
        assert!(!rows_of_primary.is_empty(), "{table}");
        assert_eq!(rows(&replica, table), rows_of_primary, "{table}");
    }
}

#[test]
fn a_replica_accepts_rows_with_columns_of_a_newer_host() {
    let replica = storage();
    for table in schema::TABLES {
        let mut row = object([("of_tomorrow", object([("deep", 1_i64.into())]).into())]);
        for column in table.key.iter().filter(|&&column| column != "id") {
            let value: Value = if *column == "chunk_index" {
                0_i64.into()
            } else {
                "k".into()
            };
            row.insert(*column, value);
        }
        // The second removes the times that a new row gets by default.
        let sql = format!(
            "CREATE {0}:1 CONTENT $row; UPDATE {0}:1 CONTENT $row",
            table.name
        );
        replica
            .query(&cx(), &sql, &Object::new().with("row", row.clone()))
            .unwrap();
        let mut stored = rows(&replica, table.name).remove(0);
        stored.remove("id");
        assert_eq!(stored, row, "{}", table.name);
    }
}

#[test]
fn calls_fail_until_the_schema_is_initialised() {
    let s = bare();
    assert!(s.get_fact(&cx(), "u", "k").is_err());
    s.initialize_schema(&cx()).unwrap();
    assert!(s.get_fact(&cx(), "u", "k").unwrap().is_none());
}
