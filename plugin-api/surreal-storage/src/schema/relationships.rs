//! Relationship tables: one for each type of relationship, made on first use.
//!
//! An edge is a row with the columns `from_entity` and `to_entity` (the text of
//! the entities' ids), `relationship_type`, `properties` and `created_at`.

use super::{
    identifier,
    tables::{OTHER_TABLES, TABLES, table},
};
use crate::{Connection, retry::while_in_conflict, rows::Row};
use plugin_api::{
    error::{StorageError, StorageResult},
    storage::{CallContext, Storage},
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
    taken_names().any(|taken| taken == name)
}

/// The names that no type of relationship can have: whatever such a table
/// holds, it is no relationships.
pub fn taken_names() -> impl Iterator<Item = &'static str> {
    let fixed = TABLES.iter().map(|table| table.name);
    fixed.chain(OTHER_TABLES.iter().copied())
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
    let ask = |sql: String| async move { connection.query(&sql, Object::new(), timeout).await };
    let mut found = Found::read(ask(QUESTION.to_owned()).await?);
    if let Some(question) = found.question() {
        found.answered(ask(question).await?);
    }
    found.relationships.sort_unstable();
    Ok(found.relationships)
}

/// The tables of a database that hold memories, sorted: those with fixed names,
/// and one for each type of relationship.
///
/// # Errors
/// The database's.
pub fn replicated_tables(
    database: &dyn Storage,
    context: &CallContext,
) -> StorageResult<Vec<String>> {
    let ask = |sql: &str| match database.query(context, sql, &Object::new())? {
        Value::Array(answers) => Ok(answers.into()),
        _ => Err(StorageError::internal("a query's answer is no array")),
    };
    let mut found = Found::read(ask(QUESTION)?);
    if let Some(question) = found.question() {
        found.answered(ask(&question)?);
    }
    let mut tables = found.fixed;
    tables.append(&mut found.relationships);
    tables.sort_unstable();
    Ok(tables)
}

/// What lists the tables of a database.
const QUESTION: &str = "INFO FOR DB STRUCTURE";

/// The tables that were found, by what they are for.
#[derive(Default)]
struct Found {
    fixed: Vec<String>,
    relationships: Vec<String>,
    /// An older host's relationships, or somebody's own tables.
    unsure: Vec<String>,
}

impl Found {
    /// Reads the answer to [`QUESTION`].
    fn read(answer: Vec<Value>) -> Self {
        let mut found = Self::default();
        for row in table_rows(answer) {
            let name = row.text("name").into_string();
            if table(&name).is_some() {
                found.fixed.push(name);
            } else if is_taken(&name) || identifier("a table", &name).is_err() {
                // Neither a table of ours nor one that a type can name.
            } else if row.text("comment") == COMMENT {
                found.relationships.push(name);
            } else {
                found.unsure.push(name);
            }
        }
        found
    }

    /// What tells which of the others have edges as rows; none if all are known.
    /// Any row may be one: raw SurrealQL can put others beside them.
    fn question(&self) -> Option<String> {
        let ask = |name| {
            format!(
                "RETURN (SELECT VALUE from_entity FROM `{name}` \
                 WHERE from_entity != NONE AND from_entity != NULL \
                 AND to_entity != NONE AND to_entity != NULL LIMIT 1)[0];"
            )
        };
        (!self.unsure.is_empty()).then(|| self.unsure.iter().map(ask).collect())
    }

    /// Reads the answer to [`Found::question`].
    fn answered(&mut self, samples: Vec<Value>) {
        let edges = std::mem::take(&mut self.unsure).into_iter().zip(samples);
        self.relationships
            .extend(edges.filter_map(|(name, from)| (!from.is_nullish()).then_some(name)));
    }
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
