//! One secondary's workers.

use super::{
    ExecutorConfig,
    batch::{self, Change},
    batch_limiter::BatchLimiter,
    catch_panic::catch_panic,
    progress::Counters,
    reconcile::log_failure,
    refresh,
    statement::{self, Applied, LogPartition, PositionRange},
};
use crate::{
    connection::{Phase, SecondaryConnectionManager, Session, jitter},
    fail_points,
    sync_queue::{PARTITIONS, SyncQueue, Watermark},
};
use parking_lot::Mutex;
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::FullStorage,
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use surreal_storage::schema::relationships;

/// How often a batch that met another transaction is tried again at once.
const CONFLICT_RETRIES: u32 = 8;

/// The wait before the first of these; it grows with each.
const CONFLICT_PAUSE: Duration = Duration::from_millis(5);

/// The wait after something failed that no reconnect mends.
const PAUSE: Duration = Duration::from_millis(250);

/// The generation of no session: they count from 1.
const NO_SESSION: u64 = 0;

/// Brings the log to one secondary.
pub(super) struct Replicator {
    pub(super) queue: Arc<SyncQueue>,
    pub(super) primary: FullStorage,
    pub(super) manager: Arc<SecondaryConnectionManager>,
    pub(super) config: ExecutorConfig,
    pub(super) progress: Counters,
    limiter: BatchLimiter,
    /// Partitions that a worker is at; no two are at the same.
    taken: Mutex<BTreeSet<u16>>,
    next: AtomicU16,
    /// The session whose positions have been compared, and the lock under
    /// which that happens once.
    reconciled: AtomicU64,
    reconciling: tokio::sync::Mutex<()>,
    /// Tables of relationships that a session is known to have.
    relationships: Mutex<BTreeSet<(u64, String)>>,
    /// Does work fail for a reason that is not the secondary's?
    source_unavailable: AtomicBool,
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

/// What became of a piece of a batch.
enum Step {
    /// The secondary has it.
    Applied(Applied),
    /// Only so many changes from its beginning go into one transaction.
    Split(usize),
}

/// Divides a piece that ends at `end` before the change at `at`.
fn divide<'a>(
    pieces: &mut Vec<(&'a mut [Change], Watermark)>,
    piece: &'a mut [Change],
    at: usize,
    end: Watermark,
) {
    let (first, second) = piece.split_at_mut(at);
    let middle = first.last().map_or(end, |last| last.place);
    pieces.push((second, end));
    pieces.push((first, middle));
}

/// Why a piece of a batch was not applied.
enum Failure {
    /// The primary cannot be asked now, or the log.
    Source(StorageError),
    /// The secondary cannot be asked now.
    Secondary(StorageError),
    /// Something is wrong with an operation of the piece.
    Operation(StorageError),
}

/// The kinds that say that nobody is there.
const AWAY: [ErrorKind; 3] = [ErrorKind::CONNECTION, ErrorKind::TIMEOUT, ErrorKind::CLOSED];

impl Failure {
    fn of_the_primary(error: StorageError) -> Self {
        if AWAY.contains(&error.kind) {
            Self::Source(error)
        } else {
            Self::Operation(error)
        }
    }

    /// A namespace or table that has vanished counts as being away: a new
    /// session makes it again.
    fn of_the_secondary(error: StorageError) -> Self {
        if AWAY.contains(&error.kind) || error.kind == ErrorKind::NOT_FOUND {
            Self::Secondary(error)
        } else {
            Self::Operation(error)
        }
    }
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
            limiter: BatchLimiter::new(config.batch_size),
            config,
            progress: Counters::default(),
            taken: Mutex::default(),
            next: AtomicU16::new(0),
            reconciled: AtomicU64::new(NO_SESSION),
            reconciling: tokio::sync::Mutex::new(()),
            relationships: Mutex::default(),
            source_unavailable: AtomicBool::new(false),
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
        // A secondary that is away is not waited for; one that is about to be
        // connected for the first time is.
        let nobody =
            self.manager.session().is_none() && self.manager.state().phase != Phase::Connecting;
        (everything && self.taken.lock().is_empty()) || nobody
    }

    /// Works until stopped.
    pub(super) async fn work(self: Arc<Self>) {
        let mut connection = self.manager.subscribe();
        loop {
            connection.mark_unchanged();
            let Some(session) = self.ready().await else {
                return;
            };
            let woken = self.queue.woken();
            let Some(partition) = self.take() else {
                // An idle worker must not keep a lost session's client alive.
                drop(session);
                tokio::select! {
                    // Others may follow at once; together they are one batch.
                    () = woken => tokio::time::sleep(self.config.batch_timeout).await,
                    // A new session has to be compared, also without work.
                    _ = connection.changed() => {}
                }
                continue;
            };
            let outcome = catch_panic("copying", self.apply_next_batch(&session, partition)).await;
            self.taken.lock().remove(&partition);
            match outcome {
                Ok(Outcome::Applied) => self.set_source_unavailable(None),
                Ok(Outcome::Unavailable(error)) => {
                    tracing::debug!(secondary = %self.name(), %error, "a batch waits");
                    self.manager.lost(&session, &error);
                    drop(session);
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    self.set_source_unavailable(Some(&error));
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
            let woken = self.queue.woken();
            if self.is_paused() || !self.queue.is_available() {
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
            let reconciling = self.reconciling.lock().await;
            if self.is_reconciled(session.generation) {
                return Some(session);
            }
            match catch_panic("comparing positions", self.reconcile(&session)).await {
                Ok(()) => {
                    self.reconciled.store(session.generation, Ordering::Release);
                    return Some(session);
                }
                Err(error) => {
                    tracing::debug!(secondary = %self.name(), %error, "its positions cannot be read");
                    self.manager.lost(&session, &error);
                    drop(reconciling);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Have the positions of this session been compared?
    pub(super) fn is_reconciled(&self, generation: u64) -> bool {
        self.reconciled.load(Ordering::Acquire) == generation
    }

    /// Says once that work fails, and once that it goes on.
    fn set_source_unavailable(&self, error: Option<&StorageError>) {
        let failing = error.is_some();
        if self.source_unavailable.swap(failing, Ordering::Relaxed) == failing {
            return;
        }
        match error {
            Some(error) => tracing::warn!(
                secondary = %self.name(), %error,
                "copying waits until the primary and the log can be read"
            ),
            None => tracing::info!(secondary = %self.name(), "copying goes on"),
        }
    }

    /// Takes a partition that has something to do, each in its turn. None
    /// while paused: the pause may have come since the worker was ready.
    fn take(&self) -> Option<u16> {
        if self.is_paused() || !self.queue.is_available() {
            return None;
        }
        let mut taken = self.taken.lock();
        let first = self.next.fetch_add(1, Ordering::Relaxed) % PARTITIONS;
        let partition = (0..PARTITIONS)
            .map(|offset| (first + offset) % PARTITIONS)
            .find(|at| !taken.contains(at) && self.queue.has_backlog(self.name(), *at))?;
        taken.insert(partition);
        Some(partition)
    }

    /// Applies one batch of a partition.
    async fn apply_next_batch(&self, session: &Session, partition: u16) -> StorageResult<Outcome> {
        let batch = self
            .queue
            .read(self.name(), partition, self.config.batch_size)
            .map_err(log_failure)?;
        let mut changes = batch::last_of_each_key(batch.operations, batch.refreshed);

        // A batch that is too much for a transaction is divided. One that fails
        // is halved, down to the operation that fails by itself; the others go
        // through. Every piece moves the position to its
        // own end, so each is applied once, in order.
        let mut pieces: Vec<(&mut [Change], Watermark)> = vec![(&mut changes, batch.end)];
        let mut from = batch.begin.position;
        while let Some((piece, end)) = pieces.pop() {
            let started = Instant::now();
            let range = PositionRange {
                from,
                to: end.position,
            };
            let applied = async { Ok(self.apply(session, partition, range, &mut *piece).await) };
            match catch_panic("copying an operation", applied)
                .await
                .unwrap_or_else(|panic| Err(Failure::Operation(panic)))
            {
                Ok(Step::Split(at)) => divide(&mut pieces, piece, at, end),
                Ok(Step::Applied(applied)) => {
                    self.limiter.grow();
                    if applied == Applied::Now {
                        self.resolve(piece).map_err(log_failure)?;
                    }
                    fail_points::pass("after_apply");
                    if piece.is_empty() {
                        fail_points::pass("after_skip");
                    }
                    self.queue
                        .ack(self.name(), partition, end)
                        .map_err(log_failure)?;
                    fail_points::pass("after_ack");
                    from = end.position;
                    self.progress.applied(piece.len(), started.elapsed());
                }
                Err(Failure::Source(error)) => return Err(error),
                Err(Failure::Secondary(error)) => {
                    // It may have been too much for the time that it has.
                    self.limiter.shrink(piece.len());
                    return Ok(Outcome::Unavailable(error));
                }
                Err(Failure::Operation(error)) => match piece {
                    // Only the position was to be moved: the secondary refuses
                    // everything, so it is not an operation's fault.
                    [] => return Ok(Outcome::Unavailable(error)),
                    [change] => {
                        self.defer(&change.operation, &error).map_err(log_failure)?;
                        pieces.push((&mut [], end));
                    }
                    piece => {
                        let half = piece.len() / 2;
                        divide(&mut pieces, piece, half, end);
                    }
                },
            }
        }
        Ok(Outcome::Applied)
    }

    /// Applies a piece of a batch, unless it is too much.
    async fn apply(
        &self,
        session: &Session,
        partition: u16,
        range: PositionRange,
        piece: &mut [Change],
    ) -> Result<Step, Failure> {
        let timeout = self.config.operation_timeout;
        let loaded = refresh::load_rows(&self.primary, piece, self.limiter.get(), timeout)
            .await
            .map_err(Failure::of_the_primary)?;
        if loaded.read {
            self.queue
                .raise_refresh_horizon(self.name(), partition, range.to)
                .map_err(|error| Failure::Source(log_failure(error)))?;
        }
        if loaded.changes < piece.len() {
            return Ok(Step::Split(loaded.changes));
        }
        fail_points::pass("before_apply");
        self.define_relationships(session, piece)
            .await
            .map_err(Failure::of_the_secondary)?;
        self.try_apply(session, partition, range, piece)
            .await
            .map(Step::Applied)
            .map_err(Failure::of_the_secondary)
    }

    /// Makes the tables of relationships that are missing there, with their
    /// indexes: the first row alone would make a table without.
    async fn define_relationships(
        &self,
        session: &Session,
        changes: &[Change],
    ) -> StorageResult<()> {
        for table in changes.iter().map(|change| &change.operation.table) {
            let known = (session.generation, table.clone());
            if relationships::relationship_type(table).is_err()
                || self.relationships.lock().contains(&known)
            {
                continue;
            }
            let timeout = self.config.operation_timeout;
            relationships::define(&session.connection, table, timeout).await?;
            let mut relationships = self.relationships.lock();
            relationships.retain(|(generation, _)| *generation == session.generation);
            relationships.insert(known);
        }
        Ok(())
    }

    /// A partition of the log that this one reads.
    pub(super) fn source(&self, partition: u16) -> LogPartition<'_> {
        LogPartition {
            queue: self.queue.id(),
            partition,
        }
    }

    /// One attempt, repeated at once where another transaction was in the way.
    async fn try_apply(
        &self,
        session: &Session,
        partition: u16,
        range: PositionRange,
        changes: &[Change],
    ) -> StorageResult<Applied> {
        let source = self.source(partition);
        let mut careful = false;
        let mut conflicts = 0;
        loop {
            let result = statement::apply(
                &session.connection,
                source,
                range,
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
                    tokio::time::sleep(jitter(CONFLICT_PAUSE * conflicts)).await;
                }
                other => return other,
            }
        }
    }
}
