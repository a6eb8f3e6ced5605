//! [`PartitionLeases`]: which partitions the workers of a secondary are at, and
//! when an idle one is called.
//!
//! One worker at a time is at a partition. An append calls one idle worker, and
//! only if there is something that no worker sees by itself: a worker looks for
//! a further partition whenever it has applied a batch. One that takes a
//! partition while others wait calls the next.

use super::PARTITIONS;
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// The partitions of one secondary.
#[derive(Default)]
pub(super) struct PartitionLeases {
    state: Mutex<State>,
    /// Holds one permit while a worker is called and none has come yet.
    called: Notify,
    /// Notified whenever a lease ends.
    ended: Arc<Notify>,
}

#[derive(Default)]
struct State {
    leased: BTreeSet<u16>,
    /// Where the next search begins, so that each partition has its turn.
    next: u16,
    /// Set until a worker looks for a partition.
    call: Option<Call>,
}

/// Why a worker is called.
#[derive(Clone, Copy)]
enum Call {
    /// The first append since a worker has looked. Others may follow at once.
    Appended(Instant),
    /// Something waits already.
    Waiting,
}

/// A partition that a worker is at. No other gets it until this is dropped.
pub struct PartitionLease {
    leases: Arc<PartitionLeases>,
    partition: u16,
}

impl PartitionLeases {
    /// Something was appended to these partitions.
    pub(super) fn appended(&self, mut partitions: impl Iterator<Item = u16>) {
        let mut state = self.state.lock();
        if partitions.any(|partition| !state.leased.contains(&partition)) {
            self.call(&mut state, Call::Appended(Instant::now()));
        }
    }

    /// Calls a worker, unless one is called already.
    fn call(&self, state: &mut State, call: Call) {
        if state.call.is_none() {
            state.call = Some(call);
            self.called.notify_one();
        }
    }

    /// Calls a worker, also if one was called that has not looked: it cannot take
    /// what waits.
    pub(super) fn hand_over(&self) {
        self.state.lock().call = Some(Call::Waiting);
        self.called.notify_one();
    }

    /// Waits until this worker is called, and then until what follows an append
    /// has had `fill` to come.
    pub(super) async fn called(&self, fill: Duration) {
        self.called.notified().await;
        let wait = match self.state.lock().call {
            Some(Call::Appended(at)) => fill.saturating_sub(at.elapsed()),
            Some(Call::Waiting) | None => Duration::ZERO,
        };
        tokio::time::sleep(wait).await;
    }

    /// Takes a partition for which `has_backlog` is true, each in its turn.
    pub(super) fn take(
        self: &Arc<Self>,
        has_backlog: impl Fn(u16) -> bool,
    ) -> Option<PartitionLease> {
        let (first, leased) = {
            let mut state = self.state.lock();
            // First: what is appended from here on calls again.
            state.call = None;
            (state.next, state.leased.clone())
        };
        // Not under the lock, for which appends wait: reading the log may wait
        // for the disk.
        let mut waiting = (0..PARTITIONS)
            .map(|offset| (first + offset) % PARTITIONS)
            .filter(|at| !leased.contains(at) && has_backlog(*at));
        let partition = waiting.find(|at| {
            let mut state = self.state.lock();
            state.next = (at + 1) % PARTITIONS;
            state.leased.insert(*at)
        })?;
        if waiting.next().is_some() {
            self.call(&mut self.state.lock(), Call::Waiting);
        }
        Some(PartitionLease {
            leases: Arc::clone(self),
            partition,
        })
    }

    /// Is no worker at any partition?
    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().leased.is_empty()
    }

    /// Completes when a lease ends. Create it before looking at anything that a
    /// worker changes.
    pub(super) fn ended(&self) -> impl Future<Output = ()> + use<> {
        Arc::clone(&self.ended).notified_owned()
    }
}

impl PartitionLease {
    /// The partition.
    pub fn partition(&self) -> u16 {
        self.partition
    }
}

impl Drop for PartitionLease {
    fn drop(&mut self) {
        self.leases.state.lock().leased.remove(&self.partition);
        self.leases.ended.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const NOT_TO_FILL: Duration = Duration::ZERO;

    #[tokio::test]
    async fn an_append_calls_one_idle_worker_and_none_for_a_partition_that_one_is_at() {
        let leases = Arc::new(PartitionLeases::default());
        let came = Arc::new(AtomicUsize::new(0));
        let mut idle = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (leases, came) = (Arc::clone(&leases), Arc::clone(&came));
            idle.spawn(async move {
                leases.called(NOT_TO_FILL).await;
                came.fetch_add(1, Ordering::SeqCst);
            });
        }
        // All tasks run on this thread: none is left with anything to do.
        let settle = async || {
            for _ in 0..100 {
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
            came.load(Ordering::SeqCst)
        };
        assert_eq!(settle().await, 0, "nothing was appended");
        (0..10).for_each(|_| leases.appended([3, 7].into_iter()));
        assert_eq!(settle().await, 1);

        let held = leases.take(|partition| partition == 3).unwrap();
        assert_eq!(held.partition(), 3);
        leases.appended([3].into_iter());
        assert_eq!(settle().await, 1, "the worker that is at it looks again");
        assert!(leases.take(|partition| partition == 3).is_none());
        drop(held);
        assert!(leases.is_empty());
        leases.appended([3].into_iter());
        assert_eq!(settle().await, 2);
    }

    #[tokio::test]
    async fn a_worker_that_leaves_others_waiting_calls_the_next() {
        let leases = Arc::new(PartitionLeases::default());
        let first = leases.take(|_| true).unwrap();
        leases.called(NOT_TO_FILL).await;
        let second = leases.take(|_| true).unwrap();
        assert_eq!((first.partition(), second.partition()), (0, 1));
        // Each in its turn, also if the first has something again.
        drop(first);
        assert_eq!(leases.take(|_| true).unwrap().partition(), 2);
    }

    #[tokio::test]
    async fn a_worker_that_was_called_and_cannot_work_hands_over_to_another() {
        let leases = Arc::new(PartitionLeases::default());
        leases.appended([1].into_iter());
        leases.called(NOT_TO_FILL).await;
        leases.hand_over();
        leases.called(NOT_TO_FILL).await;
        assert!(leases.take(|partition| partition == 1).is_some());
    }

    #[tokio::test]
    async fn an_append_that_comes_while_a_worker_looks_is_not_missed() {
        let leases = Arc::new(PartitionLeases::default());
        let appends = |_| {
            leases.appended([5].into_iter());
            false
        };
        assert!(leases.take(appends).is_none());
        leases.called(NOT_TO_FILL).await;
    }

    #[tokio::test]
    async fn a_call_waits_for_what_follows_an_append_and_not_for_what_waits_already() {
        const FILL: Duration = Duration::from_millis(50);
        let leases = Arc::new(PartitionLeases::default());
        leases.appended([1].into_iter());
        let began = Instant::now();
        leases.called(FILL).await;
        assert!(began.elapsed() >= FILL / 2);
        let _held = leases.take(|_| true).unwrap();
        let called = leases.called(Duration::from_secs(3600));
        tokio::time::timeout(Duration::from_secs(60), called)
            .await
            .unwrap();
    }
}
