//! [`TableScan`]: reads a table page by page, in the order of its record ids.
//!
//! Used by counts over the union, by resyncs and by verify. Memory is bounded by
//! the page; a scan may stop after any page and resume behind the last record id,
//! even after a restart.

use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::{CallContext, Storage},
    value::{Object, RecordId, RecordKey, Value},
};

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
        let Self {
            page_size,
            projection,
            ..
        } = self;
        let mut parameters = self.parameters();
        // A range of ids is read in their order, and without those before it.
        let range = match after {
            Some(id) => {
                parameters.insert("scan_after", key_value(id));
                "$scan_after>.."
            }
            None => "..",
        };
        let filter = self.filter_clause();
        let sql = format!(
            "SELECT {projection} FROM type::record($scan_table, {range}) {filter} LIMIT {page_size}"
        );
        rows(database, context, &sql, &parameters)
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
        let filter = self.filter_clause();
        let sql =
            format!("SELECT count() AS rows FROM type::table($scan_table) {filter} GROUP ALL");
        let answer = select(database, context, &sql, &self.parameters())?;
        let count = answer.first().and_then(|row| row.as_object()?.get("rows"));
        let count = count.and_then(Value::as_int).unwrap_or_default();
        Ok(u64::try_from(count).unwrap_or_default())
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

/// All columns of the rows with these record ids, as far as they exist.
///
/// # Errors
/// The database's.
pub fn rows_by_id<'i>(
    database: &(impl Storage + ?Sized),
    context: &CallContext,
    ids: impl IntoIterator<Item = &'i RecordId>,
) -> StorageResult<Vec<ScannedRow>> {
    let ids: Value = ids.into_iter().cloned().collect();
    let parameters = Object::new().with("ids", ids);
    rows(database, context, "SELECT * FROM $ids", &parameters)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::query_merger::tests::{database, run};
    use surreal_storage::SurrealStorage;

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
}
