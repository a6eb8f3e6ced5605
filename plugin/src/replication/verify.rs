//! Comparing the secondaries with the primary, row by row.
//!
//! A table is read in ranges of record ids, on the primary and on the secondary, as
//! digests of its rows. Values travel only where digests differ. Rows that are
//! missing or different are copied at once, as a resync copies them.

use super::{Replication, not_replicated};
use crate::{connection::Session, status::UnreplicatedTable, sync_queue::SyncQueue};
use plugin_api::{
    error::{StorageError, StorageResult},
    storage::CallContext,
    value::{Object, RecordId},
};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    time::Duration,
};
use surreal_storage::table_scan::{Page, ScannedRow, TableScan, rows_by_id};

/// Rows of one page. The database reads them whole for their digests.
const PAGE: usize = 250;

/// Rows of which the values are compared at a time.
const VALUES: usize = 20;

/// A digest of a row: equal digests mean equal rows, types included.
const DIGEST: &str = "crypto::blake3(<string> $this) AS digest";

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
    /// Rows that were copied again because they differ.
    pub repairing: usize,
    /// True if it was stopped before it had compared everything.
    pub cancelled: bool,
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
    /// Compares these tables, and copies the rows that differ again if `repair`.
    ///
    /// # Errors
    /// If the primary or the log fails.
    pub(super) fn compare_all(
        &self,
        secondaries: &[String],
        tables: &[String],
        repair: bool,
    ) -> StorageResult<VerifyReport> {
        let queue = self.queue()?;
        let mut report = VerifyReport::default();
        let mut differing = 0;
        let chosen = |name: &str| secondaries.iter().any(|chosen| chosen == name);
        let watch = &self.verification;
        watch.goes_on(|progress| progress.tables = secondaries.len() * tables.len());
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
            for table in tables {
                match self.compare(&session, queue, name, table, repair) {
                    Ok(compared) => {
                        differing += compared.missing + compared.different;
                        report.tables.push(compared);
                        report.cancelled = !watch.goes_on(|progress| progress.tables_done += 1);
                    }
                    Err(CompareError::Secondary(error)) => {
                        report.skipped.insert(name.to_owned(), error.message.into());
                        break;
                    }
                    Err(CompareError::Source(error)) => return Err(error),
                }
                if report.cancelled {
                    break;
                }
            }
            if report.cancelled {
                break;
            }
        }
        report.not_replicated = not_replicated::find(
            &self.primary,
            &self.tables,
            self.config.settings.operation_timeout,
        )?;
        self.not_replicated
            .lock()
            .clone_from(&report.not_replicated);
        report.repairing = if repair { differing } else { 0 };
        report.equal = report.skipped.is_empty() && differing == 0 && !report.cancelled;
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
        repair: bool,
    ) -> Result<TableReport, CompareError> {
        let timeout = self.config.settings.operation_timeout;
        let mut report = TableReport {
            secondary: secondary.to_owned(),
            table: table.to_owned(),
            ..TableReport::default()
        };
        let scan = TableScan::new(table, PAGE).columns([DIGEST]);
        let context = CallContext::with_timeout(timeout);
        let total_rows = scan.count(&self.primary, &context).unwrap_or(0);
        self.verification.goes_on(|progress| {
            secondary.clone_into(&mut progress.secondary);
            table.clone_into(&mut progress.table);
            progress.total_rows = total_rows;
            progress.rows = 0;
        });
        let mut pages = scan.clone().pages(None, timeout / 3);
        let mut after: Option<RecordId> = None;
        while self
            .verification
            .goes_on(|progress| progress.rows = report.rows)
        {
            let page = pages.next(&self.primary).map_err(CompareError::Source)?;
            let through = page.as_ref().and_then(Page::last).cloned();
            let context = CallContext::with_timeout(timeout);
            let on_secondary = scan
                .count_between(&session.storage, &context, after.as_ref(), through.as_ref())
                .map_err(CompareError::Secondary)?;
            let on_secondary = usize::try_from(on_secondary).unwrap_or(usize::MAX);
            let Some(page) = page else {
                report.only_on_secondary += on_secondary;
                break;
            };
            let mut compared = self.compare_page(session, &page.rows, timeout)?;
            // Copying it says why it cannot be read.
            let unreadable = page.unreadable.into_iter().map(|row| row.id);
            report.rows += page.rows.len() + unreadable.len();
            compared.different.extend(unreadable);
            report.missing += compared.missing.len();
            report.different += compared.different.len();
            report.only_on_secondary += on_secondary.saturating_sub(compared.found);
            let repaired: Vec<_> = [compared.missing, compared.different].concat();
            if repair && !repaired.is_empty() && !self.copy(secondary, table, repaired) {
                queue.request_resync(secondary, table, "verify found rows that differ");
            }
            after = through;
        }
        report.in_flight = queue.backlog_operations(secondary);
        Ok(report)
    }

    /// Compares the rows of a page by their digests; only where these differ, their
    /// values are read.
    fn compare_page(
        &self,
        session: &Session,
        expected: &[ScannedRow],
        timeout: Duration,
    ) -> Result<ComparedPage, CompareError> {
        let ids: Vec<RecordId> = expected.iter().map(|row| row.id.clone()).collect();
        let digests = format!("id, {DIGEST}");
        let (actual, _) = rows_by_id(&session.storage, timeout, &digests, &ids)
            .map_err(CompareError::Secondary)?;
        let mut actual = by_id(actual);
        let mut compared = ComparedPage {
            found: actual.len(),
            ..ComparedPage::default()
        };
        let mut unequal = Vec::new();
        for row in expected {
            match actual.remove(&row.id.to_string()) {
                Some(found) if found == row.columns => {}
                Some(_) => unequal.push(row.id.clone()),
                None => compared.missing.push(row.id.clone()),
            }
        }
        // The text of equal values may differ between versions of the database.
        for ids in unequal.chunks(VALUES) {
            let (ours, _) =
                rows_by_id(&self.primary, timeout / 3, "*", ids).map_err(CompareError::Source)?;
            let (theirs, _) =
                rows_by_id(&session.storage, timeout, "*", ids).map_err(CompareError::Secondary)?;
            let (ours, theirs) = (by_id(ours), by_id(theirs));
            let different = ids.iter().filter(|id| {
                let id = id.to_string();
                ours.get(&id) != theirs.get(&id)
            });
            compared.different.extend(different.cloned());
        }
        Ok(compared)
    }

    /// Copies rows to a secondary. False if they could not be copied now.
    fn copy(&self, secondary: &str, table: &str, ids: Vec<RecordId>) -> bool {
        let Ok(executor) = self.executor() else {
            return false;
        };
        let (executor, secondary, table) =
            (Arc::clone(executor), secondary.to_owned(), table.to_owned());
        let (sender, receiver) = mpsc::sync_channel(1);
        // The caller's thread may belong to another runtime.
        self.handle.spawn(async move {
            let copied = executor.copy_rows(&secondary, &table, ids).await;
            // Nobody waits any more.
            let _ = sender.send(copied);
        });
        receiver.recv().unwrap_or(false)
    }
}

/// What a page comes down to.
#[derive(Default)]
struct ComparedPage {
    /// Rows that the secondary has.
    found: usize,
    missing: Vec<RecordId>,
    different: Vec<RecordId>,
}

fn by_id(rows: Vec<ScannedRow>) -> BTreeMap<String, Object> {
    rows.into_iter()
        .map(|row| (row.id.to_string(), row.columns))
        .collect()
}

/// Errors of a secondary skip it; others abort the verification.
enum CompareError {
    Secondary(StorageError),
    /// The primary or the log.
    Source(StorageError),
}
