//! Raw SurrealQL that may write.
//!
//! What it changed reaches the secondaries in one of two ways. If the answer
//! lists the rows that were written, their keys are queued for a refresh, like
//! those of a write whose outcome was unclear. Otherwise the tables that it may
//! have written are marked for resync.

use super::{InFlightWrite, SyncedStorage, closed_error, warn_of_tombstones};
use crate::{
    dedup::{Key, key_columns},
    fail_points,
    key_locks::KeyGuard,
    raw_query::{Deletion, Effects, ReturnedRows},
    sync_queue::EVERY_TABLE,
    sync_types::{RowImage, SyncOperation, order_key},
    tombstones::{Scope, TombstoneUndo},
};
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::{CallContext, Storage as _},
    value::{Object, RecordId, Value},
};
use std::collections::BTreeSet;
use surreal_storage::schema;

/// With more rows than this a resync, which has its own pace, does as well.
const MOST_REFRESHES: usize = 1_000;

/// The tables that a raw query may write, as far as they are replicated.
#[derive(Debug, PartialEq, Eq)]
enum AffectedTables {
    Tables(BTreeSet<String>),
    Any,
}

impl SyncedStorage {
    /// Runs a raw query that has these effects on the primary, and has what it
    /// changed brought to the secondaries.
    ///
    /// # Errors
    /// The primary's.
    pub fn query(
        &self,
        context: &CallContext,
        text: &str,
        parameters: &Object,
        effects: &Effects,
    ) -> StorageResult<Value> {
        let closed = self.closed.read();
        if *closed {
            return Err(closed_error());
        }
        let affected_tables = self.affected_tables(effects, parameters);
        let deleted = effects.deletion.as_ref().and_then(|deletion| {
            let tables = deletion.target.tables(parameters)?;
            let one = tables.len() == 1;
            Some((deletion, tables.into_iter().next().filter(|_| one)?))
        });
        let _held = self.lock_all(&affected_tables, deleted.as_ref().map(|(_, table)| table));
        let marked = deleted
            .as_ref()
            .and_then(|(deletion, table)| self.remember(context, deletion, table, parameters));
        let in_flight: Vec<InFlightWrite<'_>> = match &self.queue {
            Some(queue) => affected_tables
                .names()
                .map(|table| InFlightWrite::begin(queue, table, Vec::new()))
                .collect(),
            None => Vec::new(),
        };
        fail_points::pass("before_primary_write");
        let answer = match self.primary.query(context, text, parameters) {
            Ok(answer) => answer,
            Err(error) => {
                if let Some(marked) = marked {
                    self.rollback_tombstones(marked, &error);
                }
                // One statement happened as a whole or not at all. Of several
                // the first may have been committed. A text that is read here
                // the database reads as well: what it could not read then was
                // a value, on the way.
                let unread = !effects.parsed && is_of_parser(&error);
                let as_one = effects.single_statement || unread;
                for write in in_flight {
                    match as_one {
                        true => write.failed(&error),
                        false => write.unclear("a raw query failed on its way"),
                    }
                }
                return Err(error);
            }
        };
        fail_points::pass("after_primary_commit");
        let rows = effects
            .returned_rows
            .as_ref()
            .and_then(|answered| written(answered, affected_tables.only()?, &answer, parameters));
        match rows {
            Some((table, rows)) => {
                self.clear_tombstones(&rows, table);
                // The rows as answered are not copied: a statement may show
                // them in part, or with what is computed.
                let refreshes = refreshes(table, &rows);
                in_flight
                    .into_iter()
                    .for_each(|write| write.stored(&refreshes));
            }
            None => in_flight
                .into_iter()
                .for_each(|write| write.unclear("a raw query wrote to it")),
        }
        Ok(answer)
    }

    /// The replicated tables among those that a query may write.
    fn affected_tables(&self, effects: &Effects, parameters: &Object) -> AffectedTables {
        match effects.written(parameters) {
            Some(tables) => {
                let replicated = |table: &String| {
                    let ours = schema::table(table).is_some()
                        || schema::relationships::relationship_type(table).is_ok();
                    ours && self.tables.selects(table)
                };
                AffectedTables::Tables(tables.into_iter().filter(replicated).collect())
            }
            None => AffectedTables::Any,
        }
    }

    fn lock_all(&self, affected_tables: &AffectedTables, deleted: Option<&String>) -> KeyGuard<'_> {
        match affected_tables {
            AffectedTables::Any => self.locks.every_table(),
            AffectedTables::Tables(tables) => {
                let tables: Vec<&str> = tables.iter().chain(deleted).map(String::as_str).collect();
                self.locks.tables(&tables)
            }
        }
    }

    /// Remembers what is about to be deleted, as [`SyncedStorage::delete`] does.
    /// What cannot be resolved stays unremembered; the query runs all the same.
    /// Gives what takes it back.
    fn remember(
        &self,
        context: &CallContext,
        deletion: &Deletion,
        table: &str,
        parameters: &Object,
    ) -> Option<TombstoneUndo> {
        let marked = match &deletion.rows {
            None => self.tombstones.mark(&[], &[Scope::new(table, &[])]),
            Some(query) => match self.primary.query(context, query, parameters) {
                Ok(answer) => {
                    let rows = ReturnedRows::rows(&answer).unwrap_or_default();
                    if rows.len() > Deletion::MOST_ROWS {
                        tracing::warn!(
                            table,
                            most = Deletion::MOST_ROWS,
                            "a raw query deletes too many rows to remember them; merged reads may show copies"
                        );
                        return None;
                    }
                    let keys: Vec<Key> = rows
                        .iter()
                        .map(|(id, columns)| Key::of_row(table, id, columns))
                        .collect();
                    self.tombstones.mark(&keys, &[])
                }
                Err(error) => {
                    tracing::debug!(%error, table, "what a raw query deletes cannot be told");
                    return None;
                }
            },
        };
        marked.map_err(|error| warn_of_tombstones(&error)).ok()
    }
}

impl AffectedTables {
    /// What is in_flight to the log.
    fn names(&self) -> impl Iterator<Item = &str> {
        let (tables, any) = match self {
            Self::Tables(tables) => (Some(tables), None),
            Self::Any => (None, Some(EVERY_TABLE)),
        };
        let tables = tables.into_iter().flatten().map(String::as_str);
        tables.chain(any)
    }

    /// The table, if it is one.
    fn only(&self) -> Option<&str> {
        match self {
            Self::Tables(tables) if tables.len() == 1 => tables.first().map(String::as_str),
            _ => None,
        }
    }
}

/// A text that the database cannot read does nothing. The message begins with
/// the method where the host's storage puts that before it.
fn is_of_parser(error: &StorageError) -> bool {
    let message = &*error.message;
    let message = message.strip_prefix("query: ").unwrap_or(message);
    error.kind == ErrorKind::INVALID_INPUT && message.starts_with("Parse error:")
}

/// The rows that a query wrote to `table`; none if the answer leaves any doubt.
fn written<'t>(
    answered: &ReturnedRows,
    table: &'t str,
    answer: &Value,
    parameters: &Object,
) -> Option<(&'t str, Vec<RowImage>)> {
    let rows = ReturnedRows::rows(answer)?;
    let complete = |(id, columns): &(RecordId, Object)| {
        let has = |name: &&str| columns.get(name).is_some_and(|value| !value.is_nullish());
        id.table == table && key_columns(table).iter().all(has)
    };
    let certain = rows.len() <= MOST_REFRESHES
        && answered.keeps_keys(table, parameters)
        && rows.iter().all(complete);
    certain.then(|| {
        let rows = rows.into_iter().map(|(id, columns)| RowImage {
            id,
            columns,
            embedding: None,
        });
        (table, rows.collect())
    })
}

/// A refresh for each row, or document. A table without a fixed name is
/// replicated as far as its rows are relationships.
fn refreshes(table: &str, rows: &[RowImage]) -> Vec<SyncOperation> {
    let fixed = schema::table(table).is_some();
    let leads = |row: &&RowImage| {
        let has = |name| {
            row.columns
                .get(name)
                .is_some_and(|value| !value.is_nullish())
        };
        fixed || (has("from_entity") && has("to_entity"))
    };
    let keys: BTreeSet<Key> = rows
        .iter()
        .filter(leads)
        .map(|row| order_key(table, &row.id, &row.columns))
        .collect();
    keys.into_iter().map(SyncOperation::refresh).collect()
}
