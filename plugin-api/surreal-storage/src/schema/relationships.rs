//! Relationship tables: one for each type of relationship, created on first use.
//!
//! An edge is a row with the columns `from_entity` and `to_entity` (the text of
//! the entities' ids), `relationship_type`, `properties` and `created_at`. The
//! database's own edges, which RELATE makes, have `in` and `out` instead: no method
//! reads them, but they are replicated.

use super::{
    existing::ExistingTable,
    identifier, quoted, table,
    tables::{MODULE_TABLES, OTHER_TABLES, TABLES},
};
use crate::{Connection, retry::while_in_conflict, rows::Row};
use plugin_api::{
    error::{StorageError, StorageResult},
    storage::{CallContext, Storage},
    value::{Object, Value},
};
use std::{collections::BTreeSet, time::Duration};

/// Marks the tables that this crate created for relationships.
const COMMENT: &str = "relationship";

/// Checks that `name` can be a type of relationship: an identifier that is not
/// the name of another table.
///
/// # Errors
/// `InvalidInput` if it cannot.
pub fn relationship_type(name: &str) -> StorageResult<&str> {
    identifier("a relationship type", name)?;
    if is_taken(name) {
        return Err(StorageError::invalid_input(format!(
            "{name} cannot be a relationship type: a table of that name has another purpose"
        )));
    }
    Ok(name)
}

fn is_taken(name: &str) -> bool {
    taken_names().any(|taken| taken == name)
}

/// Is it a table of the replication module itself?
pub fn is_of_module(name: &str) -> bool {
    MODULE_TABLES.contains(&name)
}

/// The names of other tables: no type of relationship can have them.
pub fn taken_names() -> impl Iterator<Item = &'static str> {
    let fixed = TABLES.iter().map(|table| table.name);
    fixed
        .chain(OTHER_TABLES.iter().copied())
        .chain(MODULE_TABLES.iter().copied())
}

/// Creates the table for relationships of a type, if it is missing.
///
/// # Errors
/// `InvalidInput` for a name that cannot be a type, or the database's.
pub async fn define(connection: &Connection, name: &str, timeout: Duration) -> StorageResult<()> {
    let name = relationship_type(name)?;
    let sql = format!(
        "DEFINE TABLE IF NOT EXISTS `{name}` SCHEMALESS COMMENT '{COMMENT}';
         DEFINE INDEX IF NOT EXISTS `{name}_from` ON `{name}` FIELDS from_entity;
         DEFINE INDEX IF NOT EXISTS `{name}_to` ON `{name}` FIELDS to_entity;"
    );
    while_in_conflict(|| connection.query(&sql, Object::new(), timeout))
        .await
        .map(drop)
}

/// The types of relationships that have a table, sorted. A table that an older
/// host made is recognised by its rows.
///
/// # Errors
/// The database's.
pub async fn list(connection: &Connection, timeout: Duration) -> StorageResult<Vec<String>> {
    let ask = |sql: String| async move { connection.query(&sql, Object::new(), timeout).await };
    let mut found = Found::read(ask(LIST_TABLES.to_owned()).await?);
    if let Some(query) = found.edge_query(&[HAS_ENTITIES]) {
        found.add_by_edges(ask(query).await?);
    }
    found.relationships.sort_unstable();
    Ok(found.relationships)
}

/// The replicated tables of a database, sorted: those with fixed names, one for
/// each type of relationship, and those with edges that RELATE made.
///
/// # Errors
/// The database's.
pub fn replicated_tables(
    database: &dyn Storage,
    context: &CallContext,
) -> StorageResult<Vec<String>> {
    let ask = |sql: &str| match database.query(context, sql, &Object::new())? {
        Value::Array(answers) => Ok(answers.into()),
        _ => Err(StorageError::internal(
            "the answer to a query is not an array",
        )),
    };
    let mut found = Found::read(ask(LIST_TABLES)?);
    if let Some(query) = found.edge_query(&[HAS_ENTITIES, IS_RELATION]) {
        found.add_by_edges(ask(&query)?);
    }
    let mut tables = found.fixed;
    tables.append(&mut found.relationships);
    tables.sort_unstable();
    Ok(tables)
}

/// The tables of a database that have rows and are neither replicated nor among
/// `named`, sorted, with the number of their rows: tables that no method of the host
/// reads.
///
/// # Errors
/// The database's.
pub fn tables_with_other_rows(
    database: &dyn Storage,
    context: &CallContext,
    named: &BTreeSet<String>,
) -> StorageResult<Vec<(String, u64)>> {
    let replicated = replicated_tables(database, context)?;
    let answer = database.query(context, LIST_TABLES, &Object::new())?;
    let answers = answer.as_array().unwrap_or_default().to_vec();
    let names = table_rows(answers)
        .into_iter()
        .map(|row| row.text("name").into_string());
    let mut others: Vec<String> = names
        .filter(|name| !replicated.contains(name) && !named.contains(name))
        .filter(|name| !MODULE_TABLES.contains(&name.as_str()))
        .collect();
    others.sort_unstable();
    let count = |name: &String| {
        let table = quoted(name);
        format!("(SELECT count() FROM {table} GROUP ALL)[0].count ?? 0")
    };
    let counts: Vec<String> = others.iter().map(count).collect();
    let sql = format!("RETURN [{}]", counts.join(", "));
    let answer = database.query(context, &sql, &Object::new())?;
    let counts = answer.first_rows().iter().map(|count| count.as_int());
    let counts = counts.map(|count| count.and_then(|count| u64::try_from(count).ok()));
    let counted = others.into_iter().zip(counts);
    Ok(counted
        .filter_map(|(name, count)| Some((name, count.filter(|count| *count > 0)?)))
        .collect())
}

/// Is a row an edge of the host?
const HAS_ENTITIES: &str = "(from_entity != NONE AND from_entity != NULL \
     AND to_entity != NONE AND to_entity != NULL)";

/// Is a row an edge that RELATE made, between rows that exist?
const IS_RELATION: &str = "(in.id != NONE AND out.id != NONE)";

/// Creates a table for copies of rows that are none of a relationship.
///
/// # Errors
/// `InvalidInput` for a name that is no identifier, or the database's.
pub async fn define_other(
    connection: &Connection,
    name: &str,
    timeout: Duration,
) -> StorageResult<()> {
    let name = identifier("a table", name)?;
    let sql = format!("DEFINE TABLE IF NOT EXISTS `{name}` SCHEMALESS");
    while_in_conflict(|| connection.query(&sql, Object::new(), timeout))
        .await
        .map(drop)
}

/// Lists the tables of a database.
const LIST_TABLES: &str = "INFO FOR DB STRUCTURE";

/// The tables that were found, by their purpose.
#[derive(Default)]
struct Found {
    fixed: Vec<String>,
    relationships: Vec<String>,
    /// An older host's relationships, or a user's own tables.
    unknown: Vec<String>,
}

impl Found {
    /// Reads the answer to [`LIST_TABLES`].
    fn read(answer: Vec<Value>) -> Self {
        let mut found = Self::default();
        for row in table_rows(answer) {
            let name = row.text("name").into_string();
            if table(&name).is_some() {
                found.fixed.push(name);
            } else if is_taken(&name) || identifier("a table", &name).is_err() {
                // Neither a fixed table nor one that can belong to a type.
            } else if row.text("comment") == COMMENT {
                found.relationships.push(name);
            } else {
                found.unknown.push(name);
            }
        }
        found
    }

    /// A query for an edge in each unknown table, a row for which one of the
    /// conditions holds; none if there are none. Other rows do not matter: raw
    /// SurrealQL can write any beside the edges.
    fn edge_query(&self, conditions: &[&str]) -> Option<String> {
        let condition = conditions.join(" OR ");
        let ask =
            |name| format!("RETURN (SELECT VALUE id FROM `{name}` WHERE {condition} LIMIT 1)[0];");
        (!self.unknown.is_empty()).then(|| self.unknown.iter().map(ask).collect())
    }

    /// Reads the answer to [`Found::edge_query`].
    fn add_by_edges(&mut self, samples: Vec<Value>) {
        let edges = std::mem::take(&mut self.unknown).into_iter().zip(samples);
        self.relationships
            .extend(edges.filter_map(|(name, edge)| (!edge.is_nullish()).then_some(name)));
    }
}

/// Does a table that is not one of [`TABLES`] hold relationships, or is it defined
/// to? `row` is its row in `INFO FOR DB STRUCTURE`.
pub(super) fn is_relationship(row: &Row, table: &ExistingTable) -> bool {
    let name = &table.name;
    !is_taken(name)
        && identifier("a table", name).is_ok()
        && (row.text("comment") == COMMENT || table.has_ends())
}

/// The tables in an answer to `INFO FOR DB STRUCTURE`.
pub(super) fn table_rows(answer: Vec<Value>) -> Vec<Row> {
    match answer.into_iter().next() {
        Some(Value::Object(mut structure)) => {
            Row::all(structure.remove("tables").unwrap_or_default())
        }
        _ => Vec::new(),
    }
}
