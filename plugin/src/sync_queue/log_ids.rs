//! [`LogIds`]: the ids under which secondaries keep this log's positions. It is
//! the log's own, unless a copy of the log has claimed that on a secondary.

use super::{
    QueueError,
    store::{Store, WriteBatch},
};
use parking_lot::Mutex;
use std::collections::BTreeMap;

const PREFIX: &str = "log_id/";

fn storage_key(secondary: &str) -> String {
    format!("{PREFIX}{secondary}")
}

/// A random id.
pub(super) fn new_id() -> String {
    std::iter::repeat_with(fastrand::alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .take(20)
        .collect()
}

/// The ids that are not the log's own, by secondary.
#[derive(Default)]
pub(super) struct LogIds {
    ids: Mutex<BTreeMap<String, String>>,
}

impl LogIds {
    /// The id by which that secondary knows the log, if it is not the log's own.
    pub(super) fn get(&self, secondary: &str) -> Option<String> {
        self.ids.lock().get(secondary).cloned()
    }

    /// Loads the ids of a store that this process has not used before.
    pub(super) fn load(&self, store: &Store, secondaries: &[String]) -> Result<(), QueueError> {
        let mut ids = self.ids.lock();
        ids.clear();
        for secondary in secondaries {
            if let Some(id) = stored(store, secondary)? {
                ids.insert(secondary.clone(), id);
            }
        }
        Ok(())
    }

    /// Adds those in memory to a store that is opened again; it may have replaced a
    /// corrupt one.
    pub(super) fn save(&self, batch: &mut WriteBatch<'_>) {
        for (secondary, id) in &*self.ids.lock() {
            Self::set(batch, secondary, id);
        }
    }

    /// Stores an id.
    pub(super) fn set(batch: &mut WriteBatch<'_>, secondary: &str, id: &str) {
        batch.insert_state(storage_key(secondary), id);
    }

    /// Uses an id that was stored.
    pub(super) fn install(&self, secondary: &str, id: String) {
        self.ids.lock().insert(secondary.to_owned(), id);
    }

    /// Removes the ids of secondaries that are no longer configured.
    pub(super) fn remove_unconfigured(
        batch: &mut WriteBatch<'_>,
        secondaries: &[String],
    ) -> Result<(), QueueError> {
        let keep: Vec<String> = secondaries.iter().map(|name| storage_key(name)).collect();
        batch.retain_state(PREFIX, |key| {
            keep.iter().any(|kept| *key == *kept.as_bytes())
        })
    }
}

fn stored(store: &Store, secondary: &str) -> Result<Option<String>, QueueError> {
    let stored = store.state.get(storage_key(secondary))?;
    stored
        .map(|id| String::from_utf8(id.to_vec()))
        .transpose()
        .map_err(|_| QueueError::Corrupt("the log id is not text"))
}
