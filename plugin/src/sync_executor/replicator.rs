//! One secondary's workers.

use super::{
    ExecutorConfig,
    batch::{self, Change},
    progress::Counters,
    reconcile::log_failure,
    refresh,
    statement::{self, Source},
};
use crate::{
    connection::{SecondaryConnectionManager, Session},
    fail_points,
    sync_queue::{PARTITIONS, Position, SyncQueue},
    sync_types::SyncOperation,
};
use parking_lot::Mutex;
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::FullStorage,
    value::Timestamp,
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

/// How often a batch that met another transaction is tried again at once.
const CONFLICT_RETRIES: u32 = 8;

/// The wait after something failed that no reconnect mends.
const PAUSE: Duration = Duration::from_millis(250);

/// Brings the log to one secondary.
pub(super) struct Replicator {
    pub(super) queue: Arc<SyncQueue>,
    pub(super) primary: FullStorage,
    pub(super) manager: Arc<SecondaryConnectionManager>,
    pub(super) config: ExecutorConfig,
    pub(super) progress: Counters,
    /// Partitions that a worker is at; no two are at the same.
    taken: Mutex<BTreeSet<u16>>,
    next: AtomicU16,
    /// The session whose positions have been compared.
    reconciled: tokio::sync::Mutex<Option<u64>>,
    paused: AtomicBool,
    stopped: AtomicBool,
}

/// How a batch ended.
enum Outcome {
    /// The secondary has it.
    Applied,
    /// The secondary cannot be asked now. Nothing is counted, nothing is lost.
    Unavailable(StorageError),
}

impl Replicator {
    pub(super) fn new(
        queue: Arc<SyncQueue>,
        primary: FullStorage,
        manager: Arc<SecondaryConnectionManager>,
        config: ExecutorConfig,
    ) -> Self {
        Self {
            queue,
            primary,
            manager,
            config,
            progress: Counters::default(),
            taken: Mutex::default(),
            next: AtomicU16::new(0),
            reconciled: tokio::sync::Mutex::new(None),
            paused: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        }
    }

    pub(super) fn name(&self) -> &str {
        self.manager.name()
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    pub(super) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Has it nothing to do, or nobody to do it for?
    pub(super) fn is_idle(&self) -> bool {
        let everything = (0..PARTITIONS).all(|at| !self.queue.has_backlog(self.name(), at));
        (everything && self.taken.lock().is_empty()) || self.manager.session().is_none()
    }

    /// Works until stopped.
    pub(super) async fn work(self: Arc<Self>) {
        while let Some(session) = self.ready().await {
            let appended = self.queue.next_append();
            let Some(partition) = self.take() else {
                appended.await;
                // Others may follow at once; together they are one batch.
                tokio::time::sleep(self.config.batch_timeout).await;
                continue;
            };
            let outcome = self.work_off(&session, partition).await;
            self.taken.lock().remove(&partition);
            match outcome {
                Ok(Outcome::Applied) => {}
                Ok(Outcome::Unavailable(error)) => {
                    tracing::debug!(secondary = %self.name(), %error, "a batch waits");
                    self.manager.lost(&session, &error);
                    drop(session);
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    tracing::warn!(secondary = %self.name(), %error, "a batch waits");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            // Another worker may be waiting for this partition.
            self.queue.wake();
        }
    }

    /// The session to work with, once there is one, it is compared, and nobody
    /// has paused the work. None when stopped.
    async fn ready(&self) -> Option<Arc<Session>> {
        loop {
            if self.is_stopped() {
                return None;
            }
            let woken = self.queue.next_append();
            if self.is_paused() {
                woken.await;
                continue;
            }
            let session = tokio::select! {
                session = self.manager.connected() => session?,
                () = woken, if self.manager.session().is_none() => continue,
            };
            if self.is_stopped() {
                return None;
            }
            let mut reconciled = self.reconciled.lock().await;
            if *reconciled == Some(session.generation) {
                return Some(session);
            }
            match self.reconcile(&session).await {
                Ok(()) => {
                    *reconciled = Some(session.generation);
                    return Some(session);
                }
                Err(error) => {
                    tracing::debug!(secondary = %self.name(), %error, "its positions cannot be read");
                    self.manager.lost(&session, &error);
                    drop(reconciled);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes a partition that has something to do, each in its turn.
    fn take(&self) -> Option<u16> {
        let mut taken = self.taken.lock();
        let first = self.next.fetch_add(1, Ordering::Relaxed) % PARTITIONS;
        let partition = (0..PARTITIONS)
            .map(|offset| (first + offset) % PARTITIONS)
            .find(|at| !taken.contains(at) && self.queue.has_backlog(self.name(), *at))?;
        taken.insert(partition);
        Some(partition)
    }

    /// Applies one batch of a partition.
    async fn work_off(&self, session: &Session, partition: u16) -> StorageResult<Outcome> {
        let batch = self
            .queue
            .read(self.name(), partition, self.config.batch_size)
            .map_err(log_failure)?;
        let operations = batch.operations.len();
        let mut changes = batch::last_of_each_key(batch.operations);
        refresh::read_present(&self.primary, &mut changes, self.config.operation_timeout).await?;
        let started = Instant::now();
        fail_points::pass("before_apply");
        let changes: Vec<&Change> = changes.iter().collect();
        let source = Source {
            queue: self.queue.id(),
            partition,
        };
        if let Outcome::Unavailable(error) =
            self.apply(session, source, batch.end.position, &changes).await?
        {
            return Ok(Outcome::Unavailable(error));
        }
        fail_points::pass("after_apply");
        self.queue
            .ack(self.name(), partition, batch.end)
            .map_err(log_failure)?;
        fail_points::pass("after_ack");
        self.progress.applied(operations, started.elapsed());
        Ok(Outcome::Applied)
    }

    /// Applies changes as one transaction. If the secondary refuses them, their
    /// halves are tried, down to the one that it refuses by itself: that one is
    /// put aside, and the others have gone through.
    async fn apply(
        &self,
        session: &Session,
        source: Source<'_>,
        position: Position,
        changes: &[&Change],
    ) -> StorageResult<Outcome> {
        // A half that comes before others must not claim their position, or
        // the others would count as applied. So halves but the last apply
        // without moving it, which is safe: the whole is repeated if the last
        // one does not come through, and gives the same rows.
        let mut pending: Vec<&[&Change]> = vec![changes];
        while let Some(part) = pending.pop() {
            let last = pending.is_empty();
            let error = match self.try_apply(session, source, position, part, last).await {
                Ok(()) => {
                    self.settle(part).map_err(log_failure)?;
                    continue;
                }
                Err(error) if is_unavailable(&error) => return Ok(Outcome::Unavailable(error)),
                Err(error) => error,
            };
            match part {
                // Nothing but the position was to be written: the secondary
                // refuses everything, so it is not the operations' fault.
                [] => return Ok(Outcome::Unavailable(error)),
                [change] => {
                    self.put_aside(&change.operation, &error).map_err(log_failure)?;
                    if last {
                        pending.push(&[]);
                    }
                }
                part => {
                    let (first, second) = part.split_at(part.len() / 2);
                    pending.push(second);
                    pending.push(first);
                }
            }
        }
        Ok(Outcome::Applied)
    }

    /// One attempt, repeated at once where another transaction was in the way.
    async fn try_apply(
        &self,
        session: &Session,
        source: Source<'_>,
        position: Position,
        changes: &[&Change],
        last: bool,
    ) -> StorageResult<()> {
        let _ = last;
        let mut careful = false;
        let mut conflicts = 0;
        loop {
            let result = statement::apply(
                &session.connection,
                source,
                position,
                changes,
                |table| careful || session.schema.without_unique_index.contains(&table),
                self.config.operation_timeout,
            )
            .await;
            match result {
                Err(error) if error.kind == ErrorKind::CONFLICT && conflicts < CONFLICT_RETRIES => {
                    // A key that is there under another id shows as a conflict
                    // as well: from now on such rows are looked for.
                    careful = true;
                    conflicts += 1;
                    tokio::time::sleep(jitter(Duration::from_millis(5 << conflicts.min(6)))).await;
                }
                other => return other,
            }
        }
    }

    /// Puts an operation aside that the secondary has refused by itself.
    fn put_aside(
        &self,
        operation: &SyncOperation,
        error: &StorageError,
    ) -> Result<(), crate::sync_queue::QueueError> {
        self.progress.refused();
        let mut operation = operation.clone();
        operation.last_error = Some(error.to_string());
        let due = (operation.retry_count < self.config.max_retries).then(|| {
            let wait = self.config.retry_interval * 2u32.saturating_pow(operation.retry_count);
            Timestamp::now().after(jitter(wait))
        });
        match due {
            Some(due) => {
                operation.retry_count += 1;
                tracing::warn!(
                    secondary = %self.name(), key = %operation.key, %error, %due,
                    "the secondary refused an operation; it is tried again"
                );
            }
            None => tracing::error!(
                secondary = %self.name(), key = %operation.key, %error,
                tries = operation.retry_count + 1,
                "the secondary refused an operation for good; it is among the dead letters"
            ),
        }
        self.queue.refuse(self.name(), &operation, due)
    }

    /// Forgets former refusals of keys that have now gone through.
    fn settle(&self, changes: &[&Change]) -> Result<(), crate::sync_queue::QueueError> {
        if !self.queue.has_refused(self.name()) {
            return Ok(());
        }
        changes
            .iter()
            .try_for_each(|change| self.queue.settle(self.name(), &change.operation.key))
    }

    /// Queues the operations again whose wait is over.
    pub(super) async fn retry_when_due(self: Arc<Self>) {
        while !self.is_stopped() {
            let tick = self.config.retry_interval.clamp(
                Duration::from_millis(20),
                Duration::from_secs(1),
            );
            tokio::time::sleep(tick / 2).await;
            if self.is_paused() || !self.queue.has_refused(self.name()) {
                continue;
            }
            let now = Timestamp::now();
            let due = self.queue.retries(self.name()).map(|retries| {
                retries
                    .into_iter()
                    .filter(|retry| retry.due <= now)
                    .collect::<Vec<_>>()
            });
            let queued = due.and_then(|due| {
                due.iter()
                    .try_for_each(|retry| self.queue.retry(self.name(), &retry.key))
            });
            if let Err(error) = queued {
                tracing::debug!(secondary = %self.name(), %error, "retries wait");
            }
        }
    }
}

/// Is it the secondary that is away, rather than the operation that is wrong?
/// A namespace or table that has vanished counts: a new session makes it again.
fn is_unavailable(error: &StorageError) -> bool {
    [
        ErrorKind::CONNECTION,
        ErrorKind::TIMEOUT,
        ErrorKind::CLOSED,
        ErrorKind::NOT_FOUND,
        ErrorKind::CONFLICT,
    ]
    .contains(&error.kind)
}

/// Between half and all of `span`, so that many do not come at once.
fn jitter(span: Duration) -> Duration {
    span.mul_f64(0.5 + fastrand::f64() / 2.0)
}
