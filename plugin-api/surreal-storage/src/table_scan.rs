//! [`TableScan`]: reads a table page by page, in the order of its record ids.
//!
//! Memory is bounded by the page; a scan may stop after any page and resume behind
//! the last record id, even after a restart. A page is a range of record ids, so
//! it costs the same at the beginning of a table and at its end.
//!
//! [`Pages`] measures pages in bytes: an answer that does not fit into a message
//! would cost the connection, which may be the one that the host uses.

use crate::schema::identifier;
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::{CallContext, Storage},
    value::{Object, RecordId, RecordKey, Value},
};
use std::{fmt, time::Duration};

/// About how many bytes of rows are read at once. A row counts as its SurrealQL
/// text, which has two or three times the bytes of a row with an embedding.
pub const PAGE_BYTES: u64 = 4 << 20;

/// The largest row that is read, in the same bytes; a message holds 128 MiB.
pub const MAX_ROW_BYTES: u64 = 96 << 20;

/// Rows of a first page, before the bytes of a row are known.
const FIRST_ROWS: usize = 100;

/// The most rows of a page: the database reads them all before it measures them.
const MAX_ROWS: usize = 500;

/// Which rows of a table to read, what of each, and how many at once.
///
/// Columns and conditions go into statements as they are: they come from the code.
#[derive(Clone, Debug)]
pub struct TableScan {
    table: String,
    page_size: usize,
    projection: String,
    condition: Option<&'static str>,
    parameters: Object,
}

/// A row of a scan.
#[derive(Clone, Debug, PartialEq)]
pub struct ScannedRow {
    /// Its record id.
    pub id: RecordId,
    /// The columns that the scan reads, without the id.
    pub columns: Object,
}

impl TableScan {
    /// All columns of all rows of `table`, `page_size` rows at a time.
    pub fn new(table: &str, page_size: usize) -> Self {
        Self {
            table: table.to_owned(),
            page_size,
            projection: "*".to_owned(),
            condition: None,
            parameters: Object::new(),
        }
    }

    /// Reads these columns only, beside the id: a name or `expression AS name`.
    #[must_use]
    pub fn columns<'c>(mut self, columns: impl IntoIterator<Item = &'c str>) -> Self {
        self.projection = "id".to_owned();
        for column in columns {
            self.projection.push_str(", ");
            self.projection.push_str(column);
        }
        self
    }

    /// Reads all columns but these.
    #[must_use]
    pub fn omit(mut self, columns: &[&str]) -> Self {
        self.projection = format!("* OMIT {}", columns.join(", "));
        self
    }

    /// Reads the rows only for which `condition` holds. The names of its
    /// parameters must mean the same in all scans whose [`digests`] are asked
    /// for together.
    #[must_use]
    pub fn filter(mut self, condition: &'static str, parameters: &Object) -> Self {
        self.condition = Some(condition);
        self.parameters = parameters.clone();
        self
    }

    /// The table.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Is this the last page?
    pub fn is_last(&self, page: &[ScannedRow]) -> bool {
        page.len() < self.page_size
    }

    /// The rows behind the record id `after`, or the first ones. Empty if there
    /// is no such table.
    ///
    /// # Errors
    /// The database's.
    pub fn page(
        &self,
        database: &(impl Storage + ?Sized),
        context: &CallContext,
        after: Option<&RecordId>,
    ) -> StorageResult<Vec<ScannedRow>> {
        let (select, parameters) = self.select(after, self.page_size);
        rows(database, context, &select, &parameters)
    }

    /// Reads all rows behind the record id `after` in pages of a bounded number
    /// of bytes, each within `timeout`.
    #[must_use]
    pub fn pages(self, after: Option<RecordId>, timeout: Duration) -> Pages {
        Pages {
            rows: FIRST_ROWS.min(self.page_size),
            scan: self,
            after,
            timeout,
            page_bytes: PAGE_BYTES,
            max_row_bytes: MAX_ROW_BYTES,
        }
    }

    /// The statement that reads so many rows behind a record id.
    fn select(&self, after: Option<&RecordId>, limit: usize) -> (String, Object) {
        let mut parameters = self.parameters();
        // A range of ids is read in their order, and without those before it. A
        // limit is not passed on to a range that is written as `table:from..to`.
        let range = match after {
            Some(id) => {
                parameters.insert("scan_after", key_value(id));
                "$scan_after>.."
            }
            None => "..",
        };
        let (projection, filter) = (&self.projection, self.filter_clause());
        let select = format!(
            "SELECT {projection} FROM type::record($scan_table, {range}) {filter} LIMIT {limit}"
        );
        (select, parameters)
    }

    /// How many rows there are; 0 if there is no such table.
    ///
    /// # Errors
    /// The database's.
    pub fn count(
        &self,
        database: &(impl Storage + ?Sized),
        context: &CallContext,
    ) -> StorageResult<u64> {
        // Only of a table by its name does the database count without reading.
        let table = identifier("a table", &self.table)?;
        let filter = self.filter_clause();
        let sql = format!("SELECT count() AS rows FROM `{table}` {filter} GROUP ALL");
        count(database, context, &sql, &self.parameters())
    }

    /// How many rows there are behind the record id `after` up to the record id
    /// `through`, that one included; without them from the beginning and to the end.
    ///
    /// # Errors
    /// The database's.
    pub fn count_between(
        &self,
        database: &(impl Storage + ?Sized),
        context: &CallContext,
        after: Option<&RecordId>,
        through: Option<&RecordId>,
    ) -> StorageResult<u64> {
        let mut parameters = self.parameters();
        let mut bound = |name: &str, id: Option<&RecordId>, range: &'static str| {
            let Some(id) = id else { return "" };
            parameters.insert(name, key_value(id));
            range
        };
        let from = bound("scan_after", after, "$scan_after>");
        let to = bound("scan_through", through, "=$scan_through");
        let filter = self.filter_clause();
        let sql = format!(
            "SELECT count() AS rows FROM type::record($scan_table, {from}..{to}) {filter} GROUP ALL"
        );
        count(database, context, &sql, &parameters)
    }

    fn parameters(&self) -> Object {
        let parameters = self.parameters.clone();
        parameters.with("scan_table", self.table.as_str())
    }

    fn filter_clause(&self) -> String {
        let condition = self.condition.iter();
        condition
            .map(|condition| format!("WHERE {condition}"))
            .collect()
    }

    /// An expression for a digest of the record ids; `NONE` if `$tables`, the
    /// names of the database's tables, has no such table.
    fn digest(&self) -> String {
        let (table, filter) = (&self.table, self.filter_clause());
        format!(
            "IF '{table}' IN $tables {{ \
                crypto::blake3(<string> (SELECT VALUE id FROM `{table}` {filter} ORDER BY id)) \
            }}"
        )
    }
}

/// For each scan a digest of the record ids of its rows, in one query; a nullish
/// value where there is no such table. Equal digests mean equal sets of ids.
///
/// The tables' names go into the statement: they must be identifiers.
///
/// # Errors
/// The database's.
pub fn digests(
    database: &(impl Storage + ?Sized),
    context: &CallContext,
    scans: &[TableScan],
) -> StorageResult<Vec<Value>> {
    let digests: Vec<_> = scans.iter().map(TableScan::digest).collect();
    let sql = format!(
        "{{ LET $tables = (INFO FOR DB).tables.keys(); RETURN [{}]; }}",
        digests.join(", ")
    );
    let mut parameters = Object::new();
    for (name, value) in scans.iter().flat_map(|scan| scan.parameters.iter()) {
        parameters.insert(name, value.clone());
    }
    let answer = database.query(context, &sql, &parameters)?;
    Ok(answer.first_rows().to_vec())
}

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
    page_bytes: u64,
    max_row_bytes: u64,
}

impl Pages {
    /// The next page; `None` at the end, or if there is no such table. A page that
    /// is not read in time is asked for again with half of its rows.
    ///
    /// # Errors
    /// The database's; `Timeout` if it takes too long for a single row.
    pub fn next(&mut self, database: &(impl Storage + ?Sized)) -> StorageResult<Option<Page>> {
        loop {
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

/// The column `bytes`: what a row counts.
const ROW_BYTES: &str = "bytes::len(<bytes>(<string> $this)) AS bytes";

/// What [`read_measured`] found.
#[derive(Debug)]
pub enum Measured {
    /// The values, and their bytes.
    Values(Vec<Value>, u64),
    /// They have more bytes than asked for: the bytes of each.
    TooMany(Vec<u64>),
}

/// The values that `expression` gives, an array, unless they have more than `budget`
/// bytes. Then they stay where they are, and only their sizes are returned.
///
/// # Errors
/// The database's.
pub fn read_measured(
    database: &(impl Storage + ?Sized),
    context: &CallContext,
    expression: &str,
    parameters: &Object,
    budget: u64,
) -> StorageResult<Measured> {
    let sql = format!(
        "{{ LET $found = ({expression}); \
            LET $bytes = bytes::len(<bytes>(<string> $found)); \
            IF $bytes <= $budget {{ RETURN [$found, $bytes] }}; \
            RETURN [NONE, (SELECT VALUE bytes::len(<bytes>(<string> $this)) FROM $found)]; }}"
    );
    let budget = i64::try_from(budget).unwrap_or(i64::MAX);
    let parameters = parameters.clone().with("budget", budget);
    let answer = database.query(context, &sql, &parameters)?;
    match answer.first_rows() {
        [Value::Array(values), bytes] => Ok(Measured::Values(values.to_vec(), size(Some(bytes)))),
        [_, Value::Array(sizes)] => Ok(Measured::TooMany(
            sizes.iter().map(|bytes| size(Some(bytes))).collect(),
        )),
        _ => Err(StorageError::internal("a measured answer is no pair")),
    }
}

fn size(value: Option<&Value>) -> u64 {
    let bytes = value.and_then(Value::as_int).unwrap_or_default();
    u64::try_from(bytes).unwrap_or_default()
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

/// The rows with these record ids, as far as they exist, in parts of a bounded number
/// of bytes: a part that is too large is halved. Rows that cannot be read are left out,
/// and returned by their ids.
///
/// # Errors
/// The database's.
pub fn rows_by_id(
    database: &(impl Storage + ?Sized),
    timeout: Duration,
    projection: &str,
    ids: &[RecordId],
) -> StorageResult<(Vec<ScannedRow>, Vec<Unreadable>)> {
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    let mut parts: Vec<&[RecordId]> = ids.chunks(MAX_ROWS).rev().collect();
    while let Some(part) = parts.pop() {
        let ids: Value = part.iter().cloned().collect();
        let parameters = Object::new().with("ids", ids);
        let context = CallContext::with_timeout(timeout);
        let budget = match part {
            [_] => MAX_ROW_BYTES,
            _ => PAGE_BYTES,
        };
        let select = format!("SELECT {projection} FROM $ids");
        match (
            read_measured(database, &context, &select, &parameters, budget),
            part,
        ) {
            (Err(error), _) if error.kind == ErrorKind::NOT_FOUND => {}
            (Ok(Measured::Values(values, _)), _) => {
                for value in values {
                    found.push(scanned_row(value)?);
                }
            }
            (Ok(Measured::TooMany(sizes)), [id]) => unreadable.push(Unreadable {
                id: id.clone(),
                bytes: Some(sizes.iter().sum()),
            }),
            (Err(error), [id]) if error.kind == ErrorKind::TIMEOUT => {
                // If not even its id can be read, the row is not at fault.
                let context = CallContext::with_timeout(timeout);
                let exists = "SELECT id FROM $ids";
                rows(database, &context, exists, &parameters).map_err(|_| error)?;
                unreadable.push(Unreadable {
                    id: id.clone(),
                    bytes: None,
                });
            }
            (Err(error), _) if error.kind != ErrorKind::TIMEOUT => return Err(error),
            (_, part) => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
        }
    }
    Ok((found, unreadable))
}

/// The number that a counting statement gives.
fn count(
    database: &(impl Storage + ?Sized),
    context: &CallContext,
    sql: &str,
    parameters: &Object,
) -> StorageResult<u64> {
    let answer = select(database, context, sql, parameters)?;
    Ok(size(
        answer.first().and_then(|row| row.as_object()?.get("rows")),
    ))
}

/// The rows of one statement that reads the record ids as well.
fn rows(
    database: &(impl Storage + ?Sized),
    context: &CallContext,
    sql: &str,
    parameters: &Object,
) -> StorageResult<Vec<ScannedRow>> {
    let rows = select(database, context, sql, parameters)?;
    rows.into_iter().map(scanned_row).collect()
}

/// The result of one statement; empty if there is no such table.
fn select(
    database: &(impl Storage + ?Sized),
    context: &CallContext,
    sql: &str,
    parameters: &Object,
) -> StorageResult<Vec<Value>> {
    match database.query(context, sql, parameters) {
        Err(error) if error.kind == ErrorKind::NOT_FOUND => Ok(Vec::new()),
        answer => Ok(answer?.first_rows().to_vec()),
    }
}

fn scanned_row(row: Value) -> StorageResult<ScannedRow> {
    let Value::Object(mut columns) = row else {
        return Err(StorageError::internal("a scanned row is no object"));
    };
    match columns.remove("id") {
        Some(Value::RecordId(id)) => Ok(ScannedRow {
            id: (*id).clone(),
            columns,
        }),
        _ => Err(StorageError::internal("a scanned row has no record id")),
    }
}

/// The key of a record id as the database takes it in a range.
fn key_value(id: &RecordId) -> Value {
    match &id.key {
        RecordKey::Int(number) => Value::Int(*number),
        RecordKey::String(text) => Value::String(text.clone()),
        RecordKey::Other(value) => (**value).clone(),
    }
}

#[cfg(all(test, feature = "embedded"))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::{SurrealStorage, Target, Timeouts};
    use std::sync::LazyLock;
    use tokio::runtime::{Builder, Runtime};

    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .thread_stack_size(10 << 20)
            .enable_all()
            .build()
            .unwrap()
    });

    fn database() -> SurrealStorage {
        let target = Target {
            url: "mem://".to_owned(),
            credentials: None,
            ca_file: None,
            namespace: "test".to_owned(),
            database: "test".to_owned(),
        };
        let storage = SurrealStorage::new(target, Timeouts::default(), RUNTIME.handle().clone());
        storage.connect(&CallContext::new()).unwrap();
        storage.initialize_schema(&CallContext::new()).unwrap();
        storage
    }

    fn run(storage: &SurrealStorage, sql: &str, parameters: &Object) -> Value {
        storage.query(&CallContext::new(), sql, parameters).unwrap()
    }

    fn pages(storage: &SurrealStorage, scan: &TableScan) -> Vec<Vec<ScannedRow>> {
        let mut pages: Vec<Vec<ScannedRow>> = Vec::new();
        loop {
            let after = pages.last().and_then(|page| page.last()).map(|row| &row.id);
            let page = scan.page(storage, &CallContext::new(), after).unwrap();
            let is_last = scan.is_last(&page);
            pages.push(page);
            if is_last {
                return pages;
            }
        }
    }

    #[test]
    fn a_scan_reads_every_row_once_whatever_kind_of_id_it_has() {
        let storage = database();
        let create = "\
            FOR $n IN -3..20 { CREATE type::record('things', $n) SET n = 1 };
            FOR $n IN 0..20 { CREATE type::record('things', <string> $n) SET n = 1 };
            FOR $n IN 0..5 { CREATE type::record('things', rand::uuid()) SET n = 1 };
            FOR $n IN 0..5 { CREATE type::record('things', [$n, 'x']) SET n = 1 };
            FOR $n IN 0..5 { CREATE type::record('things', { a: $n }) SET n = 1 };
            CREATE things SET n = 1;";
        run(&storage, create, &Object::new());
        let scan = TableScan::new("things", 7);
        assert_eq!(scan.count(&storage, &CallContext::new()).unwrap(), 59);
        let pages = pages(&storage, &scan);
        assert!(pages.iter().all(|page| page.len() <= 7));
        let ids: Vec<Value> = pages
            .concat()
            .into_iter()
            .map(|row| row.id.into())
            .collect();
        let all = run(
            &storage,
            "SELECT VALUE id FROM things ORDER BY id",
            &Object::new(),
        );
        assert_eq!(ids, all.first_rows());
    }

    #[test]
    fn a_scan_reads_the_requested_rows_and_columns() {
        let storage = database();
        let create = "FOR $n IN 0..9 { CREATE type::record('things', $n) SET n = $n, m = 1 }";
        run(&storage, create, &Object::new());
        let two = Object::new().with("two", 2i64);
        let scan = TableScan::new("things", 3).filter("n % $two = 0", &two);
        let columns = |scan: TableScan| pages(&storage, &scan).concat().remove(1).columns;
        assert_eq!(scan.count(&storage, &CallContext::new()).unwrap(), 5);
        assert_eq!(
            columns(scan.clone()),
            Object::new().with("m", 1i64).with("n", 2i64)
        );
        assert_eq!(
            columns(scan.clone().omit(&["n"])),
            Object::new().with("m", 1i64)
        );
        assert_eq!(
            columns(scan.columns(["n + 1 AS next"])),
            Object::new().with("next", 3i64)
        );
    }

    #[test]
    fn a_table_that_is_missing_has_no_rows_and_no_digest() {
        let storage = database();
        let missing = TableScan::new("things", 3);
        let context = CallContext::new();
        assert!(missing.page(&storage, &context, None).unwrap().is_empty());
        assert_eq!(missing.count(&storage, &context).unwrap(), 0);
        let events = TableScan::new("events", 3);
        let digests = digests(&storage, &context, &[missing, events]).unwrap();
        assert!(digests[0].is_nullish() && !digests[1].is_nullish());
    }

    #[test]
    fn pages_have_a_bounded_number_of_bytes_however_large_rows_become() {
        const PAGE: u64 = 40_000;
        let storage = database();
        let create = "\
            FOR $n IN 0..700 { CREATE type::record('things', $n) SET text = 'small' };
            FOR $n IN 700..740 { CREATE type::record('things', $n) SET text = string::repeat('x', 4000) };
            FOR $n IN 740..744 { CREATE type::record('things', $n) SET text = string::repeat('x', 40000) };
            CREATE things:744 SET text = string::repeat('x', 400000);
            FOR $n IN 745..900 { CREATE type::record('things', $n) SET text = 'small' };";
        run(&storage, create, &Object::new());
        let scan = TableScan::new("things", usize::MAX);
        let mut pages = Pages {
            page_bytes: PAGE,
            max_row_bytes: 10 * PAGE,
            ..scan.pages(None, Duration::from_secs(60))
        };
        let (mut ids, mut unreadable) = (Vec::new(), Vec::new());
        while let Some(page) = pages.next(&storage).unwrap() {
            assert!(page.bytes <= PAGE || page.rows.len() == 1);
            ids.extend(page.rows.into_iter().map(|row| row.id));
            unreadable.extend(page.unreadable);
        }
        let id = |number| RecordId {
            table: "things".into(),
            key: RecordKey::Int(number),
        };
        let all_but_one = (0..900).filter(|number| *number != 744).map(id);
        assert!(ids.iter().cloned().eq(all_but_one), "{}", ids.len());
        let [row] = &unreadable[..] else {
            panic!("{unreadable:?}");
        };
        assert_eq!(row.id, id(744));
        assert!(row.bytes.unwrap() > 10 * PAGE);
        let (rows, _) = rows_by_id(&storage, Duration::from_secs(60), "*", &ids).unwrap();
        assert_eq!(rows.len(), ids.len());
    }

    #[test]
    fn rows_between_two_ids_are_counted() {
        let storage = database();
        run(
            &storage,
            "FOR $n IN 0..9 { CREATE type::record('things', $n) }",
            &Object::new(),
        );
        let scan = TableScan::new("things", 3);
        let id = |number: i64| RecordId {
            table: "things".into(),
            key: RecordKey::Int(number),
        };
        let count = |after: Option<i64>, through: Option<i64>| {
            let (after, through) = (after.map(id), through.map(id));
            let context = CallContext::new();
            scan.count_between(&storage, &context, after.as_ref(), through.as_ref())
                .unwrap()
        };
        assert_eq!(count(None, None), 9);
        assert_eq!(count(Some(2), Some(5)), 3);
        assert_eq!(count(None, Some(5)), 6);
        assert_eq!(count(Some(5), None), 3);
    }
}
