//! Writes that are under way.
//!
//! Between the primary's commit and the append to the log a killed process
//! would leave a row that no secondary hears of. So a write announces itself
//! first; the append ends the announcement in the same batch, and one that is
//! found at the next start says what to look at again.

use super::{QueueError, SyncQueue};
use crate::{dedup::Key, fail_points};
use std::sync::atomic::Ordering;

const PREFIX: &str = "intent/";

/// The announcement of one write.
#[derive(Debug)]
pub struct Intent {
    number: u64,
    table: String,
    key: Option<Key>,
}

impl Intent {
    pub(super) fn key(&self) -> String {
        format!("{PREFIX}{:020}", self.number)
    }

    /// The table that is written.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The order key that is written; none if the primary makes it up, or if
    /// there are several.
    pub fn known_key(&self) -> Option<&Key> {
        self.key.as_ref()
    }
}

impl SyncQueue {
    /// Announces a write.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn begin(&self, table: &str, key: Option<Key>) -> Result<Intent, QueueError> {
        fail_points::pass("before_intent");
        let intent = Intent {
            number: self.next_intent.fetch_add(1, Ordering::Relaxed),
            table: table.to_owned(),
            key,
        };
        let key = intent.key.as_ref().map_or(&[][..], |key| key.as_bytes());
        let mut value = Vec::with_capacity(2 + table.len() + key.len());
        value.extend(u16::try_from(table.len()).unwrap_or(u16::MAX).to_be_bytes());
        value.extend(table.as_bytes());
        value.extend(key);
        self.with_store(|store| Ok(store.state.insert(intent.key(), value)?))?;
        Ok(intent)
    }

    /// Takes an announcement back: nothing was written.
    pub fn cancel(&self, intent: &Intent) {
        // One that stays causes a needless refresh at the next start, no more.
        if let Err(error) = self.with_store(|store| Ok(store.state.remove(intent.key())?)) {
            tracing::debug!(%error, "an intent could not be removed");
        }
    }

    /// The announcements that a former process left.
    pub(super) fn open_intents(&self) -> Result<Vec<Intent>, QueueError> {
        let intents = self.with_store(|store| {
            store
                .state
                .prefix(PREFIX)
                .map(|entry| {
                    let (key, value) = entry.into_inner()?;
                    parse(&key, &value).ok_or(QueueError::Damaged("an intent makes no sense"))
                })
                .collect::<Result<Vec<_>, _>>()
        })?;
        if let Some(last) = intents.last() {
            self.next_intent.fetch_max(last.number + 1, Ordering::Relaxed);
        }
        Ok(intents)
    }
}

fn parse(key: &[u8], value: &[u8]) -> Option<Intent> {
    let number = std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?;
    let (length, rest) = value.split_at_checked(2)?;
    let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
    let (table, key) = rest.split_at_checked(length)?;
    Some(Intent {
        number: number.parse().ok()?,
        table: String::from_utf8(table.to_vec()).ok()?,
        key: if key.is_empty() {
            None
        } else {
            Some(Key::from_bytes(key)?)
        },
    })
}
