//! The replicated tables: key, groups, identity, columns and indexes of each. All
//! that the rest of the project knows about a table is read from here.

use super::table::{Column, Kind, Rule, Table};

/// What most tables are: rows that stand for themselves, known by their id.
const PLAIN: Table = Table {
    name: "",
    key: &["id"],
    group_by: &[],
    group_index: None,
    identity: &[],
    columns: &[],
    indexes: &[],
    full_text: None,
};

const fn column(name: &'static str, kind: Kind) -> Column {
    Column {
        name,
        kind,
        rule: Rule::Given,
    }
}

const fn ruled(name: &'static str, kind: Kind, rule: Rule) -> Column {
    Column { name, kind, rule }
}

const CREATED: Column = ruled("created_at", Kind::Time, Rule::Created);
const UPDATED: Column = ruled("updated_at", Kind::Time, Rule::Updated);
const EMBEDDING: Column = column("embedding", Kind::Embedding);

/// Facts: values under a user and a key.
pub const FACTS: Table = Table {
    name: "kv_memories",
    key: &["user_id", "key"],
    identity: &["user_id", "key"],
    columns: &[
        column("user_id", Kind::Key),
        column("key", Kind::Key),
        column("value", Kind::Any),
        CREATED,
        UPDATED,
    ],
    ..PLAIN
};

/// Texts found by similarity.
pub const VECTORS: Table = Table {
    name: "vector_memories",
    columns: &[
        column("user_id", Kind::Text),
        column("content", Kind::Text),
        EMBEDDING,
        column("metadata", Kind::Object),
        CREATED,
        UPDATED,
    ],
    indexes: &[&["user_id"]],
    ..PLAIN
};

/// The entities of the knowledge graph.
pub const ENTITIES: Table = Table {
    name: "entities",
    columns: &[
        column("entity_type", Kind::Text),
        ruled("type", Kind::Text, Rule::Legacy),
        column("name", Kind::Text),
        column("properties", Kind::Object),
        CREATED,
    ],
    indexes: &[&["name"]],
    ..PLAIN
};

/// The knowledge base: a row for each document, or for each chunk of one.
pub const DOCUMENTS: Table = Table {
    name: "knowledge_base",
    key: &["file_path"],
    group_by: &["source_file", "file_path"],
    group_index: Some("chunk_index"),
    identity: &["file_path", "source_file"],
    columns: &[
        column("file_path", Kind::Key),
        column("content", Kind::Text),
        EMBEDDING,
        column("metadata", Kind::Object),
        column("source_file", Kind::Text),
        column("chunk_index", Kind::Int),
        column("chunk_count", Kind::Int),
        CREATED,
        UPDATED,
    ],
    indexes: &[&["source_file"]],
    ..PLAIN
};

/// What happened, by user and subject.
pub const EVENTS: Table = Table {
    name: "events",
    columns: &[
        column("user_id", Kind::Text),
        column("subject", Kind::Text),
        column("content", Kind::Text),
        EMBEDDING,
        column("metadata", Kind::Object),
        CREATED,
    ],
    indexes: &[&["user_id", "subject"]],
    full_text: Some("content"),
    ..PLAIN
};

/// Indexed code: the projects.
pub const PROJECTS: Table = Table {
    name: "code_projects",
    key: &["project_id"],
    identity: &["project_id"],
    columns: &[
        column("project_id", Kind::Key),
        column("name", Kind::Text),
        column("root_path", Kind::Text),
        column("language_stats", Kind::Object),
        ruled("last_indexed_at", Kind::Time, Rule::GivenOrKept),
        column("indexing_status", Kind::Text),
        ruled("watcher_enabled", Kind::Bool, Rule::Kept),
        CREATED,
        UPDATED,
    ],
    ..PLAIN
};

/// The files of a project.
pub const FILES: Table = Table {
    name: "code_files",
    key: &["project_id", "file_path"],
    identity: &["project_id", "file_path"],
    columns: &[
        column("project_id", Kind::Key),
        column("file_path", Kind::Key),
        column("language", Kind::Text),
        column("file_hash", Kind::Text),
        column("symbols_count", Kind::Int),
        ruled("indexed_at", Kind::Time, Rule::GivenOrNow),
    ],
    ..PLAIN
};

/// The symbols of a project: functions, types, methods.
pub const SYMBOLS: Table = Table {
    name: "code_symbols",
    key: &["project_id", "name_path"],
    identity: &["project_id", "name_path", "file_path"],
    columns: &[
        column("project_id", Kind::Key),
        column("file_path", Kind::Text),
        column("language", Kind::Text),
        column("symbol_type", Kind::Text),
        column("name", Kind::Text),
        column("name_path", Kind::Key),
        column("start_line", Kind::Int),
        column("end_line", Kind::Int),
        column("start_byte", Kind::Int),
        column("end_byte", Kind::Int),
        ruled("source_code", Kind::Text, Rule::GivenOrKept),
        ruled("signature", Kind::Text, Rule::GivenOrKept),
        ruled("doc_string", Kind::Text, Rule::GivenOrKept),
        ruled("embedding", Kind::Embedding, Rule::GivenOrKept),
        ruled("parent_id", Kind::Text, Rule::GivenOrKept),
        ruled("metadata", Kind::Object, Rule::GivenOrKept),
        CREATED,
        UPDATED,
    ],
    indexes: &[&["project_id", "file_path"], &["project_id", "parent_id"]],
    ..PLAIN
};

/// The chunks of large symbols.
pub const CHUNKS: Table = Table {
    name: "code_chunks",
    key: &["symbol_id", "chunk_index"],
    identity: &["symbol_id", "chunk_index", "project_id", "file_path"],
    columns: &[
        column("symbol_id", Kind::Key),
        column("project_id", Kind::Text),
        column("file_path", Kind::Text),
        column("chunk_index", Kind::KeyNumber),
        column("chunk_count", Kind::Int),
        column("content", Kind::Text),
        column("start_offset", Kind::Int),
        column("end_offset", Kind::Int),
        EMBEDDING,
        column("symbol_name", Kind::Text),
        column("symbol_type", Kind::Text),
        column("language", Kind::Text),
        CREATED,
    ],
    indexes: &[&["project_id", "file_path"]],
    ..PLAIN
};

/// The runs of the indexer.
pub const JOBS: Table = Table {
    name: "code_indexing_jobs",
    identity: &["project_id"],
    columns: &[
        column("project_id", Kind::Text),
        column("project_path", Kind::Text),
        column("status", Kind::Text),
        column("progress", Kind::Float),
        column("files_total", Kind::Int),
        column("files_indexed", Kind::Int),
        ruled("started_at", Kind::Time, Rule::GivenOrNow),
        column("completed_at", Kind::Time),
        column("error", Kind::Text),
    ],
    indexes: &[&["project_id"], &["status"]],
    ..PLAIN
};

/// The tables of all relationship types: each has one of its own, with the
/// type's name, made on first use (see [`relationships`](super::relationships)).
/// Where tables are selected or listed, this name stands for them together.
pub const RELATIONSHIPS: Table = Table {
    name: "relationships",
    identity: &["from_entity", "to_entity"],
    columns: &[
        column("from_entity", Kind::Text),
        column("to_entity", Kind::Text),
        column("relationship_type", Kind::Text),
        column("properties", Kind::Object),
        CREATED,
    ],
    indexes: &[&["from_entity"], &["to_entity"]],
    ..PLAIN
};

/// What belongs to a code project by its `project_id`, and is deleted with it.
pub const PROJECT_PARTS: [Table; 4] = [FILES, SYMBOLS, CHUNKS, JOBS];

/// The tables with a fixed name. Beside them there are [`RELATIONSHIPS`].
pub const TABLES: &[Table] = &[
    FACTS, VECTORS, ENTITIES, DOCUMENTS, EVENTS, PROJECTS, FILES, SYMBOLS, CHUNKS, JOBS,
];

/// Columns that can be large and tell nothing about which row it is: left out
/// where rows are only looked for.
pub const LARGE_COLUMNS: &[&str] = &["embedding", "content", "source_code"];

/// Where the replication module keeps a row for each of its logs, in a primary: the
/// dirty flag and the epoch.
pub const LOG_TABLE: &str = "db_sync_log";

/// Where the replication module keeps how far a secondary has come, by queue
/// and partition, in that secondary.
pub const POSITION_TABLE: &str = "db_sync_position";

/// Where the replication module marks which running instances of it use a database
/// as their primary, and which replicate to it.
pub const INSTANCE_TABLE: &str = "db_sync_instance";

/// The replication module's own tables: they are neither replicated nor merged.
pub(crate) const MODULE_TABLES: &[&str] = &[LOG_TABLE, POSITION_TABLE, INSTANCE_TABLE];

/// Tables of the host that hold no memories: like [`MODULE_TABLES`], no relationship
/// can have such a name, and they are neither replicated nor merged.
pub(crate) const OTHER_TABLES: &[&str] = &[
    "user_stats",
    "schema_version",
    "semantic_memories",
    RELATIONSHIPS.name,
];

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_api::value::{Object, Value};

    #[test]
    fn every_column_that_is_named_exists() {
        for table in TABLES.iter().chain([&RELATIONSHIPS]) {
            let indexed = table.indexes.iter().copied().flatten();
            let named = table.group_by.iter().chain(table.identity).chain(indexed);
            for name in named.chain(&table.full_text).chain(&table.group_index) {
                let exists = table.columns.iter().any(|column| column.name == *name);
                assert!(exists, "{}.{name}", table.name);
            }
        }
    }

    #[test]
    fn the_identity_of_a_row_begins_with_its_key() {
        for table in TABLES {
            let starts = table.identity.starts_with(table.key);
            assert!(starts || table.is_keyed_by_id(), "{}", table.name);
        }
    }

    #[test]
    fn the_rows_of_a_document_are_one_group() {
        let whole = Object::new()
            .with("file_path", "a.md")
            .with("source_file", Value::None);
        let chunk = Object::new()
            .with("file_path", "a.md#chunk3")
            .with("source_file", "a.md");
        let path = Value::from("a.md");
        assert_eq!(DOCUMENTS.group_of(&whole), Some(&path));
        assert_eq!(DOCUMENTS.group_of(&chunk), Some(&path));
        assert!(DOCUMENTS.leads_group(&whole) && !FACTS.leads_group(&whole));
        let numbered = |index: i64| chunk.clone().with("chunk_index", index);
        assert!(DOCUMENTS.leads_group(&numbered(0)) && !DOCUMENTS.leads_group(&numbered(3)));
        assert_eq!(FACTS.group_of(&whole), None);
    }
}
