//! Raw SurrealQL that may write.
//!
//! What it changed reaches the secondaries in one of two ways. If the answer
//! lists the rows that were written, a refresh of their keys is queued, as for a
//! write whose outcome was uncertain. Otherwise a resync is requested of the
//! tables that it may have written.

use super::{InFlightWrite, SyncedStorage, warn_of_tombstones};
use crate::{
    dedup::{Key, key_columns},
    error_policy::{self, Call, Effect},
    fail_points,
    key_locks::KeyGuard,
    metrics::instruments::WriteKind,
    raw_query::{Deletion, Effects, ReturnedRows},
    sync_queue::EVERY_TABLE,
    sync_types::{SyncOperation, is_relation, order_key},
    tombstones::{Scope, TombstoneUndo},
};
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::{CallContext, Storage as _},
    value::{Object, RecordId, Value},
};
use std::collections::BTreeSet;
use surreal_storage::schema::{self, Table};

/// For more rows than this the table is resynced, at the resync's own pace.
const MAX_REFRESHES: usize = 1_000;

/// The tables that a raw query may write, as far as they are replicated.
#[derive(Debug, PartialEq, Eq)]
enum AffectedTables {
    Tables(BTreeSet<String>),
    Any,
}

/// A row that a query wrote: its key, and what the answer shows of it.
struct WrittenRow {
    key: Key,
    id: RecordId,
    columns: Object,
}

impl SyncedStorage {
    /// Runs a raw query that has these effects on the primary and queues what it
    /// changed for the secondaries.
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
        let mut timer = self.metrics.begin(WriteKind::Query);
        let affected_tables = self.affected_tables(effects, parameters);
        let deletion = effects.deletion.as_ref().and_then(|deletion| {
            let tables = deletion.target.tables(parameters)?;
            let one = tables.len() == 1;
            Some((deletion, tables.into_iter().next().filter(|_| one)?))
        });
        let _guard = self.lock_all(&affected_tables, deletion.as_ref().map(|(_, table)| table));
        let undo = deletion
            .as_ref()
            .and_then(|(deletion, table)| self.mark(context, deletion, table, parameters));
        let in_flight: Vec<InFlightWrite<'_>> = match &self.queue {
            Some(queue) => affected_tables
                .names()
                .map(|table| InFlightWrite::begin(queue, table, Vec::new()))
                .collect(),
            None => Vec::new(),
        };
        fail_points::pass("before_primary_write");
        let answer = timer.primary(|| self.primary.query(context, text, parameters));
        if let Some(undo) = undo {
            self.end_delete(undo, answer.as_ref().err());
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                // A single statement is atomic; of several, the first may have
                // been committed. A text that could be parsed here the database
                // can parse, too: then the parse error is about a value, found
                // while the statements ran.
                let rejected = !effects.parsed && is_parse_error(&error);
                let is_atomic = effects.single_statement || rejected;
                for write in in_flight {
                    match error_policy::of(Call::WritePrimary, error.kind).effect {
                        Effect::None if !is_atomic => {
                            write.ended("a raw query of several statements failed");
                        }
                        _ => write.failed(&error),
                    }
                }
                return Err(error);
            }
        };
        fail_points::pass("after_primary_commit");
        let rows = effects
            .returned_rows
            .as_ref()
            .and_then(|returned| written(returned, affected_tables.only()?, &answer, parameters));
        match rows {
            Some((table, rows)) => {
                for row in &rows {
                    self.clear_tombstone(table, &row.key, &row.columns);
                }
                // The rows are not replicated as returned: a statement may
                // return them in part, or with computed columns.
                let refreshes = refreshes(table, rows, self.tables.is_other(table));
                in_flight
                    .into_iter()
                    .for_each(|write| write.stored(&refreshes));
            }
            None => in_flight
                .into_iter()
                .for_each(|write| write.ended("a raw query wrote to it")),
        }
        Ok(answer)
    }

    /// The replicated tables among those that a query may write.
    fn affected_tables(&self, effects: &Effects, parameters: &Object) -> AffectedTables {
        match effects.written(parameters) {
            Some(tables) => {
                let replicated = |table: &String| {
                    let ours = schema::table(table).is_some()
                        || self.tables.is_other(table)
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

    /// Leaves tombstones for what is about to be deleted, as
    /// [`SyncedStorage::delete`] does. Where the rows cannot be determined there
    /// are none, and the query runs all the same.
    fn mark(
        &self,
        context: &CallContext,
        deletion: &Deletion,
        table: &str,
        parameters: &Object,
    ) -> Option<TombstoneUndo> {
        let undo = match &deletion.rows {
            None => self.tombstones.mark(&[], &[Scope::new(table, &[])]),
            Some(query) => match self.primary.query(context, query, parameters) {
                Ok(answer) => {
                    let rows = ReturnedRows::rows(&answer).unwrap_or_default();
                    if rows.len() > Deletion::MAX_ROWS {
                        tracing::warn!(
                            table,
                            rows = Deletion::MAX_ROWS,
                            "a raw query deletes more rows than get tombstones; merged reads may \
                             show the secondaries' copies of them"
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
                    tracing::debug!(%error, table, "the rows that a raw query deletes could not be read; they get no tombstones");
                    return None;
                }
            },
        };
        undo.map_err(|error| warn_of_tombstones(&error)).ok()
    }
}

impl AffectedTables {
    /// The names under which the log knows them.
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

/// Could the database not parse the text? Then it did nothing. The message may
/// begin with the method, where the host's storage adds it.
fn is_parse_error(error: &StorageError) -> bool {
    let message = &*error.message;
    let message = message.strip_prefix("query: ").unwrap_or(message);
    error.kind == ErrorKind::INVALID_INPUT && message.starts_with("Parse error:")
}

/// The rows that a query wrote to `table`; none if the answer leaves any doubt.
fn written<'t>(
    returned: &ReturnedRows,
    table: &'t str,
    answer: &Value,
    parameters: &Object,
) -> Option<(&'t str, Vec<WrittenRow>)> {
    let rows = ReturnedRows::rows(answer)?;
    let complete = |(id, columns): &(RecordId, Object)| {
        let has = |name: &&str| columns.get(name).is_some_and(|value| !value.is_nullish());
        id.table == table && key_columns(table).iter().all(has)
    };
    let certain = rows.len() <= MAX_REFRESHES
        && returned.keeps_keys(table, parameters)
        && rows.iter().all(complete);
    certain.then(|| {
        let rows = rows.into_iter().map(|(id, columns)| WrittenRow {
            key: Key::of_row(table, &id, &columns),
            id,
            columns,
        });
        (table, rows.collect())
    })
}

/// A refresh for each row, or document. Of a table that is neither the host's nor
/// named in the configuration, only edges are replicated.
fn refreshes(table: &str, rows: Vec<WrittenRow>, is_named: bool) -> Vec<SyncOperation> {
    let facts = Table::of(table);
    let is_replicated = |row: &WrittenRow| {
        let has = |name: &&str| {
            let value = row.columns.get(name);
            value.is_some_and(|value| !value.is_nullish())
        };
        let is_edge = || facts.identity.iter().all(has) || is_relation(&row.columns);
        is_named || !facts.is_relationships() || is_edge()
    };
    let keys: BTreeSet<Key> = rows
        .into_iter()
        .filter(is_replicated)
        .map(|row| match facts.is_grouped() {
            true => order_key(table, &row.id, &row.columns),
            false => row.key,
        })
        .collect();
    keys.into_iter().map(SyncOperation::refresh).collect()
}
