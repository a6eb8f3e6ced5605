//! Creating the schema in a database, whatever it had before.

use super::{
    TEXT_ANALYZER,
    existing::{ExistingTable, Role},
    quoted,
    relationships::{is_relationship, table_rows},
    table::{Column, Kind, Table, table},
    tables::{RELATIONSHIPS, TABLES},
};
use crate::{Connection, connection::within, retry::while_in_conflict, rows::Row};
use plugin_api::{
    error::StorageResult,
    value::{Object, Value},
};
use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write as _,
    time::Duration,
};

/// What [`initialize`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaReport {
    /// Tables whose key has no unique index, because existing rows share a key.
    /// Writes still find rows by their key.
    pub without_unique_index: Vec<&'static str>,
    /// What the database's own definitions do to rows, and cannot be mended; each
    /// with its remedy.
    pub problems: Vec<String>,
    /// By table, the columns that a new row gets if it comes without them. A copy
    /// of a row that lacks one has to be written twice.
    pub defaults: BTreeMap<String, Vec<String>>,
}

impl SchemaReport {
    /// Does the database give a new row a column that this one has not got?
    pub fn adds_to(&self, table: &str, row: &Object) -> bool {
        let columns = self.defaults.get(table).map_or(&[][..], Vec::as_slice);
        let lacks = |column: &String| matches!(row.get(column), None | Some(Value::None));
        columns.iter().any(lacks)
    }

    /// Columns that are about to be defined.
    fn add_defaults_of_new_columns(&mut self) {
        for table in TABLES {
            let defaults = self.defaults.entry(table.name.to_owned()).or_default();
            for column in table.columns {
                let known = defaults.iter().any(|name| name == column.name);
                if column.default().is_some() && !known {
                    defaults.push(column.name.to_owned());
                }
            }
        }
    }
}

/// Prepares the host's own database: creates missing tables, columns and indexes,
/// and alters what an older host defined in a way that changes or refuses what is
/// written: times that the server overwrites on every write, types without room
/// for nothing, objects without free keys. Defaults, assertions and permissions
/// stay, and rows stay as they are. Idempotent.
///
/// # Errors
/// The database's; `Timeout` if it takes longer than `timeout` in all.
pub async fn initialize(connection: &Connection, timeout: Duration) -> StorageResult<SchemaReport> {
    initialize_as(connection, timeout, Role::Primary).await
}

/// The same for a copy of another database, which takes whatever rows that has:
/// its tables become schemaless, too, and its columns may be written again.
///
/// # Errors
/// Those of [`initialize`].
pub async fn initialize_replica(
    connection: &Connection,
    timeout: Duration,
) -> StorageResult<SchemaReport> {
    initialize_as(connection, timeout, Role::Replica).await
}

async fn initialize_as(
    connection: &Connection,
    timeout: Duration,
    role: Role,
) -> StorageResult<SchemaReport> {
    // Another host may be initialising the same database.
    let attempts = while_in_conflict(|| attempt(connection, timeout, role));
    within(timeout, attempts).await
}

async fn attempt(
    connection: &Connection,
    timeout: Duration,
    role: Role,
) -> StorageResult<SchemaReport> {
    let run = |sql: String| async move { connection.query(&sql, Object::new(), timeout).await };
    let existing = table_rows(run("INFO FOR DB STRUCTURE".to_owned()).await?);
    let mut report = mend(connection, timeout, role, &existing).await?;
    let schemafull: HashSet<String> = existing
        .iter()
        .filter(|table| role == Role::Primary && table.flag("schemafull"))
        .map(|table| table.text("name").into_string())
        .collect();
    run(definitions(&schemafull)).await?;

    let structures: String = TABLES
        .iter()
        .map(|table| format!("INFO FOR TABLE {} STRUCTURE;", table.name))
        .collect();
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

/// Alters the definitions of existing tables that would change or refuse rows.
async fn mend(
    connection: &Connection,
    timeout: Duration,
    role: Role,
    existing: &[Row],
) -> StorageResult<SchemaReport> {
    let run = |sql: String| async move { connection.query(&sql, Object::new(), timeout).await };
    let names = existing.iter().map(|table| table.text("name"));
    let structures: String = names
        .map(|name| format!("INFO FOR TABLE {} STRUCTURE;", quoted(&name)))
        .collect();
    let mut report = SchemaReport::default();
    if structures.is_empty() {
        report.add_defaults_of_new_columns();
        return Ok(report);
    }
    let mut alterations = String::new();
    for (row, structure) in existing.iter().zip(run(structures).await?) {
        let present = ExistingTable::new(row, &structure);
        let table = match table(&present.name) {
            Some(table) => table,
            None if is_relationship(row, &present) => &RELATIONSHIPS,
            None => continue,
        };
        let findings = present.findings(table, role);
        alterations.extend(findings.alterations);
        report.problems.extend(findings.problems);
        report.defaults.insert(present.name, findings.defaults);
    }
    if !alterations.is_empty() {
        run(alterations).await?;
    }
    report.add_defaults_of_new_columns();
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
            let flexible = match column.kind {
                Kind::Object if schemafull.contains(name) => " FLEXIBLE",
                _ => "",
            };
            let kind = kind_of(column);
            let _ = write!(
                sql,
                "DEFINE FIELD IF NOT EXISTS {} ON {name} TYPE {kind}{flexible}",
                column.name
            );
            if let Some(default) = column.default() {
                let _ = write!(sql, " DEFAULT {default}");
            }
            sql.push(';');
        }
    }
    sql
}

/// The type of a column.
pub(super) fn kind_of(column: &Column) -> &'static str {
    match column.kind {
        Kind::Key => "string",
        Kind::KeyNumber => "int",
        Kind::Text => "option<null | string>",
        Kind::Int => "option<null | int>",
        Kind::Float => "option<null | float>",
        Kind::Bool => "option<null | bool>",
        Kind::Embedding => "option<null | array<float>>",
        Kind::Any => "any",
        Kind::Time => "option<null | datetime>",
        Kind::Object => "option<null | object>",
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
