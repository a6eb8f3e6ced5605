//! Writes that are under way.
//!
//! Between the primary's commit and the append to the log a killed process
//! would leave a row that no secondary hears of. So a write announces itself
//! first; the append ends the announcement in the same batch, and one that is
//! found at the next start says what to look at again.

use super::{QueueError, SyncQueue, store::Store};
use crate::{dedup::Key, fail_points, sync_types::SyncOperation};
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering;

const PREFIX: &str = "intent/";

/// The announcement of one write.
#[derive(Clone, Debug)]
pub struct Intent {
    number: u64,
    table: String,
    keys: Vec<Key>,
}

/// An announcement as stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    table: String,
    keys: Vec<Vec<u8>>,
}

impl Intent {
    pub(super) fn key(&self) -> String {
        format!("{PREFIX}{:020}", self.number)
    }

    /// The table that is written.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The order keys that are written; empty if the primary makes it up.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }
}

impl SyncQueue {
    /// Announces a write of these order keys; of none if the primary makes the
    /// key up.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn begin(&self, table: &str, keys: Vec<Key>) -> Result<Intent, QueueError> {
        fail_points::pass("before_intent");
        let stored = Stored {
            table: table.to_owned(),
            keys: keys.iter().map(|key| key.as_bytes().to_vec()).collect(),
        };
        // A struct of strings and bytes always serialises.
        let value = postcard::to_allocvec(&stored).unwrap_or_default();
        let intent = Intent {
            number: self.next_intent.fetch_add(1, Ordering::Relaxed),
            table: stored.table,
            keys,
        };
        self.commit(|store, batch| batch.insert(&store.state, intent.key(), value))?;
        Ok(intent)
    }

    /// Ends an announcement whose outcome nobody knows: what it names is
    /// compared with the primary. Rows whose keys are known are refreshed;
    /// otherwise the table is marked for resync.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn schedule_refresh(&self, intent: &Intent, reason: &str) -> Result<(), QueueError> {
        if !intent.keys.is_empty() {
            let refreshes: Vec<_> = intent
                .keys
                .iter()
                .map(|key| SyncOperation::refresh(key.clone()))
                .collect();
            return self.append(&refreshes, Some(intent));
        }
        self.request_resync_everywhere(&intent.table, reason);
        self.cancel(intent);
        Ok(())
    }

    /// Takes an announcement back: nothing was written.
    pub fn cancel(&self, intent: &Intent) {
        // One that stays causes a needless refresh at the next start, no more.
        if let Err(error) = self.with_store(|store| Ok(store.state.remove(intent.key())?)) {
            tracing::debug!(%error, "an intent could not be removed");
        }
    }

    /// Has the numbers go on behind those of a former process.
    pub(super) fn next_intent_after(&self, intents: &[Intent]) {
        if let Some(last) = intents.last() {
            self.next_intent
                .fetch_max(last.number + 1, Ordering::Relaxed);
        }
    }
}

/// The announcements that are in the log.
pub(super) fn open_intents(store: &Store) -> Result<Vec<Intent>, QueueError> {
    let intents = store.state.prefix(PREFIX).map(|entry| {
        let (key, value) = entry.into_inner()?;
        parse(&key, &value).ok_or(QueueError::Damaged("an intent makes no sense"))
    });
    intents.collect()
}

fn parse(key: &[u8], value: &[u8]) -> Option<Intent> {
    let number = std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?;
    let stored: Stored = postcard::from_bytes(value).ok()?;
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
