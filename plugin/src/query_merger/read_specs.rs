//! The read methods as data: the code takes its limits from here, and the
//! table in `docs/merged-reads.md` is generated from it.

use std::fmt::Write as _;
use surreal_storage::schema::Table;

/// What a read method promises, and what merging means for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadSpec {
    /// The method.
    pub method: &'static str,
    /// The tables that it reads; `*` stands for a table that the caller names,
    /// and for the tables of the relationship types.
    pub tables: &'static [&'static str],
    /// The order of the result; empty if it is one row or a set of counts.
    pub order: &'static str,
    /// The limit that a caller's 0 stands for; none if the method takes no
    /// limit.
    pub limit: Option<u32>,
    /// How the databases' answers are merged.
    pub merging: &'static str,
}

impl ReadSpec {
    /// The limit to use if the caller gives `limit`.
    pub fn limit_or_default(&self, limit: u32) -> Option<u32> {
        self.limit
            .map(|default| if limit == 0 { default } else { limit })
    }
}

const POINT: &str = "the primary's row; the secondaries are queried only if it has none";
const COUNTS: &str = "the primary's counts plus those of rows that only a secondary has";
const UNION: &str = "union by key";
const TOP: &str = "the nearest of the union by key";
const FIRST: &str = "the first of the union by key";

/// `method [tables], order, default limit, merging;`
macro_rules! read_specs {
    ($($method:ident $tables:expr, $order:expr, $limit:expr, $merging:expr;)*) => {
        $(
            #[doc = concat!("`", stringify!($method), "`.")]
            #[allow(non_upper_case_globals, reason = "named like the method")]
            pub const $method: ReadSpec = ReadSpec {
                method: stringify!($method),
                tables: &$tables,
                order: $order,
                limit: $limit,
                merging: $merging,
            };
        )*

        /// All read methods, in the order of the contract.
        pub const READ_SPECS: &[ReadSpec] = &[$($method),*];

        /// What asks the secondaries, as the metrics count it: a read method, or
        /// something else that reads.
        #[allow(non_camel_case_types, missing_docs, reason = "named like the methods")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ReadMethod {
            $($method,)*
            /// A plain SELECT of the host.
            query,
            /// An update that finds no row on the primary.
            update,
        }

        impl ReadMethod {
            /// Everything that reads.
            pub const ALL: [Self; [$(stringify!($method)),*].len() + 2] =
                [$(Self::$method,)* Self::query, Self::update];

            /// Its label.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$method => stringify!($method),)*
                    Self::query => "query",
                    Self::update => "update",
                }
            }
        }
    };
}

read_specs! {
    get_fact ["kv_memories"], "", None, POINT;
    list_facts ["kv_memories"], "key", None, UNION;
    list_fact_keys ["kv_memories"], "key", None, UNION;
    list_user_ids ["*"], "user", None,
        "the primary's users plus those of rows that only a secondary has";
    search_similar ["vector_memories"], "similarity, then id", Some(10), TOP;
    traverse_graph ["entities", "*"], "breadth-first; then type and id of the edge", None,
        "a traversal of the union of the graphs: an edge of one database may lead to an entity of another";
    get_entity ["entities"], "id", None,
        "the primary's entity; the secondaries are queried only if it has none with that id or name";
    list_entity_ids ["entities"], "id", None, UNION;
    search_documents ["knowledge_base"], "similarity, then id", Some(10), TOP;
    get_document ["knowledge_base"], "", None, POINT;
    list_document_paths ["knowledge_base"], "path", None, UNION;
    hybrid_search ["vector_memories", "entities", "*", "kv_memories"], "that of its parts", Some(10),
        "search_similar, traverse_graph with depth 2 for each entity, and list_facts, each over the union";
    search_events ["events"], "relevance, then newest first, then id", Some(50),
        "the most relevant of the union by key; each database scores text (BM25) on its own rows";
    get_events_by_subject ["events"], "oldest first, then id", Some(100), FIRST;
    get_stats ["kv_memories", "vector_memories", "entities", "*", "knowledge_base", "events"], "", None, COUNTS;
    count_by_user_id ["*"], "user", None, COUNTS;
    get_code_project ["code_projects"], "", None, POINT;
    list_code_projects ["code_projects"], "name, then project_id", None, UNION;
    get_code_project_stats ["code_files", "code_symbols", "code_chunks"], "", None, COUNTS;
    get_code_file ["code_files"], "", None, POINT;
    list_code_files ["code_files"], "path", None, UNION;
    get_code_symbol ["code_symbols"], "", None, POINT;
    find_symbols_by_name ["code_symbols"], "name_path", Some(50), FIRST;
    find_symbols_by_file ["code_symbols"], "line, then name_path", None, UNION;
    find_child_symbols ["code_symbols"], "line, then name_path", None, UNION;
    search_symbols_by_similarity ["code_symbols"], "similarity, then id", Some(10), TOP;
    get_chunks_by_symbol ["code_chunks"], "chunk_index", None, UNION;
    search_chunks_by_similarity ["code_chunks"], "similarity, then id", Some(10), TOP;
    get_indexing_job ["code_indexing_jobs"], "", None, POINT;
    list_active_indexing_jobs ["code_indexing_jobs"], "newest first, then id", None, UNION;
}

/// The table of `docs/merged-reads.md`.
pub fn table() -> String {
    let mut table = String::from(
        "| method | tables | key | order | default limit | how answers are merged |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for spec in READ_SPECS {
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
        let key = match spec.tables {
            ["*"] | [_, _, ..] => "each table's".to_owned(),
            tables => tables
                .iter()
                .map(|table| list(Table::of(table).key))
                .collect(),
        };
        let limit = spec
            .limit
            .map_or_else(String::new, |limit| limit.to_string());
        // Writing to a string does not fail.
        let _ = writeln!(
            table,
            "| `{}` | {} | {key} | {} | {limit} | {} |",
            spec.method,
            list(spec.tables),
            spec.order,
            spec.merging,
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
        let described: Vec<_> = READ_SPECS.iter().map(|spec| spec.method).collect();
        assert_eq!(described, of_contract);
        for spec in READ_SPECS {
            let table = plugin_api::storage::method(spec.method).unwrap().table;
            let is_named = spec.tables.contains(&table);
            assert!(table == "*" || is_named, "{}: {table}", spec.method);
        }
    }

    #[test]
    fn a_method_has_a_default_limit_if_it_takes_a_limit() {
        for spec in READ_SPECS {
            let method = plugin_api::storage::method(spec.method).unwrap();
            let takes_limit =
                method.arguments.contains(&"limit") || method.arguments.contains(&"search");
            assert_eq!(spec.limit.is_some(), takes_limit, "{}", spec.method);
        }
    }

    /// To regenerate the table: `UPDATE_DOCS=1 cargo test -p db-sync-server --lib read_specs`.
    #[test]
    fn the_documentation_has_the_current_table() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/merged-reads.md");
        let text = std::fs::read_to_string(&path).unwrap();
        let (begin, end) = ("<!-- read specs: begin -->\n", "<!-- read specs: end -->");
        let (before, rest) = text.split_once(begin).expect("the table's begin");
        let (_, after) = rest.split_once(end).expect("the table's end");
        let fresh = format!("{before}{begin}{}{end}{after}", table());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &fresh).unwrap();
        } else {
            assert!(
                text == fresh,
                "docs/merged-reads.md is out of date; regenerate it: \
                 UPDATE_DOCS=1 cargo test -p db-sync-server --lib read_specs"
            );
        }
    }
}
