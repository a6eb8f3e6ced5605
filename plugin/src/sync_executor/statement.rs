//! The transaction that a batch becomes.

use super::batch::{Change, TargetState};
use crate::{dedup::key_columns, fail_points, sync_queue::Position, sync_types::RowImage};
use abi_stable::std_types::RBox;
use plugin_api::{
    error::{StorageError, StorageResult},
    value::{Object, RecordId, RecordKey, Value},
};
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};
use surreal_storage::{
    Connection,
    schema::{DOCUMENTS, POSITION_TABLE, SchemaReport},
};

/// Which log, and which partition of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogPartition<'a> {
    pub(super) queue: &'a str,
    pub(super) partition: u16,
}

impl LogPartition<'_> {
    /// The row in which the secondary keeps this partition's position.
    pub(super) fn position_row(self) -> Value {
        let key = [Value::from(self.queue), i64::from(self.partition).into()];
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
    /// What the secondary has acknowledged: it is there or further.
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
///
/// In tables for which `replaces_same_key` is true, rows that hold the same key
/// under another id are removed first. That costs a lookup per row, so it is for
/// the tables that need it.
///
/// # Errors
/// The database's. `NotFound` if the secondary is not even where the range
/// begins: it was emptied or rolled back.
pub(super) async fn apply(
    connection: &Connection,
    source: LogPartition<'_>,
    range: PositionRange,
    changes: &[Change],
    replaces_same_key: impl Fn(&str) -> bool,
    schema: &SchemaReport,
    timeout: Duration,
) -> StorageResult<Applied> {
    let mut rows: BTreeMap<&str, Vec<RowImage>> = BTreeMap::new();
    let mut documents = Vec::new();
    for change in changes {
        fail_points::pass_with("build_statement", &change.operation.key);
        let stored = match &change.target {
            TargetState::Rows(stored) => stored,
            TargetState::Document(path, stored) => {
                let ids: Value = stored.iter().map(|row| row.id.clone()).collect();
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
    let mut parameters = Object::new()
        .with("source", source.position_row())
        .with("queue", source.queue)
        .with("partition", i64::from(source.partition))
        .with("from", position_value(range.from))
        .with("position", position_value(range.to));
    if !documents.is_empty() {
        parameters.insert("documents", documents.into_iter().collect::<Value>());
        remove_stale_chunks(&mut steps);
    }
    for (at, (table, rows)) in rows.into_iter().enumerate() {
        if replaces_same_key(table) {
            remove_same_key(&mut steps, table, at);
        }
        // Writing to a string cannot fail.
        let _ = writeln!(
            steps,
            "FOR $row IN $rows{at} {{ UPSERT $row.id CONTENT $row RETURN NONE; }};"
        );
        // A new row gets the secondary's defaults for columns that it has not got;
        // writing it again removes them.
        let incomplete: Value = rows
            .iter()
            .filter(|row| schema.adds_to(table, &row.columns))
            .map(|row| row.clone().into_object())
            .collect();
        if incomplete.as_array().is_some_and(|rows| !rows.is_empty()) {
            let _ = writeln!(
                steps,
                "FOR $row IN $incomplete{at} {{ UPDATE $row.id CONTENT $row RETURN NONE; }};"
            );
            parameters.insert(format!("incomplete{at}"), incomplete);
        }
        let rows: Value = rows.into_iter().map(RowImage::into_object).collect();
        parameters.insert(format!("rows{at}"), rows);
    }
    let sql = format!(
        "BEGIN;\n\
         LET $reached = (SELECT VALUE position FROM ONLY $source) ?? -1;\n\
         IF $reached >= $from AND $reached < $position {{\n{steps}\
         UPSERT $source SET queue = $queue, partition = $partition, position = $position RETURN NONE;\n\
         }};\n\
         RETURN $reached;\n\
         COMMIT;"
    );
    let results = connection.query(&sql, parameters, timeout).await?;
    let reached = results.iter().find_map(Value::as_int).unwrap_or(-1);
    if Some(reached) < position_value(range.from).as_int() {
        return Err(StorageError::not_found(
            "the secondary is behind its acknowledged position: it was emptied, or rolled back to \
             an older state; it is reconciled again",
        ));
    }
    Ok(match Some(reached) < position_value(range.to).as_int() {
        true => Applied::Now,
        false => Applied::AlreadyApplied,
    })
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
