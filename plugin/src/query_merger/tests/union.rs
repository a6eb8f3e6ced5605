//! Generated databases: what a side holds, and what one holding the union would.
//!
//! A record has a number and, on each side that has it, a version that decides
//! all its columns but its key.

use super::{SurrealStorage, run};
use plugin_api::value::{Object, RecordId, Timestamp, Value};
use std::collections::{BTreeMap, HashSet};

/// How many records there are.
pub(super) const RECORDS: u8 = 56;

/// Which records a side has, and in which version.
pub(super) type Holding = BTreeMap<u8, u8>;

/// A delete through the module.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Delete {
    Record(u8),
    Project(u8),
    SymbolsOfFile(u8, u8),
    ChunksOfSymbol(u8),
    EdgesOf(u8),
    Document(u8),
}

pub(super) const TABLES: [&str; 12] = [
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

const NAMES: [&str; 3] = ["x", "y", "z"];
const LANGUAGES: [&str; 2] = ["rust", "go"];

/// The rows of a record in a version. `side` decides the record ids of rows
/// that have key columns: databases that were filled separately differ in them.
pub(super) fn rows(record: u8, version: u8, side: usize) -> Vec<(&'static str, Object)> {
    let v = version;
    let pick = |from: &[&'static str]| from[usize::from(v) % from.len()];
    let row = |table: &'static str, key: String| {
        Object::new()
            .with("id", RecordId::new(table, key))
            .with("created_at", time(v))
            .with("updated_at", time(v))
    };
    // Half of the versions were replicated, half written on their own.
    let own = |key: String| {
        if v.is_multiple_of(2) {
            key
        } else {
            format!("{key}_{side}")
        }
    };
    let vector = || Value::floats(&embedding(v));
    let project = |n: u8| format!("p{n}");
    match record {
        0..6 => {
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
        6..11 => {
            let memory = row("vector_memories", format!("v{record}"))
                .with("user_id", pick(&["a", "b"]))
                .with("content", format!("memory {v}"))
                .with("metadata", Object::new().with("version", i64::from(v)))
                .with("embedding", vector());
            vec![("vector_memories", memory)]
        }
        11..16 => {
            let row = row("entities", format!("n{}", record - 11))
                .with("entity_type", "thing")
                .with("name", pick(&NAMES))
                .with("properties", Object::new().with("version", i64::from(v)));
            vec![("entities", row)]
        }
        16..24 => {
            let table = if record.is_multiple_of(2) {
                "knows"
            } else {
                "likes"
            };
            let edge = row(table, format!("r{record}"))
                .with("from_entity", entity(v % 5).to_string())
                .with("to_entity", entity((v / 5) % 5).to_string())
                .with("relationship_type", table)
                .with("properties", Object::new().with("version", i64::from(v)));
            vec![(table, edge)]
        }
        24..27 => {
            let path = format!("d{}.md", record - 24);
            let chunks = v % 4;
            let document = |path: String, content: String, index: u8| {
                row("knowledge_base", own(path.replace(['.', '#'], "_")))
                    .with("file_path", path)
                    .with("content", content)
                    .with(
                        "embedding",
                        Value::floats(&embedding(v.wrapping_add(index))),
                    )
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
        27..33 => {
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
        33..35 => {
            let id = project(record - 33);
            let row = row("code_projects", own(id.clone()))
                .with("project_id", id)
                .with("name", pick(&NAMES))
                .with("root_path", "/")
                .with("language_stats", Object::new())
                .with("indexing_status", pick(&["pending", "completed"]))
                .with("watcher_enabled", v.is_multiple_of(2));
            vec![("code_projects", row)]
        }
        35..39 => {
            let n = record - 35;
            let row = row("code_files", own(format!("f{n}")))
                .with("project_id", project(n / 2))
                .with("file_path", format!("f{}", n % 2))
                .with("language", pick(&LANGUAGES))
                .with("file_hash", format!("hash {v}"))
                .with("symbols_count", i64::from(v))
                .with("indexed_at", time(v));
            vec![("code_files", row)]
        }
        39..47 => {
            let n = record - 39;
            let row = row("code_symbols", own(format!("s{n}")))
                .with("project_id", project(n / 4))
                .with("file_path", format!("f{}", v % 2))
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
        47..53 => {
            let n = record - 47;
            let row = row("code_chunks", own(format!("c{n}")))
                .with("symbol_id", format!("sym{}", n / 3))
                .with("chunk_index", i64::from(n % 3))
                .with("chunk_count", 3i64)
                .with("project_id", project(v % 2))
                .with("file_path", format!("f{}", v % 3))
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
                .with("project_id", project(v % 2))
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

impl Delete {
    /// Does it take this record in this version with it?
    fn covers(&self, record: u8, version: u8) -> bool {
        let v = version;
        match *self {
            Self::Record(deleted) => deleted == record,
            Self::Document(n) => record == 24 + n,
            Self::EdgesOf(n) => {
                record == 11 + n || ((16..24).contains(&record) && (v % 5 == n || (v / 5) % 5 == n))
            }
            Self::SymbolsOfFile(project, file) => {
                (39..47).contains(&record) && (record - 39) / 4 == project && v % 2 == file
            }
            Self::ChunksOfSymbol(n) => (47..53).contains(&record) && (record - 47) / 3 == n,
            Self::Project(project) => match record {
                33..35 => record - 33 == project,
                35..39 => (record - 35) / 2 == project,
                39..47 => (record - 39) / 4 == project,
                47..56 => v % 2 == project,
                _ => false,
            },
        }
    }
}

/// What one database holding the union has: the version of the first side in
/// precedence, unless only secondaries have it and it was deleted. With each
/// record comes the side that it is from.
pub(super) fn union(sides: &[Holding], deletes: &[Delete]) -> BTreeMap<u8, (u8, usize)> {
    (0..RECORDS)
        .filter_map(|record| {
            let (side, version) = sides
                .iter()
                .enumerate()
                .find_map(|(side, holding)| Some((side, *holding.get(&record)?)))?;
            let deleted = || deletes.iter().any(|delete| delete.covers(record, version));
            (side == 0 || !deleted()).then_some((record, (version, side)))
        })
        .collect()
}

/// Makes a database hold these records and nothing else.
pub(super) fn fill(storage: &SurrealStorage, records: impl IntoIterator<Item = (u8, u8, usize)>) {
    let mut by_table: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (record, version, side) in records {
        for (table, row) in rows(record, version, side) {
            by_table.entry(table).or_default().push(row.into());
        }
    }
    let mut sql = String::from("BEGIN;");
    let mut parameters = Object::new();
    for table in TABLES {
        sql.push_str(&format!(
            "DEFINE TABLE IF NOT EXISTS {table} SCHEMALESS; DELETE {table};"
        ));
        if let Some(rows) = by_table.remove(table) {
            sql.push_str(&format!("INSERT INTO {table} ${table} RETURN NONE;"));
            parameters.insert(table, rows);
        }
    }
    sql.push_str("COMMIT;");
    run(storage, &sql, &parameters);
}

#[test]
fn no_two_records_share_a_row() {
    for side in 0..2 {
        let all: Vec<_> = (0..RECORDS)
            .flat_map(|record| rows(record, 7, side))
            .collect();
        let ids: HashSet<_> = all
            .iter()
            .map(|(_, row)| format!("{:?}", row.get("id")))
            .collect();
        assert_eq!(ids.len(), all.len());
    }
}
