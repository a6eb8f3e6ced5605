//! [`RejectionStore`]: operations that a secondary has rejected. They wait for a
//! retry, or are dead letters once their retries are used up.
//!
//! There is at most one for each key and secondary: what counts is the key's
//! present state, and a retry is a refresh.
//!
//! Which there are, and when they are due, is kept in memory as an [`index`]; so
//! neither the retries nor the status read the store to find that nothing is to
//! be done.
//!
//! | module | contents |
//! | --- | --- |
//! | [`index`] | the ids of all rejections, the retries by due time, and counts |

mod index;

use super::{
    QueueError,
    store::{Store, StoreHandle, WriteBatch},
};
use crate::{dedup::Key, self_healing::off_the_runtime, sync_types::SyncOperation};
use index::{Entry, Id, Index};
use parking_lot::{Mutex, MutexGuard};
use plugin_api::value::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How many dead letters are handled together.
const PAGE: usize = 500;

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

/// How many operations a secondary has rejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RejectedCount {
    /// Those that wait for their retry.
    pub retries: usize,
    /// Those that were rejected for good.
    pub dead_letters: usize,
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

/// The indexes of all secondaries, by name.
pub(super) type Indexes = BTreeMap<String, Index>;

/// The rejected operations of all secondaries.
pub(super) struct RejectionStore {
    store: Arc<StoreHandle>,
    /// Locked for moments only.
    indexes: Mutex<Indexes>,
    /// False while no secondary has rejected anything, which saves every lookup.
    may_have_any: AtomicBool,
    /// Held for every change, from the commit to the index. The disk may keep it
    /// waiting.
    changes: Mutex<()>,
    /// How many rejections were read from the store.
    #[cfg(test)]
    pub(super) decoded: std::sync::atomic::AtomicU64,
}

impl RejectionStore {
    pub(super) fn new(store: Arc<StoreHandle>) -> Self {
        Self {
            store,
            indexes: Mutex::default(),
            may_have_any: AtomicBool::new(false),
            changes: Mutex::default(),
            #[cfg(test)]
            decoded: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// Runs `work` on the index of a secondary.
    fn index<T>(&self, secondary: &str, work: impl FnOnce(&mut Index) -> T) -> T {
        let mut indexes = self.indexes.lock();
        match indexes.get_mut(secondary) {
            Some(index) => work(index),
            None => work(indexes.entry(secondary.to_owned()).or_default()),
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
        let id = Id::of(&operation.key);
        let key = storage_key(secondary, id);
        let entry = Entry {
            due,
            retry_count: operation.retry_count,
        };
        self.may_have_any.store(true, Ordering::Release);
        off_the_runtime(|| {
            let _changing = self.changes.lock();
            self.store
                .commit_undurably(|batch| batch.insert(&batch.store.rejected, key, bytes))?;
            self.index(secondary, |index| index.insert(id, entry));
            Ok::<_, QueueError>(())
        })?;
        // As durable as the log: once the secondary has passed the operation,
        // nothing else has it.
        self.store.make_durable()
    }

    pub(super) fn may_have_any(&self) -> bool {
        self.may_have_any.load(Ordering::Acquire)
    }

    /// Publishes what the store has.
    pub(super) fn install(&self, indexes: &Indexes) {
        let mut known = self.indexes.lock();
        known.clone_from(indexes);
        let has_any = known.values().any(|index| !index.is_empty());
        self.may_have_any.store(has_any, Ordering::Release);
    }

    /// Reads which rejections the store has.
    pub(super) fn load(store: &Store, secondaries: &[String]) -> Result<Indexes, QueueError> {
        let load = |secondary: &String| {
            let mut index = Index::default();
            let prefix = prefix(secondary);
            for entry in store.rejected.prefix(&prefix) {
                let (key, value) = entry.into_inner()?;
                let id = key.strip_prefix(&*prefix).and_then(Id::from_bytes);
                let stored = decode(&value)?;
                let entry = Entry {
                    due: (!stored.dead).then(|| time(stored.at)),
                    retry_count: stored.retry_count,
                };
                index.insert(id.ok_or(UNDECODABLE)?, entry);
            }
            Ok((secondary.clone(), index))
        };
        secondaries.iter().map(load).collect()
    }

    /// The stored rejection of this id; `None` if there is none.
    fn get(&self, secondary: &str, id: Id) -> Result<Option<(Key, StoredRejection)>, QueueError> {
        let key = storage_key(secondary, id);
        let Some(bytes) = self.store.with(|store| Ok(store.rejected.get(&key)?))? else {
            return Ok(None);
        };
        #[cfg(test)]
        self.decoded.fetch_add(1, Ordering::Relaxed);
        let stored = decode(&bytes)?;
        let key = Key::from_bytes(&stored.key).ok_or(UNDECODABLE)?;
        Ok(Some((key, stored)))
    }

    /// The stored rejections of these ids.
    fn get_all(
        &self,
        secondary: &str,
        ids: Vec<Id>,
    ) -> Result<Vec<(Id, Key, StoredRejection)>, QueueError> {
        let found = ids.into_iter().filter_map(|id| {
            let found = self.get(secondary, id).transpose()?;
            Some(found.map(|(key, stored)| (id, key, stored)))
        });
        found.collect()
    }

    /// The first retries that are due now. `longest_wait` says how long an
    /// operation waits at most that was rejected so often.
    pub(super) fn due_retries(
        &self,
        secondary: &str,
        now: Timestamp,
        longest_wait: impl Fn(u32) -> Duration,
        limit: usize,
    ) -> Result<Vec<Retry>, QueueError> {
        let due = self.index(secondary, |index| index.due(now, longest_wait, limit));
        let retries = self.get_all(secondary, due)?.into_iter();
        Ok(retries
            .filter(|(_, _, stored)| !stored.dead)
            .map(|(_, key, stored)| Retry {
                key,
                retry_count: stored.retry_count,
                due: time(stored.at),
            })
            .collect())
    }

    /// Up to `limit` dead letters with ids after `after`, in the order of their ids.
    pub(super) fn dead_letters(
        &self,
        secondary: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, QueueError> {
        let after = after.and_then(Id::parse);
        let ids = self.index(secondary, |index| index.dead_after(after, limit));
        let letters = self.get_all(secondary, ids)?.into_iter();
        Ok(letters
            .filter(|(_, _, stored)| stored.dead)
            .map(|(id, key, stored)| DeadLetter {
                id: id.to_string(),
                table: key.parts().0,
                key: key.to_string(),
                retry_count: stored.retry_count,
                last_error: stored.last_error,
                timestamp: time(stored.timestamp),
                failed_at: time(stored.at),
            })
            .collect())
    }

    /// When the next retry is due.
    pub(super) fn next_retry(&self, secondary: &str) -> Option<Timestamp> {
        self.index(secondary, |index| index.next_retry())
    }

    pub(super) fn count(&self, secondary: &str) -> RejectedCount {
        self.index(secondary, |index| index.count())
    }

    /// The refresh that retries a rejected key; `None` if it is not rejected.
    pub(super) fn refresh_for(
        &self,
        secondary: &str,
        key: &Key,
    ) -> Result<Option<SyncOperation>, QueueError> {
        let Some((_, stored)) = self.get(secondary, Id::of(key))? else {
            return Ok(None);
        };
        let mut refresh = SyncOperation::refresh(key.clone()).only_for(secondary);
        // As old as the write.
        refresh.timestamp = time(stored.timestamp);
        if !stored.dead {
            refresh.retry_count = stored.retry_count;
            refresh.last_error = Some(stored.last_error);
        }
        Ok(Some(refresh))
    }

    /// Adds the removal of a rejection to a batch. [`Removal::committed`] has to
    /// follow its commit; until then no rejection is changed.
    pub(super) fn remove(
        &self,
        batch: &mut WriteBatch<'_>,
        secondary: &str,
        key: &Key,
    ) -> Removal<'_> {
        let changing = self.changes.lock();
        let id = Id::of(key);
        batch.remove(&batch.store.rejected, storage_key(secondary, id));
        Removal {
            rejections: self,
            secondary: secondary.to_owned(),
            id,
            _changing: changing,
        }
    }

    pub(super) fn resolve(&self, secondary: &str, key: &Key) -> Result<(), QueueError> {
        let id = Id::of(key);
        // Most keys were never rejected: a lookup costs less than a removal.
        if !self.index(secondary, |index| index.contains(id)) {
            return Ok(());
        }
        off_the_runtime(|| {
            let _changing = self.changes.lock();
            self.remove_now(secondary, id)
        })
    }

    fn remove_now(&self, secondary: &str, id: Id) -> Result<(), QueueError> {
        let key = storage_key(secondary, id);
        self.store.with(|store| Ok(store.rejected.remove(key)?))?;
        self.index(secondary, |index| index.remove(id));
        Ok(())
    }

    /// Discards a dead letter. False if it no longer is one: a newer write of
    /// its key was rejected since, and waits for its retry.
    pub(super) fn discard(&self, secondary: &str, key: &Key) -> Result<bool, QueueError> {
        let id = Id::of(key);
        off_the_runtime(|| {
            let _changing = self.changes.lock();
            let is_dead = self.index(secondary, |index| index.is_dead(id));
            if is_dead {
                self.remove_now(secondary, id)?;
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
        let mut done = 0;
        let mut act_on = |chosen: Vec<Id>| {
            for (_, key, stored) in self.get_all(secondary, chosen)? {
                done += usize::from(stored.dead && act(&key)?);
            }
            Ok::<_, QueueError>(())
        };
        if !ids.is_empty() {
            act_on(ids.iter().filter_map(|id| Id::parse(id)).collect())?;
            return Ok(done);
        }
        let mut after = None;
        loop {
            let page = self.index(secondary, |index| index.dead_after(after, PAGE));
            let Some(last) = page.last() else {
                return Ok(done);
            };
            after = Some(*last);
            act_on(page)?;
        }
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

/// The removal of a rejection that is being committed.
pub(super) struct Removal<'a> {
    rejections: &'a RejectionStore,
    secondary: String,
    id: Id,
    _changing: MutexGuard<'a, ()>,
}

impl Removal<'_> {
    /// The rejection is gone.
    pub(super) fn committed(self) {
        let remove = |index: &mut Index| index.remove(self.id);
        self.rejections.index(&self.secondary, remove);
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

fn storage_key(secondary: &str, id: Id) -> Vec<u8> {
    let mut key = prefix(secondary);
    key.extend_from_slice(id.to_string().as_bytes());
    key
}
