//! The read methods as data: the code takes its limits from here, and the
//! table in `docs/merged-reads.md` is made from it.

use crate::dedup::key_columns;
use std::fmt::Write as _;

/// What a read method promises, and what merging means for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadSpec {
    /// The method.
    pub method: &'static str,
    /// The tables that it reads; `*` for one that the caller names or for the
    /// tables of the relationship types.
    pub tables: &'static [&'static str],
    /// In which order the result comes.
    pub order: &'static str,
    /// How many rows there are at most if the caller says 0; none if the
    /// result is not limited.
    pub limit: Option<u32>,
    /// How the sides' answers become one.
    pub merging: &'static str,
}

impl ReadSpec {
    /// The limit to ask for when the caller says `limit`.
    pub fn limit_or_default(&self, limit: u32) -> Option<u32> {
        self.limit
            .map(|default| if limit == 0 { default } else { limit })
    }
}

const POINT: &str = "the primary's row; the secondaries are asked only if it has none";
const UNION: &str = "union by key";
const TOP: &str = "the nearest of the union by key";
const FIRST: &str = "the first of the union by key";

macro_rules! reads {
    ($($name:ident: $method:literal $tables:expr, $order:expr, $limit:expr, $merging:expr;)*) => {
        $(
            #[doc = concat!("`", $method, "`.")]
            pub const $name: ReadSpec = ReadSpec {
                method: $method,
                tables: &$tables,
                order: $order,
                limit: $limit,
                merging: $merging,
            };
        )*

        /// All read methods.
        pub const READ_SPECS: &[ReadSpec] = &[$($name),*];
    };
}

reads! {
    GET_FACT: "get_fact" ["kv_memories"], "", None, POINT;
    LIST_FACTS: "list_facts" ["kv_memories"], "key", None, UNION;
    LIST_FACT_KEYS: "list_fact_keys" ["kv_memories"], "key", None, UNION;
    LIST_USER_IDS: "list_user_ids" ["*"], "user", None,
        "the primary's users and those of rows that only a secondary has";
    SEARCH_SIMILAR: "search_similar" ["vector_memories"], "similarity, then id", Some(10), TOP;
    TRAVERSE_GRAPH: "traverse_graph" ["entities", "*"], "breadth-first; then type and id of the edge", None,
        "a walk over the union of the graphs: an edge of one side leads on to entities of another";
    GET_ENTITY: "get_entity" ["entities"], "id", None,
        "the primary's entity; the secondaries are asked only if it has none of that id or name";
    LIST_ENTITY_IDS: "list_entity_ids" ["entities"], "id", None, UNION;
    SEARCH_DOCUMENTS: "search_documents" ["knowledge_base"], "similarity, then id", Some(10), TOP;
    GET_DOCUMENT: "get_document" ["knowledge_base"], "", None, POINT;
    LIST_DOCUMENT_PATHS: "list_document_paths" ["knowledge_base"], "path", None, UNION;
    HYBRID_SEARCH: "hybrid_search" ["vector_memories", "entities", "*", "kv_memories"], "as in its parts", Some(10),
        "search_similar, traverse_graph with depth 2 for each entity, and list_facts, each over the union";
    SEARCH_EVENTS: "search_events" ["events"], "relevance, then the newest, then id", Some(50),
        "the most relevant of the union by key; text is scored (BM25) by each database on its own rows";
    GET_EVENTS_BY_SUBJECT: "get_events_by_subject" ["events"], "the oldest, then id", Some(100), FIRST;
    GET_STATS: "get_stats" ["kv_memories", "vector_memories", "entities", "*", "knowledge_base", "events"], "", None,
        "the primary's counts and those of rows that only a secondary has";
    COUNT_BY_USER_ID: "count_by_user_id" ["*"], "user", None,
        "the primary's counts and those of rows that only a secondary has";
    GET_CODE_PROJECT: "get_code_project" ["code_projects"], "", None, POINT;
    LIST_CODE_PROJECTS: "list_code_projects" ["code_projects"], "name, then project_id", None, UNION;
    GET_CODE_PROJECT_STATS: "get_code_project_stats" ["code_files", "code_symbols", "code_chunks"], "", None,
        "the primary's counts and those of rows that only a secondary has";
    GET_CODE_FILE: "get_code_file" ["code_files"], "", None, POINT;
    LIST_CODE_FILES: "list_code_files" ["code_files"], "path", None, UNION;
    GET_CODE_SYMBOL: "get_code_symbol" ["code_symbols"], "", None, POINT;
    FIND_SYMBOLS_BY_NAME: "find_symbols_by_name" ["code_symbols"], "name_path", Some(50), FIRST;
    FIND_SYMBOLS_BY_FILE: "find_symbols_by_file" ["code_symbols"], "line, then name_path", None, UNION;
    FIND_CHILD_SYMBOLS: "find_child_symbols" ["code_symbols"], "line, then name_path", None, UNION;
    SEARCH_SYMBOLS_BY_SIMILARITY: "search_symbols_by_similarity" ["code_symbols"], "similarity, then id", Some(10), TOP;
    GET_CHUNKS_BY_SYMBOL: "get_chunks_by_symbol" ["code_chunks"], "chunk_index", None, UNION;
    SEARCH_CHUNKS_BY_SIMILARITY: "search_chunks_by_similarity" ["code_chunks"], "similarity, then id", Some(10), TOP;
    GET_INDEXING_JOB: "get_indexing_job" ["code_indexing_jobs"], "", None, POINT;
    LIST_ACTIVE_INDEXING_JOBS: "list_active_indexing_jobs" ["code_indexing_jobs"], "the oldest, then id", None, UNION;
}

/// The table of `docs/merged-reads.md`.
pub fn table() -> String {
    let mut table = String::from(
        "| method | tables | key | order | limit if 0 is given | merged |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for read in READ_SPECS {
        let list = |items: &[&str]| {
            let items: Vec<_> = items
                .iter()
                .map(|item| match *item {
                    "*" => "any".to_owned(),
                    item => format!("`{item}`"),
                })
                .collect();
            items.join(", ")
        };
        let key = match read.tables {
            ["*"] | [_, _, ..] => "each table's".to_owned(),
            tables => tables
                .iter()
                .map(|table| list(key_columns(table)))
                .collect(),
        };
        let limit = read
            .limit
            .map_or_else(String::new, |limit| limit.to_string());
        // Writing to a string does not fail.
        let _ = writeln!(
            table,
            "| `{}` | {} | {key} | {} | {limit} | {} |",
            read.method,
            list(read.tables),
            read.order,
            read.merging,
        );
    }
    table
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use plugin_api::storage::{METHODS, MethodKind};
    use std::path::Path;

    #[test]
    fn every_read_method_of_the_contract_is_described() {
        let of_contract: Vec<_> = METHODS
            .iter()
            .filter(|method| method.kind == MethodKind::Read)
            .map(|method| method.name)
            .collect();
        let described: Vec<_> = READ_SPECS.iter().map(|read| read.method).collect();
        assert_eq!(described, of_contract);
    }

    #[test]
    fn a_method_is_limited_if_it_takes_a_limit() {
        for read in READ_SPECS {
            let method = plugin_api::storage::method(read.method).unwrap();
            let takes = method.arguments.contains(&"limit") || method.arguments.contains(&"search");
            assert_eq!(read.limit.is_some(), takes, "{}", read.method);
        }
    }

    /// To write the table anew: `UPDATE_DOCS=1 cargo test --workspace`.
    #[test]
    fn the_documentation_has_this_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/merged-reads.md");
        let text = std::fs::read_to_string(&path).unwrap();
        let (begin, end) = ("<!-- reads: begin -->\n", "<!-- reads: end -->");
        let (before, rest) = text.split_once(begin).expect("the table's begin");
        let (_, after) = rest.split_once(end).expect("the table's end");
        let fresh = format!("{before}{begin}{}{end}{after}", table());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &fresh).unwrap();
        } else {
            assert!(
                text == fresh,
                "docs/merged-reads.md is out of date: UPDATE_DOCS=1 cargo test"
            );
        }
    }
}
