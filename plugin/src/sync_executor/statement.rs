//! The transaction that a batch becomes.

use super::batch::{Change, TargetState};
use crate::{
    dedup::key_columns,
    fail_points,
    sync_queue::{Epoch, Position},
    sync_types::RowImage,
};
use abi_stable::std_types::RBox;
use plugin_api::{
    error::{StorageError, StorageResult},
    value::{Object, RecordId, RecordKey, Value},
};
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};
use surreal_storage::{
    Connection,
    schema::{DOCUMENTS, POSITION_TABLE},
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
/// In tables for which `replaces_same_key` is true, rows that hold the same key
/// under another id are removed first. That costs a lookup per row, so it is for
/// the tables that need it.
///
/// # Errors
/// The database's. `NotFound` if the secondary has to be reconciled: another
/// epoch has claimed its positions, or it is not even where the range begins.
pub(super) async fn apply(
    connection: &Connection,
    source: &LogPartition,
    range: PositionRange,
    changes: &[Change],
    replaces_same_key: impl Fn(&str) -> bool,
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
        .with("epoch", source.epoch.to_int())
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
        let rows: Value = rows.into_iter().map(RowImage::into_object).collect();
        parameters.insert(format!("rows{at}"), rows);
    }
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
    let at = results.iter().find_map(Value::as_object);
    let column = |name| at.and_then(|at| at.get(name)?.as_int());
    let reached = column("position");
    if reached < position_value(range.from).as_int() {
        return Err(StorageError::not_found(
            "the secondary is behind its acknowledged position: it was emptied, or rolled back to \
             an older state; it is reconciled again",
        ));
    }
    if column("epoch") != Some(source.epoch.to_int()) {
        return Err(StorageError::not_found(
            "the secondary's positions were claimed by another epoch: another host uses a copy of \
             queue_dir, or this one was restored to an earlier state; it is reconciled again",
        ));
    }
    Ok(match reached < position_value(range.to).as_int() {
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
