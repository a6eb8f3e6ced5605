//! [`Replicator`]: the workers of one secondary. Each takes a partition with a
//! backlog, has a batch of it applied, and deals with the outcome.

use super::{
    apply::{Applier, Outcome},
    catch_panic::catch_panic,
    context::Context,
    reconcile::reconcile,
};
use crate::{
    connection::Session,
    error_policy::{Action, Call, Failure},
    secondary_state::{Event, SecondaryState, StateMachine},
    sync_queue::PARTITIONS,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// The wait before the next attempt after a failure.
const PAUSE: Duration = Duration::from_millis(250);

/// Applies the log to one secondary.
pub(super) struct Replicator {
    pub(super) context: Arc<Context>,
    applier: Applier,
    /// Partitions that a worker is at; no two are at the same.
    taken: Mutex<BTreeSet<u16>>,
    /// Where the next search for a partition begins, so that each has its turn.
    next: AtomicU16,
    /// Held while the positions of a session are compared, which happens once.
    reconciling: tokio::sync::Mutex<()>,
    /// Does the primary or the log fail, rather than the secondary?
    source_unavailable: AtomicBool,
}

impl Replicator {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self {
            applier: Applier::new(Arc::clone(&context)),
            context,
            taken: Mutex::default(),
            next: AtomicU16::new(0),
            reconciling: tokio::sync::Mutex::new(()),
            source_unavailable: AtomicBool::new(false),
        }
    }

    /// True if nothing is left to be applied, or if the secondary is not there
    /// to apply it to.
    pub(super) fn is_idle(&self) -> bool {
        let Context { queue, manager, .. } = &*self.context;
        match manager.state() {
            SecondaryState::Unreachable | SecondaryState::Rejected | SecondaryState::Stopped => {
                true
            }
            SecondaryState::Connecting
            | SecondaryState::Reconciling
            | SecondaryState::Backfilling
            | SecondaryState::Streaming
            | SecondaryState::Paused => {
                (0..PARTITIONS).all(|at| !queue.has_backlog(manager.name(), at))
                    && self.taken.lock().is_empty()
            }
        }
    }

    /// Works until stopped.
    pub(super) async fn work(self: Arc<Self>) {
        let Context { queue, manager, .. } = &*self.context;
        let mut states = manager.subscribe();
        loop {
            let Some(session) = self.ready(&mut states).await else {
                return;
            };
            let woken = queue.woken();
            let Some(partition) = self.take() else {
                // An idle worker must not keep a lost session's client alive.
                drop(session);
                tokio::select! {
                    // Others may follow at once; together they are one batch.
                    () = woken => tokio::time::sleep(self.context.config.batch_timeout).await,
                    // A new session has to be reconciled, also without a backlog.
                    _ = states.changed() => {}
                }
                continue;
            };
            let batch = async { Ok(self.applier.apply_next_batch(&session, partition).await) };
            let outcome = catch_panic("applying a batch", batch)
                .await
                .unwrap_or_else(|panic| Err(Failure::of(Call::UseLog, panic)));
            self.taken.lock().remove(&partition);
            match outcome {
                Ok(Outcome::Applied) => self.set_source_unavailable(None),
                Ok(Outcome::SecondaryUnavailable(error)) => {
                    tracing::debug!(secondary = %manager.name(), %error, "a batch waits");
                    manager.lost(&session, &error);
                    drop(session);
                    tokio::time::sleep(PAUSE).await;
                }
                Err(failure) => {
                    self.set_source_unavailable(Some(&failure));
                    tokio::time::sleep(PAUSE).await;
                }
            }
            // Another worker may be waiting for this partition.
            queue.wake();
        }
    }

    /// Waits until the log may be applied, and reconciles the session first.
    /// None when stopped.
    async fn ready(&self, states: &mut watch::Receiver<StateMachine>) -> Option<Arc<Session>> {
        let Context { queue, manager, .. } = &*self.context;
        loop {
            states.mark_unchanged();
            let woken = queue.woken();
            match manager.state_and_session() {
                (SecondaryState::Stopped, _) => return None,
                _ if !queue.is_available() => {}
                (SecondaryState::Reconciling, Some(session)) => {
                    self.reconcile(&session).await;
                    continue;
                }
                (state, Some(session)) if state.is_replicating() => return Some(session),
                _ => {}
            }
            tokio::select! {
                () = woken => {}
                _ = states.changed() => {}
            }
        }
    }

    async fn reconcile(&self, session: &Session) {
        let reconciling = self.reconciling.lock().await;
        let Context { queue, manager, .. } = &*self.context;
        if manager.state() != SecondaryState::Reconciling {
            // Another worker has done it.
            return;
        }
        let reconciled = async { Ok(reconcile(&self.context, session).await) };
        match catch_panic("comparing positions", reconciled)
            .await
            .unwrap_or_else(|panic| Err(Failure::of(Call::Apply, panic)))
        {
            Ok(()) => {
                let requests = queue.resync_requests(manager.name());
                manager.note(Event::Reconciled {
                    generation: session.generation,
                    resync_pending: requests.map_or(true, |requests| !requests.is_empty()),
                });
            }
            Err(failure) => {
                match failure.policy.action {
                    // The log fails, not the secondary: its session stays open.
                    Action::Wait => self.set_source_unavailable(Some(&failure)),
                    _ => {
                        let error = failure.error.context("comparing replication positions");
                        manager.lost(session, &error);
                    }
                }
                drop(reconciling);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Logs once that the primary or the log fails, and once that both work
    /// again.
    fn set_source_unavailable(&self, failure: Option<&Failure>) {
        let failing = failure.is_some();
        if self.source_unavailable.swap(failing, Ordering::Relaxed) == failing {
            return;
        }
        let secondary = self.context.name();
        match failure {
            Some(Failure { error, policy }) => {
                tracing::warn!(
                    secondary, %error, remedy = policy.remedy,
                    "replication waits until the primary and the log can be read"
                );
            }
            None => tracing::info!(secondary, "replication continues"),
        }
    }

    /// Takes a partition that has a backlog, each in its turn. None if the
    /// secondary was paused or lost since the worker was ready.
    fn take(&self) -> Option<u16> {
        if !self.context.may_replicate() {
            return None;
        }
        let mut taken = self.taken.lock();
        let first = self.next.fetch_add(1, Ordering::Relaxed) % PARTITIONS;
        let partition = (0..PARTITIONS)
            .map(|offset| (first + offset) % PARTITIONS)
            .find(|at| {
                !taken.contains(at) && self.context.queue.has_backlog(self.context.name(), *at)
            })?;
        taken.insert(partition);
        Some(partition)
    }
}
