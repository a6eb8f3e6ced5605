//! [`IntentStore`]: writes in progress.
//!
//! If the process were killed between the primary's commit and the append to the
//! log, a row would be left that no secondary gets. So a write stores an intent
//! first. The append removes it in the same batch, and an intent that is found
//! at the next start says which rows to refresh.

use super::{
    QueueError,
    store::{Store, StoreHandle, WriteBatch},
};
use crate::dedup::Key;
use serde::{Deserialize, Serialize};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

const PREFIX: &str = "intent/";

/// The intent of one write.
#[derive(Clone, Debug)]
pub struct Intent {
    number: u64,
    table: String,
    keys: Vec<Key>,
}

/// An intent as stored.
#[derive(Serialize, Deserialize)]
struct StoredIntent {
    table: String,
    keys: Vec<Vec<u8>>,
}

impl Intent {
    fn storage_key(&self) -> String {
        format!("{PREFIX}{:020}", self.number)
    }

    /// The table that is written.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The order keys that are written; empty if the primary generates the key.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }
}

/// The intents of all writes in progress.
pub(super) struct IntentStore {
    store: Arc<StoreHandle>,
    next_number: AtomicU64,
}

impl IntentStore {
    pub(super) fn new(store: Arc<StoreHandle>) -> Self {
        Self {
            store,
            next_number: AtomicU64::new(1),
        }
    }

    pub(super) fn begin(&self, table: &str, keys: Vec<Key>) -> Result<Intent, QueueError> {
        let stored = StoredIntent {
            table: table.to_owned(),
            keys: keys.iter().map(|key| key.as_bytes().to_vec()).collect(),
        };
        // A struct of strings and bytes always serialises.
        let value = postcard::to_allocvec(&stored).unwrap_or_default();
        let intent = Intent {
            number: self.next_number.fetch_add(1, Ordering::Relaxed),
            table: stored.table,
            keys,
        };
        self.store
            .commit(|batch| batch.insert_state(intent.storage_key(), value))?;
        Ok(intent)
    }

    pub(super) fn cancel(&self, intent: &Intent) {
        let removed = self
            .store
            .with(|store| Ok(store.state.remove(intent.storage_key())?));
        // An intent that is left causes a needless refresh at the next start,
        // no more.
        if let Err(error) = removed {
            tracing::debug!(%error, "an intent could not be removed");
        }
    }

    /// Adds the removal of an intent to a batch.
    pub(super) fn remove(batch: &mut WriteBatch<'_>, intent: &Intent) {
        batch.remove_state(intent.storage_key());
    }

    /// Continues the numbers after those of a former process.
    pub(super) fn continue_after(&self, intents: &[Intent]) {
        if let Some(last) = intents.last() {
            self.next_number
                .fetch_max(last.number + 1, Ordering::Relaxed);
        }
    }

    /// The stored intents.
    pub(super) fn load(store: &Store) -> Result<Vec<Intent>, QueueError> {
        let intents = store.state.prefix(PREFIX).map(|entry| {
            let (key, value) = entry.into_inner()?;
            parse(&key, &value).ok_or(QueueError::Corrupt("an intent cannot be decoded"))
        });
        intents.collect()
    }
}

fn parse(key: &[u8], value: &[u8]) -> Option<Intent> {
    let number = std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?;
    let stored: StoredIntent = postcard::from_bytes(value).ok()?;
    Some(Intent {
        number: number.parse().ok()?,
        table: stored.table,
        keys: stored
            .keys
            .iter()
            .map(|key| Key::from_bytes(key))
            .collect::<Option<_>>()?,
    })
}
