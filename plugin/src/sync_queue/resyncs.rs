//! [`ResyncStore`]: resync requests, the tables that a secondary needs copied from
//! the primary.
//!
//! A request has a cursor: where the copy has come to. It continues there after a
//! restart.

use super::{
    QueueError,
    log_row::TrackedLogRow,
    store::{StoreHandle, WriteBatch},
};
use crate::{dedup::Key, self_healing::off_the_runtime};
use parking_lot::{Mutex, MutexGuard};
use plugin_api::value::{RecordId, Value};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Stands for every replicated table, and is replaced by their names when the
/// scan begins.
pub const EVERY_TABLE: &str = "*";

const PREFIX: &str = "resync/";

/// A table that a secondary needs copied.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResyncRequest {
    /// The table; `*` for every one.
    pub table: String,
    /// Why, for the operator.
    pub reason: String,
    /// The last row that was copied.
    pub cursor: Option<RecordId>,
    /// Rows scanned so far.
    pub scanned: u64,
    /// Distinguishes it from a later request for the same table.
    #[serde(skip)]
    pub(crate) made: u64,
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

/// A request as stored; the cursor in the form of a key, which has all ids.
#[derive(Serialize, Deserialize)]
struct StoredRequest {
    table: String,
    reason: String,
    cursor: Option<Vec<u8>>,
    scanned: u64,
    made: u64,
}

/// By secondary and table.
type Requests = BTreeMap<(String, String), ResyncRequest>;

/// The resync requests of all secondaries.
pub(super) struct ResyncStore {
    store: Arc<StoreHandle>,
    log_row: Arc<TrackedLogRow>,
    /// Requests that could not be written yet. Locked for moments only.
    unwritten: Mutex<Requests>,
    /// Held for every change of a stored request. The disk may keep it waiting.
    changes: Mutex<()>,
}

impl ResyncStore {
    pub(super) fn new(store: Arc<StoreHandle>, log_row: Arc<TrackedLogRow>) -> Self {
        Self {
            store,
            log_row,
            unwritten: Mutex::default(),
            changes: Mutex::default(),
        }
    }

    pub(super) fn request(&self, secondary: &str, table: &str, reason: &str) {
        let request = ResyncRequest::new(table, reason);
        let place = (secondary.to_owned(), table.to_owned());
        off_the_runtime(|| {
            let written = {
                let _changing = self.changes.lock();
                self.write(secondary, &request).inspect(|()| {
                    self.unwritten.lock().remove(&place);
                })
            };
            // From here on the disk or the primary may take long, and nobody who
            // looks at the requests waits for it.
            if let Err(error) = written.and_then(|()| self.store.make_durable()) {
                if self.unwritten.lock().insert(place, request).is_none() {
                    tracing::error!(
                        %error, %secondary, %table, %reason,
                        "a resync request could not be written to the queue store; it is kept in \
                         memory until the store is available again"
                    );
                }
                self.log_row.set_dirty();
            }
        });
    }

    /// Writes a request. [`StoreHandle::make_durable`] has to follow.
    fn write(&self, secondary: &str, request: &ResyncRequest) -> Result<(), QueueError> {
        let key = storage_key(secondary, &request.table);
        self.store
            .commit_undurably(|batch| batch.insert_state(key, encode(request)))
    }

    /// Writes the requests that are in memory.
    fn write_all(&self, _changing: &MutexGuard<'_, ()>) {
        let waiting = self.unwritten.lock().clone();
        for (place, request) in waiting {
            if self.write(&place.0, &request).is_err() {
                return;
            }
            let mut unwritten = self.unwritten.lock();
            if unwritten.get(&place) == Some(&request) {
                unwritten.remove(&place);
            }
        }
    }

    /// Writes the requests that are in memory. True if none is left there.
    pub(super) fn flush(&self) -> bool {
        if !self.all_written() {
            self.write_all(&self.changes.lock());
        }
        self.all_written()
    }

    /// True if no request is in memory alone.
    pub(super) fn all_written(&self) -> bool {
        self.unwritten.lock().is_empty()
    }

    pub(super) fn requests(&self, secondary: &str) -> Result<Vec<ResyncRequest>, QueueError> {
        if !self.all_written()
            && let Some(changing) = self.changes.try_lock()
        {
            self.write_all(&changing);
        }
        // Before the store: one that is written meanwhile is in both then.
        let unwritten = self.unwritten.lock().clone();
        let written = self.store.with(|store| {
            store
                .state
                .prefix(prefix(secondary))
                .map(|entry| {
                    let value = entry.value()?;
                    decode(&value).ok_or(QueueError::Corrupt("a resync request cannot be decoded"))
                })
                .collect::<Result<Vec<ResyncRequest>, _>>()
        });
        let mut requests = match written {
            Err(_) if !unwritten.is_empty() => Vec::new(),
            written => written?,
        };
        // A request in memory is the newer one.
        let in_memory = unwritten
            .iter()
            .filter(|((name, _), _)| name == secondary)
            .map(|(_, request)| request);
        for request in in_memory {
            requests.retain(|written| written.table != request.table);
            requests.push(request.clone());
        }
        Ok(requests)
    }

    /// True if the request is still the stored one, neither cleared nor made
    /// again.
    fn is_current(&self, secondary: &str, request: &ResyncRequest) -> Result<bool, QueueError> {
        let key = storage_key(secondary, &request.table);
        let written = self.store.with(|store| Ok(store.state.get(key)?))?;
        Ok(written
            .and_then(|bytes| decode(&bytes))
            .is_some_and(|written| written.made == request.made))
    }

    /// Stores how far the scan has come. False if the table has been requested
    /// again meanwhile: then the cursor is not kept.
    pub(super) fn advance(
        &self,
        secondary: &str,
        request: &ResyncRequest,
    ) -> Result<bool, QueueError> {
        let is_current = off_the_runtime(|| {
            let _changing = self.changes.lock();
            let is_current = self.is_current(secondary, request)?;
            if is_current {
                self.write(secondary, request)?;
            }
            Ok::<_, QueueError>(is_current)
        })?;
        self.store.make_durable()?;
        Ok(is_current)
    }

    pub(super) fn clear(&self, secondary: &str, request: &ResyncRequest) -> Result<(), QueueError> {
        off_the_runtime(|| {
            let _changing = self.changes.lock();
            if self.is_current(secondary, request)? {
                let key = storage_key(secondary, &request.table);
                self.store.with(|store| Ok(store.state.remove(key)?))?;
            }
            Ok(())
        })
    }

    /// Removes the requests of secondaries that are no longer configured.
    pub(super) fn remove_unconfigured(
        batch: &mut WriteBatch<'_>,
        secondaries: &[String],
    ) -> Result<(), QueueError> {
        let keep: Vec<String> = secondaries.iter().map(|name| prefix(name)).collect();
        batch.retain_state(PREFIX, |key| {
            keep.iter().any(|kept| key.starts_with(kept.as_bytes()))
        })
    }
}

fn prefix(secondary: &str) -> String {
    format!("{PREFIX}{}/{secondary}/", secondary.len())
}

fn storage_key(secondary: &str, table: &str) -> String {
    format!("{}{table}", prefix(secondary))
}

fn encode(request: &ResyncRequest) -> Vec<u8> {
    let stored = StoredRequest {
        table: request.table.clone(),
        reason: request.reason.clone(),
        cursor: request
            .cursor
            .as_ref()
            .map(|id| Key::of_id(id).as_bytes().to_vec()),
        scanned: request.scanned,
        made: request.made,
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
