//! [`Pages`]: the pages of a scan, measured in bytes.

use super::{
    MAX_ROW_BYTES, Measured, PAGE_BYTES, ScannedRow, TableScan,
    measured::{MAX_ROWS, size},
    read_measured, rows, scanned_row,
};
use plugin_api::{
    error::{ErrorKind, StorageResult},
    storage::{CallContext, Storage},
    value::RecordId,
};
use std::{fmt, time::Duration};

/// Rows of a first page, before the bytes of a row are known.
const FIRST_ROWS: usize = 100;

/// The column `bytes`: what a row counts.
const ROW_BYTES: &str = "bytes::len(<bytes>(<string> $this)) AS bytes";

/// A page of [`Pages`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Its rows.
    pub rows: Vec<ScannedRow>,
    /// Their bytes.
    pub bytes: u64,
    /// A row that cannot be read; the page has no other then.
    pub unreadable: Option<Unreadable>,
}

/// A row that has more than [`MAX_ROW_BYTES`], or that is not read in time even by
/// itself, although the database answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    /// Its record id.
    pub id: RecordId,
    /// Its bytes; none if it was not read in time.
    pub bytes: Option<u64>,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        why_unreadable(f, &self.id, self.bytes)
    }
}

/// Writes why a row, or what else has a size, cannot be read.
///
/// # Errors
/// The formatter's.
pub fn why_unreadable(
    f: &mut impl fmt::Write,
    what: &impl fmt::Display,
    bytes: Option<u64>,
) -> fmt::Result {
    match bytes {
        Some(bytes) => write!(
            f,
            "{what} has about {bytes} bytes, and at most {MAX_ROW_BYTES} can be read at once; make \
             it smaller"
        ),
        None => write!(
            f,
            "{what} could not be read in time, although the database answers; make it smaller"
        ),
    }
}

impl Page {
    /// The last record id that the page covers.
    pub fn last(&self) -> Option<&RecordId> {
        let unreadable = self.unreadable.as_ref().map(|row| &row.id);
        unreadable.or_else(|| self.rows.last().map(|row| &row.id))
    }
}

/// The pages of a scan, of about [`PAGE_BYTES`] each, or of one row that has more.
/// The number of rows follows from the bytes of those before; what does not fit is
/// measured by the database and read in parts.
#[derive(Clone, Debug)]
pub struct Pages {
    scan: TableScan,
    after: Option<RecordId>,
    timeout: Duration,
    /// How many rows are asked for next.
    rows: usize,
    pub(super) page_bytes: u64,
    pub(super) max_row_bytes: u64,
    /// Was the last page read?
    is_over: bool,
}

impl Pages {
    /// The pages of `scan` behind the record id `after`, each read within `timeout`.
    pub(super) fn of(scan: TableScan, after: Option<RecordId>, timeout: Duration) -> Self {
        Self {
            rows: FIRST_ROWS.min(scan.page_size),
            scan,
            after,
            timeout,
            page_bytes: PAGE_BYTES,
            max_row_bytes: MAX_ROW_BYTES,
            is_over: false,
        }
    }

    /// The next page; `None` at the end, or if there is no such table. A page that
    /// is not read in time is asked for again with half of its rows.
    ///
    /// # Errors
    /// The database's; `Timeout` if it takes too long for a single row.
    pub fn next(&mut self, database: &(impl Storage + ?Sized)) -> StorageResult<Option<Page>> {
        while !self.is_over {
            let (select, parameters) = self.scan.select(self.after.as_ref(), self.rows);
            let context = CallContext::with_timeout(self.timeout);
            let budget = match self.rows {
                1 => self.max_row_bytes,
                _ => self.page_bytes,
            };
            match read_measured(database, &context, &select, &parameters, budget) {
                Err(error) if error.kind == ErrorKind::NOT_FOUND => return Ok(None),
                Err(error) if error.kind == ErrorKind::TIMEOUT && self.rows > 1 => self.rows /= 2,
                Err(error) if error.kind == ErrorKind::TIMEOUT => {
                    // If not even its id can be read, the row is not at fault.
                    let first = self.first_row(database, &[]).map_err(|_| error)?;
                    return Ok(first.and_then(|page| self.pass(page)));
                }
                Err(error) => return Err(error),
                Ok(Measured::Values(values, bytes)) => {
                    let rows = values.into_iter().map(scanned_row);
                    let rows = rows.collect::<StorageResult<Vec<_>>>()?;
                    self.is_over = rows.len() < self.rows;
                    self.adapt(rows.len(), bytes);
                    let page = Page {
                        rows,
                        bytes,
                        unreadable: None,
                    };
                    return Ok(self.pass(page));
                }
                Ok(Measured::TooMany(_)) if self.rows == 1 => {
                    let first = self.first_row(database, &[ROW_BYTES])?;
                    return Ok(first.and_then(|page| self.pass(page)));
                }
                Ok(Measured::TooMany(sizes)) => self.rows = that_fit(&sizes, self.page_bytes),
            }
        }
        Ok(None)
    }

    /// The next row, which cannot be read, with these columns.
    fn first_row(
        &self,
        database: &(impl Storage + ?Sized),
        columns: &[&str],
    ) -> StorageResult<Option<Page>> {
        let scan = self.scan.clone().columns(columns.iter().copied());
        let (select, parameters) = scan.select(self.after.as_ref(), 1);
        let context = CallContext::with_timeout(self.timeout);
        let mut row = rows(database, &context, &select, &parameters)?.into_iter();
        Ok(row.next().map(|row| Page {
            unreadable: Some(Unreadable {
                bytes: row.columns.get("bytes").map(|bytes| size(Some(bytes))),
                id: row.id,
            }),
            ..Page::default()
        }))
    }

    /// Chooses the number of rows of the next page: at most twice as many, because
    /// rows may suddenly be larger.
    fn adapt(&mut self, rows: usize, bytes: u64) {
        let row = (bytes / rows.max(1) as u64).max(1);
        let fit = usize::try_from(self.page_bytes / row).unwrap_or(usize::MAX);
        let most = self.scan.page_size.min(MAX_ROWS);
        self.rows = fit.min(self.rows.saturating_mul(2)).clamp(1, most);
    }

    fn pass(&mut self, page: Page) -> Option<Page> {
        self.after = Some(page.last()?.clone());
        Some(page)
    }
}

/// How many of the first rows of these sizes have no more bytes than `budget` in all;
/// at least one.
pub fn that_fit(sizes: &[u64], budget: u64) -> usize {
    let mut sum = 0;
    let fit = sizes.iter().take_while(|bytes| {
        sum += **bytes;
        sum <= budget
    });
    fit.count().max(1)
}
