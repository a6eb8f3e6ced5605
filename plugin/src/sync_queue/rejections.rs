//! [`RejectionStore`]: operations that a secondary has rejected. They wait for a
//! retry, or are dead letters once their retries are used up.
//!
//! There is at most one for each key and secondary: what counts is the key's
//! present state, and a retry is a refresh.

use super::{
    QueueError,
    store::{Store, StoreHandle, WriteBatch},
};
use crate::{dedup::Key, sync_types::SyncOperation};
use parking_lot::Mutex;
use plugin_api::value::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// An operation that waits for its retry.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Its order key.
    pub key: Key,
    /// How often the secondary has rejected it.
    pub retry_count: u32,
    /// When it is tried again.
    pub due: Timestamp,
}

/// An operation that the secondary rejected for good.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeadLetter {
    /// Its id, by which it is replayed or discarded.
    pub id: String,
    /// The table.
    pub table: String,
    /// Its order key, in readable form.
    pub key: String,
    /// How often it was tried.
    pub retry_count: u32,
    /// Why it was rejected the last time.
    pub last_error: String,
    /// When the write happened.
    pub timestamp: Timestamp,
    /// When it became a dead letter.
    pub failed_at: Timestamp,
}

/// A rejected operation as stored, under its secondary and its id.
#[derive(Serialize, Deserialize)]
struct StoredRejection {
    key: Vec<u8>,
    retry_count: u32,
    last_error: String,
    timestamp: (i64, u32),
    /// When it is tried again, or when it became a dead letter.
    at: (i64, u32),
    dead: bool,
}

/// The rejected operations of all secondaries.
pub(super) struct RejectionStore {
    store: Arc<StoreHandle>,
    /// False while no secondary has rejected anything, which saves every lookup.
    may_have_any: AtomicBool,
    /// Held to store a rejection, and to discard one after checking it.
    changing: Mutex<()>,
}

impl RejectionStore {
    pub(super) fn new(store: Arc<StoreHandle>) -> Self {
        Self {
            store,
            may_have_any: AtomicBool::new(false),
            changing: Mutex::default(),
        }
    }

    pub(super) fn reject(
        &self,
        secondary: &str,
        operation: &SyncOperation,
        due: Option<Timestamp>,
    ) -> Result<(), QueueError> {
        let at = due.unwrap_or_else(Timestamp::now);
        let stored = StoredRejection {
            key: operation.key.as_bytes().to_vec(),
            retry_count: operation.retry_count,
            last_error: operation.last_error.clone().unwrap_or_default(),
            timestamp: (operation.timestamp.seconds, operation.timestamp.nanos),
            at: (at.seconds, at.nanos),
            dead: due.is_none(),
        };
        let bytes = postcard::to_allocvec(&stored).unwrap_or_default();
        let entry = storage_key(secondary, &operation.key);
        self.may_have_any.store(true, Ordering::Release);
        let _changing = self.changing.lock();
        // As durable as the log: once the secondary has passed the operation,
        // nothing else has it.
        self.store
            .commit(|batch| batch.insert(&batch.store.rejected, entry, bytes))
    }

    pub(super) fn may_have_any(&self) -> bool {
        self.may_have_any.load(Ordering::Acquire)
    }

    /// Publishes whether the store has any.
    pub(super) fn install(&self, has_any: bool) {
        self.may_have_any.store(has_any, Ordering::Release);
    }

    /// True if the store has no rejected operation.
    pub(super) fn is_empty(store: &Store) -> Result<bool, QueueError> {
        Ok(store.rejected.is_empty()?)
    }

    fn all_of(&self, secondary: &str) -> Result<Vec<(Key, StoredRejection)>, QueueError> {
        let prefix = prefix(secondary);
        self.store.with(|store| {
            store
                .rejected
                .prefix(&prefix)
                .map(|entry| {
                    let stored = decode(&entry.value()?)?;
                    let key = Key::from_bytes(&stored.key).ok_or(UNDECODABLE)?;
                    Ok((key, stored))
                })
                .collect()
        })
    }

    pub(super) fn retries(&self, secondary: &str) -> Result<Vec<Retry>, QueueError> {
        Ok(self
            .all_of(secondary)?
            .into_iter()
            .filter(|(_, stored)| !stored.dead)
            .map(|(key, stored)| Retry {
                key,
                retry_count: stored.retry_count,
                due: time(stored.at),
            })
            .collect())
    }

    pub(super) fn dead_letters(&self, secondary: &str) -> Result<Vec<DeadLetter>, QueueError> {
        Ok(self
            .all_of(secondary)?
            .into_iter()
            .filter(|(_, stored)| stored.dead)
            .map(|(key, stored)| DeadLetter {
                id: dead_letter_id(&key),
                table: key.parts().0,
                key: key.to_string(),
                retry_count: stored.retry_count,
                last_error: stored.last_error,
                timestamp: time(stored.timestamp),
                failed_at: time(stored.at),
            })
            .collect())
    }

    pub(super) fn count(&self, secondary: &str) -> Result<(usize, usize), QueueError> {
        let all = self.all_of(secondary)?;
        let dead = all.iter().filter(|(_, stored)| stored.dead).count();
        Ok((all.len() - dead, dead))
    }

    /// The refresh that retries a rejected key; `None` if it is not rejected.
    pub(super) fn refresh_for(
        &self,
        secondary: &str,
        key: &Key,
    ) -> Result<Option<SyncOperation>, QueueError> {
        let entry = storage_key(secondary, key);
        let Some(bytes) = self.store.with(|store| Ok(store.rejected.get(&entry)?))? else {
            return Ok(None);
        };
        let stored = decode(&bytes)?;
        let mut refresh = SyncOperation::refresh(key.clone()).only_for(secondary);
        // As old as the write.
        refresh.timestamp = time(stored.timestamp);
        if !stored.dead {
            refresh.retry_count = stored.retry_count;
            refresh.last_error = Some(stored.last_error);
        }
        Ok(Some(refresh))
    }

    /// Adds the removal of a rejection to a batch.
    pub(super) fn remove(batch: &mut WriteBatch<'_>, secondary: &str, key: &Key) {
        batch.remove(&batch.store.rejected, storage_key(secondary, key));
    }

    pub(super) fn resolve(&self, secondary: &str, key: &Key) -> Result<(), QueueError> {
        let entry = storage_key(secondary, key);
        self.store.with(|store| {
            // Most keys were never rejected: a lookup costs less than a removal.
            if store.rejected.contains_key(&entry)? {
                store.rejected.remove(entry)?;
            }
            Ok(())
        })
    }

    /// Discards a dead letter. False if it no longer is one: a newer write of
    /// its key was rejected since, and waits for its retry.
    pub(super) fn discard(&self, secondary: &str, key: &Key) -> Result<bool, QueueError> {
        let entry = storage_key(secondary, key);
        let _changing = self.changing.lock();
        self.store.with(|store| {
            let stored = store.rejected.get(&entry)?;
            let is_dead = stored
                .and_then(|bytes| postcard::from_bytes(&bytes).ok())
                .is_some_and(|stored: StoredRejection| stored.dead);
            if is_dead {
                store.rejected.remove(entry)?;
            }
            Ok(is_dead)
        })
    }

    /// Calls `act` with the key of each dead letter of these ids; of all for no
    /// ids. Returns how often it returned true.
    pub(super) fn for_each_dead_letter(
        &self,
        secondary: &str,
        ids: &[String],
        mut act: impl FnMut(&Key) -> Result<bool, QueueError>,
    ) -> Result<usize, QueueError> {
        let chosen: Vec<Key> = self
            .all_of(secondary)?
            .into_iter()
            .filter(|(key, stored)| {
                stored.dead && (ids.is_empty() || ids.contains(&dead_letter_id(key)))
            })
            .map(|(key, _)| key)
            .collect();
        let mut done = 0;
        for key in &chosen {
            done += usize::from(act(key)?);
        }
        Ok(done)
    }

    /// Removes the rejections of secondaries that are no longer configured.
    pub(super) fn remove_unconfigured(
        batch: &mut WriteBatch<'_>,
        secondaries: &[String],
    ) -> Result<(), QueueError> {
        let kept: Vec<Vec<u8>> = secondaries.iter().map(|name| prefix(name)).collect();
        for entry in batch.store.rejected.iter() {
            let key = entry.key()?;
            if !kept.iter().any(|kept| key.starts_with(kept)) {
                batch.remove(&batch.store.rejected, key);
            }
        }
        Ok(())
    }
}

const UNDECODABLE: QueueError = QueueError::Corrupt("a rejected operation cannot be decoded");

fn decode(bytes: &[u8]) -> Result<StoredRejection, QueueError> {
    postcard::from_bytes(bytes).map_err(|_| UNDECODABLE)
}

fn time((seconds, nanos): (i64, u32)) -> Timestamp {
    Timestamp { seconds, nanos }
}

fn prefix(secondary: &str) -> Vec<u8> {
    let mut prefix = vec![u8::try_from(secondary.len()).unwrap_or(u8::MAX)];
    prefix.extend_from_slice(secondary.as_bytes());
    prefix
}

fn storage_key(secondary: &str, key: &Key) -> Vec<u8> {
    let mut entry = prefix(secondary);
    entry.extend_from_slice(dead_letter_id(key).as_bytes());
    entry
}

/// A short, stable name for a key: half of its digest.
fn dead_letter_id(key: &Key) -> String {
    let digest = Sha256::digest(key.as_bytes());
    digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
