//! Every read method with random arguments, called on the merger and on one
//! database that holds the union.

use super::{
    super::QueryMerger,
    context,
    rows::{embedding, entity},
};
use abi_stable::std_types::RString;
use plugin_api::{
    records::{EventSearch, HybridResult},
    storage::{CodeStorage, FoundEvents, StatsProvider, Storage},
};
use proptest::{prelude::*, sample::select};
use std::collections::BTreeSet;
use surreal_storage::SurrealStorage;

/// The databases whose results are compared.
pub(super) struct Databases<'a> {
    pub(super) merger: &'a QueryMerger,
    pub(super) primary: &'a SurrealStorage,
    pub(super) union: &'a SurrealStorage,
}

/// Arguments to draw from; most lists contain one that matches nothing.
const USERS: &[&str] = &["a", "b", "nobody"];
const KEYS: &[&str] = &["k0", "k1", "k2"];
const ENTITY_NAMES: &[&str] = &["x", "y", "z", "nobody"];
const RELATIONSHIPS: &[&str] = &["", "knows", "likes", "hates"];
const DOCUMENTS: &[&str] = &["d0.md", "d1.md", "d2.md", "d9.md"];
const PROJECTS: &[&str] = &["p0", "p1", "p2"];
const FILES: &[&str] = &["f0", "f1"];
const SYMBOLS: &[&str] = &["s0", "s1", "s2", "s3"];
const SYMBOL_IDS: &[&str] = &["sym0", "sym1", "sym2"];
const PARENTS: &[&str] = &["top", "other"];
const TYPES: &[&[&str]] = &[&[], &["function"], &["class", "function"]];
const JOBS: &[&str] = &["j53", "j54", "j55", "j99"];
const TABLES: &[&str] = &[
    "kv_memories",
    "vector_memories",
    "events",
    "entities",
    "no_such_table",
];
const EMBEDDINGS: &[u8] = &[0, 1, 2, 3, 4];
const ENTITIES: &[u8] = &[0, 1, 2, 3, 4];
const LIMITS: &[u32] = &[0, 1, 2, 3, 5];
const DEPTHS: &[u32] = &[0, 1, 2, 4];

type Text = &'static str;
type Texts = &'static [&'static str];
type Outcome = Result<(), TestCaseError>;

/// Asserts that the merger returns what the union returns.
macro_rules! same {
    ($databases:ident.$method:ident($($argument:expr),*)) => {{
        prop_assert_eq!(
            $databases.merger.$method(&context() $(, $argument)*).unwrap(),
            $databases.union.$method(&context() $(, $argument)*).unwrap()
        );
        Ok(())
    }};
}

/// `method { argument: type = values to draw from } comparison`.
macro_rules! reads {
    ($databases:ident: $($read:ident { $($argument:ident: $type:ty = $from:expr),* } $outcome:expr;)*) => {
        /// A read method with its arguments.
        #[allow(non_camel_case_types, reason = "named like the methods")]
        #[derive(Clone, Debug)]
        pub(super) enum Read {
            $($read { $($argument: $type),* },)*
        }

        impl Read {
            /// Every read, each with arguments of its own.
            fn each() -> Vec<BoxedStrategy<Self>> {
                vec![$(
                    (Just(()), $(select($from.to_vec()),)*)
                        .prop_map(|(_, $($argument,)*)| Self::$read { $($argument),* })
                        .boxed(),
                )*]
            }

            /// Compares the results.
            pub(super) fn compare(&self, $databases: &Databases<'_>) -> Outcome {
                match *self {
                    $(Self::$read { $($argument),* } => $outcome,)*
                }
            }

            fn names() -> &'static [&'static str] {
                &[$(stringify!($read)),*]
            }
        }
    };
}

reads! { databases:
    get_fact { user: Text = USERS, key: Text = KEYS } same!(databases.get_fact(user, key));
    list_facts { user: Text = USERS } same!(databases.list_facts(user));
    list_fact_keys { user: Text = USERS } same!(databases.list_fact_keys(user));
    list_user_ids { table: Text = TABLES } same!(databases.list_user_ids(table));
    search_similar { user: Text = USERS, near: u8 = EMBEDDINGS, limit: u32 = LIMITS }
        same!(databases.search_similar(user, &embedding(near), limit));
    traverse_graph { from: u8 = ENTITIES, only: Text = RELATIONSHIPS, depth: u32 = DEPTHS }
        same!(databases.traverse_graph(&entity(from).to_string(), only, depth));
    traverse_graph_by_name { name: Text = ENTITY_NAMES, depth: u32 = DEPTHS }
        traverse_by_name(databases, name, depth);
    get_entity { n: u8 = ENTITIES } same!(databases.get_entity(&entity(n).to_string()));
    get_entity_by_name { name: Text = ENTITY_NAMES } entity_by_name(databases, name);
    list_entity_ids {} same!(databases.list_entity_ids());
    search_documents { near: u8 = EMBEDDINGS, limit: u32 = LIMITS }
        same!(databases.search_documents(&embedding(near), limit));
    get_document { path: Text = DOCUMENTS } same!(databases.get_document(path));
    list_document_paths {} same!(databases.list_document_paths());
    hybrid_search { user: Text = USERS, near: u8 = EMBEDDINGS, from: u8 = ENTITIES, limit: u32 = LIMITS }
        hybrid(databases, user, near, from, limit);
    search_events { user: Text = USERS, limit: u32 = LIMITS }
        same!(databases.search_events(&events(user, limit)));
    search_events_by_similarity { user: Text = USERS, near: u8 = EMBEDDINGS, limit: u32 = LIMITS }
        same!(databases.search_events(&EventSearch {
            embedding: embedding(near).into(),
            ..events(user, limit)
        }));
    search_events_of_subject { user: Text = USERS, limit: u32 = LIMITS }
        same!(databases.search_events(&EventSearch { subject: "s1".into(), ..events(user, limit) }));
    search_events_by_text { user: Text = USERS } events_by_text(databases, user);
    get_events_by_subject { user: Text = USERS, limit: u32 = LIMITS }
        same!(databases.get_events_by_subject(user, "s0", limit));
    get_stats { user: Text = &["a", "b", "nobody", "global"] } same!(databases.get_stats(user));
    count_by_user_id { table: Text = TABLES } same!(databases.count_by_user_id(table));
    get_code_project { project: Text = PROJECTS } same!(databases.get_code_project(project));
    list_code_projects {} same!(databases.list_code_projects());
    get_code_project_stats { project: Text = PROJECTS } same!(databases.get_code_project_stats(project));
    get_code_file { project: Text = PROJECTS, file: Text = FILES }
        same!(databases.get_code_file(project, file));
    list_code_files { project: Text = PROJECTS } same!(databases.list_code_files(project));
    get_code_symbol { project: Text = PROJECTS, path: Text = SYMBOLS }
        same!(databases.get_code_symbol(project, path));
    find_symbols_by_name { project: Text = PROJECTS, types: Texts = TYPES, limit: u32 = LIMITS }
        same!(databases.find_symbols_by_name(project, "run", &texts(types), limit));
    find_symbols_by_file { project: Text = PROJECTS, file: Text = FILES }
        same!(databases.find_symbols_by_file(project, file));
    find_child_symbols { project: Text = PROJECTS, parent: Text = PARENTS }
        same!(databases.find_child_symbols(project, parent));
    search_symbols_by_similarity { project: Text = PROJECTS, near: u8 = EMBEDDINGS, types: Texts = TYPES, limit: u32 = LIMITS }
        same!(databases.search_symbols_by_similarity(project, &embedding(near), &texts(types), limit));
    get_chunks_by_symbol { symbol: Text = SYMBOL_IDS } same!(databases.get_chunks_by_symbol(symbol));
    search_chunks_by_similarity { project: Text = PROJECTS, near: u8 = EMBEDDINGS, limit: u32 = LIMITS }
        same!(databases.search_chunks_by_similarity(project, &embedding(near), limit));
    get_indexing_job { job: Text = JOBS }
        same!(databases.get_indexing_job(&format!("code_indexing_jobs:{job}")));
    list_active_indexing_jobs {} same!(databases.list_active_indexing_jobs());
}

/// Every read with arguments of its own. One that is not needed to show a
/// difference shrinks to none.
pub(super) fn reads() -> impl Strategy<Value = Vec<Option<Read>>> {
    let each = Read::each().into_iter();
    each.map(|read| proptest::option::weighted(0.999, read))
        .collect::<Vec<_>>()
}

fn texts(texts: &[&str]) -> Vec<RString> {
    texts.iter().map(|&text| text.into()).collect()
}

fn events(user: &str, limit: u32) -> EventSearch {
    EventSearch {
        user_id: user.into(),
        limit,
        ..EventSearch::default()
    }
}

/// Compares which events are found, not their scores: each database scores on its
/// own texts.
fn events_by_text(databases: &Databases<'_>, user: &str) -> Outcome {
    let search = EventSearch {
        query: "red".into(),
        ..events(user, 0)
    };
    let found = |events: FoundEvents| -> BTreeSet<String> {
        let events = events.iter();
        events.map(|found| format!("{:?}", found.event)).collect()
    };
    prop_assert_eq!(
        found(databases.merger.search_events(&context(), &search).unwrap()),
        found(databases.union.search_events(&context(), &search).unwrap())
    );
    Ok(())
}

fn hybrid(databases: &Databases<'_>, user: &str, near: u8, from: u8, limit: u32) -> Outcome {
    let untimed = |result: HybridResult| HybridResult {
        query_time_us: 0,
        ..result
    };
    let entities: [RString; 2] = [entity(from).to_string().into(), "entities:none".into()];
    let (context, near) = (context(), embedding(near));
    let merged = databases
        .merger
        .hybrid_search(&context, user, &near, &entities, limit);
    let expected = databases
        .union
        .hybrid_search(&context, user, &near, &entities, limit);
    prop_assert_eq!(untimed(merged.unwrap()), untimed(expected.unwrap()));
    Ok(())
}

/// A point read by name: the primary's, if it has one of that name.
fn entity_by_name(databases: &Databases<'_>, name: &str) -> Outcome {
    let own = databases.primary.get_entity(&context(), name).unwrap();
    let expected = own.or(databases.union.get_entity(&context(), name).unwrap());
    let merged = databases.merger.get_entity(&context(), name).unwrap();
    prop_assert_eq!(merged, expected);
    Ok(())
}

fn traverse_by_name(databases: &Databases<'_>, name: &str, depth: u32) -> Outcome {
    let context = context();
    let own = databases.primary.get_entity(&context, name).unwrap();
    let start = own.or(databases.union.get_entity(&context, name).unwrap());
    let expected = start.into_option().map(|start| {
        let start = start.id.to_string();
        databases.union.traverse_graph(&context, &start, "", depth)
    });
    prop_assert_eq!(
        databases
            .merger
            .traverse_graph(&context, name, "", depth)
            .unwrap(),
        expected.transpose().unwrap().unwrap_or_default()
    );
    Ok(())
}

#[test]
fn every_read_method_is_compared() {
    for spec in crate::query_merger::read_specs::READ_SPECS {
        assert!(Read::names().contains(&spec.method), "{}", spec.method);
    }
}
