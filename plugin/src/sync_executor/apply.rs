//! [`Applier`]: applies the batches of a secondary's log, once and in order.

use super::{
    batch::{self, Change},
    batch_limiter::BatchLimiter,
    catch_panic::catch_panic,
    context::Context,
    isolation::{Isolation, Next},
    refresh,
    rejection::RetryQueue,
    statement::{self, Applied, PositionRange, Write, Writing},
};
use crate::{
    connection::{Session, WorkerConnection, jitter},
    error_policy::{self, Action, Call, Failure},
    fail_points,
    metrics::instruments::ReplicationMetrics,
    sync_queue::{Position, Watermark},
};
use parking_lot::Mutex;
use plugin_api::error::{ErrorKind, StorageResult};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use surreal_storage::{Connection, schema::relationships};

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
    /// The worker could not open its connection. Nothing is lost.
    NoConnection(Failure),
    /// The secondary needs a new session. Nothing is counted, nothing is lost.
    SessionLost(Failure),
}

/// What became of a piece of a batch.
enum Step {
    /// The secondary has it.
    Applied(Applied),
    /// Only so many changes from its beginning fit into one transaction.
    Split(usize),
}

/// Where a secondary stands that did not apply a piece.
enum Standing {
    /// Not past the piece.
    Before,
    /// It has applied it, late.
    Passed,
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
            limiter: BatchLimiter::new(context.config.operation_timeout),
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
        connection: &mut WorkerConnection,
        partition: u16,
    ) -> Result<Outcome, Failure> {
        let Context { queue, config, .. } = &*self.context;
        let secondary = self.context.name();
        let _applying = self.context.partition_locks.lock(partition).await;
        let batch = queue.read(secondary, partition, config.batch_size)?;
        let mut changes = batch::last_of_each_key(batch.operations, batch.refresh_horizon);

        // A batch that is too large for a transaction is split. One that fails
        // is halved, down to the operation that fails by itself; the others are
        // applied. Every piece moves the position to its own end, so each is
        // applied once, in order.
        let mut pieces: Vec<(&mut [Change], Watermark)> = vec![(&mut changes, batch.end)];
        let mut from = batch.confirmed;
        let mut isolation = Isolation::new(config.operation_timeout);
        while let Some((piece, end)) = pieces.pop() {
            let range = PositionRange {
                from,
                to: end.position,
            };
            let client = match connection.get(session).await {
                Ok(client) => client,
                Err(error) => {
                    return Ok(Outcome::NoConnection(Failure::of(Call::Connect, error)));
                }
            };
            let started = Instant::now();
            let applied = async {
                let applied = self.apply(session, client, partition, range, &mut *piece);
                Ok(applied.await)
            };
            let mut result = catch_panic("applying an operation", applied)
                .await
                .unwrap_or_else(|panic| Err(Failure::of(Call::Apply, panic)));
            if let Err(failure) = &result
                && failure.policy.action == Action::CheckSecondary
            {
                connection.close();
                match self.standing(session, partition, range).await {
                    Ok(Standing::Passed) => result = Ok(Step::Applied(Applied::AlreadyApplied)),
                    Ok(Standing::Before) => {}
                    Err(lost) => return Ok(Outcome::SessionLost(lost)),
                }
            }
            match result {
                Ok(Step::Split(at)) => divide(&mut pieces, piece, at, end),
                Ok(Step::Applied(applied)) => {
                    connection.succeeded();
                    isolation.succeeded();
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
                    for change in piece {
                        let lag = change.operation.timestamp.elapsed();
                        progress.metrics.lag_seconds.observe(lag.as_secs_f64());
                    }
                }
                Err(failure) => match isolation.failed(failure, piece) {
                    Next::Repeat => pieces.push((piece, end)),
                    Next::Halve(at) => divide(&mut pieces, piece, at, end),
                    Next::Reject(failure) => {
                        for change in piece {
                            self.retries.defer(&change.operation, &failure)?;
                        }
                        pieces.push((&mut [], end));
                    }
                    // Only the position was to be moved.
                    Next::LoseSession(failure) => return Ok(Outcome::SessionLost(failure)),
                    Next::Wait(failure) => return Err(failure),
                },
            }
        }
        Ok(Outcome::Applied)
    }

    /// Asks a secondary that did not apply a piece where it stands, over the
    /// session's own connection.
    ///
    /// # Errors
    /// It does not answer, or has lost what it had: the session is lost.
    async fn standing(
        &self,
        session: &Session,
        partition: u16,
        range: PositionRange,
    ) -> Result<Standing, Failure> {
        // A transaction for an empty range changes nothing.
        let is_at = async |position: Position| {
            let source = self.context.partition(partition);
            let nothing = PositionRange {
                from: position,
                to: position,
            };
            let timeout = self.context.manager.policy().ping_timeout();
            statement::apply(
                &session.connection,
                &source,
                nothing,
                &[],
                &Writing::nothing(&session.schema),
                timeout,
            )
            .await
        };
        match is_at(range.to).await {
            Ok(_) => Ok(Standing::Passed),
            Err(error) if error.kind == ErrorKind::NOT_FOUND => match is_at(range.from).await {
                Ok(_) => Ok(Standing::Before),
                Err(error) => Err(Failure::of(Call::HealthCheck, error)),
            },
            Err(error) => Err(Failure::of(Call::HealthCheck, error)),
        }
    }

    /// Asks a secondary, over the session's own connection, whether it is where it
    /// has acknowledged to be.
    ///
    /// # Errors
    /// It does not answer, or has lost what it had: the session is lost.
    pub(super) async fn check(
        &self,
        session: &Session,
        partition: u16,
        position: Position,
    ) -> Result<(), Failure> {
        let range = PositionRange {
            from: position,
            to: position,
        };
        self.standing(session, partition, range).await.map(drop)
    }

    /// Applies a piece of a batch, unless it is too large.
    async fn apply(
        &self,
        session: &Session,
        connection: Connection,
        partition: u16,
        range: PositionRange,
        piece: &mut [Change],
    ) -> Result<Step, Failure> {
        let Context { queue, primary, .. } = &*self.context;
        let timeout = self.context.read_timeout();
        let loaded = refresh::load_rows(primary, piece, self.limiter.bytes(), timeout)
            .await
            .map_err(|error| Failure::of(Call::ReadPrimary, error))?;
        if loaded.read {
            queue.raise_refresh_horizon(self.context.name(), partition, range.to)?;
        }
        if loaded.changes < piece.len() {
            return Ok(Step::Split(loaded.changes));
        }
        fail_points::pass("before_apply");
        let of_secondary = |error| Failure::of(Call::Apply, error);
        self.define_relationships(session.generation, &connection, piece)
            .await
            .map_err(of_secondary)?;
        let began = Instant::now();
        let applied = self
            .try_apply(session, &connection, partition, range, piece)
            .await;
        match &applied {
            Ok(_) => {
                self.limiter.committed(loaded.bytes, began.elapsed());
                let metrics = &self.context.progress.metrics;
                metrics.committed(piece.len(), loaded.bytes);
            }
            Err(error) if error.kind == ErrorKind::TIMEOUT => self.limiter.timed_out(loaded.bytes),
            Err(_) => {}
        }
        applied.map(Step::Applied).map_err(of_secondary)
    }

    /// Creates the tables without a fixed name that the secondary lacks, those of
    /// relationships with their indexes: the first row alone would create a table
    /// without.
    pub(super) async fn define_relationships(
        &self,
        generation: u64,
        connection: &Connection,
        changes: &[Change],
    ) -> StorageResult<()> {
        for table in changes.iter().map(|change| &change.operation.table) {
            let known = (generation, table.clone());
            let is_other = self.context.config.tables.is_other(table);
            if !is_other && relationships::relationship_type(table).is_err()
                || self.relationships.lock().contains(&known)
            {
                continue;
            }
            match is_other {
                true => relationships::define_other(connection, table, self.timeout()).await?,
                false => relationships::define(connection, table, self.timeout()).await?,
            }
            let mut relationships = self.relationships.lock();
            relationships.retain(|(of, _)| *of == generation);
            relationships.insert(known);
        }
        Ok(())
    }

    /// Applies a piece of a batch in one transaction.
    async fn try_apply(
        &self,
        session: &Session,
        connection: &Connection,
        partition: u16,
        range: PositionRange,
        changes: &[Change],
    ) -> StorageResult<Applied> {
        let source = self.context.partition(partition);
        let mut conflicts = Conflicts::new(&self.context.progress.metrics);
        loop {
            // A key that the secondary has under another id shows as a conflict as
            // well: from then on such rows are removed first.
            let result = statement::apply(
                connection,
                &source,
                range,
                changes,
                &Writing {
                    write: Write::Upsert,
                    replaces_same_key: &|table| {
                        conflicts.count() > 0
                            || session.schema.without_unique_index.contains(&table)
                    },
                    schema: &session.schema,
                },
                self.timeout(),
            )
            .await;
            if !conflicts.repeats(&result).await {
                return result;
            }
        }
    }
}

/// The conflicts of a transaction with others, or with a row that has the same key.
pub(super) struct Conflicts<'a> {
    repeats: u32,
    metrics: &'a ReplicationMetrics,
}

impl<'a> Conflicts<'a> {
    pub(super) fn new(metrics: &'a ReplicationMetrics) -> Self {
        Self {
            repeats: 0,
            metrics,
        }
    }

    /// How often it was repeated.
    pub(super) fn count(&self) -> u32 {
        self.repeats
    }

    /// True, after a pause, if it is to be repeated at once.
    pub(super) async fn repeats<T>(&mut self, result: &StorageResult<T>) -> bool {
        let in_conflict = result.as_ref().is_err_and(|error| {
            error_policy::of(Call::Apply, error.kind).action == Action::RetryNow
        });
        self.metrics.conflicts.inc_by(u64::from(in_conflict));
        if !in_conflict || self.repeats == CONFLICT_RETRIES {
            return false;
        }
        self.repeats += 1;
        tokio::time::sleep(jitter(CONFLICT_PAUSE * self.repeats)).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_api::error::StorageError;

    #[tokio::test]
    async fn a_conflict_is_counted_and_repeated_a_few_times_and_no_other_error_is() {
        let metrics = ReplicationMetrics::default();
        let mut conflicts = Conflicts::new(&metrics);
        let error = |kind| Err::<(), _>(StorageError::new(kind, "in the way"));
        assert!(!conflicts.repeats(&Ok(())).await);
        assert!(!conflicts.repeats(&error(ErrorKind::CONNECTION)).await);
        assert_eq!(metrics.conflicts.get(), 0);
        let mut repeats = 0;
        while conflicts.repeats(&error(ErrorKind::CONFLICT)).await {
            repeats += 1;
        }
        assert_eq!(repeats, CONFLICT_RETRIES);
        assert_eq!(metrics.conflicts.get(), u64::from(CONFLICT_RETRIES) + 1);
    }
}
