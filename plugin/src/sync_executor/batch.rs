//! What a batch comes down to: the last state of each key.

use crate::{
    dedup::Key,
    sync_queue::{Position, Watermark},
    sync_types::{OperationType, RowImage, SyncOperation},
};
use plugin_api::value::{RecordId, Value};
use std::collections::HashSet;
use surreal_storage::schema::Table;

/// What is to be done for one order key.
#[derive(Debug)]
pub(super) struct Change {
    /// The operation that it comes from.
    pub(super) operation: SyncOperation,
    /// Where that stands in the log.
    pub(super) place: Watermark,
    /// What the secondary is to hold.
    pub(super) target: TargetState,
    /// Are the primary's present rows to be read instead, if it has any?
    pub(super) needs_refresh: bool,
}

/// What a secondary is to hold under an order key.
#[derive(Debug)]
pub(super) enum TargetState {
    /// These rows, beside whatever else belongs to the key.
    Rows(Vec<RowImage>),
    /// These rows, and of the document at this path no others than these ids.
    Document {
        /// The document's path.
        path: String,
        /// The ids of all its rows.
        ids: Vec<RecordId>,
        /// Those that are written.
        rows: Vec<RowImage>,
    },
    /// Whatever it has already.
    Unchanged,
}

/// About the largest size of one transaction over a fast line, in bytes.
pub(super) const TRANSACTION_BYTES: usize = 4 << 20;

/// About the size of a number, or of the frame of anything else, in a message.
const WIRE_VALUE: usize = 32;

/// Keeps the last operation of each key, in the order of the log. Those up to
/// `refreshed` are read anew: the secondary may have newer rows already.
///
/// A piece from the beginning is complete up to its last place: of a key whose
/// last operation comes later, only older states are missing.
pub(super) fn last_of_each_key(
    operations: Vec<(Watermark, SyncOperation)>,
    refreshed: Position,
) -> Vec<Change> {
    let mut seen = HashSet::new();
    let mut changes: Vec<Change> = operations
        .into_iter()
        .rev()
        .filter(|(_, operation)| seen.insert(operation.key.clone()))
        .map(|(place, operation)| Change::of(place, operation))
        .collect();
    for change in &mut changes {
        change.needs_refresh |= change.place.position <= refreshed;
    }
    changes.reverse();
    changes
}

impl TargetState {
    /// A document with these rows.
    pub(super) fn document(path: String, rows: Vec<RowImage>) -> Self {
        let ids = rows.iter().map(|row| row.id.clone()).collect();
        Self::Document { path, ids, rows }
    }
}

impl Change {
    /// A row as the primary has it now, whatever the log says.
    pub(super) fn of_present_row(operation: SyncOperation, target: TargetState) -> Self {
        Self {
            operation,
            place: Watermark::default(),
            target,
            needs_refresh: false,
        }
    }

    /// Does its key stand for a document, with all of its chunks?
    pub(super) fn is_of_document(&self) -> bool {
        Table::of(&self.operation.table).is_grouped()
    }

    /// About how many bytes it takes in a message.
    pub(super) fn wire_bytes(&self) -> usize {
        let rows = match &self.target {
            TargetState::Rows(rows) | TargetState::Document { rows, .. } => rows.as_slice(),
            TargetState::Unchanged => &[],
        };
        let of_row = |row: &RowImage| {
            let columns = row.columns.iter();
            let columns = columns.map(|(name, value)| name.len() + wire_bytes(value));
            let embedding = row.embedding.as_ref().map_or(0, |floats| floats.len());
            columns.sum::<usize>() + embedding * WIRE_VALUE
        };
        WIRE_VALUE + rows.iter().map(of_row).sum::<usize>()
    }

    fn of(place: Watermark, mut operation: SyncOperation) -> Self {
        let rows = std::mem::take(&mut operation.data);
        let target = match operation.operation_type {
            OperationType::Upsert => TargetState::Rows(rows),
            OperationType::Replace => TargetState::document(path_of(&operation.key), rows),
            // Unless the primary has something.
            OperationType::Refresh => TargetState::Unchanged,
        };
        Self {
            needs_refresh: operation.operation_type == OperationType::Refresh,
            operation,
            place,
            target,
        }
    }
}

fn wire_bytes(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Array(values) => values.iter().map(wire_bytes).sum(),
        Value::Object(object) => object
            .iter()
            .map(|(name, value)| name.len() + wire_bytes(value))
            .sum(),
        _ => 0,
    };
    WIRE_VALUE + inside
}

/// The path in a document's order key.
pub(super) fn path_of(key: &Key) -> String {
    let (_, values) = key.parts();
    values
        .first()
        .and_then(|path| path.as_str())
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::*;
    use plugin_api::value::Object;

    fn fact(key: &str, value: i64) -> SyncOperation {
        SyncOperation::upsert(
            "kv_memories",
            RowImage {
                id: RecordId::new("kv_memories", key),
                columns: Object::new()
                    .with("user_id", "u")
                    .with("key", key)
                    .with("value", value),
                embedding: None,
            },
        )
    }

    fn at_places(operations: Vec<SyncOperation>) -> Vec<(Watermark, SyncOperation)> {
        let place = |operations| Watermark {
            position: Position(operations),
            operations,
            ..Watermark::default()
        };
        (1..).map(place).zip(operations).collect()
    }

    #[test]
    fn a_later_write_replaces_an_earlier_one_of_the_same_key() {
        let changes = last_of_each_key(
            at_places(vec![fact("a", 1), fact("b", 2), fact("a", 3)]),
            Position::default(),
        );
        let values: Vec<_> = changes
            .iter()
            .map(|change| match &change.target {
                TargetState::Rows(rows) => (
                    change.place.operations,
                    rows[0].columns.get("value").cloned(),
                ),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(values, [(2, Some(2i64.into())), (3, Some(3i64.into()))]);
    }

    #[test]
    fn a_refresh_replaces_an_earlier_write_of_the_same_row() {
        let write = fact("a", 1);
        let refresh = SyncOperation::refresh(write.key.clone());
        let changes = last_of_each_key(at_places(vec![write, refresh]), Position::default());
        assert!(matches!(
            changes.as_slice(),
            [Change {
                target: TargetState::Unchanged,
                needs_refresh: true,
                ..
            }]
        ));
    }

    #[test]
    fn operations_up_to_the_refresh_horizon_are_read_anew_and_later_ones_are_not() {
        let operations = at_places(vec![fact("a", 1), fact("b", 2), fact("c", 3)]);
        let changes = last_of_each_key(operations, Position(2));
        let needs_refresh: Vec<_> = changes.iter().map(|change| change.needs_refresh).collect();
        assert_eq!(needs_refresh, [true, true, false]);
        let carries =
            |change: &Change| matches!(&change.target, TargetState::Rows(rows) if rows.len() == 1);
        assert!(changes.iter().all(carries), "should the primary have none");
    }
}
