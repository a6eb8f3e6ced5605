//! [`Copier`]: copies pages of the primary's tables to one secondary.
//!
//! A page is split by partition. Each part is applied like a batch: alone in its
//! partition, in transactions that name the partition's position. It does not move the
//! position, because the log goes on from there.

use super::{
    super::{
        apply::Applier,
        batch::Change,
        batch_limiter::BatchLimiter,
        catch_panic::catch_panic,
        context::Context,
        isolation::{Isolation, Next},
        rejection::RetryQueue,
    },
    page::{self, CopiedPage},
    transaction::{CopyTransactions, Written},
};
use crate::{
    connection::{Session, WorkerConnection},
    error_policy::{Action, Call, Failure},
    secondary_state::SecondaryState,
    sync_types::SyncOperation,
};
use parking_lot::Mutex;
use plugin_api::{
    error::{ErrorKind, StorageError},
    value::RecordId,
};
use std::{sync::Arc, time::Instant};
use tokio::{sync::Semaphore, task::JoinSet};

/// Parts that are sent at the same time, each over a connection of its own.
const PARTS_AT_ONCE: usize = 4;

/// The most rows of one transaction.
const ROWS: usize = 500;

/// Copies pages to one secondary.
pub(in super::super) struct Copier {
    context: Arc<Context>,
    applier: Applier,
    retries: RetryQueue,
    limiter: BatchLimiter,
    transactions: CopyTransactions,
    slots: Semaphore,
    /// The connections of parts, while none uses them.
    connections: Mutex<Vec<WorkerConnection>>,
}

/// How copying a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Copied {
    /// The secondary has every row, unless it was written since or is stored as
    /// rejected.
    All,
    /// The module shuts down: what is left is copied after the next start.
    Interrupted,
}

/// How an attempt to copy a part ended.
enum Attempt {
    Copied,
    /// The secondary has applied a batch that is not acknowledged yet: it has to be.
    Behind,
    /// The session is lost.
    Interrupted,
    /// The connection could not be opened.
    NoConnection(Failure),
}

impl Copier {
    pub(in super::super) fn new(context: Arc<Context>) -> Self {
        Self {
            applier: Applier::new(Arc::clone(&context)),
            retries: RetryQueue::new(Arc::clone(&context)),
            limiter: BatchLimiter::new(context.config.operation_timeout),
            transactions: CopyTransactions::new(Arc::clone(&context)),
            slots: Semaphore::new(PARTS_AT_ONCE),
            connections: Mutex::default(),
            context,
        }
    }

    pub(in super::super) fn secondary(&self) -> &str {
        self.context.name()
    }

    /// Copies these rows of a table. False if that has to be done again, or takes
    /// longer than one transaction may.
    pub(in super::super) async fn copy_rows(
        self: &Arc<Self>,
        table: &str,
        ids: Vec<RecordId>,
    ) -> bool {
        let copied = async {
            let page = page::of_rows(&self.context, table, ids).await;
            self.copy(page.map_err(|error| Failure::of(Call::ReadPrimary, error))?)
                .await
        };
        let timeout = self.context.config.operation_timeout;
        match tokio::time::timeout(timeout, copied).await {
            Ok(Ok(copied)) => copied == Copied::All,
            Ok(Err(Failure { error, .. })) => {
                let secondary = self.secondary();
                tracing::warn!(secondary, table, %error, "rows could not be copied");
                false
            }
            Err(_) => false,
        }
    }

    /// Copies a page.
    ///
    /// # Errors
    /// Those of the log. The page has to be copied again.
    pub(super) async fn copy(self: &Arc<Self>, mut page: CopiedPage) -> Result<Copied, Failure> {
        for (key, failure) in &page.unreadable {
            let refresh = SyncOperation::refresh(key.clone());
            self.retries
                .defer(&refresh.only_for(self.context.name()), failure)?;
        }
        let parts = std::mem::take(&mut page.parts);
        let page = Arc::new(page);
        // Its rows may have moved to another partition since.
        let unanswered = self.transactions.unanswered(&page.table);
        let empty = unanswered
            .into_iter()
            .map(|partition| (partition, Vec::new()));
        if self.copy_parts(&page, empty).await? == Copied::Interrupted {
            return Ok(Copied::Interrupted);
        }
        self.copy_parts(&page, parts).await
    }

    async fn copy_parts(
        self: &Arc<Self>,
        page: &Arc<CopiedPage>,
        parts: impl IntoIterator<Item = (u16, Vec<Change>)>,
    ) -> Result<Copied, Failure> {
        let mut copying = JoinSet::new();
        for (partition, changes) in parts {
            let (copier, page) = (Arc::clone(self), Arc::clone(page));
            copying.spawn(async move {
                let copied = async { Ok(copier.copy_part(&page, partition, changes).await) };
                catch_panic("copying rows", copied)
                    .await
                    .unwrap_or_else(|panic| Err(Failure::of(Call::UseLog, panic)))
            });
        }
        let mut result = Ok(Copied::All);
        while let Some(ended) = copying.join_next().await {
            let copied = ended.unwrap_or_else(|error| {
                let error = StorageError::internal(format!("copying rows: {error}"));
                Err(Failure::of(Call::UseLog, error))
            });
            if !matches!(copied, Ok(Copied::All)) {
                result = copied;
            }
        }
        result
    }

    /// Copies the rows of one partition, once the secondary has passed the page's
    /// low position there.
    async fn copy_part(
        &self,
        page: &CopiedPage,
        partition: u16,
        mut changes: Vec<Change>,
    ) -> Result<Copied, Failure> {
        let Context {
            queue,
            manager,
            partition_locks,
            ..
        } = &*self.context;
        let mut states = manager.subscribe();
        loop {
            states.mark_unchanged();
            let (progressed, reopened) = (queue.progressed(self.secondary()), queue.reopened());
            let mut pause = None;
            {
                let Ok(_slot) = self.slots.acquire().await else {
                    return Ok(Copied::Interrupted);
                };
                // Batches of this partition wait meanwhile.
                let _applying = partition_locks.lock(partition).await;
                let (state, session) = manager.state_and_session();
                if state == SecondaryState::Stopped {
                    return Ok(Copied::Interrupted);
                }
                // While the secondary is away the page waits: its rows stay as good as
                // new, because what is written since is left out.
                if let Some(session) = session.filter(|_| self.context.may_replicate())
                    && page.watch.is_reached(partition)
                {
                    changes.retain(|change| !page.watch.is_written(&change.operation.key));
                    let mut connection = self.connection();
                    let (copied, attempt) = self
                        .attempt(&session, &mut connection, page, partition, &changes)
                        .await?;
                    changes.drain(..copied);
                    match attempt {
                        Attempt::Copied => {
                            self.connections.lock().push(connection);
                            return Ok(Copied::All);
                        }
                        Attempt::Behind => self.connections.lock().push(connection),
                        Attempt::Interrupted => {}
                        Attempt::NoConnection(failure) => {
                            self.context.keeps_session(&session, &failure).await;
                            pause = Some(connection.failed());
                        }
                    }
                }
            }
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
                continue;
            }
            tokio::select! {
                () = progressed => {}
                () = reopened => {}
                _ = states.changed() => {}
            }
        }
    }

    /// A connection for a part.
    fn connection(&self) -> WorkerConnection {
        let idle = self.connections.lock().pop();
        idle.unwrap_or_else(|| WorkerConnection::new(Arc::clone(&self.context.manager)))
    }

    /// Closes the connections that no part uses.
    pub(super) fn close_connections(&self) {
        self.connections.lock().clear();
    }

    /// Copies rows in as many transactions as it takes. One that fails is halved, down
    /// to the row that fails by itself. Returns how many rows from the beginning are
    /// done, and how it ended.
    async fn attempt(
        &self,
        session: &Session,
        connection: &mut WorkerConnection,
        page: &CopiedPage,
        partition: u16,
        changes: &[Change],
    ) -> Result<(usize, Attempt), Failure> {
        let Context {
            queue,
            manager,
            config,
            ..
        } = &*self.context;
        let mut done = 0;
        let mut isolation = Isolation::new(config.operation_timeout);
        let mut pieces = vec![changes];
        while let Some(piece) = pieces.pop() {
            let (fit, bytes) = self.that_fit(piece);
            if fit < piece.len() {
                let (first, second) = piece.split_at(fit);
                pieces.extend([second, first]);
                continue;
            }
            let client = match connection.get(session).await {
                Ok(client) => client,
                Err(error) => {
                    let failure = Failure::of(Call::Connect, error);
                    return Ok((done, Attempt::NoConnection(failure)));
                }
            };
            let began = Instant::now();
            let written = async {
                let (part, creates) = ((partition, &*page.table), &page.creates);
                let relationships =
                    self.applier
                        .define_relationships(session.generation, &client, piece);
                if let Err(error) = relationships.await {
                    return Ok(Err(Failure::of(Call::Apply, error)));
                }
                let written = self
                    .transactions
                    .write(session, &client, part, piece, creates);
                Ok(written.await)
            };
            let failure = match catch_panic("copying rows", written)
                .await
                .unwrap_or_else(|panic| Err(Failure::of(Call::Apply, panic)))
            {
                Ok(Written::Copied) => {
                    self.limiter.committed(bytes, began.elapsed());
                    connection.succeeded();
                    isolation.succeeded();
                    self.retries.resolve(piece)?;
                    let progress = &self.context.progress;
                    progress.applied(piece.len(), began.elapsed());
                    progress.metrics.committed(piece.len(), bytes);
                    done += piece.len();
                    continue;
                }
                Ok(Written::Behind) => return Ok((done, Attempt::Behind)),
                Err(failure) => failure,
            };
            if failure.policy.action == Action::CheckSecondary {
                connection.close();
                if failure.error.kind == ErrorKind::TIMEOUT {
                    self.limiter.timed_out(bytes);
                }
                let confirmed = queue.confirmed(self.secondary())[usize::from(partition)];
                if let Err(lost) = self.applier.check(session, partition, confirmed).await {
                    manager.lost(session.generation, &lost);
                    return Ok((done, Attempt::Interrupted));
                }
            }
            match isolation.failed(failure, piece) {
                Next::Repeat => pieces.push(piece),
                Next::Halve(at) => {
                    let (first, second) = piece.split_at(at);
                    pieces.extend([second, first]);
                }
                Next::Reject(failure) => {
                    for change in piece {
                        self.retries.defer(&change.operation, &failure)?;
                    }
                    done += piece.len();
                }
                Next::LoseSession(failure) => {
                    manager.lost(session.generation, &failure);
                    return Ok((done, Attempt::Interrupted));
                }
                Next::Wait(failure) => return Err(failure),
            }
        }
        Ok((done, Attempt::Copied))
    }

    /// How many rows from the beginning go into one transaction, and their bytes.
    fn that_fit(&self, piece: &[Change]) -> (usize, usize) {
        let limit = self.limiter.bytes();
        let (mut rows, mut bytes) = (0, 0);
        for change in piece.iter().take(ROWS) {
            let more = bytes + change.wire_bytes();
            if rows > 0 && more > limit {
                break;
            }
            (rows, bytes) = (rows + 1, more);
        }
        (rows, bytes)
    }
}
