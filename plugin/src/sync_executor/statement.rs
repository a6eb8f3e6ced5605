//! The transaction that a batch becomes.

use super::batch::{Change, TargetState};
use crate::{
    dedup::key_columns,
    fail_points,
    sync_queue::{Epoch, Position},
    sync_types::{RowImage, is_relation},
};
use abi_stable::std_types::RBox;
use plugin_api::{
    error::{StorageError, StorageResult},
    value::{Object, RecordId, RecordKey, Value},
};
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};
use surreal_storage::{
    Connection,
    schema::{DOCUMENTS, POSITION_TABLE, SchemaReport, quoted},
};

/// A partition of a log, as a secondary knows it.
#[derive(Clone, Debug)]
pub(super) struct LogPartition {
    /// The log's id on that secondary.
    pub(super) log: String,
    pub(super) partition: u16,
    /// The epoch that claims it.
    pub(super) epoch: Epoch,
}

impl LogPartition {
    /// The row in which the secondary keeps this partition's position, and the
    /// epoch that may move it.
    pub(super) fn position_row(&self) -> Value {
        let key = [
            Value::from(self.log.as_str()),
            i64::from(self.partition).into(),
        ];
        RecordId {
            table: POSITION_TABLE.into(),
            key: RecordKey::Other(RBox::new(Value::from(key.to_vec()))),
        }
        .into()
    }
}

/// A position as the database keeps it. Positions fit in 63 bits.
pub(super) fn position_value(position: Position) -> Value {
    Value::Int(i64::try_from(position.0).unwrap_or(i64::MAX))
}

/// The range of a partition that a transaction covers.
#[derive(Clone, Copy, Debug)]
pub(super) struct PositionRange {
    /// What the secondary has confirmed: it is there or further.
    pub(super) from: Position,
    /// Where it is afterwards.
    pub(super) to: Position,
}

/// What a transaction did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Applied {
    /// It applied the changes.
    Now,
    /// Nothing: the secondary has passed the range. How each operation of it
    /// ended is not known; some may have been deferred.
    AlreadyApplied,
}

/// Applies the changes to a secondary and moves its position, in one transaction
/// and one round trip. Idempotent: a secondary that is at the end of the range
/// already, or past it, does nothing, so a late or repeated request is harmless.
/// So does one whose positions another epoch has claimed.
///
/// # Errors
/// The database's. `NotFound` if the secondary has to be reconciled: another
/// epoch has claimed its positions, or it is not even where the range begins.
pub(super) async fn apply(
    connection: &Connection,
    source: &LogPartition,
    range: PositionRange,
    changes: &[Change],
    writing: &Writing<'_>,
    timeout: Duration,
) -> StorageResult<Applied> {
    let (steps, parameters) = steps(changes, writing);
    let parameters = parameters
        .with("source", source.position_row())
        .with("epoch", source.epoch.to_int())
        .with("from", position_value(range.from))
        .with("position", position_value(range.to));
    let sql = format!(
        "BEGIN;\n\
         LET $at = (SELECT epoch, position FROM ONLY $source);\n\
         IF $at.epoch = $epoch AND $at.position >= $from AND $at.position < $position {{\n{steps}\
         UPDATE $source SET position = $position RETURN NONE;\n\
         }};\n\
         RETURN {{ epoch: $at.epoch, position: $at.position }};\n\
         COMMIT;"
    );
    let results = connection.query(&sql, parameters, timeout).await?;
    let at = reached(&results, source, range.from)?;
    Ok(
        match at.get("position").and_then(Value::as_int) < position_value(range.to).as_int() {
            true => Applied::Now,
            false => Applied::AlreadyApplied,
        },
    )
}

/// Where a transaction found a partition of the secondary.
///
/// # Errors
/// `NotFound` if the secondary has to be reconciled.
fn reached<'a>(
    results: &'a [Value],
    source: &LogPartition,
    least: Position,
) -> StorageResult<&'a Object> {
    let at = results.iter().find_map(Value::as_object);
    let column = |name| at.and_then(|at| at.get(name)?.as_int());
    if column("position") < position_value(least).as_int() {
        return Err(StorageError::not_found(
            "the secondary is behind its acknowledged position: it was emptied, or rolled back to \
             an older state; it is reconciled again",
        ));
    }
    match at {
        Some(at) if column("epoch") == Some(source.epoch.to_int()) => Ok(at),
        _ => Err(StorageError::not_found(
            "the secondary's positions were claimed by another epoch: another host uses a copy of \
             queue_dir, or this one was restored to an earlier state; it is reconciled again",
        )),
    }
}

/// Where a copied part of a page finds a partition of the secondary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CopyPoint {
    /// The position that it has reached.
    pub(super) position: Position,
    /// How many parts were copied into it.
    pub(super) copies: u64,
}

/// Copies rows to a secondary, in one transaction and one round trip, if the
/// partition is exactly at `point`; the number of copies then grows by one. Returns
/// where it was. So a request that runs late, after a batch or another copy, does
/// nothing: the log's position or the copies have gone on. Nor does one of a
/// former epoch.
///
/// # Errors
/// The database's. `NotFound` as for [`apply`].
pub(super) async fn copy(
    connection: &Connection,
    source: &LogPartition,
    point: CopyPoint,
    changes: &[Change],
    writing: &Writing<'_>,
    timeout: Duration,
) -> StorageResult<CopyPoint> {
    let (steps, parameters) = steps(changes, writing);
    let parameters = parameters
        .with("source", source.position_row())
        .with("epoch", source.epoch.to_int())
        .with("position", position_value(point.position))
        .with("copies", i64::try_from(point.copies).unwrap_or(i64::MAX));
    let sql = format!(
        "BEGIN;\n\
         LET $at = (SELECT epoch, position, copies ?? 0 AS copies FROM ONLY $source);\n\
         IF $at.epoch = $epoch AND $at.position = $position AND $at.copies = $copies {{\n{steps}\
         UPDATE $source SET copies = $copies + 1 RETURN NONE;\n\
         }};\n\
         RETURN {{ epoch: $at.epoch, position: $at.position, copies: $at.copies }};\n\
         COMMIT;"
    );
    let results = connection.query(&sql, parameters, timeout).await?;
    let at = reached(&results, source, point.position)?;
    let number = |name| u64::try_from(at.get(name)?.as_int()?).ok();
    Ok(CopyPoint {
        position: number("position").map_or(point.position, Position),
        copies: number("copies").unwrap_or_default(),
    })
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    /// Whether they exist or not.
    Upsert,
    /// None of them may exist: cheaper.
    Create,
}

/// How the rows of a transaction are written to a secondary.
pub(super) struct Writing<'a> {
    /// With which statement.
    pub(super) write: Write,
    /// In tables for which this is true, rows that hold the same key under another id
    /// are removed first. That costs a lookup per row, so it is for the tables that
    /// need it.
    pub(super) replaces_same_key: &'a (dyn Fn(&str) -> bool + Sync),
    /// What the secondary's own definitions do to rows.
    pub(super) schema: &'a SchemaReport,
}

impl<'a> Writing<'a> {
    /// For a transaction that only moves or reads the position.
    pub(super) fn nothing(schema: &'a SchemaReport) -> Self {
        Self {
            write: Write::Upsert,
            replaces_same_key: &|_| false,
            schema,
        }
    }
}

/// The steps that bring changes about, and their parameters.
fn steps(
    changes: &[Change],
    Writing {
        write,
        replaces_same_key,
        schema,
    }: &Writing<'_>,
) -> (String, Object) {
    let mut rows: BTreeMap<&str, Vec<RowImage>> = BTreeMap::new();
    let mut documents = Vec::new();
    for change in changes {
        fail_points::pass_with("build_statement", &change.operation.key);
        let stored = match &change.target {
            TargetState::Rows(stored) => stored,
            TargetState::Document {
                path,
                ids,
                rows: stored,
            } => {
                let ids: Value = ids.iter().cloned().collect();
                documents.push(Object::new().with("path", path.as_str()).with("ids", ids));
                stored
            }
            TargetState::Unchanged => continue,
        };
        for row in stored {
            rows.entry(&change.operation.table)
                .or_default()
                .push(row.clone());
        }
    }

    let mut steps = String::new();
    let mut parameters = Object::new();
    if !documents.is_empty() {
        parameters.insert("documents", documents.into_iter().collect::<Value>());
        remove_stale_chunks(&mut steps);
    }
    for (at, (table, rows)) in rows.into_iter().enumerate() {
        if replaces_same_key(table) {
            remove_same_key(&mut steps, table, at);
        }
        let incomplete: Vec<_> = rows
            .iter()
            .filter(|row| schema.adds_to(table, &row.columns))
            .cloned()
            .collect();
        let (edges, others): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| is_relation(&row.columns));
        let table = quoted(table);
        // Writing to a string cannot fail.
        let _ = match write {
            Write::Create => writeln!(steps, "INSERT INTO {table} $rows{at} RETURN NONE;"),
            Write::Upsert => writeln!(
                steps,
                "FOR $row IN $rows{at} {{ UPSERT $row.id CONTENT $row RETURN NONE; }};"
            ),
        };
        if !edges.is_empty() {
            // Written as any other row, it would be no edge to follow; and an edge
            // keeps its ends as long as it lives.
            let _ = writeln!(
                steps,
                "FOR $row IN $edges{at} {{ DELETE $row.id RETURN NONE; \
                 INSERT RELATION INTO {table} $row RETURN NONE; }};"
            );
            parameters.insert(format!("edges{at}"), objects(edges));
        }
        if !incomplete.is_empty() {
            // A new row gets the secondary's defaults for columns that it has not got;
            // writing it again removes them.
            let _ = writeln!(
                steps,
                "FOR $row IN $incomplete{at} {{ UPDATE $row.id CONTENT $row RETURN NONE; }};"
            );
            parameters.insert(format!("incomplete{at}"), objects(incomplete));
        }
        parameters.insert(format!("rows{at}"), objects(others));
    }
    (steps, parameters)
}

fn objects(rows: Vec<RowImage>) -> Value {
    rows.into_iter().map(RowImage::into_object).collect()
}

/// Removes the rows of `$documents` that the primary no longer has.
fn remove_stale_chunks(steps: &mut String) {
    let _ = writeln!(
        steps,
        "FOR $document IN $documents {{ DELETE {} WHERE {} AND id NOT IN $document.ids RETURN NONE; }};",
        DOCUMENTS.name,
        DOCUMENTS.group_condition("$document.path"),
    );
}

/// Removes the rows that have the key of a row in `$rows{at}` under another id:
/// the primary has replaced them.
fn remove_same_key(steps: &mut String, table: &str, at: usize) {
    let columns = key_columns(table);
    if columns == ["id"] {
        return;
    }
    let condition: Vec<String> = columns
        .iter()
        .map(|column| format!("{column} = $row.{column}"))
        .collect();
    // The table has key columns, so it is one of ours and its name is no input.
    let _ = writeln!(
        steps,
        "FOR $row IN $rows{at} {{ DELETE {table} WHERE {} AND id != $row.id RETURN NONE; }};",
        condition.join(" AND ")
    );
}
