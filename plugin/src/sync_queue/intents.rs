//! [`IntentStore`]: writes in flight, and writes whose outcome is unknown.
//!
//! If the process were killed between the primary's commit and the append to the
//! log, a row would be left that no secondary gets. So a write stores an intent
//! first, and the append removes it in the same batch. If the primary leaves the
//! write's outcome open, the intent becomes one or more *unsettled extents*, the
//! keys or the table that a late commit may still change; they are settled in
//! [`super::settlement`]. So are the intents that a former process left.
//!
//! Memory is what counts while the process runs; the store is for the next one.
//! Whenever a store was opened, or could not take a record, everything that is
//! in memory is written to it again.

use super::{
    EVERY_TABLE, QueueError,
    store::{Store, StoreHandle, WriteBatch},
};
use crate::{
    dedup::Key,
    unsettled::{Look, Unsettled},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

const INTENT: &str = "intent/";
const UNSETTLED: &str = "unsettled/";

/// How many extents are looked at with one append.
const LOOKS_PER_BATCH: usize = 1_000;

/// The most extents that are kept; beyond that, keys are replaced by their
/// table, and tables by all tables.
const MAX_UNSETTLED: usize = 10_000;

/// The intent of one write.
#[derive(Clone, Debug)]
pub struct Intent {
    number: u64,
    write: Arc<StoredIntent>,
}

/// An intent as stored: a table, and the order keys that are written; none if the
/// primary generates the key.
#[derive(Debug, Serialize, Deserialize)]
struct StoredIntent {
    table: String,
    keys: Vec<Key>,
}

/// What a write may change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Extent {
    /// The rows of an order key.
    Key(Key),
    /// Any row of a table, or of [`EVERY_TABLE`].
    Table(String),
}

impl Intent {
    /// The table that is written.
    pub fn table(&self) -> &str {
        &self.write.table
    }

    /// The order keys that are written; empty if the primary generates the key.
    pub fn keys(&self) -> &[Key] {
        &self.write.keys
    }

    fn storage_key(&self) -> String {
        storage_key(self.number)
    }
}

/// What a write may change: the keys as far as they are known and as many
/// as can be kept.
fn extents(unsettled: &Unsettled<Extent>, intent: &Intent) -> Vec<Extent> {
    let fits = |more: usize| unsettled.len() + more <= MAX_UNSETTLED;
    let every_table = Extent::Table(EVERY_TABLE.to_owned());
    let table = Extent::Table(intent.table().to_owned());
    let keys = intent.keys();
    if unsettled.contains(&every_table) || !fits(1) && !unsettled.contains(&table) {
        vec![every_table]
    } else if keys.is_empty() || !fits(keys.len()) || unsettled.contains(&table) {
        vec![table]
    } else {
        keys.iter().cloned().map(Extent::Key).collect()
    }
}

/// A record's bytes. Structs and enums of strings and bytes always serialise.
fn encode(record: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(record).unwrap_or_default()
}

fn storage_key(number: u64) -> String {
    format!("{INTENT}{number:020}")
}

impl Extent {
    /// Its table.
    pub(super) fn table(&self) -> String {
        match self {
            Self::Key(key) => key.table(),
            Self::Table(table) => table.clone(),
        }
    }

    /// Does a change of `other` show in a look at this one?
    fn covers(&self, other: &Self) -> bool {
        match self {
            Self::Key(_) => self == other,
            Self::Table(table) => table == EVERY_TABLE || *table == other.table(),
        }
    }

    /// A key of the store is limited in its length, and an order key is not.
    fn storage_key(&self) -> Vec<u8> {
        let mut key = UNSETTLED.as_bytes().to_vec();
        key.extend(Sha256::digest(encode(self)));
        key
    }
}

/// What a former process left.
#[derive(Clone, Default)]
pub(super) struct Left {
    /// Its writes in flight.
    pub(super) intents: Vec<Intent>,
    /// What it had not settled.
    pub(super) extents: BTreeSet<Extent>,
}

/// The writes in flight, in the order in which they began.
struct InFlight {
    next_number: u64,
    /// The time for which the primary has answered, as in [`Unsettled`].
    clock: Duration,
    /// Each with the clock when it began.
    writes: BTreeMap<u64, (Arc<StoredIntent>, Duration)>,
}

impl InFlight {
    /// The clock when the oldest of them began.
    fn oldest(&self) -> Option<Duration> {
        self.writes.values().next().map(|(_, began)| *began)
    }
}

/// The writes in flight, and the unsettled extents.
pub(super) struct IntentStore {
    store: Arc<StoreHandle>,
    in_flight: Mutex<InFlight>,
    /// Locked while a record of it is written, so that records follow memory.
    unsettled: Mutex<Unsettled<Extent>>,
    unsettled_count: AtomicUsize,
    /// Does the store lack a record of what is in memory?
    lacks_records: AtomicBool,
    /// Notified when there are new unsettled extents.
    added: Notify,
}

impl IntentStore {
    pub(super) fn new(store: Arc<StoreHandle>, request_lifetime: Duration) -> Self {
        Self {
            store,
            in_flight: Mutex::new(InFlight {
                // Numbers of a former process are not used again.
                next_number: fastrand::u64(..u64::MAX / 2),
                clock: Duration::ZERO,
                writes: BTreeMap::new(),
            }),
            unsettled: Mutex::new(Unsettled::new(request_lifetime)),
            unsettled_count: AtomicUsize::new(0),
            lacks_records: AtomicBool::new(false),
            added: Notify::new(),
        }
    }

    /// Begins a write. With an error the store has no record of it yet.
    pub(super) fn begin(&self, table: &str, keys: Vec<Key>) -> (Intent, Result<(), QueueError>) {
        let write = Arc::new(StoredIntent {
            table: table.to_owned(),
            keys,
        });
        let mut in_flight = self.in_flight.lock();
        let number = in_flight.next_number;
        let clock = in_flight.clock;
        in_flight.next_number += 1;
        in_flight.writes.insert(number, (Arc::clone(&write), clock));
        drop(in_flight);
        let intent = Intent { number, write };
        let stored = self
            .store
            .commit(|batch| batch.insert_state(intent.storage_key(), encode(&*intent.write)));
        self.note_record(&stored);
        (intent, stored)
    }

    /// Ends a write whose intent is no longer in the store.
    pub(super) fn end(&self, intent: &Intent) {
        self.in_flight.lock().writes.remove(&intent.number);
    }

    pub(super) fn cancel(&self, intent: &Intent) {
        self.end(intent);
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

    /// Ends a write whose request may live on: what it may change is unsettled
    /// from now on. `write` commits a batch with the records.
    pub(super) fn unsettle(
        &self,
        intent: &Intent,
        write: impl FnOnce(&dyn Fn(&mut WriteBatch<'_>)) -> Result<(), QueueError>,
    ) -> Result<(), QueueError> {
        let mut unsettled = self.unsettled.lock();
        let added = extents(&unsettled, intent);
        let mut replaced = Vec::new();
        for extent in &added {
            replaced.extend(unsettled.insert_covering(extent.clone(), Extent::covers));
        }
        self.note_count(&unsettled);
        let written = write(&|batch| {
            Self::remove(batch, intent);
            for extent in &replaced {
                batch.remove_state(extent.storage_key());
            }
            for extent in &added {
                batch.insert_state(extent.storage_key(), encode(extent));
            }
        });
        self.note_record(&written);
        self.end(intent);
        self.added.notify_one();
        written
    }

    /// Takes over what a former process had not settled. Its time begins anew.
    pub(super) fn adopt(&self, extents: &BTreeSet<Extent>) {
        let mut unsettled = self.unsettled.lock();
        for extent in extents {
            unsettled.insert(extent.clone());
        }
        self.note_count(&unsettled);
        self.added.notify_one();
    }

    /// Passes the time for which the primary has answered; none if it does not
    /// answer. `look` looks at what is due and commits a batch, which removes the
    /// records with the last look.
    pub(super) fn settle(
        &self,
        answered: Option<Duration>,
        look: impl Fn(&[Extent], Look, &dyn Fn(&mut WriteBatch<'_>)) -> Result<(), QueueError>,
    ) -> Result<(), QueueError> {
        let mut unsettled = self.unsettled.lock();
        let Some(answered) = answered else {
            unsettled.silent();
            return Ok(());
        };
        unsettled.answered(answered);
        let oldest_write = {
            let mut in_flight = self.in_flight.lock();
            in_flight.clock = unsettled.clock();
            in_flight.oldest()
        };
        let due = unsettled.due(oldest_write);
        for kind in [Look::Again, Look::Last] {
            let of_kind = due.iter().filter(|(_, look)| *look == kind);
            let extents: Vec<Extent> = of_kind.map(|(extent, _)| extent.clone()).collect();
            for some in extents.chunks(LOOKS_PER_BATCH) {
                let is_last = kind == Look::Last;
                look(some, kind, &|batch| {
                    for extent in some.iter().filter(|_| is_last) {
                        batch.remove_state(extent.storage_key());
                    }
                })?;
                for extent in some.iter().filter(|_| is_last) {
                    unsettled.remove(extent);
                }
                self.note_count(&unsettled);
            }
        }
        Ok(())
    }

    /// The clock when the oldest write began that is still in flight.
    pub(super) fn oldest_write(&self) -> Option<Duration> {
        self.in_flight.lock().oldest()
    }

    /// How many extents are unsettled.
    pub(super) fn unsettled(&self) -> usize {
        self.unsettled_count.load(Ordering::Relaxed)
    }

    /// A future that completes when there are new unsettled extents.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }

    fn note_count(&self, unsettled: &Unsettled<Extent>) {
        self.unsettled_count
            .store(unsettled.len(), Ordering::Relaxed);
    }

    fn note_record(&self, written: &Result<(), QueueError>) {
        if written.is_err() {
            self.lack_records();
        }
    }

    /// The store may lack any record of what is in memory.
    pub(super) fn lack_records(&self) {
        self.lacks_records.store(true, Ordering::Release);
    }

    /// Writes everything that is in memory to the store, if that may lack
    /// anything.
    pub(super) fn write_records(&self) -> Result<(), QueueError> {
        if !self.lacks_records.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        // Both stay locked: a write that ended meanwhile would leave its record.
        let unsettled = self.unsettled.lock();
        let in_flight = self.in_flight.lock();
        let written = self.store.commit(|batch| {
            for (number, (write, _)) in &in_flight.writes {
                batch.insert_state(storage_key(*number), encode(&**write));
            }
            for extent in unsettled.iter() {
                batch.insert_state(extent.storage_key(), encode(extent));
            }
        });
        self.note_record(&written);
        written
    }

    /// Ends what is unsettled, without a look.
    #[cfg(test)]
    #[allow(clippy::unwrap_used, reason = "a failed test panics")]
    pub(super) fn forget_unsettled(&self) {
        let now = Some(Duration::from_secs(1 << 30));
        let forget = |_: &[Extent], _, fill: &dyn Fn(&mut WriteBatch<'_>)| self.store.commit(fill);
        self.settle(now, forget).unwrap();
    }

    /// The stored intents.
    pub(super) fn load(store: &Store) -> Result<Vec<Intent>, QueueError> {
        let intents = store.state.prefix(INTENT).map(|entry| {
            let (key, value) = entry.into_inner()?;
            parse(&key, &value).ok_or(QueueError::Corrupt("an intent cannot be decoded"))
        });
        intents.collect()
    }

    /// What a former process left.
    pub(super) fn load_left(store: &Store) -> Result<Left, QueueError> {
        let extents = store.state.prefix(UNSETTLED).map(|entry| {
            postcard::from_bytes(&entry.value()?)
                .map_err(|_| QueueError::Corrupt("an unsettled write cannot be decoded"))
        });
        Ok(Left {
            intents: Self::load(store)?,
            extents: extents.collect::<Result<_, _>>()?,
        })
    }
}

fn parse(key: &[u8], value: &[u8]) -> Option<Intent> {
    let number = std::str::from_utf8(key).ok()?.strip_prefix(INTENT)?;
    Some(Intent {
        number: number.parse().ok()?,
        write: Arc::new(postcard::from_bytes(value).ok()?),
    })
}
