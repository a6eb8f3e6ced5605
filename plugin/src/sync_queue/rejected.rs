//! Operations that a secondary has refused: those that wait for their retry,
//! and those that have had all of theirs, the dead letters.
//!
//! One of each key and secondary at most: what counts is the key's present
//! state, and trying again is a refresh.

use super::{QueueError, SyncQueue, store::Store};
use crate::{dedup::Key, sync_types::SyncOperation};
use fjall::OwnedWriteBatch as WriteBatch;
use plugin_api::value::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::atomic::Ordering;

/// An operation that waits for its retry.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// What it was ordered by.
    pub key: Key,
    /// How often the secondary has refused it.
    pub retry_count: u32,
    /// When it is tried again.
    pub due: Timestamp,
}

/// An operation that the secondary refused for good.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeadLetter {
    /// Its name for replaying and discarding.
    pub id: String,
    /// The table.
    pub table: String,
    /// Its key, for people.
    pub key: String,
    /// How often it was tried.
    pub retry_count: u32,
    /// Why it was refused, the last time.
    pub last_error: String,
    /// When the write happened.
    pub timestamp: Timestamp,
    /// When it was given up.
    pub failed_at: Timestamp,
}

/// A refused operation as stored, under its secondary and its name.
#[derive(Serialize, Deserialize)]
struct StoredRejection {
    key: Vec<u8>,
    retry_count: u32,
    last_error: String,
    timestamp: (i64, u32),
    /// When it is tried again, or when it was given up.
    at: (i64, u32),
    dead: bool,
}

fn time((seconds, nanos): (i64, u32)) -> Timestamp {
    Timestamp { seconds, nanos }
}

fn prefix(secondary: &str) -> Vec<u8> {
    let mut prefix = vec![u8::try_from(secondary.len()).unwrap_or(u8::MAX)];
    prefix.extend_from_slice(secondary.as_bytes());
    prefix
}

fn entry_key(secondary: &str, key: &Key) -> Vec<u8> {
    let mut entry = prefix(secondary);
    entry.extend_from_slice(letter_id(key).as_bytes());
    entry
}

/// Removes what secondaries have refused that are no longer configured.
pub(super) fn remove_unconfigured(
    store: &Store,
    batch: &mut WriteBatch,
    secondaries: &[String],
) -> Result<(), QueueError> {
    let kept: Vec<Vec<u8>> = secondaries.iter().map(|name| prefix(name)).collect();
    for entry in store.refused.iter() {
        let key = entry.key()?;
        if !kept.iter().any(|kept| key.starts_with(kept)) {
            batch.remove(&store.refused, key);
        }
    }
    Ok(())
}

/// A short, stable name for a key: half of its digest.
fn letter_id(key: &Key) -> String {
    let digest = Sha256::digest(key.as_bytes());
    digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl SyncQueue {
    /// Notes that `secondary` refused `operation`: until `due` it waits for a
    /// retry, without `due` it is a dead letter.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn reject(
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
        let entry = entry_key(secondary, &operation.key);
        self.rejected_somewhere.store(true, Ordering::Release);
        let _refusing = self.rejecting.lock();
        // The secondary passes the operation: nobody else remembers it.
        self.commit(|store, batch| batch.insert(&store.refused, entry, bytes))
    }

    /// May there be refused operations? False is certain, and cheap.
    pub fn may_have_rejected(&self) -> bool {
        self.rejected_somewhere.load(Ordering::Acquire)
    }

    fn refused(&self, secondary: &str) -> Result<Vec<(Key, StoredRejection)>, QueueError> {
        let prefix = prefix(secondary);
        self.with_store(|store| {
            store
                .refused
                .prefix(&prefix)
                .map(|entry| {
                    let value = entry.value()?;
                    postcard::from_bytes(&value)
                        .ok()
                        .and_then(|stored: StoredRejection| {
                            Some((Key::from_bytes(&stored.key)?, stored))
                        })
                        .ok_or(QueueError::Damaged("a refused operation makes no sense"))
                })
                .collect()
        })
    }

    /// What waits for its retry.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn retries(&self, secondary: &str) -> Result<Vec<Retry>, QueueError> {
        Ok(self
            .refused(secondary)?
            .into_iter()
            .filter(|(_, stored)| !stored.dead)
            .map(|(key, stored)| Retry {
                key,
                retry_count: stored.retry_count,
                due: time(stored.at),
            })
            .collect())
    }

    /// The dead letters of a secondary.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn dead_letters(&self, secondary: &str) -> Result<Vec<DeadLetter>, QueueError> {
        Ok(self
            .refused(secondary)?
            .into_iter()
            .filter(|(_, stored)| stored.dead)
            .map(|(key, stored)| DeadLetter {
                id: letter_id(&key),
                table: key.parts().0,
                key: key.to_string(),
                retry_count: stored.retry_count,
                last_error: stored.last_error,
                timestamp: time(stored.timestamp),
                failed_at: time(stored.at),
            })
            .collect())
    }

    /// How many operations wait for their retry, and how many are dead letters.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn count_rejected(&self, secondary: &str) -> Result<(usize, usize), QueueError> {
        let refused = self.refused(secondary)?;
        let dead = refused.iter().filter(|(_, stored)| stored.dead).count();
        Ok((refused.len() - dead, dead))
    }

    /// Queues a refresh for a key that was refused. It keeps its count of
    /// retries if it has not had all of them.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn retry(&self, secondary: &str, key: &Key) -> Result<(), QueueError> {
        let entry = entry_key(secondary, key);
        let Some(bytes) = self.with_store(|store| Ok(store.refused.get(&entry)?))? else {
            return Ok(());
        };
        let stored: StoredRejection = postcard::from_bytes(&bytes)
            .map_err(|_| QueueError::Damaged("a refused operation makes no sense"))?;
        let mut refresh = SyncOperation::refresh(key.clone()).only_for(secondary);
        // It is as old as the write.
        refresh.timestamp = time(stored.timestamp);
        if !stored.dead {
            refresh.retry_count = stored.retry_count;
            refresh.last_error = Some(stored.last_error);
        }
        // In one step: the refresh may be applied at once, and refused again.
        self.append_with(&[refresh], |store, batch| {
            batch.remove(&store.refused, entry);
        })
    }

    /// Forgets that a key was refused: a newer write of it has gone through.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn resolve(&self, secondary: &str, key: &Key) -> Result<(), QueueError> {
        let entry = entry_key(secondary, key);
        self.with_store(|store| {
            // Most keys were never refused: looking costs less than removing.
            if store.refused.contains_key(&entry)? {
                store.refused.remove(entry)?;
            }
            Ok(())
        })
    }

    /// Queues the dead letters of these ids again; all of them for none given.
    /// Returns how many.
    ///
    /// # Errors
    /// If the log cannot be read or written.
    pub fn replay(&self, secondary: &str, ids: &[String]) -> Result<usize, QueueError> {
        self.each_dead(secondary, ids, |key| {
            self.retry(secondary, key)?;
            Ok(true)
        })
    }

    /// Drops the dead letters of these ids; all of them for none given.
    /// Returns how many.
    ///
    /// # Errors
    /// If the log cannot be read or written.
    pub fn discard(&self, secondary: &str, ids: &[String]) -> Result<usize, QueueError> {
        self.each_dead(secondary, ids, |key| self.drop_dead(secondary, key))
    }

    /// Drops a dead letter. False if it is none any more: a newer write of its
    /// key was refused since, and waits for its retry.
    pub(super) fn drop_dead(&self, secondary: &str, key: &Key) -> Result<bool, QueueError> {
        let entry = entry_key(secondary, key);
        let _refusing = self.rejecting.lock();
        self.with_store(|store| {
            let stored = store.refused.get(&entry)?;
            let is_dead = stored
                .and_then(|bytes| postcard::from_bytes(&bytes).ok())
                .is_some_and(|stored: StoredRejection| stored.dead);
            if is_dead {
                store.refused.remove(entry)?;
            }
            Ok(is_dead)
        })
    }

    /// Does something with each of the dead letters. Returns with how many it
    /// was done.
    pub(super) fn each_dead(
        &self,
        secondary: &str,
        ids: &[String],
        mut act: impl FnMut(&Key) -> Result<bool, QueueError>,
    ) -> Result<usize, QueueError> {
        let chosen: Vec<Key> = self
            .refused(secondary)?
            .into_iter()
            .filter(|(key, stored)| {
                stored.dead && (ids.is_empty() || ids.contains(&letter_id(key)))
            })
            .map(|(key, _)| key)
            .collect();
        let mut done = 0;
        for key in &chosen {
            done += usize::from(act(key)?);
        }
        Ok(done)
    }
}
