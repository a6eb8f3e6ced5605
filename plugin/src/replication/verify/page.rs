//! Comparing one page of a table, by digests of its rows first.
//!
//! While the host writes, a row may be new on the primary and still on its way to
//! the secondary. So a row that is not equal is no difference yet: a [`PageWatch`]
//! says which rows were written since, and whether the secondary has passed what was
//! in the log before. Then it is read again.

use super::{
    Comparison,
    report::{Difference, RowExample, differing_columns},
};
use crate::{
    dedup::{Key, key_columns},
    sync_queue::{PARTITIONS, PageWatch, partition_of},
};
use plugin_api::{
    error::StorageError,
    storage::{CallContext, FullStorage},
    value::{Object, RecordId},
};
use std::{
    collections::BTreeMap,
    thread,
    time::{Duration, Instant},
};
use surreal_storage::{
    SurrealStorage,
    table_scan::{ScannedRow, TableScan, Unreadable, rows_by_id},
};

/// A digest of a row: equal digests mean equal rows, types included.
pub(super) const DIGEST: &str = "crypto::blake3(<string> $this) AS digest";

/// Rows of which the values are compared at a time.
const VALUES: usize = 20;

/// How long a page with rows that differ waits for what is on its way.
const ARRIVAL: Duration = Duration::from_secs(5);
/// How often it looks whether that has arrived.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How often rows are read again that are written again and again.
const ATTEMPTS: usize = 3;

/// Errors of a secondary skip it; others abort the comparison.
pub(super) enum CompareError {
    Secondary(StorageError),
    /// The primary or the log.
    Source(StorageError),
}

/// What a page comes down to.
#[derive(Default)]
pub(super) struct Compared {
    /// Rows that the secondary has.
    pub(super) found: usize,
    /// Rows that are on their way.
    pub(super) in_flight: usize,
    pub(super) differences: Vec<RowDifference>,
}

/// A row that is not equal.
pub(super) struct RowDifference {
    pub(super) id: RecordId,
    key: Key,
    pub(super) example: RowExample,
}

impl RowDifference {
    fn new(id: RecordId, key: Key, difference: Difference) -> Self {
        Self {
            example: RowExample {
                key: key.to_string(),
                id: id.to_string(),
                difference,
                columns: Vec::new(),
            },
            key,
            id,
        }
    }
}

/// A row that the primary cannot read.
pub(super) fn unreadable(row: Unreadable) -> RowDifference {
    let key = Key::of_id(&row.id);
    RowDifference::new(row.id, key, Difference::Unreadable)
}

/// A table on both sides.
pub(super) struct Sides<'a> {
    pub(super) primary: &'a FullStorage,
    pub(super) secondary: &'a SurrealStorage,
    pub(super) table: &'a str,
    pub(super) timeout: Duration,
}

impl Sides<'_> {
    /// How many rows the secondary has behind the record id `after` up to `through`, or
    /// to the table's end.
    pub(super) fn on_secondary_behind(
        &self,
        after: Option<&RecordId>,
        through: Option<&RecordId>,
    ) -> Result<usize, CompareError> {
        let context = CallContext::with_timeout(self.timeout);
        let rows = TableScan::new(self.table, 1)
            .count_between(self.secondary, &context, after, through)
            .map_err(CompareError::Secondary)?;
        Ok(usize::try_from(rows).unwrap_or(usize::MAX))
    }

    /// How many of the primary's rows the secondary has, and those that it does not
    /// have or of which it has another digest.
    pub(super) fn unequal(
        &self,
        expected: &[ScannedRow],
    ) -> Result<(usize, Vec<RecordId>), CompareError> {
        let ids: Vec<RecordId> = expected.iter().map(|row| row.id.clone()).collect();
        let actual = self.on_secondary(&format!("id, {DIGEST}"), &ids)?;
        let differs = |row: &&ScannedRow| actual.get(&Key::of_id(&row.id)) != Some(&row.columns);
        let unequal = expected.iter().filter(differs);
        Ok((actual.len(), unequal.map(|row| row.id.clone()).collect()))
    }

    /// Those of the rows that are missing or different now. Rows that the primary does
    /// not have any more are neither.
    fn differences(&self, ids: &[RecordId]) -> Result<Vec<RowDifference>, CompareError> {
        let mut columns = vec!["id"];
        columns.extend(key_columns(self.table).iter().filter(|name| **name != "id"));
        let with_key = format!("{}, {DIGEST}", columns.join(", "));
        let ours = self.on_primary(&with_key, ids)?;
        let theirs = self.on_secondary(&format!("id, {DIGEST}"), ids)?;
        let (mut differences, mut unequal) = (Vec::new(), Vec::new());
        for id in ids {
            let Some(columns) = ours.get(&Key::of_id(id)) else {
                continue;
            };
            let key = Key::of_row(self.table, id, columns);
            match theirs.get(&Key::of_id(id)) {
                Some(found) if found.get("digest") == columns.get("digest") => {}
                Some(_) => unequal.push((id, key)),
                None => differences.push(RowDifference::new(id.clone(), key, Difference::Missing)),
            }
        }
        // The text of equal values may differ between versions of the database.
        for rows in unequal.chunks(VALUES) {
            let ids: Vec<RecordId> = rows.iter().map(|(id, _)| (*id).clone()).collect();
            let ours = self.on_primary("*", &ids)?;
            let theirs = self.on_secondary("*", &ids)?;
            for (id, key) in rows {
                let exact = Key::of_id(id);
                // A row that one side lost meanwhile is looked at by the next comparison.
                let (Some(ours), Some(theirs)) = (ours.get(&exact), theirs.get(&exact)) else {
                    continue;
                };
                let columns = differing_columns(ours, theirs);
                if !columns.is_empty() {
                    let mut row =
                        RowDifference::new((*id).clone(), key.clone(), Difference::Different);
                    row.example.columns = columns;
                    differences.push(row);
                }
            }
        }
        Ok(differences)
    }

    fn on_primary(
        &self,
        projection: &str,
        ids: &[RecordId],
    ) -> Result<BTreeMap<Key, Object>, CompareError> {
        rows_by_id(self.primary, self.timeout / 3, projection, ids)
            .map(|(rows, _)| by_id(rows))
            .map_err(CompareError::Source)
    }

    fn on_secondary(
        &self,
        projection: &str,
        ids: &[RecordId],
    ) -> Result<BTreeMap<Key, Object>, CompareError> {
        rows_by_id(self.secondary, self.timeout, projection, ids)
            .map(|(rows, _)| by_id(rows))
            .map_err(CompareError::Secondary)
    }
}

/// The rows by their exact ids: as text, `[1]` and `[1.0]` are the same.
fn by_id(rows: Vec<ScannedRow>) -> BTreeMap<Key, Object> {
    rows.into_iter()
        .map(|row| (Key::of_id(&row.id), row.columns))
        .collect()
}

impl Comparison<'_> {
    /// Tells which of the rows differ, and which are on their way. `watch` was begun
    /// before they were read for the first time.
    pub(super) fn look_again(
        &self,
        sides: &Sides<'_>,
        mut suspects: Vec<RecordId>,
        mut watch: PageWatch,
        compared: &mut Compared,
    ) -> Result<(), CompareError> {
        for attempt in 1..=ATTEMPTS {
            self.wait_for_arrival(&watch);
            let differences = sides.differences(&suspects)?;
            if !differences.is_empty() {
                // A write that is on the primary may not be in the log yet. It holds its
                // lock until then, and the watch has seen it once the table is free.
                drop(self.replication.locks.tables(&[self.table]));
            }
            let mut written = Vec::new();
            for row in differences {
                if watch.is_written(&row.key) && attempt < ATTEMPTS {
                    written.push(row.id);
                } else if watch.is_written(&row.key) || !watch.is_reached(partition_of(&row.key)) {
                    compared.in_flight += 1;
                } else {
                    compared.differences.push(row);
                }
            }
            if written.is_empty() {
                break;
            }
            suspects = written;
            watch = PageWatch::begin(self.queue, self.connection.name());
        }
        Ok(())
    }

    /// Waits until the secondary has what was in the log when the watch began, as long
    /// as it is being replicated to.
    fn wait_for_arrival(&self, watch: &PageWatch) {
        let deadline = Instant::now() + ARRIVAL;
        let has_arrived = || (0..PARTITIONS).all(|partition| watch.is_reached(partition));
        while !has_arrived()
            && Instant::now() < deadline
            && self.connection.state().is_replicating()
            && self.replication.verification.goes_on(|_| {})
        {
            thread::sleep(LOOK_AGAIN);
        }
    }
}
