//! [`Undecided`]: deletes that may still run on the primary.
//!
//! A delete whose outcome is unknown may also take rows that are written again
//! after it. While it is undecided such a write therefore clears no tombstone:
//! the row is read from the primary as long as that has it, and the
//! secondaries' copies stay hidden when the delete takes it after all.

use super::{Changes, UNDECIDED};
use crate::unsettled::{Look, Unsettled};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::sync::Notify;

/// The most deletes that are kept apart; with more, every tombstone stays.
const MAX: usize = 10_000;

/// Stands for deletes of anything.
const ANY: u64 = u64::MAX;

/// The deletes in progress, and those whose outcome is unknown.
pub(super) struct Undecided {
    deletes: Mutex<Deletes>,
    /// How many of them have an unknown outcome.
    unsettled: AtomicUsize,
    /// Notified when there are more.
    added: Notify,
}

struct Deletes {
    /// The sequence number of the scopes that each has marked, by its own number;
    /// zero if there are none.
    sequences: BTreeMap<u64, u64>,
    /// Those whose outcome is unknown.
    unsettled: Unsettled<u64>,
}

impl Undecided {
    pub(super) fn new(request_lifetime: Duration) -> Self {
        Self {
            deletes: Mutex::new(Deletes {
                sequences: BTreeMap::new(),
                unsettled: Unsettled::new(request_lifetime),
            }),
            unsettled: AtomicUsize::new(0),
            added: Notify::new(),
        }
    }

    /// A delete begins, which marks scopes with this sequence number, if any. Adds
    /// its record to the changes and returns its number.
    pub(super) fn begin(&self, scopes_sequence: Option<u64>, changes: &mut Changes) -> u64 {
        let number = fastrand::u64(..ANY);
        let sequence = scopes_sequence.unwrap_or(0);
        self.deletes.lock().sequences.insert(number, sequence);
        changes.insert(entry(number), Some(sequence.to_be_bytes().to_vec()));
        number
    }

    /// A delete has ended. Adds the removal of its record to the changes.
    pub(super) fn end(&self, number: u64, changes: &mut Changes) {
        let mut deletes = self.deletes.lock();
        deletes.sequences.remove(&number);
        deletes.unsettled.remove(&number);
        self.note_count(&deletes);
        changes.insert(entry(number), None);
    }

    /// The outcome of a delete is unknown. Returns what changes on the disk.
    pub(super) fn unsettle(&self, number: u64) -> Changes {
        let mut deletes = self.deletes.lock();
        let mut changes = Changes::new();
        if deletes.unsettled.len() < MAX {
            deletes.unsettled.insert(number);
        } else {
            for replaced in deletes.unsettled.insert_covering(ANY, |_, _| true) {
                deletes.sequences.remove(&replaced);
                changes.insert(entry(replaced), None);
            }
            deletes.sequences.remove(&number);
            deletes.sequences.insert(ANY, 0);
            changes.insert(entry(number), None);
            changes.insert(entry(ANY), Some(0_u64.to_be_bytes().to_vec()));
        }
        self.note_count(&deletes);
        self.added.notify_one();
        changes
    }

    /// Takes over what a former process left: a number, and a sequence number.
    pub(super) fn adopt(&self, left: Vec<(u64, u64)>) {
        let mut deletes = self.deletes.lock();
        for (number, sequence) in left {
            deletes.sequences.insert(number, sequence);
            deletes.unsettled.insert(number);
        }
        self.note_count(&deletes);
        self.added.notify_one();
    }

    /// As [`SyncQueue::settle`](crate::sync_queue::SyncQueue::settle), for
    /// deletes: those that cannot run any more are forgotten. Returns what
    /// changes on the disk.
    pub(super) fn settle(
        &self,
        answered: Option<Duration>,
        oldest_write: Option<Duration>,
    ) -> Changes {
        let mut deletes = self.deletes.lock();
        let mut changes = Changes::new();
        let Some(answered) = answered else {
            deletes.unsettled.silent();
            return changes;
        };
        deletes.unsettled.answered(answered);
        for (number, look) in deletes.unsettled.due(oldest_write) {
            if look == Look::Last {
                deletes.unsettled.remove(&number);
                deletes.sequences.remove(&number);
                changes.insert(entry(number), None);
            }
        }
        self.note_count(&deletes);
        changes
    }

    /// May a delete still run that has left this number in a key's tombstone, or
    /// has marked a scope with one of these sequence numbers?
    pub(super) fn may_run(
        &self,
        number: Option<u64>,
        mut sequences: impl Iterator<Item = u64>,
    ) -> bool {
        let deletes = self.deletes.lock();
        if deletes.sequences.is_empty() {
            return false;
        }
        let is_known = |number| deletes.sequences.contains_key(&number);
        number.is_some_and(is_known)
            || sequences.any(|one| deletes.sequences.values().any(|known| *known == one))
            || is_known(ANY)
    }

    /// How many deletes have an unknown outcome.
    pub(super) fn unsettled(&self) -> usize {
        self.unsettled.load(Ordering::Relaxed)
    }

    /// Completes once there are any.
    pub(super) async fn anything_unsettled(&self) {
        while self.unsettled() == 0 {
            self.added.notified().await;
        }
    }

    fn note_count(&self, deletes: &Deletes) {
        self.unsettled
            .store(deletes.unsettled.len(), Ordering::Relaxed);
    }
}

/// Where a delete is recorded.
fn entry(number: u64) -> Vec<u8> {
    let mut entry = vec![UNDECIDED];
    entry.extend(number.to_be_bytes());
    entry
}
