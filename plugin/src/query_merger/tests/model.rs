//! Every read method against one database that holds the union.

use super::{
    super::QueryMerger,
    Member, PATIENT, context, database, merger, tombstones,
    union::{Delete, Holding, RECORDS, embedding, entity, fill, rows, union},
};
use crate::{
    dedup::Key,
    tombstones::{Scope, Tombstones},
};
use abi_stable::std_types::RString;
use plugin_api::{
    records::{EventSearch, HybridResult},
    storage::{CodeStorage, StatsProvider, Storage},
};
use proptest::{prelude::*, test_runner::TestRunner};
use std::{collections::BTreeSet, sync::Arc};
use surreal_storage::SurrealStorage;

fn holding() -> impl Strategy<Value = Holding> {
    // Sparse and dense sides, versions from a small set so that they collide.
    prop_oneof![0..10usize, 10..usize::from(RECORDS)]
        .prop_flat_map(|size| proptest::collection::btree_map(0..RECORDS, 0..30u8, 0..=size))
}

fn delete() -> impl Strategy<Value = Delete> {
    prop_oneof![
        // A document or an entity is deleted as a whole, below.
        (0..RECORDS).prop_map(Delete::Record),
        (0..2u8).prop_map(Delete::Project),
        (0..2u8, 0..2u8).prop_map(|(project, file)| Delete::SymbolsOfFile(project, file)),
        (0..2u8).prop_map(Delete::ChunksOfSymbol),
        (0..5u8).prop_map(Delete::EdgesOf),
        (0..3u8).prop_map(Delete::Document),
    ]
    .prop_filter(
        "no such delete",
        |delete| !matches!(delete, Delete::Record(record) if (24..27).contains(record)),
    )
}

/// Marks a delete as the write path does.
fn mark(tombstones: &Tombstones, delete: &Delete) {
    let key_of = |record: u8| {
        let (table, row) = rows(record, 0, 0).remove(0);
        let id = row.get("id").unwrap().as_record_id().unwrap().clone();
        Key::of_row(table, &id, &row)
    };
    let (keys, scopes) = match *delete {
        Delete::Record(record) => (vec![key_of(record)], vec![]),
        Delete::Project(n) => (vec![key_of(33 + n)], Scope::of_project(&format!("p{n}"))),
        Delete::SymbolsOfFile(project, file) => {
            let scope = Scope::symbols_of_file(&format!("p{project}"), &format!("f{file}"));
            (vec![], vec![scope])
        }
        Delete::ChunksOfSymbol(n) => (vec![], vec![Scope::chunks_of_symbol(&format!("sym{n}"))]),
        Delete::EdgesOf(n) => (vec![key_of(11 + n)], Scope::edges_of(&entity(n)).to_vec()),
        Delete::Document(n) => (vec![], Scope::of_document(&format!("d{n}.md")).to_vec()),
    };
    tombstones.mark(&keys, &scopes).unwrap();
}

struct Databases {
    sides: Vec<SurrealStorage>,
    union: SurrealStorage,
}

impl Databases {
    fn check(&self, holdings: &[Holding], deletes: &[Delete]) -> Result<(), TestCaseError> {
        for (side, storage) in self.sides.iter().enumerate() {
            let holding = holdings.get(side).into_iter().flatten();
            fill(
                storage,
                holding.map(|(record, version)| (*record, *version, side)),
            );
        }
        let records = union(holdings, deletes).into_iter();
        fill(
            &self.union,
            records.map(|(record, (version, side))| (record, version, side)),
        );

        let (_directory, tombstones) = tombstones();
        deletes.iter().for_each(|delete| mark(&tombstones, delete));
        let members: Vec<_> = (1..holdings.len())
            .map(|side| Member::new("secondary", 1, self.sides[side].clone()))
            .collect();
        let merger = merger(
            self.sides[0].clone(),
            &members,
            Some(Arc::clone(&tombstones)),
            PATIENT,
        );
        same_answers(&merger, &self.sides[0], &self.union)
    }
}

/// Asserts that the merger answers like the union.
macro_rules! same {
    ($merger:ident, $union:ident, $method:ident($($argument:expr),*)) => {
        prop_assert_eq!(
            $merger.$method(&context() $(, $argument)*).unwrap(),
            $union.$method(&context() $(, $argument)*).unwrap(),
            "{}{:?}", stringify!($method), ($($argument,)*)
        )
    };
}

fn same_answers(
    merger: &QueryMerger,
    primary: &SurrealStorage,
    union: &SurrealStorage,
) -> Result<(), TestCaseError> {
    let types: [&[RString]; 2] = [&[], &["function".into()]];
    for user in ["a", "b", "nobody"] {
        same!(merger, union, list_facts(user));
        same!(merger, union, list_fact_keys(user));
        same!(merger, union, get_stats(user));
        for key in ["k0", "k1", "k2"] {
            same!(merger, union, get_fact(user, key));
        }
        for limit in [0, 1, 2, 3] {
            same!(merger, union, search_similar(user, &embedding(1), limit));
            same!(merger, union, get_events_by_subject(user, "s0", limit));
            for nearest in [None, Some(0), Some(4)] {
                let search = EventSearch {
                    user_id: user.into(),
                    embedding: nearest.map(embedding).unwrap_or_default().into(),
                    limit,
                    ..EventSearch::default()
                };
                same!(merger, union, search_events(&search));
            }
        }
        // Which are found, not how well: each database scores by its own texts.
        let search = EventSearch {
            user_id: user.into(),
            query: "red".into(),
            ..EventSearch::default()
        };
        let found = |events: plugin_api::storage::FoundEvents| -> BTreeSet<String> {
            events
                .iter()
                .map(|found| format!("{:?}", found.event))
                .collect()
        };
        prop_assert_eq!(
            found(merger.search_events(&context(), &search).unwrap()),
            found(union.search_events(&context(), &search).unwrap())
        );
        let untimed = |result: HybridResult| HybridResult {
            query_time_us: 0,
            ..result
        };
        let entities: [RString; 2] = ["entities:n1".into(), "entities:none".into()];
        prop_assert_eq!(
            untimed(
                merger
                    .hybrid_search(&context(), user, &embedding(0), &entities, 2)
                    .unwrap()
            ),
            untimed(
                union
                    .hybrid_search(&context(), user, &embedding(0), &entities, 2)
                    .unwrap()
            )
        );
    }
    same!(merger, union, get_stats("global"));
    for table in [
        "kv_memories",
        "vector_memories",
        "events",
        "entities",
        "no_such_table",
    ] {
        same!(merger, union, list_user_ids(table));
        same!(merger, union, count_by_user_id(table));
    }

    same!(merger, union, list_entity_ids());
    for n in 0..5 {
        let id = entity(n).to_string();
        same!(merger, union, get_entity(&id));
        for (only, depth) in [("", 0), ("", 1), ("", 3), ("knows", 4), ("hates", 2)] {
            same!(merger, union, traverse_graph(&id, only, depth));
        }
    }
    for name in ["x", "y", "z", "nobody"] {
        // A point read: the primary's, if it has one of that name.
        let own = primary.get_entity(&context(), name).unwrap();
        let of_union = union.get_entity(&context(), name).unwrap();
        let expected = own.or(of_union);
        prop_assert_eq!(
            merger.get_entity(&context(), name).unwrap(),
            expected.clone(),
            "{}",
            name
        );
        if let Some(start) = expected.into_option() {
            prop_assert_eq!(
                merger.traverse_graph(&context(), name, "", 2).unwrap(),
                union
                    .traverse_graph(&context(), &start.id.to_string(), "", 2)
                    .unwrap()
            );
        }
    }

    same!(merger, union, list_document_paths());
    for path in ["d0.md", "d1.md", "d2.md", "d9.md"] {
        same!(merger, union, get_document(path));
    }
    for limit in [0, 1, 3] {
        same!(merger, union, search_documents(&embedding(3), limit));
    }

    same!(merger, union, list_code_projects());
    for project in ["p0", "p1", "p2"] {
        same!(merger, union, get_code_project(project));
        same!(merger, union, get_code_project_stats(project));
        same!(merger, union, list_code_files(project));
        same!(merger, union, find_child_symbols(project, "top"));
        for file in ["f0", "f1"] {
            same!(merger, union, get_code_file(project, file));
            same!(merger, union, find_symbols_by_file(project, file));
        }
        for path in ["s0", "s1", "s2", "s3"] {
            same!(merger, union, get_code_symbol(project, path));
        }
        for limit in [0, 1, 2] {
            same!(
                merger,
                union,
                search_chunks_by_similarity(project, &embedding(2), limit)
            );
            for types in types {
                same!(
                    merger,
                    union,
                    find_symbols_by_name(project, "run", types, limit)
                );
                same!(
                    merger,
                    union,
                    search_symbols_by_similarity(project, &embedding(0), types, limit)
                );
            }
        }
    }
    for symbol in ["sym0", "sym1", "sym2"] {
        same!(merger, union, get_chunks_by_symbol(symbol));
    }
    for job in 53..56 {
        same!(
            merger,
            union,
            get_indexing_job(&format!("code_indexing_jobs:j{job}"))
        );
    }
    same!(merger, union, list_active_indexing_jobs());
    Ok(())
}

/// How many cases: `MERGE_CASES=20000 cargo test -p db-sync-server every_read` for the long run.
fn cases() -> u32 {
    std::env::var("MERGE_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(24)
}

#[test]
fn every_read_is_what_one_database_holding_the_union_answers() {
    let databases = Databases {
        sides: (0..4).map(|_| database()).collect(),
        union: database(),
    };
    let sides = proptest::collection::vec(holding(), 2..5);
    let deletes = proptest::collection::vec(delete(), 0..4);
    let config = ProptestConfig {
        max_shrink_iters: 150,
        ..ProptestConfig::with_cases(cases())
    };
    TestRunner::new(config)
        .run(&(sides, deletes), |(sides, deletes)| {
            databases.check(&sides, &deletes)
        })
        .unwrap();
}
