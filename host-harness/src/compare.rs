//! Compares two databases row by row: every replicated table, every column, ids
//! and timestamps included.

use plugin_api::{
    error::{StorageError, StorageResult},
    storage::{CallContext, Storage},
    value::{Object, RecordId, Value},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};
use surreal_storage::{
    schema::relationships::replicated_tables,
    table_scan::{ScannedRow, TableScan, rows_by_id},
};

/// How many rows are read at a time.
const PAGE: usize = 200;
/// How long reading them may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How many differences of a table are shown.
const SHOWN: usize = 5;
/// How many characters of a value are shown.
const VALUE_WIDTH: usize = 60;

/// One column that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDifference {
    /// Its name.
    pub column: String,
    /// The primary's value; [`Value::None`] if it has none.
    pub primary: Value,
    /// The secondary's value.
    pub secondary: Value,
}

/// One row that both have, with different columns.
#[derive(Clone, Debug, PartialEq)]
pub struct RowDifference {
    /// The row.
    pub id: RecordId,
    /// What differs.
    pub columns: Vec<ColumnDifference>,
}

/// One table of two databases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableComparison {
    /// Its name.
    pub table: String,
    /// How many rows the primary has.
    pub primary_rows: u64,
    /// How many rows the secondary has.
    pub secondary_rows: u64,
    /// Rows that only the primary has.
    pub missing: Vec<RecordId>,
    /// Rows that both have, with different columns.
    pub different: Vec<RowDifference>,
    /// Rows that only the secondary has.
    pub extra: Vec<RecordId>,
}

impl TableComparison {
    /// Do both have the same rows?
    pub fn is_equal(&self) -> bool {
        self.missing.is_empty() && self.different.is_empty() && self.extra.is_empty()
    }
}

/// All replicated tables of two databases that either has rows in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// By name.
    pub tables: Vec<TableComparison>,
}

impl Comparison {
    /// Do both have the same rows?
    pub fn is_equal(&self) -> bool {
        self.tables.iter().all(TableComparison::is_equal)
    }

    /// How many rows the primary has.
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.primary_rows).sum()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for table in &self.tables {
            let verdict = if table.is_equal() {
                "equal"
            } else {
                "DIFFERENT"
            };
            writeln!(
                f,
                "  {:<20} {:>6} rows on the primary, {:>6} on the secondary: {verdict}",
                table.table, table.primary_rows, table.secondary_rows
            )?;
            for (what, ids) in [("missing", &table.missing), ("extra", &table.extra)] {
                for id in ids.iter().take(SHOWN) {
                    writeln!(f, "    {what} on the secondary: {id}")?;
                }
                more(f, ids.len())?;
            }
            for row in table.different.iter().take(SHOWN) {
                writeln!(f, "    different: {}", row.id)?;
                for column in &row.columns {
                    writeln!(
                        f,
                        "      {}: {} on the primary, {} on the secondary",
                        column.column,
                        short(&column.primary),
                        short(&column.secondary)
                    )?;
                }
            }
            more(f, table.different.len())?;
        }
        Ok(())
    }
}

fn more(f: &mut fmt::Formatter<'_>, count: usize) -> fmt::Result {
    match count.saturating_sub(SHOWN) {
        0 => Ok(()),
        hidden => writeln!(f, "    … and {hidden} more"),
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(VALUE_WIDTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// One database, and which of its tables are replicated.
struct Database<'a> {
    storage: &'a dyn Storage,
    tables: BTreeSet<String>,
}

impl<'a> Database<'a> {
    fn new(storage: &'a dyn Storage) -> StorageResult<Self> {
        let tables = replicated_tables(storage, &CallContext::new())?;
        Ok(Self {
            storage,
            tables: tables.into_iter().collect(),
        })
    }

    /// Hands every row of a scan to `each`, a page at a time. Returns how many there
    /// are.
    fn pages(
        &self,
        scan: TableScan,
        mut each: impl FnMut(Vec<ScannedRow>) -> StorageResult<()>,
    ) -> StorageResult<u64> {
        let mut count = 0;
        if !self.tables.contains(scan.table()) {
            return Ok(count);
        }
        let mut pages = scan.pages(None, TIMEOUT);
        while let Some(page) = pages.next(self.storage)? {
            if let Some(row) = page.unreadable {
                return Err(StorageError::invalid_input(row.to_string()));
            }
            count += page.rows.len() as u64;
            each(page.rows)?;
        }
        Ok(count)
    }

    /// Those of the given rows that are there, by their [`exact`] ids.
    fn fetch(
        &self,
        table: &str,
        ids: &[RecordId],
        columns: &str,
    ) -> StorageResult<BTreeMap<String, Object>> {
        if !self.tables.contains(table) {
            return Ok(BTreeMap::new());
        }
        let (rows, _) = rows_by_id(self.storage, TIMEOUT, columns, ids)?;
        Ok(rows
            .into_iter()
            .map(|row| (exact(&row.id), row.columns))
            .collect())
    }
}

/// A record id with the kinds of its numbers: as text, `[1]` and `[1.0]` are the same.
fn exact(id: &RecordId) -> String {
    format!("{id:?}")
}

/// Compares every replicated table of two databases.
///
/// # Errors
/// A database that cannot be asked.
pub fn compare(primary: &dyn Storage, secondary: &dyn Storage) -> StorageResult<Comparison> {
    let primary = Database::new(primary)?;
    let secondary = Database::new(secondary)?;
    let mut comparison = Comparison::default();
    for table in primary.tables.union(&secondary.tables) {
        let compared = compare_table(table, &primary, &secondary)?;
        if compared.primary_rows + compared.secondary_rows > 0 {
            comparison.tables.push(compared);
        }
    }
    Ok(comparison)
}

fn compare_table(
    table: &str,
    primary: &Database<'_>,
    secondary: &Database<'_>,
) -> StorageResult<TableComparison> {
    let mut missing = Vec::new();
    let mut different = Vec::new();
    let mut extra = Vec::new();
    let ids =
        |page: &[ScannedRow]| -> Vec<RecordId> { page.iter().map(|row| row.id.clone()).collect() };
    let rows = TableScan::new(table, PAGE);
    let primary_rows = primary.pages(rows.clone(), |page| {
        let mut replicas = secondary.fetch(table, &ids(&page), "*")?;
        for ScannedRow { id, columns } in page {
            match replicas.remove(&exact(&id)) {
                None => missing.push(id),
                Some(replica) if replica == columns => {}
                Some(replica) => {
                    let columns = differences(&columns, &replica);
                    different.push(RowDifference { id, columns });
                }
            }
        }
        Ok(())
    })?;
    let secondary_rows = secondary.pages(rows.columns([]), |page| {
        let originals = primary.fetch(table, &ids(&page), "id")?;
        let alone = page.into_iter().map(|row| row.id);
        extra.extend(alone.filter(|id| !originals.contains_key(&exact(id))));
        Ok(())
    })?;
    Ok(TableComparison {
        table: table.to_owned(),
        primary_rows,
        secondary_rows,
        missing,
        different,
        extra,
    })
}

fn differences(primary: &Object, secondary: &Object) -> Vec<ColumnDifference> {
    let names: BTreeSet<&str> = primary.keys().chain(secondary.keys()).collect();
    let value = |side: &Object, name: &str| side.get(name).cloned().unwrap_or_default();
    names
        .into_iter()
        .map(|name| ColumnDifference {
            column: name.to_owned(),
            primary: value(primary, name),
            secondary: value(secondary, name),
        })
        .filter(|column| column.primary != column.secondary)
        .collect()
}
