//! Records: what the generated databases contain.
//!
//! A record has a number and, on each backend that has it, a version, which
//! determines all columns but its key, and an origin: the backend that it was
//! written on.

use super::{
    SurrealStorage, database,
    history::{Contents, Version},
    run,
};
use parking_lot::Mutex;
use plugin_api::value::{Object, RecordId, Timestamp, Value};
use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
};

/// How many records there are.
pub(super) const RECORDS: u8 = 56;

/// Which of them are of which kind.
pub(super) const FACTS: Range<u8> = 0..6;
pub(super) const VECTORS: Range<u8> = 6..11;
pub(super) const ENTITIES: Range<u8> = 11..16;
const EDGES: Range<u8> = 16..24;
pub(super) const DOCUMENTS: Range<u8> = 24..27;
pub(super) const EVENTS: Range<u8> = 27..33;
pub(super) const PROJECTS: Range<u8> = 33..35;
pub(super) const FILES: Range<u8> = 35..39;
pub(super) const SYMBOLS: Range<u8> = 39..47;
pub(super) const CHUNKS: Range<u8> = 47..53;
const JOBS: Range<u8> = 53..56;

const TABLES: [&str; 12] = [
    "kv_memories",
    "vector_memories",
    "entities",
    "knows",
    "likes",
    "knowledge_base",
    "events",
    "code_projects",
    "code_files",
    "code_symbols",
    "code_chunks",
    "code_indexing_jobs",
];

pub(super) fn embedding(n: u8) -> Vec<f32> {
    let start: &[f32] = match n % 5 {
        0 => &[1.0],
        1 => &[0.9, 0.1],
        2 => &[0.0, 1.0],
        3 => &[0.5, 0.5, 0.5],
        _ => &[0.0],
    };
    let mut embedding = start.to_vec();
    embedding.resize(768, 0.0);
    embedding
}

fn time(n: u8) -> Timestamp {
    Timestamp {
        seconds: 1_700_000_000 + i64::from(n),
        nanos: 0,
    }
}

pub(super) fn entity(n: u8) -> RecordId {
    RecordId::new("entities", format!("n{n}"))
}

/// The project of a record of indexed code.
pub(super) fn project(record: u8) -> Option<u8> {
    let n = |records: Range<u8>| records.contains(&record).then(|| record - records.start);
    n(PROJECTS)
        .or(n(FILES).map(|n| n / 2))
        .or(n(SYMBOLS).map(|n| n / 4))
        .or(n(CHUNKS).map(|n| n / 3))
        .or(n(JOBS).map(|n| n % 2))
}

/// The project and the file of a symbol or a chunk.
pub(super) fn file(record: u8, version: u8) -> Option<(u8, u8)> {
    match record {
        n if SYMBOLS.contains(&n) => Some((project(record)?, version % 2)),
        n if CHUNKS.contains(&n) => Some((project(record)?, version % 3)),
        _ => None,
    }
}

/// The entities that an edge joins.
pub(super) fn ends(record: u8, version: u8) -> Option<[u8; 2]> {
    EDGES
        .contains(&record)
        .then_some([version % 5, (version / 5) % 5])
}

/// Of an edge: another version with the same ends as the first.
pub(super) fn with_ends_of(record: u8, version: u8, first: u8) -> u8 {
    match ends(record, first) {
        Some([from, to]) => 5 * to + from + 25 * (version / 25),
        None => version,
    }
}

const NAMES: [&str; 3] = ["x", "y", "z"];
const LANGUAGES: [&str; 2] = ["rust", "go"];

/// The rows of a record in a version. `origin` determines the record ids of rows
/// with key columns: databases that were filled separately differ in them.
pub(super) fn rows(record: u8, version: u8, origin: usize) -> Vec<(&'static str, Object)> {
    let v = version;
    let pick = |from: &[&'static str]| from[usize::from(v) % from.len()];
    let row = |table: &'static str, key: String| {
        Object::new()
            .with("id", RecordId::new(table, key))
            .with("created_at", time(v))
            .with("updated_at", time(v))
    };
    // Half of the versions were replicated, half were written separately.
    let own = |key: String| {
        if v.is_multiple_of(2) {
            key
        } else {
            format!("{key}_{origin}")
        }
    };
    // Replaced by the embedding of this number when it is inserted.
    let vector = || i64::from(v % 5);
    let project = || format!("p{}", project(record).unwrap_or_default());
    let file = || format!("f{}", file(record, v).unwrap_or_default().1);
    match record {
        n if FACTS.contains(&n) => {
            let (user, key) = (
                ["a", "b"][usize::from(record / 3)],
                format!("k{}", record % 3),
            );
            let fact = row("kv_memories", own(format!("{user}{key}")));
            let fact = fact
                .with("user_id", user)
                .with("key", key)
                .with("value", i64::from(v));
            vec![("kv_memories", fact)]
        }
        n if VECTORS.contains(&n) => {
            let memory = row("vector_memories", format!("v{record}"))
                .with("user_id", pick(&["a", "b"]))
                .with("content", format!("memory {v}"))
                .with("metadata", Object::new().with("version", i64::from(v)))
                .with("embedding", vector());
            vec![("vector_memories", memory)]
        }
        n if ENTITIES.contains(&n) => {
            let row = row("entities", format!("n{}", record - ENTITIES.start))
                .with("entity_type", "thing")
                .with("name", pick(&NAMES))
                .with("properties", Object::new().with("version", i64::from(v)));
            vec![("entities", row)]
        }
        n if EDGES.contains(&n) => {
            let table = if record.is_multiple_of(2) {
                "knows"
            } else {
                "likes"
            };
            let [from, to] = ends(record, v).unwrap_or_default();
            let edge = row(table, format!("r{record}"))
                .with("from_entity", entity(from).to_string())
                .with("to_entity", entity(to).to_string())
                .with("relationship_type", table)
                .with("properties", Object::new().with("version", i64::from(v)));
            vec![(table, edge)]
        }
        n if DOCUMENTS.contains(&n) => {
            let path = format!("d{}.md", record - DOCUMENTS.start);
            let chunks = v % 4;
            let document = |path: String, content: String, index: u8| {
                row("knowledge_base", own(path.replace(['.', '#'], "_")))
                    .with("file_path", path)
                    .with("content", content)
                    .with("embedding", i64::from((v + index) % 5))
                    .with("metadata", Object::new().with("version", i64::from(v)))
                    .with("chunk_index", i64::from(index))
                    .with("chunk_count", i64::from(chunks))
            };
            if chunks == 0 {
                return vec![("knowledge_base", document(path, format!("text {v}"), 0))];
            }
            (0..chunks)
                .map(|index| {
                    let chunk = document(
                        format!("{path}#chunk{index}"),
                        format!("text {v} {index}"),
                        index,
                    );
                    ("knowledge_base", chunk.with("source_file", path.as_str()))
                })
                .collect()
        }
        n if EVENTS.contains(&n) => {
            let event = row("events", format!("e{record}"))
                .with("user_id", pick(&["a", "b", "a"]))
                .with("subject", pick(&["s0", "s1"]))
                .with(
                    "content",
                    pick(&["the red apple", "a green pear", "red and green"]),
                )
                .with("metadata", Object::new())
                .with("embedding", vector());
            vec![("events", event)]
        }
        n if PROJECTS.contains(&n) => {
            let id = project();
            let row = row("code_projects", own(id.clone()))
                .with("project_id", id)
                .with("name", pick(&NAMES))
                .with("root_path", "/")
                .with("language_stats", Object::new())
                .with("indexing_status", pick(&["pending", "completed"]))
                .with("watcher_enabled", v.is_multiple_of(2));
            vec![("code_projects", row)]
        }
        n if FILES.contains(&n) => {
            let n = record - FILES.start;
            let row = row("code_files", own(format!("f{n}")))
                .with("project_id", project())
                .with("file_path", format!("f{}", n % 2))
                .with("language", pick(&LANGUAGES))
                .with("file_hash", format!("hash {v}"))
                .with("symbols_count", i64::from(v))
                .with("indexed_at", time(v));
            vec![("code_files", row)]
        }
        n if SYMBOLS.contains(&n) => {
            let n = record - SYMBOLS.start;
            let row = row("code_symbols", own(format!("s{n}")))
                .with("project_id", project())
                .with("file_path", file())
                .with("language", pick(&LANGUAGES))
                .with("symbol_type", pick(&["function", "class"]))
                .with("name", pick(&["run", "runner", "stop"]))
                .with("name_path", format!("s{}", n % 4))
                .with("start_line", i64::from(v % 3))
                .with("end_line", i64::from(v % 3) + 1)
                .with("start_byte", 0i64)
                .with("end_byte", 9i64)
                .with("parent_id", ["top", "other"][usize::from(v / 3) % 2])
                .with("embedding", vector());
            vec![("code_symbols", row)]
        }
        n if CHUNKS.contains(&n) => {
            let n = record - CHUNKS.start;
            let row = row("code_chunks", own(format!("c{n}")))
                .with("symbol_id", format!("sym{}", n / 3))
                .with("chunk_index", i64::from(n % 3))
                .with("chunk_count", 3i64)
                .with("project_id", project())
                .with("file_path", file())
                .with("content", format!("chunk {v}"))
                .with("start_offset", 0i64)
                .with("end_offset", 9i64)
                .with("symbol_name", "run")
                .with("symbol_type", "function")
                .with("language", pick(&LANGUAGES))
                .with("embedding", vector());
            vec![("code_chunks", row)]
        }
        _ => {
            let row = row("code_indexing_jobs", format!("j{record}"))
                .with("project_id", project())
                .with("project_path", "/")
                .with("status", pick(&["pending", "in_progress", "completed"]))
                .with("progress", 0.5)
                .with("files_total", 9i64)
                .with("files_indexed", i64::from(v % 9))
                .with("started_at", time(v));
            vec![("code_indexing_jobs", row)]
        }
    }
}

/// A database that is filled again for every history.
pub(super) struct Database {
    storage: SurrealStorage,
    /// Its contents by table, so that unchanged tables need not be written.
    contents: Mutex<BTreeMap<&'static str, Vec<(u8, Version)>>>,
}

impl Default for Database {
    fn default() -> Self {
        let storage = database();
        let schemaless =
            ["knows", "likes"].map(|table| format!("DEFINE TABLE {table} SCHEMALESS;"));
        run(&storage, &schemaless.concat(), &Object::new());
        Self {
            storage,
            contents: Mutex::default(),
        }
    }
}

impl Database {
    pub(super) fn storage(&self) -> &SurrealStorage {
        &self.storage
    }

    /// Replaces its contents.
    pub(super) fn replace(&self, contents: &Contents) {
        let mut wanted: BTreeMap<&str, Vec<(u8, Version)>> = BTreeMap::new();
        for (&record, &version) in contents {
            let table = rows(record, version.number, version.origin)[0].0;
            wanted.entry(table).or_default().push((record, version));
        }
        let mut current = self.contents.lock();
        let embeddings: Value = (0..5).map(|n| Value::floats(&embedding(n))).collect();
        let mut parameters = Object::new().with("embeddings", embeddings);
        let mut sql = String::from("BEGIN;");
        for table in TABLES
            .into_iter()
            .filter(|table| wanted.get(table) != current.get(table))
        {
            sql.push_str(&format!("DELETE {table} RETURN NONE;"));
            let records = wanted.get(table).into_iter().flatten();
            let rows: Vec<Value> = records
                .flat_map(|(record, version)| rows(*record, version.number, version.origin))
                .map(|(_, row)| row.into())
                .collect();
            if rows.is_empty() {
                continue;
            }
            sql.push_str(&format!(
                "INSERT INTO {table} ${table}.map(|$row| IF $row.embedding = NONE {{ $row }} \
                 ELSE {{ object::extend($row, {{ embedding: $embeddings[$row.embedding] }}) }}) \
                 RETURN NONE;"
            ));
            parameters.insert(table, rows);
        }
        sql.push_str("COMMIT;");
        run(&self.storage, &sql, &parameters);
        *current = wanted;
    }
}

#[test]
fn records_have_different_rows() {
    for backend in 0..2 {
        let all: Vec<_> = (0..RECORDS)
            .flat_map(|record| rows(record, 7, backend))
            .collect();
        let ids: HashSet<_> = all
            .iter()
            .map(|(_, row)| format!("{:?}", row.get("id")))
            .collect();
        assert_eq!(ids.len(), all.len());
    }
}
