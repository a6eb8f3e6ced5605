//! A database that an existing host has written keeps working.

use crate::support::{bare, cx, embedding, object, one, rows, run, time};
use plugin_api::{
    records::{CodeProject, CodeSymbol},
    storage::{CodeStorage, StatsProvider, Storage},
    value::{Object, Value},
};
use surreal_storage::{SurrealStorage, schema};

/// The schema of an existing host: full, with times that the server overwrites
/// on every write, and rows with random ids.
const SCHEMA: &str = "
DEFINE TABLE kv_memories SCHEMAFULL;
DEFINE FIELD user_id ON kv_memories TYPE string;
DEFINE FIELD key ON kv_memories TYPE string;
DEFINE FIELD value ON kv_memories TYPE option<string | int | float | bool | object | array>;
DEFINE FIELD created_at ON kv_memories TYPE datetime VALUE time::now() READONLY;
DEFINE FIELD updated_at ON kv_memories TYPE datetime VALUE time::now();
DEFINE INDEX idx_kv ON kv_memories FIELDS user_id, key UNIQUE;

DEFINE TABLE vector_memories SCHEMAFULL;
DEFINE FIELD user_id ON vector_memories TYPE option<string>;
DEFINE FIELD content ON vector_memories TYPE string;
DEFINE FIELD embedding ON vector_memories TYPE array<float>;
DEFINE FIELD metadata ON vector_memories TYPE object FLEXIBLE;
DEFINE FIELD created_at ON vector_memories TYPE datetime VALUE time::now();
DEFINE FIELD updated_at ON vector_memories TYPE datetime VALUE time::now();
DEFINE INDEX idx_embedding ON vector_memories FIELDS embedding HNSW DIMENSION 768 DIST COSINE;

DEFINE TABLE knowledge_base SCHEMAFULL;
DEFINE FIELD file_path ON knowledge_base TYPE string;
DEFINE FIELD content ON knowledge_base TYPE string;
DEFINE FIELD embedding ON knowledge_base TYPE array<float>;
DEFINE FIELD metadata ON knowledge_base TYPE object FLEXIBLE;
DEFINE FIELD source_file ON knowledge_base TYPE option<string>;
DEFINE FIELD chunk_index ON knowledge_base TYPE int DEFAULT 0;
DEFINE FIELD chunk_count ON knowledge_base TYPE int DEFAULT 0;
DEFINE FIELD created_at ON knowledge_base TYPE datetime VALUE time::now();
DEFINE FIELD updated_at ON knowledge_base TYPE datetime VALUE time::now();
DEFINE INDEX idx_path ON knowledge_base FIELDS file_path UNIQUE;

DEFINE TABLE entities SCHEMAFULL;
DEFINE FIELD type ON entities TYPE string;
DEFINE FIELD name ON entities TYPE string;
DEFINE FIELD properties ON entities TYPE object FLEXIBLE;
DEFINE FIELD created_at ON entities TYPE datetime VALUE time::now();

DEFINE TABLE worked_with SCHEMALESS;

DEFINE ANALYZER words TOKENIZERS blank, class FILTERS lowercase, snowball(english);
DEFINE TABLE events SCHEMAFULL;
DEFINE FIELD user_id ON events TYPE string;
DEFINE FIELD subject ON events TYPE string;
DEFINE FIELD content ON events TYPE string;
DEFINE FIELD embedding ON events TYPE array<float>;
DEFINE FIELD metadata ON events TYPE option<object>;
DEFINE FIELD created_at ON events TYPE datetime VALUE time::now();
DEFINE INDEX idx_content ON events FIELDS content FULLTEXT ANALYZER words BM25;

DEFINE TABLE code_projects SCHEMAFULL;
DEFINE FIELD project_id ON code_projects TYPE string;
DEFINE FIELD name ON code_projects TYPE string;
DEFINE FIELD root_path ON code_projects TYPE string;
DEFINE FIELD language_stats ON code_projects TYPE object FLEXIBLE;
DEFINE FIELD last_indexed_at ON code_projects TYPE option<datetime>;
DEFINE FIELD indexing_status ON code_projects TYPE string;
DEFINE FIELD watcher_enabled ON code_projects TYPE bool DEFAULT false;
DEFINE FIELD created_at ON code_projects TYPE datetime VALUE time::now();
DEFINE FIELD updated_at ON code_projects TYPE datetime VALUE time::now();
DEFINE INDEX idx_project ON code_projects FIELDS project_id UNIQUE;

DEFINE TABLE code_symbols SCHEMAFULL;
DEFINE FIELD project_id ON code_symbols TYPE string;
DEFINE FIELD name_path ON code_symbols TYPE string;
DEFINE FIELD name ON code_symbols TYPE string;
DEFINE INDEX idx_symbol ON code_symbols FIELDS project_id, name_path UNIQUE;

DEFINE TABLE schema_version SCHEMAFULL;
DEFINE FIELD version ON schema_version TYPE int;
DEFINE TABLE user_stats SCHEMALESS;
";

fn existing() -> SurrealStorage {
    let s = bare();
    run(&s, SCHEMA);
    let zeros = Value::floats(&[0.0; 768]);
    let parameters = Object::new()
        .with("embedding", Value::floats(&embedding(&[(1, 1.0)])))
        .with("zeros", zeros);
    let sql = "
        CREATE kv_memories SET user_id = 'ada', key = 'colour', value = 'green';
        CREATE vector_memories SET user_id = 'ada', content = 'old', embedding = $embedding, metadata = { a: { b: 1 } };
        CREATE knowledge_base SET file_path = 'a.md#chunk0', source_file = 'a.md', content = 'old', embedding = $embedding, metadata = {}, chunk_count = 1;
        CREATE knowledge_base SET file_path = 'b.md', content = 'old', embedding = $zeros, metadata = {};
        LET $a = (CREATE ONLY entities SET type = 'person', name = 'Ada', properties = {}).id;
        LET $b = (CREATE ONLY entities SET type = 'person', name = 'Bob', properties = {}).id;
        CREATE worked_with SET from_entity = <string>$a, to_entity = <string>$b, relationship_type = 'worked_with', properties = {};
        CREATE events SET user_id = 'ada', subject = 's', content = 'an old walk', embedding = $embedding;
        CREATE code_projects SET project_id = 'p', name = 'P', root_path = '/', language_stats = {}, indexing_status = 'completed', watcher_enabled = true;
        CREATE code_symbols SET project_id = 'p', name_path = 'f', name = 'f';
        CREATE schema_version SET version = 9;
        CREATE user_stats SET user_id = 'ada';";
    s.query(&cx(), sql, &parameters).unwrap();
    s
}

#[test]
fn rows_of_an_existing_host_are_read_and_not_changed() {
    let s = existing();
    let tables = [
        "kv_memories",
        "vector_memories",
        "knowledge_base",
        "entities",
        "events",
        "code_projects",
        "worked_with",
    ];
    let before = tables.map(|table| rows(&s, table));
    s.initialize_schema(&cx()).unwrap();
    assert_eq!(tables.map(|table| rows(&s, table)), before);

    assert_eq!(
        s.get_fact(&cx(), "ada", "colour").unwrap(),
        Some("green".into()).into()
    );
    let found = s
        .search_similar(&cx(), "ada", &embedding(&[(1, 1.0)]), 1)
        .unwrap();
    assert_eq!(
        found[0].metadata,
        object([("a", object([("b", 1_i64.into())]).into())])
    );
    assert_eq!(
        s.list_document_paths(&cx()).unwrap().as_slice(),
        ["a.md", "b.md"]
    );
    assert_eq!(
        s.get_document(&cx(), "a.md").unwrap().unwrap().file_path,
        "a.md#chunk0"
    );
    assert_eq!(
        s.get_entity(&cx(), "Ada").unwrap().unwrap().entity_type,
        "person"
    );
    let walk = s.traverse_graph(&cx(), "Ada", "", 3).unwrap();
    assert_eq!(walk[1].entity.name, "Bob");
    assert_eq!(
        walk[1].relationship.as_ref().unwrap().relationship_type,
        "worked_with"
    );
    let search = plugin_api::records::EventSearch {
        user_id: "ada".into(),
        query: "walks".into(),
        ..Default::default()
    };
    let event = &s.search_events(&cx(), &search).unwrap()[0].event;
    assert_eq!(
        (event.content.as_str(), &event.metadata),
        ("an old walk", &Object::new())
    );
    let stats = s.get_stats(&cx(), "").unwrap();
    assert_eq!(
        (
            stats.relationship_count,
            stats.entity_count,
            stats.document_count
        ),
        (1, 2, 2)
    );
    let symbol = s.get_code_symbol(&cx(), "p", "f").unwrap().unwrap();
    assert_eq!(symbol.created_at, None.into());
}

#[test]
fn rows_of_an_existing_host_keep_their_ids_and_times_when_written() {
    let s = existing();
    let before = rows(&s, "kv_memories");
    s.initialize_schema(&cx()).unwrap();
    let receipt = s
        .save_fact(
            &cx(),
            "ada",
            "colour",
            &object([("free", object([("deep", 1_i64.into())]).into())]).into(),
        )
        .unwrap();
    assert_eq!(before[0].get("id"), Some(&one(&receipt).id.clone().into()));
    assert_eq!(
        before[0].get("created_at"),
        Some(&time(one(&receipt), "created_at").into())
    );
    assert!(
        before[0].get("updated_at").unwrap().as_datetime().unwrap()
            < time(one(&receipt), "updated_at")
    );
    // Times are what a writer says: a replica can carry its primary's.
    run(
        &s,
        "UPDATE kv_memories SET created_at = d'2020-01-01T00:00:00Z', updated_at = d'2020-01-02T00:00:00Z'",
    );
    let row = &rows(&s, "kv_memories")[0];
    assert_eq!(
        row.get("updated_at")
            .unwrap()
            .as_datetime()
            .unwrap()
            .to_string(),
        "2020-01-02T00:00:00.000000000Z"
    );

    s.save_document(&cx(), "a.md", "whole", &[], &object([("t", 1_i64.into())]))
        .unwrap();
    assert_eq!(rows(&s, "knowledge_base").len(), 2);
    s.create_entity(&cx(), "person", "Eve", &Object::new())
        .unwrap();
    s.create_relationship(&cx(), "Eve", "Ada", "worked_with", &Object::new())
        .unwrap();
    assert_eq!(
        s.traverse_graph(&cx(), "Eve", "worked_with", 5)
            .unwrap()
            .len(),
        3
    );
    s.save_event(
        &cx(),
        "ada",
        "s",
        "new",
        &[],
        &object([("a", object([("b", 1_i64.into())]).into())]),
    )
    .unwrap();
    let project = CodeProject {
        project_id: "p".into(),
        name: "Q".into(),
        ..CodeProject::default()
    };
    s.create_code_project(&cx(), &project).unwrap();
    assert!(
        s.get_code_project(&cx(), "p")
            .unwrap()
            .unwrap()
            .record
            .watcher_enabled
    );
    let symbol = CodeSymbol {
        project_id: "p".into(),
        name_path: "f".into(),
        name: "f".into(),
        metadata: Some(object([("a", object([("b", 1_i64.into())]).into())])).into(),
        embedding: embedding(&[(0, 1.0)]).into(),
        ..CodeSymbol::default()
    };
    s.save_code_symbol(&cx(), &symbol).unwrap();
    assert_eq!(
        s.get_code_symbol(&cx(), "p", "f").unwrap().unwrap().record,
        symbol
    );
    s.delete_entity(
        &cx(),
        &s.get_entity(&cx(), "Ada").unwrap().unwrap().id.to_string(),
    )
    .unwrap();
    assert!(rows(&s, "worked_with").is_empty());
}

#[test]
fn rows_that_share_a_key_do_not_fail_the_initialisation() {
    let s = bare();
    run(
        &s,
        "DEFINE TABLE kv_memories SCHEMALESS;
        CREATE kv_memories SET user_id = 'ada', key = 'k', value = 1;
        CREATE kv_memories SET user_id = 'ada', key = 'k', value = 2;",
    );
    let initialize = || {
        let connection = s.connection().unwrap();
        let runtime = crate::support::runtime();
        runtime
            .block_on(runtime.spawn(async move {
                schema::initialize(&connection, std::time::Duration::from_secs(30)).await
            }))
            .unwrap()
            .unwrap()
    };
    assert_eq!(initialize().without_unique_index, ["kv_memories"]);
    assert_eq!(initialize().without_unique_index, ["kv_memories"]);
    s.save_fact(&cx(), "ada", "k", &3_i64.into()).unwrap();
    assert_eq!(
        s.get_fact(&cx(), "ada", "k").unwrap(),
        Some(3_i64.into()).into()
    );
    assert_eq!(rows(&s, "kv_memories").len(), 2);
    s.delete_fact(&cx(), "ada", "k").unwrap();
    assert!(initialize().without_unique_index.is_empty());
    s.save_fact(&cx(), "ada", "k", &4_i64.into()).unwrap();
}
