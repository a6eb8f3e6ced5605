//! Plain SELECTs, merged, against a database that holds the union.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::{
    query_merger::tests::{LONG_TIMEOUT, TestSecondary, database, merger, run},
    raw_query::{Classification, classify},
};
use plugin_api::value::{RecordKey, Timestamp};
use proptest::prelude::*;
use std::sync::{
    LazyLock,
    atomic::{AtomicU32, Ordering as AtomicOrdering},
};
use surreal_storage::{SurrealStorage, schema, stored_embedding};

const TABLES: &[&str] = &["code_symbols", "events", "kv_memories", "knowledge_base"];

/// The database, where a row that is written without times has none: the same in
/// every database.
fn without_times(database: SurrealStorage) -> SurrealStorage {
    for table in TABLES.iter().filter_map(|table| schema::table(table)) {
        let timed = table.columns.iter().filter(|it| it.default().is_some());
        for column in timed {
            let sql = format!("ALTER FIELD {} ON {} DROP DEFAULT", column.name, table.name);
            run(&database, &sql, &Object::new());
        }
    }
    database
}

/// A primary, two secondaries, and the database that holds their union.
struct Databases {
    backends: [SurrealStorage; 3],
    secondaries: [Arc<TestSecondary>; 2],
    union: SurrealStorage,
    merger: QueryMerger,
}

impl Databases {
    fn new() -> Self {
        let backends = [database(), database(), database()].map(without_times);
        let secondaries = [
            TestSecondary::new("second", 2, backends[2].clone()),
            TestSecondary::new("first", 1, backends[1].clone()),
        ];
        let merger = merger(backends[0].clone(), &secondaries, None, LONG_TIMEOUT);
        Self {
            backends,
            secondaries,
            union: without_times(database()),
            merger,
        }
    }

    fn clear(&self) {
        for database in self.backends.iter().chain([&self.union]) {
            for table in TABLES {
                run(database, &format!("DELETE {table}"), &Object::new());
            }
        }
    }

    /// Inserts the versions of one row: each into its backend, and that of the
    /// first backend that has one into the union.
    fn put(&self, table: &str, versions: [Option<Object>; 3]) {
        let insert = |database: &SurrealStorage, row: &Object| {
            let row = Object::new().with("row", row.clone());
            run(database, &format!("INSERT INTO {table} $row"), &row);
        };
        for (backend, version) in self.backends.iter().zip(&versions) {
            version.iter().for_each(|row| insert(backend, row));
        }
        let winner = versions.iter().flatten().next();
        winner.iter().for_each(|row| insert(&self.union, row));
    }

    fn merged(&self, text: &str, parameters: &Object) -> Value {
        let Classification::Select(plain) = classify(text, true) else {
            panic!("{text} is no plain SELECT");
        };
        let answer = self
            .merger
            .select(&CallContext::new(), text, parameters, &plain);
        for secondary in &self.secondaries {
            let lost = secondary.lost.lock();
            assert!(lost.is_empty(), "{text}: {lost:?}");
        }
        answer.unwrap_or_else(|error| panic!("{text}: {error}"))
    }
}

/// Values of every kind that has an order of its own.
fn values() -> Vec<Value> {
    let scratch = database();
    let kinds = run(
        &scratch,
        "RETURN [NULL, false, true, -1, 1, 1.5, 1e30, 2dec, 'a', 'B', 'b', 1s, 2h, \
          d'2026-01-01T00:00:00Z', u'0189d6e3-8eac-703a-9a48-d9faa78b44b9', [], [1], [1, 2], [2], \
          {}, { a: 1 }, { a: 2 }, { b: 1 }, <bytes> 'x', events:a, events:b, entities:z, events:1]",
        &Object::new(),
    );
    let kinds = kinds.as_array().unwrap().first().unwrap();
    kinds.as_array().unwrap().to_vec()
}

static VALUES: LazyLock<Vec<Value>> = LazyLock::new(values);

/// What is generated of one row: its version on each backend, and a number that
/// decides whether and how they are equal.
type Plan = ([Option<u8>; 3], u8);

fn row(table: &str, number: usize, backend: usize, version: u8) -> Object {
    let key = RecordKey::String(format!("{number}").into());
    let id = RecordId {
        table: table.into(),
        key,
    };
    let rank = i64::from(version % 5);
    let base = Object::new().with("id", id);
    match table {
        "code_symbols" => base
            .with(
                "project_id",
                if version.is_multiple_of(4) {
                    "other"
                } else {
                    "p"
                },
            )
            .with("name_path", format!("path-{number}"))
            .with("name", format!("name-{}", version % 7))
            .with("start_line", rank)
            // Another one for each row and backend, so that no two are equally near.
            .with(
                "embedding",
                near((usize::from(version) * 64 + number) * 3 + backend),
            ),
        "events" => base
            .with("user_id", if version.is_multiple_of(3) { "v" } else { "u" })
            .with("subject", format!("s{}", version % 5))
            .with(
                "created_at",
                Timestamp {
                    seconds: rank,
                    nanos: u32::from(version),
                },
            ),
        "kv_memories" => base
            .with("user_id", "u")
            .with("key", format!("k{number:02}"))
            .with("value", VALUES[usize::from(version) % VALUES.len()].clone()),
        _ => base
            .with("file_path", format!("f{number:02}"))
            .with("content", format!("{version}"))
            .with("metadata", Object::new().with("rank", rank)),
    }
}

fn near(step: usize) -> Value {
    #[allow(clippy::cast_precision_loss, reason = "a few thousand at most")]
    let angle = step as f32 / 20_000.0;
    stored_embedding(&[angle.cos(), angle.sin()])
}

/// Statements whose order is total: results are compared as they are.
const ORDERED: &[&str] = &[
    "SELECT * FROM events ORDER BY created_at, id",
    "SELECT id, subject AS s FROM events WHERE user_id = $u ORDER BY s DESC, id LIMIT $n START 1",
    "SELECT id FROM events ORDER BY id DESC LIMIT 2",
    "SELECT subject FROM events ORDER BY subject, created_at DESC, id LIMIT 6",
    "SELECT VALUE name_path FROM code_symbols ORDER BY start_line DESC, name_path LIMIT 7",
    "SELECT *, vector::similarity::cosine(embedding, $q) AS similarity FROM code_symbols \
     WHERE project_id = $p ORDER BY similarity DESC LIMIT 5",
    "SELECT name_path, vector::similarity::cosine(embedding, $q) AS similarity FROM code_symbols \
     WHERE project_id = $p AND embedding != NONE ORDER BY similarity DESC LIMIT $n",
    "SELECT * OMIT embedding, start_line FROM code_symbols ORDER BY start_line, name_path START 2",
    "SELECT name, start_line * -1 AS start_line FROM code_symbols ORDER BY start_line, name, name_path LIMIT 9",
    "SELECT name_path, string::concat(name, '!') AS loud FROM code_symbols WHERE start_line IN [1, 2, 3] \
     ORDER BY loud, name_path LIMIT 5",
    "SELECT key, value FROM kv_memories ORDER BY value, key",
    "SELECT key, value FROM kv_memories ORDER BY value DESC, key DESC LIMIT 4",
    "SELECT VALUE key FROM kv_memories WHERE type::is_number(value) ORDER BY key",
    "SELECT file_path, metadata.rank AS rank FROM knowledge_base ORDER BY metadata.rank DESC, file_path LIMIT 4",
    "SELECT VALUE file_path FROM knowledge_base ORDER BY metadata.rank, file_path LIMIT 3 START 3",
];

/// Statements without an order: results are compared as sets.
const UNORDERED: &[&str] = &[
    "SELECT * FROM events WHERE user_id = 'u'",
    "SELECT VALUE id FROM kv_memories",
];

fn parameters() -> Object {
    Object::new()
        .with("u", "u")
        .with("p", "p")
        .with("n", 3i64)
        .with("q", near(0))
}

fn sorted(answer: &Value) -> Vec<String> {
    let rows = answer
        .as_array()
        .unwrap()
        .first()
        .unwrap()
        .as_array()
        .unwrap();
    let mut rows: Vec<String> = rows.iter().map(|row| format!("{row:?}")).collect();
    rows.sort();
    rows
}

fn plans() -> impl Strategy<Value = Vec<Vec<Plan>>> {
    let version = prop::option::weighted(0.6, any::<u8>());
    let plan = ([version.clone(), version.clone(), version], any::<u8>());
    prop::collection::vec(prop::collection::vec(plan, 0..14), TABLES.len())
}

fn cases() -> u32 {
    let set = std::env::var("RAW_MERGE_CASES").ok();
    set.and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

#[test]
fn a_merged_select_answers_as_a_database_with_the_union() {
    let databases = Databases::new();
    let differ_from_primary = AtomicU32::new(0);
    let mut runner = prop::test_runner::TestRunner::new(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&plans(), |plans| {
        databases.clear();
        for (table, plans) in TABLES.iter().zip(plans) {
            for (number, (versions, same)) in plans.into_iter().enumerate() {
                let mut backend = 0;
                let rows = versions.map(|version| {
                    let version = version.map(|it| if same % 2 == 0 { same } else { it });
                    backend += 1;
                    version.map(|it| row(table, number, backend, it))
                });
                databases.put(table, rows);
            }
        }
        for text in ORDERED {
            let expected = run(&databases.union, text, &parameters());
            let own = run(&databases.backends[0], text, &parameters());
            differ_from_primary.fetch_add(u32::from(own != expected), AtomicOrdering::Relaxed);
            prop_assert_eq!(databases.merged(text, &parameters()), expected, "{}", text);
        }
        for text in UNORDERED {
            let expected = run(&databases.union, text, &parameters());
            prop_assert_eq!(
                sorted(&databases.merged(text, &parameters())),
                sorted(&expected),
                "{}",
                text
            );
        }
        Ok(())
    });
    outcome.unwrap();
    // Otherwise there was nothing to merge.
    assert!(differ_from_primary.into_inner() > cases());
}
