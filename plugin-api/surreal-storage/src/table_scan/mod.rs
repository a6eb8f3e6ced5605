//! [`TableScan`]: reads a table page by page, in the order of its record ids.
//!
//! Memory is bounded by the page; a scan may stop after any page and resume behind
//! the last record id, even after a restart. A page is a range of record ids, so
//! it costs the same at the beginning of a table and at its end.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`pages`] | [`Pages`]: pages of a bounded number of bytes, and rows that cannot be read |
//! | [`ranges`] | [`RangeDigest`]: what many rows are, without reading them here |
//! | [`by_id`] | the rows with given record ids |
//! | [`measured`] | reading what has no more bytes than a budget |

mod by_id;
mod measured;
mod pages;
mod ranges;
#[cfg(all(test, feature = "embedded"))]
mod tests;

pub use by_id::rows_by_id;
pub use measured::{MAX_ROW_BYTES, Measured, PAGE_BYTES, read_measured};
pub use pages::{Page, Pages, Unreadable, that_fit, why_unreadable};
pub use ranges::RangeDigest;

use crate::schema::identifier;
use measured::size;
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::{CallContext, Storage},
    value::{Object, RecordId, RecordKey, Value},
};
use std::time::Duration;

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
        Pages::of(self, after, timeout)
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
        let range = ranges::range(&mut parameters, after, through);
        let filter = self.filter_clause();
        let sql = format!(
            "SELECT count() AS rows FROM type::record($scan_table, {range}) {filter} GROUP ALL"
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
    Ok(answer.into_first_rows())
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
        answer => Ok(answer?.into_first_rows()),
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
