//! Creating the schema in a database, whatever it had before.

use super::{
    TEXT_ANALYZER,
    relationships::table_rows,
    table::{Column, Kind, Rule, Table},
    tables::TABLES,
};
use crate::{Connection, connection::within, retry::while_in_conflict, rows::Row};
use plugin_api::{
    error::StorageResult,
    value::{Object, Value},
};
use std::{collections::HashSet, fmt::Write as _, time::Duration};

/// What [`initialize`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaReport {
    /// Tables whose key has no unique index, because existing rows share a key.
    /// Writes still find rows by their key.
    pub without_unique_index: Vec<&'static str>,
}

/// Creates missing tables, columns and indexes, and redefines the columns that an
/// older host defined in a way that changes or rejects what is written: times that
/// the server overwrites on every write, objects without free keys. Rows stay as
/// they are. Idempotent.
///
/// # Errors
/// The database's; `Timeout` if it takes longer than `timeout` in all.
pub async fn initialize(connection: &Connection, timeout: Duration) -> StorageResult<SchemaReport> {
    // Another host may be initialising the same database.
    let attempts = while_in_conflict(|| attempt(connection, timeout));
    within(timeout, attempts).await
}

async fn attempt(connection: &Connection, timeout: Duration) -> StorageResult<SchemaReport> {
    let run = |sql: String| async move { connection.query(&sql, Object::new(), timeout).await };
    let existing = table_rows(run("INFO FOR DB STRUCTURE".to_owned()).await?);
    let schemafull: HashSet<String> = existing
        .iter()
        .filter(|table| table.flag("schemafull"))
        .map(|table| table.text("name").into_string())
        .collect();
    run(definitions(&schemafull)).await?;

    let structures: String = TABLES
        .iter()
        .map(|table| format!("INFO FOR TABLE {} STRUCTURE;", table.name))
        .collect();
    let mut report = SchemaReport::default();
    for (table, structure) in TABLES.iter().zip(run(structures).await?) {
        let present = Indexes::of(structure);
        for statement in missing_indexes(table, &present) {
            run(statement).await?;
        }
        if !table.is_keyed_by_id() && !present.has(table.key, Some("UNIQUE")) {
            match run(index(table, table.key, "key", "UNIQUE")).await {
                Ok(_) => {}
                // Existing rows share a key.
                Err(error) if error.message.starts_with("Database index `") => {
                    tracing::warn!(table = table.name, %error, "no unique index: some rows share a key; writes still find rows by key");
                    report.without_unique_index.push(table.name);
                    if !present.has(table.key, None) {
                        run(index(table, table.key, "shared_key", "")).await?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(report)
}

/// The analyzer, the tables and their columns.
fn definitions(schemafull: &HashSet<String>) -> String {
    let mut sql = format!(
        "DEFINE ANALYZER IF NOT EXISTS {TEXT_ANALYZER} TOKENIZERS blank, class FILTERS lowercase, snowball(english);"
    );
    for table in TABLES {
        let name = table.name;
        // Writing to a String cannot fail.
        let _ = write!(sql, "DEFINE TABLE IF NOT EXISTS {name} SCHEMALESS;");
        for column in table.columns {
            let (replace, kind) = definition(column, schemafull.contains(name));
            let _ = write!(
                sql,
                "DEFINE FIELD {replace} {} ON {name} TYPE {kind};",
                column.name
            );
        }
    }
    sql
}

/// Whether a column replaces an existing definition, and its type.
fn definition(column: &Column, schemafull: bool) -> (&'static str, &'static str) {
    const NEW: &str = "IF NOT EXISTS";
    const REPLACE: &str = "OVERWRITE";
    match column.kind {
        Kind::Key => (NEW, "string"),
        Kind::KeyNumber => (NEW, "int"),
        Kind::Text if column.rule == Rule::Legacy => (REPLACE, "option<null | string>"),
        Kind::Text => (NEW, "option<null | string>"),
        Kind::Int => (NEW, "option<null | int>"),
        Kind::Float => (NEW, "option<null | float>"),
        Kind::Bool => (NEW, "option<null | bool>"),
        Kind::Embedding => (NEW, "option<null | array<float>>"),
        Kind::Any => (REPLACE, "any"),
        Kind::Time => (REPLACE, "option<null | datetime>"),
        Kind::Object if schemafull => (REPLACE, "option<null | object> FLEXIBLE"),
        Kind::Object => (REPLACE, "option<null | object>"),
    }
}

fn index(table: &Table, columns: &[&str], suffix: &str, kind: &str) -> String {
    let name = table.name;
    let columns = columns.join(", ");
    format!("DEFINE INDEX IF NOT EXISTS {name}_{suffix} ON {name} FIELDS {columns} {kind};")
}

fn missing_indexes(table: &Table, present: &Indexes) -> Vec<String> {
    let mut missing: Vec<String> = table
        .indexes
        .iter()
        .filter(|columns| !present.has(columns, None))
        .map(|columns| index(table, columns, &columns.join("_"), ""))
        .collect();
    if let Some(column) = table.full_text
        && !present.has(&[column], Some("FULLTEXT"))
    {
        let kind = format!("FULLTEXT ANALYZER {TEXT_ANALYZER} BM25");
        missing.push(index(table, &[column], &format!("{column}_text"), &kind));
    }
    missing
}

/// The indexes that a table has already, whatever their names.
struct Indexes(Vec<(Vec<String>, String)>);

impl Indexes {
    fn of(structure: Value) -> Self {
        let rows = match structure {
            Value::Object(mut structure) => {
                Row::all(structure.remove("indexes").unwrap_or_default())
            }
            _ => Vec::new(),
        };
        Self(
            rows.into_iter()
                .map(|row| (row.texts("cols"), row.text("index").into_string()))
                .collect(),
        )
    }

    /// Is there one over these columns, of a kind that begins like this?
    fn has(&self, columns: &[&str], kind: Option<&str>) -> bool {
        self.0
            .iter()
            .any(|(over, of)| over == columns && kind.is_none_or(|kind| of.starts_with(kind)))
    }
}
