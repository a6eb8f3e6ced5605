//! What merged reads promise, one example each.

use super::{
    LONG_TIMEOUT, TestSecondary, context, database, merger, rows::embedding, run, tombstones,
};
use crate::{dedup::Key, query_merger::QueryMerger, tombstones::Scope};
use abi_stable::std_types::{RString, RVec};
use plugin_api::{
    records::{CodeSymbol, WriteReceipt},
    storage::{CodeStorage, Storage},
    value::{Object, Value},
};
use std::sync::Arc;
use surreal_storage::SurrealStorage;

fn over(primary: &SurrealStorage, secondary: &SurrealStorage) -> QueryMerger {
    let secondary = TestSecondary::new("secondary", 1, secondary.clone());
    merger(primary.clone(), &[secondary], None, LONG_TIMEOUT)
}

/// Replicates the rows of a write to another database.
fn copy(receipt: &WriteReceipt, embedding: &[f32], to: &SurrealStorage) {
    for row in &receipt.rows {
        let row_with_id = row
            .columns
            .clone()
            .with("id", row.id.clone())
            .with("embedding", Value::floats(embedding));
        let parameters = Object::new().with("row", row_with_id);
        let sql = format!("INSERT INTO `{}` $row", row.id.table);
        to.query(&context(), &sql, &parameters).unwrap();
    }
}

fn symbol(name: &str, file: &str) -> CodeSymbol {
    CodeSymbol {
        project_id: "p".into(),
        file_path: file.into(),
        name: name.into(),
        name_path: name.into(),
        ..CodeSymbol::default()
    }
}

#[test]
fn a_stale_copy_does_not_match_a_search_that_its_newer_version_does_not_match() {
    let (primary, secondary) = (database(), database());
    let near = embedding(0);
    let receipt = primary
        .index_vector(&context(), "ada", "apples", &near, &Object::new())
        .unwrap();
    copy(&receipt, &near, &secondary);
    let id = receipt.rows[0].id.to_string();
    primary
        .update_vector(
            &context(),
            &id,
            "ada",
            "pears",
            &embedding(2),
            &Object::new(),
        )
        .unwrap();
    primary
        .index_vector(&context(), "ada", "plums", &embedding(3), &Object::new())
        .unwrap();

    let found = over(&primary, &secondary)
        .search_similar(&context(), "ada", &near, 1)
        .unwrap();
    let contents: Vec<&str> = found.iter().map(|found| found.content.as_str()).collect();
    assert_eq!(contents, ["plums"]);
}

#[test]
fn a_symbol_that_moved_is_not_found_in_its_old_file() {
    let (primary, secondary) = (database(), database());
    primary
        .save_code_symbol(&context(), &symbol("run", "new.rs"))
        .unwrap();
    secondary
        .save_code_symbol(&context(), &symbol("run", "old.rs"))
        .unwrap();
    let merger = over(&primary, &secondary);
    assert!(
        merger
            .find_symbols_by_file(&context(), "p", "old.rs")
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        merger
            .find_symbols_by_file(&context(), "p", "new.rs")
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_document_with_fewer_chunks_than_before_has_only_those() {
    let (primary, secondary) = (database(), database());
    let save = |storage: &SurrealStorage, chunks: &[&str]| {
        let texts: Vec<RString> = chunks.iter().map(|&text| text.into()).collect();
        let embeddings: Vec<RVec<f32>> = chunks.iter().map(|_| embedding(0).into()).collect();
        storage
            .save_document_chunks(&context(), "a.md", &texts, &embeddings, &Object::new())
            .unwrap();
    };
    save(&primary, &["new"]);
    save(&secondary, &["old 0", "old 1", "old 2"]);
    let found = over(&primary, &secondary)
        .search_documents(&context(), &embedding(0), 10)
        .unwrap();
    let contents: Vec<&str> = found
        .iter()
        .map(|found| found.document.content.as_str())
        .collect();
    assert_eq!(contents, ["new"]);
}

#[test]
fn a_row_without_ends_hides_no_edge_of_its_table() {
    // A table that the storage has made, and one that an older host has made.
    for create in ["", "DEFINE TABLE knows;"] {
        let (primary, secondary) = (database(), database());
        for name in ["ada", "bob"] {
            primary
                .create_entity(&context(), "person", name, &Object::new())
                .unwrap();
        }
        run(&primary, create, &Object::new());
        primary
            .create_relationship(&context(), "ada", "bob", "knows", &Object::new())
            .unwrap();
        run(&primary, "CREATE knows:0 SET note = 1", &Object::new());
        // The archive of a secondary may have an edge more.
        run(
            &secondary,
            "CREATE knows:0 SET note = 1; CREATE knows:z SET from_entity = 'entities:a', \
             to_entity = 'entities:b'",
            &Object::new(),
        );
        let merger = over(&primary, &secondary);
        let found = merger.traverse_graph(&context(), "ada", "", 2).unwrap();
        assert_eq!(found.len(), 2, "{create}: {found:?}");
        let hybrid = merger
            .hybrid_search(&context(), "u", &embedding(0), &["ada".into()], 5)
            .unwrap();
        assert_eq!(hybrid.graph.len(), 2);
        let stats = merger.get_stats(&context(), "").unwrap();
        // The primary's two rows, and the secondary's edge.
        assert_eq!(stats.relationship_count, 3);
    }
}

#[test]
fn a_traversal_continues_through_edges_and_entities_of_another_database() {
    let (primary, secondary) = (database(), database());
    let entity = |storage: &SurrealStorage, name: &str| {
        storage
            .create_entity(&context(), "place", name, &Object::new())
            .unwrap()
    };
    let road = |storage: &SurrealStorage, from: &str, to: &str| {
        storage
            .create_relationship(&context(), from, to, "leads_to", &Object::new())
            .unwrap();
    };
    // Rome and Milan are on the primary, Milan and Turin on the secondary, each
    // with the road between them.
    entity(&primary, "Rome");
    let milan = entity(&primary, "Milan");
    copy(&milan, &[], &secondary);
    entity(&secondary, "Turin");
    road(&primary, "Rome", "Milan");
    road(&secondary, "Milan", "Turin");
    let found = over(&primary, &secondary)
        .traverse_graph(&context(), "Rome", "leads_to", 5)
        .unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|step| (step.entity.name.as_str(), step.depth))
        .collect();
    assert_eq!(names, [("Rome", 0), ("Milan", 1), ("Turin", 2)]);
}

#[test]
fn a_row_that_both_databases_have_is_counted_once() {
    let (primary, secondary) = (database(), database());
    for (storage, keys) in [(&primary, ["a", "b"]), (&secondary, ["b", "c"])] {
        for key in keys {
            storage
                .save_fact(&context(), "ada", key, &1i64.into())
                .unwrap();
        }
    }
    let merger = over(&primary, &secondary);
    assert_eq!(
        merger.get_stats(&context(), "ada").unwrap().key_value_count,
        3
    );
    let counts = merger.count_by_user_id(&context(), "kv_memories").unwrap();
    assert_eq!(
        counts.iter().map(|user| user.count).collect::<Vec<_>>(),
        [3]
    );
    // 1 byte of key and 1 of value each.
    assert_eq!(
        merger.get_stats(&context(), "").unwrap().total_size_bytes,
        6
    );
}

#[test]
fn counts_cover_more_rows_than_one_page() {
    let (primary, secondary) = (database(), database());
    let rows = "FOR $n IN 0..$count { CREATE events SET user_id = 'ada', content = 'x' }";
    for (storage, count) in [(&primary, 3i64), (&secondary, 4500)] {
        storage
            .query(&context(), rows, &Object::new().with("count", count))
            .unwrap();
    }
    let stats = over(&primary, &secondary)
        .get_stats(&context(), "ada")
        .unwrap();
    assert_eq!((stats.event_count, stats.total_size_bytes), (4503, 4503));
}

#[test]
fn the_secondary_with_the_lower_priority_number_wins_in_any_order_of_configuration() {
    let backends: Vec<_> = ["second", "first"]
        .map(|value| {
            let storage = database();
            storage
                .save_fact(&context(), "ada", "k", &value.into())
                .unwrap();
            storage
        })
        .into();
    let secondaries = [
        TestSecondary::new("second", 2, backends[0].clone()),
        TestSecondary::new("first", 1, backends[1].clone()),
    ];
    let merger = merger(database(), &secondaries, None, LONG_TIMEOUT);
    let expected = Value::from("first");
    assert_eq!(
        merger.get_fact(&context(), "ada", "k").unwrap(),
        Some(expected.clone()).into()
    );
    assert_eq!(
        merger.list_facts(&context(), "ada").unwrap().get("k"),
        Some(&expected)
    );
}

#[test]
fn a_deleted_row_is_hidden_until_it_is_written_again_unless_deleted_reads_are_shown() {
    let (primary, secondary) = (database(), database());
    secondary
        .save_code_symbol(&context(), &symbol("run", "a.rs"))
        .unwrap();
    let (_directory, tombstones) = tombstones();
    let secondary = TestSecondary::new("secondary", 1, secondary);
    let secondaries = [secondary];
    let hiding = merger(
        primary.clone(),
        &secondaries,
        Some(Arc::clone(&tombstones)),
        LONG_TIMEOUT,
    );
    let showing = merger(primary.clone(), &secondaries, None, LONG_TIMEOUT);
    let found = |merger: &QueryMerger| {
        let listed = merger
            .find_symbols_by_file(&context(), "p", "a.rs")
            .unwrap()
            .len();
        let read = merger
            .get_code_symbol(&context(), "p", "run")
            .unwrap()
            .is_some();
        let counted = merger
            .get_code_project_stats(&context(), "p")
            .unwrap()
            .symbol_count;
        (listed, read, counted)
    };
    assert_eq!(found(&hiding), (1, true, 1));
    tombstones.delete(&[], &[Scope::symbols_of_file("p", "a.rs")]);
    assert_eq!(found(&hiding), (0, false, 0));
    assert_eq!(found(&showing), (1, true, 1));

    let receipt = primary
        .save_code_symbol(&context(), &symbol("run", "a.rs"))
        .unwrap();
    let row = &receipt.rows[0];
    let key = Key::of_row("code_symbols", &row.id, &row.columns);
    tombstones
        .clear(&key, "code_symbols", &row.columns)
        .unwrap();
    assert_eq!(found(&hiding), (1, true, 1));
}

#[test]
fn an_entity_that_the_primary_has_under_another_name_is_not_found_by_its_old_one() {
    let (primary, secondary) = (database(), database());
    let receipt = secondary
        .create_entity(&context(), "person", "old", &Object::new())
        .unwrap();
    copy(&receipt, &[], &primary);
    primary
        .query(
            &context(),
            "UPDATE entities SET name = 'new'",
            &Object::new(),
        )
        .unwrap();
    let merger = over(&primary, &secondary);
    assert!(merger.get_entity(&context(), "old").unwrap().is_none());
    assert_eq!(
        merger
            .get_entity(&context(), "new")
            .unwrap()
            .into_option()
            .unwrap()
            .name,
        "new"
    );
    assert!(
        merger
            .traverse_graph(&context(), "old", "", 3)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn an_entity_that_only_a_secondary_has_is_found_by_id_with_and_without_its_table() {
    let (primary, secondary) = (database(), database());
    let receipt = secondary
        .create_entity(&context(), "person", "ada", &Object::new())
        .unwrap();
    let id = receipt.rows[0].id.clone();
    let merger = over(&primary, &secondary);
    for text in [id.to_string(), id.key.to_string(), "ada".to_owned()] {
        let found = merger.get_entity(&context(), &text).unwrap().into_option();
        assert_eq!(found.map(|entity| entity.id), Some(id.clone()), "{text}");
    }
    for text in ["", "entities:", "events:x", "`", "nobody"] {
        assert!(
            merger.get_entity(&context(), text).unwrap().is_none(),
            "{text}"
        );
    }
}
