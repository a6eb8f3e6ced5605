//! [`Applier`]: applies the batches of a secondary's log, once and in order.

use super::{
    batch::{self, Change},
    batch_limiter::BatchLimiter,
    catch_panic::catch_panic,
    context::Context,
    refresh,
    rejection::RetryQueue,
    statement::{self, Applied, PositionRange},
};
use crate::{
    connection::{Session, jitter},
    error_policy::{self, Action, Call, Failure},
    fail_points,
    sync_queue::Watermark,
};
use parking_lot::Mutex;
use plugin_api::error::{StorageError, StorageResult};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use surreal_storage::schema::relationships;

/// How often a batch that conflicts with another transaction is retried at once.
const CONFLICT_RETRIES: u32 = 8;

/// The wait before the first of these; it grows with each.
const CONFLICT_PAUSE: Duration = Duration::from_millis(5);

/// Applies batches to one secondary.
pub(super) struct Applier {
    context: Arc<Context>,
    retries: RetryQueue,
    limiter: BatchLimiter,
    /// Tables of relationships that a session is known to have.
    relationships: Mutex<BTreeSet<(u64, String)>>,
}

/// How a batch ended.
pub(super) enum Outcome {
    /// The secondary has it.
    Applied,
    /// The secondary needs a new session. Nothing is counted, nothing is lost.
    SecondaryUnavailable(StorageError),
}

/// What became of a piece of a batch.
enum Step {
    /// The secondary has it.
    Applied(Applied),
    /// Only so many changes from its beginning fit into one transaction.
    Split(usize),
}

/// Splits a piece that ends at `end` before the change at `at`.
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

impl Applier {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self {
            retries: RetryQueue::new(Arc::clone(&context)),
            limiter: BatchLimiter::new(context.config.batch_size),
            relationships: Mutex::default(),
            context,
        }
    }

    fn timeout(&self) -> Duration {
        self.context.config.operation_timeout
    }

    /// Applies one batch of a partition.
    ///
    /// # Errors
    /// Those of the primary and the log: the batch waits until both work.
    pub(super) async fn apply_next_batch(
        &self,
        session: &Session,
        partition: u16,
    ) -> Result<Outcome, Failure> {
        let Context { queue, config, .. } = &*self.context;
        let secondary = self.context.name();
        let batch = queue.read(secondary, partition, config.batch_size)?;
        let mut changes = batch::last_of_each_key(batch.operations, batch.refresh_horizon);

        // A batch that is too large for a transaction is split. One that fails
        // is halved, down to the operation that fails by itself; the others are
        // applied. Every piece moves the position to its own end, so each is
        // applied once, in order.
        let mut pieces: Vec<(&mut [Change], Watermark)> = vec![(&mut changes, batch.end)];
        let mut from = batch.begin.position;
        while let Some((piece, end)) = pieces.pop() {
            let started = Instant::now();
            let range = PositionRange {
                from,
                to: end.position,
            };
            let applied = async { Ok(self.apply(session, partition, range, &mut *piece).await) };
            match catch_panic("applying an operation", applied)
                .await
                .unwrap_or_else(|panic| Err(Failure::of(Call::Apply, panic)))
            {
                Ok(Step::Split(at)) => divide(&mut pieces, piece, at, end),
                Ok(Step::Applied(applied)) => {
                    self.limiter.grow();
                    if applied == Applied::Now {
                        self.retries.resolve(piece)?;
                    }
                    fail_points::pass("after_apply");
                    if piece.is_empty() {
                        fail_points::pass("after_skip");
                    }
                    queue.ack(secondary, partition, end)?;
                    fail_points::pass("after_ack");
                    from = end.position;
                    let progress = &self.context.progress;
                    progress.applied(piece.len(), started.elapsed());
                }
                Err(failure) => match failure.policy.action {
                    Action::Reconnect => {
                        // The piece may have been too large to get through in time.
                        self.limiter.shrink(piece.len());
                        return Ok(Outcome::SecondaryUnavailable(failure.error));
                    }
                    Action::Isolate | Action::RetryNow => match piece {
                        // Only the position was to be moved: the secondary rejects
                        // everything, so no operation is at fault.
                        [] => return Ok(Outcome::SecondaryUnavailable(failure.error)),
                        [change] => {
                            self.retries.defer(&change.operation, &failure)?;
                            pieces.push((&mut [], end));
                        }
                        piece => {
                            let half = piece.len() / 2;
                            divide(&mut pieces, piece, half, end);
                        }
                    },
                    Action::Wait
                    | Action::AwaitOperator
                    | Action::FailCall
                    | Action::FailCallAndRefresh
                    | Action::Skip => return Err(failure),
                },
            }
        }
        Ok(Outcome::Applied)
    }

    /// Applies a piece of a batch, unless it is too large.
    async fn apply(
        &self,
        session: &Session,
        partition: u16,
        range: PositionRange,
        piece: &mut [Change],
    ) -> Result<Step, Failure> {
        let Context { queue, primary, .. } = &*self.context;
        let loaded = refresh::load_rows(primary, piece, self.limiter.get(), self.timeout())
            .await
            .map_err(|error| Failure::of(Call::ReadPrimary, error))?;
        if loaded.read {
            queue.raise_refresh_horizon(self.context.name(), partition, range.to)?;
        }
        if loaded.changes < piece.len() {
            return Ok(Step::Split(loaded.changes));
        }
        fail_points::pass("before_apply");
        self.define_relationships(session, piece)
            .await
            .map_err(|error| Failure::of(Call::Apply, error))?;
        self.try_apply(session, partition, range, piece)
            .await
            .map(Step::Applied)
            .map_err(|error| Failure::of(Call::Apply, error))
    }

    /// Creates the tables of relationships that the secondary lacks, with their
    /// indexes: the first row alone would create a table without.
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
            relationships::define(&session.connection, table, self.timeout()).await?;
            let mut relationships = self.relationships.lock();
            relationships.retain(|(generation, _)| *generation == session.generation);
            relationships.insert(known);
        }
        Ok(())
    }

    /// One attempt, repeated at once where another transaction was in the way.
    async fn try_apply(
        &self,
        session: &Session,
        partition: u16,
        range: PositionRange,
        changes: &[Change],
    ) -> StorageResult<Applied> {
        let source = self.context.partition(partition);
        let mut remove_same_key = false;
        let mut conflicts = 0;
        loop {
            let result = statement::apply(
                &session.connection,
                source,
                range,
                changes,
                |table| remove_same_key || session.schema.without_unique_index.contains(&table),
                &session.schema,
                self.timeout(),
            )
            .await;
            let retries_now = |error: &StorageError| {
                error_policy::of(Call::Apply, error.kind).action == Action::RetryNow
            };
            match result {
                Err(error) if retries_now(&error) && conflicts < CONFLICT_RETRIES => {
                    // A key that the secondary has under another id shows as a
                    // conflict as well: from now on such rows are removed first.
                    remove_same_key = true;
                    conflicts += 1;
                    tokio::time::sleep(jitter(CONFLICT_PAUSE * conflicts)).await;
                }
                other => return other,
            }
        }
    }
}
