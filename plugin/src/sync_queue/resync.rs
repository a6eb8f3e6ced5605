//! Tables that have to be walked and compared with the primary again.

use super::{QueueError, Settles, SyncQueue};
use crate::{dedup::Key, sync_types::SyncOperation};
use plugin_api::value::{RecordId, Value};
use serde::{Deserialize, Serialize};

/// Stands for every replicated table, and is replaced by their names when the
/// walk begins.
pub const EVERY_TABLE: &str = "*";

/// A table that a secondary needs walked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResyncMark {
    /// The table; `*` for every one.
    pub table: String,
    /// Why, for people.
    pub reason: String,
    /// How far the walk is: the last row that it has seen.
    pub cursor: Option<RecordId>,
    /// Rows walked so far.
    pub walked: u64,
}

fn prefix(secondary: &str) -> String {
    format!("resync/{}/{secondary}/", secondary.len())
}

fn mark_key(secondary: &str, table: &str) -> String {
    format!("{}{table}", prefix(secondary))
}

/// A mark as stored; the cursor in the form of a key, which has all ids.
#[derive(Serialize, Deserialize)]
struct Stored {
    table: String,
    reason: String,
    cursor: Option<Vec<u8>>,
    walked: u64,
}

fn encode(mark: &ResyncMark) -> Vec<u8> {
    let stored = Stored {
        table: mark.table.clone(),
        reason: mark.reason.clone(),
        cursor: mark
            .cursor
            .as_ref()
            .map(|id| Key::of_id(id).as_bytes().to_vec()),
        walked: mark.walked,
    };
    // A struct of strings and numbers always serialises.
    postcard::to_allocvec(&stored).unwrap_or_default()
}

fn decode(bytes: &[u8]) -> Option<ResyncMark> {
    let stored: Stored = postcard::from_bytes(bytes).ok()?;
    let cursor = match stored.cursor {
        Some(bytes) => match Key::from_bytes(&bytes)?.parts().1.first()? {
            Value::RecordId(id) => Some((**id).clone()),
            _ => return None,
        },
        None => None,
    };
    Some(ResyncMark {
        table: stored.table,
        reason: stored.reason,
        cursor,
        walked: stored.walked,
    })
}

impl ResyncMark {
    fn new(table: &str, reason: &str) -> Self {
        Self {
            table: table.to_owned(),
            reason: reason.to_owned(),
            cursor: None,
            walked: 0,
        }
    }
}

impl SyncQueue {
    /// Marks a table of a secondary for resync. If nothing can be written the
    /// mark is kept in memory until it can.
    pub fn mark_resync(&self, secondary: &str, table: &str, reason: &str) {
        let mark = ResyncMark::new(table, reason);
        let written = self.with_store(|store| {
            Ok(store
                .state
                .insert(mark_key(secondary, table), encode(&mark))?)
        });
        if let Err(error) = written {
            tracing::error!(%error, %secondary, %table, "a resync mark is in memory only");
            self.unwritten_marks
                .lock()
                .insert((secondary.to_owned(), table.to_owned()), mark.reason);
        }
        self.wake();
    }

    /// What is marked for a secondary.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn resync_marks(&self, secondary: &str) -> Result<Vec<ResyncMark>, QueueError> {
        self.write_marks();
        let mut marks = self.with_store(|store| {
            store
                .state
                .prefix(prefix(secondary))
                .map(|entry| {
                    let value = entry.value()?;
                    decode(&value).ok_or(QueueError::Damaged("a resync mark makes no sense"))
                })
                .collect::<Result<Vec<ResyncMark>, _>>()
        })?;
        let unwritten = self.unwritten_marks.lock();
        marks.extend(
            unwritten
                .iter()
                .filter(|((name, _), _)| name == secondary)
                .map(|((_, table), reason)| ResyncMark::new(table, reason)),
        );
        Ok(marks)
    }

    /// Writes the marks that are in memory only, if that works again.
    fn write_marks(&self) {
        let mut unwritten = self.unwritten_marks.lock();
        unwritten.retain(|(secondary, table), reason| {
            let mark = ResyncMark::new(table, reason);
            self.with_store(|store| {
                Ok(store
                    .state
                    .insert(mark_key(secondary, table), encode(&mark))?)
            })
            .is_err()
        });
    }

    /// Appends the refreshes of one page of a walk and moves its cursor.
    ///
    /// # Errors
    /// If the log cannot take them; the page is walked again later.
    pub fn walk_page(
        &self,
        secondary: &str,
        refreshes: &[SyncOperation],
        mark: &ResyncMark,
    ) -> Result<(), QueueError> {
        self.append(refreshes, Settles::Nothing)?;
        // A process killed in between walks the page twice: that is harmless.
        self.with_store(|store| {
            Ok(store
                .state
                .insert(mark_key(secondary, &mark.table), encode(mark))?)
        })
    }

    /// Takes a mark off: its table has been walked.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn clear_resync(&self, secondary: &str, table: &str) -> Result<(), QueueError> {
        self.unwritten_marks
            .lock()
            .remove(&(secondary.to_owned(), table.to_owned()));
        self.with_store(|store| Ok(store.state.remove(mark_key(secondary, table))?))
    }

    /// Has this log ever fed that secondary?
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn has_fed(&self, secondary: &str) -> Result<bool, QueueError> {
        self.with_store(|store| Ok(store.state.contains_key(format!("fed/{secondary}"))?))
    }

    /// Notes that this log feeds that secondary from now on.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn set_fed(&self, secondary: &str) -> Result<(), QueueError> {
        self.with_store(|store| Ok(store.state.insert(format!("fed/{secondary}"), "")?))
    }
}
