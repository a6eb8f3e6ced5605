//! Comparing the secondaries with the primary, row by row.

use super::Replication;
use crate::{
    connection::Session,
    sync_queue::SyncQueue,
    sync_types::{self, SyncOperation},
};
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::{CallContext, Storage},
    value::{Object, RecordId, Value},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Rows of one page; with embeddings a row is several kilobytes.
const PAGE: i64 = 200;

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// True if every secondary holds every row of the compared tables.
    pub equal: bool,
    /// Each table of each secondary that was compared.
    pub tables: Vec<TableReport>,
    /// Secondaries that could not be compared, each with the reason.
    pub skipped: BTreeMap<String, String>,
    /// Rows that are being replicated again because they differ.
    pub repairing: usize,
}

/// One table of one secondary, compared with the primary's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// The secondary.
    pub secondary: String,
    /// The table.
    pub table: String,
    /// Rows of the primary.
    pub rows: usize,
    /// Of these, rows that the secondary does not have.
    pub missing: usize,
    /// Of these, rows that differ on the secondary.
    pub different: usize,
    /// Rows that only the secondary has: deleted on the primary, or its own.
    pub only_on_secondary: usize,
    /// Operations that were still in the backlog: their rows may count as
    /// missing or different.
    pub in_flight: u64,
}

impl Replication {
    /// Compares tables, and replicates the rows that differ again; all tables if
    /// none are named. Rows that only a secondary has stay as they are.
    ///
    /// Takes as long as reading the tables on both sides does.
    ///
    /// # Errors
    /// If a table is not replicated, or the primary or the log fails.
    pub fn verify(&self, secondaries: &[String], tables: &[String]) -> StorageResult<VerifyReport> {
        let queue = self.queue()?;
        let tables = self.replicated(tables)?;
        let mut report = VerifyReport::default();
        let chosen = |name: &str| secondaries.iter().any(|chosen| chosen == name);
        for connection in self.connections.iter().filter(|one| chosen(one.name())) {
            let name = connection.name();
            let Some(session) = connection.session() else {
                report
                    .skipped
                    .insert(name.to_owned(), "the secondary is not connected".to_owned());
                continue;
            };
            for table in &tables {
                match self.compare(&session, queue, name, table) {
                    Ok(compared) => {
                        report.repairing += compared.missing + compared.different;
                        report.tables.push(compared);
                    }
                    Err(CompareError::Secondary(error)) => {
                        report.skipped.insert(name.to_owned(), error.message.into());
                        break;
                    }
                    Err(CompareError::Source(error)) => return Err(error),
                }
            }
        }
        report.equal = report.skipped.is_empty() && report.repairing == 0;
        tracing::info!(
            equal = report.equal,
            repairing = report.repairing,
            "the secondaries were compared with the primary"
        );
        Ok(report)
    }

    fn compare(
        &self,
        session: &Session,
        queue: &SyncQueue,
        secondary: &str,
        table: &str,
    ) -> Result<TableReport, CompareError> {
        let context = CallContext::with_timeout(self.config.settings.operation_timeout);
        let mut report = TableReport {
            secondary: secondary.to_owned(),
            table: table.to_owned(),
            ..TableReport::default()
        };
        let mut last: Option<RecordId> = None;
        loop {
            let expected =
                page(&self.primary, &context, table, last.take()).map_err(CompareError::Source)?;
            let Some((id, _)) = expected.last() else {
                break;
            };
            last = Some(id.clone());
            let ids: Value = expected.iter().map(|(id, _)| id.clone()).collect();
            let parameters = Object::new().with("ids", ids);
            let sql = "SELECT * FROM $ids";
            let actual = rows(&session.storage, &context, sql, &parameters)
                .map_err(CompareError::Secondary)?;
            let actual: BTreeMap<String, Object> = actual
                .into_iter()
                .map(|(id, row)| (id.to_string(), row))
                .collect();
            let mut refreshes = Vec::new();
            for (id, row) in &expected {
                match actual.get(&id.to_string()) {
                    Some(found) if found == row => continue,
                    Some(_) => report.different += 1,
                    None => report.missing += 1,
                }
                let key = sync_types::order_key(table, id, row);
                refreshes.push(SyncOperation::refresh(key).only_for(secondary));
            }
            report.rows += expected.len();
            if !refreshes.is_empty() {
                queue
                    .append(&refreshes, None)
                    .map_err(|error| CompareError::Source(error.into()))?;
            }
        }
        let on_secondary =
            count(&session.storage, &context, table).map_err(CompareError::Secondary)?;
        report.only_on_secondary = on_secondary.saturating_sub(report.rows - report.missing);
        report.in_flight = queue.backlog_operations(secondary);
        Ok(report)
    }
}

/// Errors of a secondary skip it; others abort the verification.
enum CompareError {
    Secondary(StorageError),
    /// The primary or the log.
    Source(StorageError),
}

/// A page of the primary's rows after the id `after`.
fn page(
    primary: &impl Storage,
    context: &CallContext,
    table: &str,
    after: Option<RecordId>,
) -> StorageResult<Vec<(RecordId, Object)>> {
    let mut parameters = Object::new().with("table", table).with("page", PAGE);
    let mut condition = "";
    if let Some(after) = after {
        parameters.insert("after", after);
        condition = "WHERE id > $after";
    }
    let sql = format!("SELECT * FROM type::table($table) {condition} ORDER BY id LIMIT $page");
    rows(primary, context, &sql, &parameters)
}

/// How many rows a table has; none if there is no such table.
fn count(storage: &impl Storage, context: &CallContext, table: &str) -> StorageResult<usize> {
    let parameters = Object::new().with("table", table);
    let sql = "RETURN { count: count(SELECT VALUE id FROM type::table($table)) }";
    let answer = match storage.query(context, sql, &parameters) {
        Err(error) if error.kind == ErrorKind::NOT_FOUND => return Ok(0),
        answer => answer?,
    };
    answer
        .as_array()
        .and_then(|results| results.first()?.as_object()?.get("count")?.as_int())
        .and_then(|count| usize::try_from(count).ok())
        .ok_or_else(|| StorageError::internal(format!("the rows of {table} cannot be counted")))
}

/// The rows of one statement, each with its id; none if there is no such table.
fn rows(
    storage: &impl Storage,
    context: &CallContext,
    sql: &str,
    parameters: &Object,
) -> StorageResult<Vec<(RecordId, Object)>> {
    let answer = match storage.query(context, sql, parameters) {
        Err(error) if error.kind == ErrorKind::NOT_FOUND => return Ok(Vec::new()),
        answer => answer?,
    };
    answer
        .first_rows()
        .iter()
        .map(|row| {
            let row = row.as_object()?;
            Some((row.get("id")?.as_record_id()?.clone(), row.clone()))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| StorageError::internal("a row has no id"))
}
