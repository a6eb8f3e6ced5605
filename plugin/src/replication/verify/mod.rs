//! Comparing the secondaries with the primary, row by row.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`job`] | the comparison that runs, or the latest one: its progress and its result |
//! | [`report`] | what a comparison found |
//! | [`ranges`] | comparing a table range by range: each has one digest |
//! | [`page`] | comparing one page of a range that differs; what is on its way |
//!
//! A table is read in ranges of record ids, on the primary and on the secondary. A
//! range that is equal costs one digest; of one that differs, each row has its own,
//! and values travel only where these differ. Rows that are missing or different are
//! copied at once, as a resync copies them.

mod job;
mod page;
mod ranges;
mod report;

pub(super) use job::Verification;
pub use job::{VerifyJob, VerifyProgress, VerifyState};
pub use report::{
    ColumnDifference, ColumnValues, Difference, RowExample, TableReport, VerifyReport,
};

use super::{Replication, not_replicated};
use crate::{
    connection::{SecondaryConnectionManager, Session},
    sync_queue::{PageWatch, SyncQueue},
};
use page::{CompareError, Compared, DIGEST, Sides};
use plugin_api::{error::StorageResult, storage::CallContext, value::RecordId};
use ranges::{EqualRanges, Next};
use std::sync::{Arc, mpsc};
use surreal_storage::table_scan::{Page, TableScan};

/// Rows of one page. The database reads them whole for their digests.
const PAGE: usize = 250;

/// Examples of each table, unless the request says how many.
pub const DEFAULT_EXAMPLES: usize = 10;
/// The most that may be asked for.
pub const MAX_EXAMPLES: usize = 100;

/// How to compare.
#[derive(Clone, Copy, Debug)]
pub struct VerifyOptions {
    /// Copy the rows again that are missing or different?
    pub repair: bool,
    /// How many of them are listed for each table.
    pub examples: usize,
}

impl Replication {
    /// Compares these tables, and copies the rows that differ again if asked to.
    ///
    /// # Errors
    /// If the primary or the log fails.
    fn compare_all(
        &self,
        secondaries: &[String],
        tables: &[String],
        options: VerifyOptions,
    ) -> StorageResult<VerifyReport> {
        let queue = self.queue()?;
        let mut report = VerifyReport::default();
        let chosen = |name: &str| secondaries.iter().any(|chosen| chosen == name);
        let watch = &self.verification;
        let rows = self.rows_of(tables);
        watch.goes_on(|progress| {
            progress.tables = secondaries.len() * tables.len();
            progress.all_rows = rows.iter().sum::<u64>() * secondaries.len() as u64;
        });
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
            for (table, &total_rows) in tables.iter().zip(&rows) {
                watch.goes_on(|progress| progress.begin(name, table, total_rows));
                let comparison = Comparison {
                    replication: self,
                    queue,
                    connection,
                    session: &session,
                    table,
                    options,
                };
                match comparison.run() {
                    Ok(compared) => {
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
        let sum = |part: fn(&TableReport) -> usize| report.tables.iter().map(part).sum::<usize>();
        let differing = sum(|table| table.missing + table.different);
        let in_flight = sum(|table| table.in_flight);
        report.repairing = if options.repair { differing } else { 0 };
        report.equal = report.skipped.is_empty() && differing + in_flight == 0 && !report.cancelled;
        if differing == 0 {
            tracing::info!(
                equal = report.equal,
                rows = sum(|table| table.rows),
                "the secondaries were compared with the primary"
            );
        } else {
            tracing::warn!(
                equal = false,
                rows = differing,
                repair = options.repair,
                "rows of the secondaries differ from the primary's"
            );
        }
        Ok(report)
    }

    /// How many rows each table has on the primary; 0 where that cannot be told now.
    fn rows_of(&self, tables: &[String]) -> Vec<u64> {
        let timeout = self.config.settings.operation_timeout;
        let count = |table: &String| {
            let context = CallContext::with_timeout(timeout);
            TableScan::new(table, PAGE).count(&self.primary, &context)
        };
        tables
            .iter()
            .map(|table| count(table).unwrap_or(0))
            .collect()
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

/// One table of one secondary, to be compared with the primary's.
struct Comparison<'a> {
    replication: &'a Replication,
    queue: &'a Arc<SyncQueue>,
    connection: &'a SecondaryConnectionManager,
    session: &'a Session,
    table: &'a str,
    options: VerifyOptions,
}

impl Comparison<'_> {
    fn run(&self) -> Result<TableReport, CompareError> {
        let Self {
            replication,
            session,
            table,
            ..
        } = *self;
        let sides = Sides {
            primary: &replication.primary,
            secondary: &session.storage,
            table,
            timeout: replication.config.settings.operation_timeout,
        };
        let mut report = TableReport {
            secondary: self.connection.name().to_owned(),
            table: table.to_owned(),
            ..TableReport::default()
        };
        let mut ranges = EqualRanges::new(&sides);
        let mut after: Option<RecordId> = None;
        let verification = &replication.verification;
        while verification.goes_on(|progress| progress.compared(report.rows)) {
            match ranges.next(after.as_ref())? {
                Next::Equal { rows, through } => {
                    report.rows += rows;
                    after = Some(through);
                }
                Next::Unequal { rows } => {
                    after = self.compare_rows(&sides, after, rows, &mut report)?;
                }
                Next::End => {
                    report.only_on_secondary += sides.on_secondary_behind(after.as_ref(), None)?;
                    break;
                }
            }
        }
        Ok(report)
    }

    /// Compares the next `rows` rows behind `after` one by one. Returns the last one.
    fn compare_rows(
        &self,
        sides: &Sides<'_>,
        mut after: Option<RecordId>,
        rows: usize,
        report: &mut TableReport,
    ) -> Result<Option<RecordId>, CompareError> {
        let Self {
            replication,
            queue,
            options,
            ..
        } = *self;
        let secondary = self.connection.name();
        let scan = TableScan::new(self.table, PAGE).columns([DIGEST]);
        let mut pages = scan.pages(after.clone(), sides.timeout / 3);
        let end = report.rows + rows;
        let verification = &replication.verification;
        while report.rows < end && verification.goes_on(|progress| progress.compared(report.rows)) {
            // Before the page is read, so that no write of its rows is overlooked.
            let watch = PageWatch::begin(queue, secondary);
            let page = pages
                .next(&replication.primary)
                .map_err(CompareError::Source)?;
            let Some(page) = page else {
                break;
            };
            let through = page.last().cloned();
            let on_secondary = sides.on_secondary_behind(after.as_ref(), through.as_ref())?;
            report.rows += page.rows.len() + usize::from(page.unreadable.is_some());
            let compared = self.compare_page(sides, page, watch)?;
            report.only_on_secondary += on_secondary.saturating_sub(compared.found);
            report.in_flight += compared.in_flight;
            let mut repaired = Vec::new();
            for row in compared.differences {
                match row.example.difference {
                    Difference::Missing => report.missing += 1,
                    Difference::Different | Difference::Unreadable => report.different += 1,
                }
                repaired.push(row.id);
                if report.examples.len() < options.examples {
                    report.examples.push(row.example);
                }
            }
            if options.repair
                && !repaired.is_empty()
                && !replication.copy(secondary, self.table, repaired)
            {
                queue.request_resync(secondary, self.table, "verify found rows that differ");
            }
            after = through;
        }
        Ok(after)
    }

    /// Compares a page by the digests of its rows. Rows that are not equal are looked
    /// at again once what was on its way has arrived.
    fn compare_page(
        &self,
        sides: &Sides<'_>,
        page: Page,
        watch: PageWatch,
    ) -> Result<Compared, CompareError> {
        let (found, suspects) = sides.unequal(&page.rows)?;
        let mut compared = Compared {
            found,
            ..Compared::default()
        };
        if !suspects.is_empty() {
            self.look_again(sides, suspects, watch, &mut compared)?;
        }
        compared
            .differences
            .extend(page.unreadable.map(page::unreadable));
        Ok(compared)
    }
}
