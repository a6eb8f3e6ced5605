//! Comparing the secondaries with the primary, row by row.

use super::{Replication, not_replicated};
use crate::{
    connection::Session,
    status::UnreplicatedTable,
    sync_queue::SyncQueue,
    sync_types::{self, SyncOperation},
    table_scan::{TableScan, rows_by_id},
};
use plugin_api::{
    error::{StorageError, StorageResult},
    storage::CallContext,
    value::{Object, RecordId},
};
use serde::Serialize;
use std::collections::BTreeMap;

/// Rows of one page; with embeddings a row is several kilobytes.
const PAGE: usize = 200;

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// True if every secondary holds every row of the compared tables.
    pub equal: bool,
    /// Each table of each secondary that was compared.
    pub tables: Vec<TableReport>,
    /// Secondaries that could not be compared, each with the reason.
    pub skipped: BTreeMap<String, String>,
    /// Tables of the primary with rows that are not replicated and so were not
    /// compared.
    pub not_replicated: Vec<UnreplicatedTable>,
    /// By secondary, what its own schema does to rows and cannot be mended: such
    /// rows differ again after every repair.
    pub schema_problems: BTreeMap<String, Vec<String>>,
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
            let problems = session.schema.problems.clone();
            if !problems.is_empty() {
                report.schema_problems.insert(name.to_owned(), problems);
            }
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
        report.not_replicated =
            not_replicated::find(&self.primary, self.config.settings.operation_timeout)?;
        self.not_replicated
            .lock()
            .clone_from(&report.not_replicated);
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
        let scan = TableScan::new(table, PAGE);
        let mut after: Option<RecordId> = None;
        loop {
            let expected = scan
                .page(&self.primary, &context, after.as_ref())
                .map_err(CompareError::Source)?;
            let Some(last) = expected.last() else {
                break;
            };
            after = Some(last.id.clone());
            let ids = expected.iter().map(|row| &row.id);
            let actual = rows_by_id(&session.storage, &context, ids);
            let actual: BTreeMap<String, Object> = actual
                .map_err(CompareError::Secondary)?
                .into_iter()
                .map(|row| (row.id.to_string(), row.columns))
                .collect();
            let mut refreshes = Vec::new();
            for row in &expected {
                match actual.get(&row.id.to_string()) {
                    Some(found) if *found == row.columns => continue,
                    Some(_) => report.different += 1,
                    None => report.missing += 1,
                }
                let key = sync_types::order_key(table, &row.id, &row.columns);
                refreshes.push(SyncOperation::refresh(key).only_for(secondary));
            }
            report.rows += expected.len();
            if !refreshes.is_empty() {
                queue
                    .append(&refreshes, None)
                    .map_err(|error| CompareError::Source(error.into()))?;
            }
        }
        let on_secondary = scan
            .count(&session.storage, &context)
            .map_err(CompareError::Secondary)?;
        let on_secondary = usize::try_from(on_secondary).unwrap_or(usize::MAX);
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
