//! [`Replicator`]: the workers of one secondary. Each takes a partition with a
//! backlog, has a batch of it applied, and deals with the outcome.

use super::{
    apply::{Applier, Outcome},
    catch_panic::catch_panic,
    context::Context,
    reconcile::reconcile,
};
use crate::{
    connection::{Session, WorkerConnection},
    error_policy::{Action, Call, Failure},
    secondary_state::{Event, SecondaryState, StateMachine},
    sync_queue::PARTITIONS,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
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
    /// Held while the positions of a session are compared, which happens once.
    reconciling: tokio::sync::Mutex<()>,
    /// Does the primary or the log fail, rather than the secondary?
    source_unavailable: AtomicBool,
    /// Does the secondary accept no further connections?
    connections_fail: AtomicBool,
}

impl Replicator {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self {
            applier: Applier::new(Arc::clone(&context)),
            context,
            reconciling: tokio::sync::Mutex::new(()),
            source_unavailable: AtomicBool::new(false),
            connections_fail: AtomicBool::new(false),
        }
    }

    /// Waits until nothing is left to be applied, or the secondary is not there
    /// to apply it to.
    pub(super) async fn idle(&self) {
        let Context { queue, manager, .. } = &*self.context;
        let mut states = manager.subscribe();
        loop {
            states.mark_unchanged();
            let progressed = queue.progressed(manager.name());
            if self.is_idle() {
                return;
            }
            tokio::select! {
                () = progressed => {}
                _ = states.changed() => {}
            }
        }
    }

    fn is_idle(&self) -> bool {
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
                    && queue.is_at_rest(manager.name())
            }
        }
    }

    /// Works until stopped.
    pub(super) async fn work(self: Arc<Self>) {
        let Context {
            queue,
            manager,
            config,
            ..
        } = &*self.context;
        let secondary = manager.name();
        let mut states = manager.subscribe();
        let mut connection = WorkerConnection::new(Arc::clone(manager));
        loop {
            let Some(session) = self.ready(&mut states, &mut connection).await else {
                return;
            };
            // Ahead of the first batch: to sign in takes a while.
            if let Err(error) = connection.get(&session).await {
                let failure = Failure::of(Call::Connect, error);
                let pause = self
                    .no_connection(&session, &mut connection, &failure)
                    .await;
                drop(session);
                tokio::time::sleep(pause).await;
                continue;
            }
            let lease = match self.context.may_replicate() {
                true => queue.take_partition(secondary),
                // Paused or lost since the worker was ready.
                false => None,
            };
            let Some(lease) = lease else {
                // An idle worker must not keep a lost session's client alive.
                drop(session);
                tokio::select! {
                    () = queue.called(secondary, config.batch_timeout) => {}
                    // A new session has to be reconciled, also without a backlog.
                    _ = states.changed() => {}
                }
                continue;
            };
            let batch = async {
                let partition = lease.partition();
                let batch = self
                    .applier
                    .apply_next_batch(&session, &mut connection, partition);
                Ok(batch.await)
            };
            let outcome = tokio::select! {
                biased;
                outcome = catch_panic("applying a batch", batch) => Some(outcome),
                // Its answer will not come: it is sent again in the next session.
                () = session_lost(&mut states, session.generation) => None,
            };
            drop(lease);
            let pause = match outcome.map(|outcome| {
                outcome.unwrap_or_else(|panic| Err(Failure::of(Call::UseLog, panic)))
            }) {
                Some(Ok(Outcome::Applied)) => {
                    self.set_source_unavailable(None);
                    self.set_connections_fail(None);
                    None
                }
                Some(Ok(Outcome::SessionLost(failure))) => {
                    tracing::debug!(secondary, error = %failure.error, "a batch waits");
                    manager.lost(session.generation, &failure);
                    None
                }
                Some(Ok(Outcome::NoConnection(failure))) => Some(
                    self.no_connection(&session, &mut connection, &failure)
                        .await,
                ),
                Some(Err(failure)) => {
                    self.set_source_unavailable(Some(&failure));
                    Some(PAUSE)
                }
                None => None,
            };
            drop(session);
            if let Some(pause) = pause {
                // Another may get on with what this one leaves.
                queue.hand_over(secondary);
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// A worker's connection could not be opened. Either the secondary is lost, or
    /// the worker tries again after the time that is returned.
    async fn no_connection(
        &self,
        session: &Session,
        connection: &mut WorkerConnection,
        failure: &Failure,
    ) -> Duration {
        if self.context.keeps_session(session, failure).await {
            self.set_connections_fail(Some(failure));
        }
        connection.failed()
    }

    /// Waits until the log may be applied, and reconciles the session first.
    /// None when stopped.
    async fn ready(
        &self,
        states: &mut watch::Receiver<StateMachine>,
        connection: &mut WorkerConnection,
    ) -> Option<Arc<Session>> {
        let Context { queue, manager, .. } = &*self.context;
        loop {
            states.mark_unchanged();
            let reopened = queue.reopened();
            connection.close_if_lost();
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
                () = reopened => {}
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
                        let Failure { error, policy } = failure;
                        let error = error.context("comparing replication positions");
                        manager.lost(session.generation, &Failure { error, policy });
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

    /// Logs once that the secondary accepts no further connections, and once that
    /// it does again.
    fn set_connections_fail(&self, failure: Option<&Failure>) {
        let failing = failure.is_some();
        if self.connections_fail.swap(failing, Ordering::Relaxed) == failing {
            return;
        }
        let secondary = self.context.name();
        match failure {
            Some(Failure { error, .. }) => tracing::warn!(
                secondary, %error,
                "the secondary answers, but accepts no further connection: allow one for each of \
                 sync_workers and five more on the server; retried automatically"
            ),
            None => tracing::info!(secondary, "the secondary accepts connections again"),
        }
    }
}

/// Waits until the session of that number is lost.
async fn session_lost(states: &mut watch::Receiver<StateMachine>, generation: u64) {
    let lost = |machine: &StateMachine| machine.has_lost(generation);
    if states.wait_for(lost).await.is_err() {
        // The manager is gone, and this worker is about to be stopped.
        std::future::pending::<()>().await;
    }
}
