//! [`Wakeups`]: who is woken by what happens to the queue, and by nothing else.

use super::leases::PartitionLeases;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::sync::Notify;

/// Everything that tasks wait for. A notification that comes while its task is
/// busy is kept, and ends the next wait at once.
pub(super) struct Wakeups {
    secondaries: BTreeMap<String, OfSecondary>,
    /// For all who wait for a store that is unavailable.
    pub(super) reopened: Arc<Notify>,
    /// For the task that calls [`SyncQueue::recover`](super::SyncQueue::recover).
    pub(super) recovery: Arc<Notify>,
}

/// What the tasks of one secondary wait for.
#[derive(Default)]
pub(super) struct OfSecondary {
    /// For its workers.
    pub(super) leases: Arc<PartitionLeases>,
    /// For its resync.
    pub(super) resync: Notify,
    /// For its retries.
    pub(super) rejection: Notify,
}

impl Wakeups {
    pub(super) fn new(secondaries: &[String], recovery: Arc<Notify>) -> Self {
        let all = secondaries.iter().cloned();
        Self {
            secondaries: all.map(|name| (name, OfSecondary::default())).collect(),
            reopened: Arc::default(),
            recovery,
        }
    }

    pub(super) fn of(&self, secondary: &str) -> Option<&OfSecondary> {
        self.secondaries.get(secondary)
    }

    /// Every secondary has yet to pass an append.
    pub(super) fn appended(&self, partitions: &BTreeSet<u16>) {
        for secondary in self.secondaries.values() {
            secondary.leases.appended(partitions.iter().copied());
        }
    }

    /// The store was reopened, or closed for good: everybody looks again.
    pub(super) fn reopened(&self) {
        self.reopened.notify_waiters();
        for secondary in self.secondaries.values() {
            secondary.leases.hand_over();
            secondary.resync.notify_one();
            secondary.rejection.notify_one();
        }
    }
}
