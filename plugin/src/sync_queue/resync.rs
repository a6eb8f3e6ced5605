//! Tables that have to be scanned and compared with the primary again.

use super::{QueueError, SyncQueue, store::Store};
use crate::{dedup::Key, sync_types::SyncOperation};
use fjall::OwnedWriteBatch as WriteBatch;
use plugin_api::value::{RecordId, Value};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::atomic::Ordering};

/// Stands for every replicated table, and is replaced by their names when the
/// walk begins.
pub const EVERY_TABLE: &str = "*";

/// A table that a secondary needs scanned.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResyncRequest {
    /// The table; `*` for every one.
    pub table: String,
    /// Why, for people.
    pub reason: String,
    /// How far the walk is: the last row that it has seen.
    pub cursor: Option<RecordId>,
    /// Rows scanned so far.
    pub scanned: u64,
    /// Tells it from a mark that is made for the same table later.
    #[serde(skip)]
    pub(crate) made: u64,
}

fn prefix(secondary: &str) -> String {
    format!("resync/{}/{secondary}/", secondary.len())
}

fn bootstrapped_key(secondary: &str) -> String {
    format!("fed/{secondary}")
}

/// Removes the marks of secondaries that are no longer configured. Nothing is
/// left that says that they were bootstrapped either: one that comes back has missed
/// what is removed here.
pub(super) fn remove_unconfigured(
    store: &Store,
    batch: &mut WriteBatch,
    secondaries: &[String],
) -> Result<(), QueueError> {
    let marks: Vec<String> = secondaries.iter().map(|name| prefix(name)).collect();
    let bootstrapped: Vec<String> = secondaries
        .iter()
        .map(|name| bootstrapped_key(name))
        .collect();
    for entry in store.state.prefix("resync/") {
        let key = entry.key()?;
        if !marks.iter().any(|kept| key.starts_with(kept.as_bytes())) {
            batch.remove(&store.state, key);
        }
    }
    for entry in store.state.prefix("fed/") {
        let key = entry.key()?;
        if !bootstrapped.iter().any(|kept| *key == *kept.as_bytes()) {
            batch.remove(&store.state, key);
        }
    }
    Ok(())
}

fn request_key(secondary: &str, table: &str) -> String {
    format!("{}{table}", prefix(secondary))
}

/// A mark as stored; the cursor in the form of a key, which has all ids.
#[derive(Serialize, Deserialize)]
struct StoredRequest {
    table: String,
    reason: String,
    cursor: Option<Vec<u8>>,
    scanned: u64,
    made: u64,
}

fn encode(mark: &ResyncRequest) -> Vec<u8> {
    let stored = StoredRequest {
        table: mark.table.clone(),
        reason: mark.reason.clone(),
        cursor: mark
            .cursor
            .as_ref()
            .map(|id| Key::of_id(id).as_bytes().to_vec()),
        scanned: mark.scanned,
        made: mark.made,
    };
    // A struct of strings and numbers always serialises.
    postcard::to_allocvec(&stored).unwrap_or_default()
}

fn decode(bytes: &[u8]) -> Option<ResyncRequest> {
    let stored: StoredRequest = postcard::from_bytes(bytes).ok()?;
    let cursor = match stored.cursor {
        Some(bytes) => match Key::from_bytes(&bytes)?.parts().1.first()? {
            Value::RecordId(id) => Some((**id).clone()),
            _ => return None,
        },
        None => None,
    };
    Some(ResyncRequest {
        table: stored.table,
        reason: stored.reason,
        cursor,
        scanned: stored.scanned,
        made: stored.made,
    })
}

impl ResyncRequest {
    fn new(table: &str, reason: &str) -> Self {
        Self {
            table: table.to_owned(),
            reason: reason.to_owned(),
            cursor: None,
            scanned: 0,
            made: fastrand::u64(..),
        }
    }
}

impl SyncQueue {
    /// Marks a table of a secondary for resync: a walk of it that is under way is
    /// followed by another. If nothing can be written the mark is kept in memory until
    /// it can.
    pub fn request_resync(&self, secondary: &str, table: &str, reason: &str) {
        let mark = ResyncRequest::new(table, reason);
        let mut unwritten = self.unwritten_requests.lock();
        let place = (secondary.to_owned(), table.to_owned());
        match self.write_request(secondary, &mark) {
            Ok(()) => {
                unwritten.remove(&place);
            }
            Err(error) => {
                if unwritten.insert(place, mark).is_none() {
                    tracing::error!(%error, %secondary, %table, "a resync mark is in memory only");
                }
                self.dirty_flag.set();
            }
        }
        drop(unwritten);
        self.wake();
    }

    /// Marks a table for resync, as [`SyncQueue::request_resync`] does, for every
    /// secondary.
    pub fn request_resync_everywhere(&self, table: &str, reason: &str) {
        for secondary in &self.secondaries {
            self.request_resync(secondary, table, reason);
        }
    }

    fn write_request(&self, secondary: &str, mark: &ResyncRequest) -> Result<(), QueueError> {
        let key = request_key(secondary, &mark.table);
        self.commit(|store, batch| batch.insert(&store.state, key, encode(mark)))
    }

    /// Writes the marks that are in memory. Once all of them are in the log and
    /// on the disk, nothing has to be remembered elsewhere, nor what they were
    /// made for.
    pub(super) fn settle_marks(&self) {
        let mut unwritten = self.unwritten_requests.lock();
        self.write_marks(&mut unwritten);
        let traces = self.has_unresolved_recovery.load(Ordering::Acquire);
        if unwritten.is_empty()
            && (traces || self.dirty_flag.may_be_up())
            && self.with_store(Store::sync).is_ok()
        {
            if traces && self.note_opening().is_ok() {
                self.has_unresolved_recovery.store(false, Ordering::Release);
            }
            self.dirty_flag.clear();
        }
    }

    fn write_marks(&self, unwritten: &mut BTreeMap<(String, String), ResyncRequest>) {
        unwritten.retain(|(secondary, _), mark| self.write_request(secondary, mark).is_err());
    }

    /// What is marked for a secondary.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn resync_requests(&self, secondary: &str) -> Result<Vec<ResyncRequest>, QueueError> {
        let mut unwritten = self.unwritten_requests.lock();
        self.write_marks(&mut unwritten);
        let written = self.with_store(|store| {
            store
                .state
                .prefix(prefix(secondary))
                .map(|entry| {
                    let value = entry.value()?;
                    decode(&value).ok_or(QueueError::Damaged("a resync mark makes no sense"))
                })
                .collect::<Result<Vec<ResyncRequest>, _>>()
        });
        let mut marks = match written {
            Err(_) if !unwritten.is_empty() => Vec::new(),
            written => written?,
        };
        // One in memory is the newer one.
        let waiting = unwritten
            .iter()
            .filter(|((name, _), _)| name == secondary)
            .map(|(_, mark)| mark);
        for mark in waiting {
            marks.retain(|written| written.table != mark.table);
            marks.push(mark.clone());
        }
        Ok(marks)
    }

    /// Is the mark as it was made, rather than gone or made again?
    fn is_current(&self, secondary: &str, mark: &ResyncRequest) -> Result<bool, QueueError> {
        let key = request_key(secondary, &mark.table);
        let written = self.with_store(|store| Ok(store.state.get(key)?))?;
        Ok(written
            .and_then(|bytes| decode(&bytes))
            .is_some_and(|written| written.made == mark.made))
    }

    /// Appends the refreshes of one page of a walk and moves its cursor. False
    /// if the table has been marked again meanwhile: then the cursor is not
    /// kept, and another walk is due after this one.
    ///
    /// # Errors
    /// If the log cannot take them; the page is scanned again later.
    pub fn append_scan_page(
        &self,
        secondary: &str,
        refreshes: &[SyncOperation],
        mark: &ResyncRequest,
    ) -> Result<bool, QueueError> {
        self.append_with(refreshes, |_, _| {})?;
        // A process killed in between walks the page twice: that is harmless.
        let _marking = self.unwritten_requests.lock();
        let current = self.is_current(secondary, mark)?;
        if current {
            self.write_request(secondary, mark)?;
        }
        Ok(current)
    }

    /// Takes a mark off: its table has been scanned. One that was made again
    /// meanwhile stays.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn clear_resync(&self, secondary: &str, mark: &ResyncRequest) -> Result<(), QueueError> {
        let _marking = self.unwritten_requests.lock();
        if self.is_current(secondary, mark)? {
            let key = request_key(secondary, &mark.table);
            self.with_store(|store| Ok(store.state.remove(key)?))?;
        }
        Ok(())
    }

    /// Has this log ever bootstrapped that secondary?
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn is_bootstrapped(&self, secondary: &str) -> Result<bool, QueueError> {
        self.with_store(|store| Ok(store.state.contains_key(bootstrapped_key(secondary))?))
    }

    /// Notes that this log feeds that secondary from now on.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn set_bootstrapped(&self, secondary: &str) -> Result<(), QueueError> {
        self.with_store(|store| Ok(store.state.insert(bootstrapped_key(secondary), "")?))
    }

    /// Has a log that replaces a damaged one of the same id feed everybody: all
    /// of them are marked, which is once enough.
    pub(super) fn set_all_fed(&self, store: &Store) -> Result<(), QueueError> {
        for secondary in &self.secondaries {
            store.state.insert(bootstrapped_key(secondary), "")?;
        }
        Ok(())
    }
}
