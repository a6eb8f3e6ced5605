//! Relationship tables: one for each type of relationship, made on first use.
//!
//! An edge is a row with the columns `from_entity` and `to_entity` (the text of
//! the entities' ids), `relationship_type`, `properties` and `created_at`.

use super::{
    identifier,
    tables::{OTHER_TABLES, table},
};
use crate::{Connection, retry::while_in_conflict, rows::Row};
use plugin_api::{
    error::{StorageError, StorageResult},
    value::{Object, Value},
};
use std::time::Duration;

/// Marks the tables that this crate made for relationships.
const COMMENT: &str = "relationship";

/// Checks that `name` can be a type of relationship: an identifier that names
/// none of the other tables.
///
/// # Errors
/// `InvalidInput` if it is not.
pub fn relationship_type(name: &str) -> StorageResult<&str> {
    identifier("a relationship type", name)?;
    if is_taken(name) {
        return Err(StorageError::invalid_input(format!(
            "{name} cannot be a relationship type: it names another table"
        )));
    }
    Ok(name)
}

fn is_taken(name: &str) -> bool {
    table(name).is_some() || OTHER_TABLES.contains(&name)
}

/// Makes the table for relationships of a type, if it is missing.
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
    let answer = connection
        .query("INFO FOR DB STRUCTURE", Object::new(), timeout)
        .await?;
    let (mut found, mut candidates) = (Vec::new(), Vec::new());
    for row in table_rows(answer) {
        let name = row.text("name").into_string();
        if is_taken(&name) || identifier("a table", &name).is_err() {
            continue;
        }
        if row.text("comment") == COMMENT {
            found.push(name);
        } else {
            candidates.push(name);
        }
    }
    if !candidates.is_empty() {
        let sql: String = candidates
            .iter()
            .map(|name| format!("RETURN (SELECT VALUE from_entity FROM `{name}` LIMIT 1)[0];"))
            .collect();
        let samples = connection.query(&sql, Object::new(), timeout).await?;
        let edges = candidates.into_iter().zip(samples);
        found.extend(edges.filter_map(|(name, from)| (!from.is_nullish()).then_some(name)));
    }
    found.sort_unstable();
    Ok(found)
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
