//! What a batch comes down to: the last state of each key.

use crate::{
    dedup::Key,
    sync_types::{OperationType, Row, SyncOperation},
};
use std::collections::HashMap;

/// What is to be done for one order key.
#[derive(Debug)]
pub(super) struct Change {
    /// The operation that it comes from.
    pub(super) operation: SyncOperation,
    /// What the secondary is to hold.
    pub(super) target: TargetState,
}

/// What a secondary is to hold under an order key.
#[derive(Debug)]
pub(super) enum TargetState {
    /// These rows, beside whatever else belongs to the key.
    Rows(Vec<Row>),
    /// These rows and no others of the document at this path.
    Document(String, Vec<Row>),
    /// Whatever it has: the primary has nothing.
    Unchanged,
    /// What the primary holds at the time: not read yet.
    Unread,
}

/// Keeps the last operation of each key. Their order among each other does not
/// matter: they change different rows.
pub(super) fn last_of_each_key(operations: Vec<SyncOperation>) -> Vec<Change> {
    let mut places: HashMap<Key, usize> = HashMap::new();
    let mut changes: Vec<Change> = Vec::with_capacity(operations.len());
    for operation in operations {
        let change = Change::of(operation);
        match places.entry(change.operation.key.clone()) {
            std::collections::hash_map::Entry::Occupied(place) => changes[*place.get()] = change,
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert(changes.len());
                changes.push(change);
            }
        }
    }
    changes
}

impl Change {
    fn of(mut operation: SyncOperation) -> Self {
        let rows = std::mem::take(&mut operation.data);
        let target = match operation.operation_type {
            OperationType::Upsert => TargetState::Rows(rows),
            OperationType::Replace => TargetState::Document(path_of(&operation.key), rows),
            OperationType::Refresh => TargetState::Unread,
        };
        Self { operation, target }
    }
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
    use plugin_api::value::{Object, RecordId};

    fn fact(key: &str, value: i64) -> SyncOperation {
        SyncOperation::upsert(
            "kv_memories",
            Row {
                id: RecordId::new("kv_memories", key),
                columns: Object::new()
                    .with("user_id", "u")
                    .with("key", key)
                    .with("value", value),
                embedding: None,
            },
        )
    }

    #[test]
    fn a_later_write_replaces_an_earlier_one_of_its_key() {
        let changes = last_of_each_key(vec![fact("a", 1), fact("b", 2), fact("a", 3)]);
        let values: Vec<_> = changes
            .iter()
            .map(|change| match &change.target {
                TargetState::Rows(rows) => rows[0].columns.get("value").cloned(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(values, [Some(3i64.into()), Some(2i64.into())]);
    }

    #[test]
    fn a_refresh_and_the_write_of_its_row_are_of_one_key() {
        let write = fact("a", 1);
        let refresh = SyncOperation::refresh(write.key.clone());
        let changes = last_of_each_key(vec![write, refresh]);
        assert!(matches!(
            changes.as_slice(),
            [Change {
                target: TargetState::Unread,
                ..
            }]
        ));
    }
}
