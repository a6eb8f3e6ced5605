//! [`SyncExecutor`]: applies the log to the secondaries.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`replicator`] | the workers of one secondary: which partition, and what to do with each outcome |
//! | [`reconcile`] | comparing the positions of a secondary that has just connected with the log |
//! | [`apply`] | applying a batch: split, retried, isolated |
//! | [`isolation`] | what becomes of changes whose transaction failed |
//! | [`batch`] | what a batch comes down to: the last state of each key |
//! | [`batch_limiter`] | how many bytes go into one transaction |
//! | [`refresh`] | reading the primary's present rows for the operations that carry none |
//! | [`statement`] | the transaction that a batch becomes |
//! | [`rejection`] | operations that the secondary rejects: retries and dead letters |
//! | [`resync`] | copying the primary's tables |
//! | [`catch_panic`] | a panic ends a piece of work, not a worker |
//! | [`progress`] | counts and rates |
//! | [`context`] | what all of these work with |

mod apply;
mod batch;
mod batch_limiter;
mod catch_panic;
mod context;
mod isolation;
mod progress;
mod reconcile;
mod refresh;
mod rejection;
mod replicator;
mod resync;
mod statement;

pub use progress::{Progress, ScanProgress};

use crate::{
    connection::SecondaryConnectionManager,
    metrics::instruments::ReplicationMetrics,
    secondary_state::Event,
    sync_queue::{QueueError, ResyncRequest, SyncQueue},
};
use context::{Context, PartitionLocks};
use plugin_api::{
    error::StorageResult,
    storage::{CallContext, FullStorage, Storage},
    value::RecordId,
};
use progress::Counters;
use rejection::RetryQueue;
use replicator::Replicator;
use resync::{Copier, ResyncScanner};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};
use surreal_storage::schema::relationships;
use tokio::{
    runtime::Handle,
    task::{AbortHandle, JoinHandle},
};

/// How the executor works; the names are those of the configuration.
#[derive(Clone, Debug)]
pub struct ExecutorConfig {
    /// Most operations in a batch.
    pub batch_size: usize,
    /// The longest wait to fill one.
    pub batch_timeout: Duration,
    /// How often a rejected operation is retried.
    pub max_retries: u32,
    /// The wait before the first of these; each further one doubles it.
    pub retry_interval: Duration,
    /// Workers of each secondary.
    pub workers: usize,
    /// The longest time that a secondary may take for a transaction.
    pub operation_timeout: Duration,
    /// Is a secondary resynced that this log has never bootstrapped?
    pub initial_sync: bool,
    /// Which tables are replicated.
    pub tables: TableFilter,
}

/// Says which tables are replicated.
#[derive(Clone)]
pub struct TableFilter {
    selects: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// Tables beside the host's.
    others: Arc<BTreeSet<String>>,
}

impl TableFilter {
    /// Replicates the host's tables for which `selects` is true.
    pub fn new(selects: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self {
            selects: Arc::new(selects),
            others: Arc::default(),
        }
    }

    /// Replicates these tables as well: no method of the host reads them, and any row
    /// of theirs is replicated.
    #[must_use]
    pub fn with_others(self, others: BTreeSet<String>) -> Self {
        Self {
            others: Arc::new(others),
            ..self
        }
    }

    /// Is `table` replicated? One that is not known may be a relationship type's.
    pub fn selects(&self, table: &str) -> bool {
        self.is_other(table) || (self.selects)(table)
    }

    /// Is it replicated although it is none of the host's?
    pub fn is_other(&self, table: &str) -> bool {
        self.others.contains(table)
    }

    /// The tables beside the host's.
    pub fn others(&self) -> &BTreeSet<String> {
        &self.others
    }

    /// The names of the primary's tables that are replicated, sorted.
    ///
    /// # Errors
    /// The primary's.
    pub fn tables_of(
        &self,
        primary: &dyn Storage,
        context: &CallContext,
    ) -> StorageResult<Vec<String>> {
        let mut tables: BTreeSet<String> = relationships::replicated_tables(primary, context)?
            .into_iter()
            .filter(|table| (self.selects)(table))
            .collect();
        tables.extend(self.others.iter().cloned());
        Ok(tables.into_iter().collect())
    }
}

impl Default for TableFilter {
    fn default() -> Self {
        Self::new(|_| true)
    }
}

impl fmt::Debug for TableFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TableFilter")
    }
}

/// The workers of all secondaries.
pub struct SyncExecutor {
    replicators: Vec<Arc<Replicator>>,
    copiers: Vec<Arc<Copier>>,
    workers: parking_lot::Mutex<Vec<JoinHandle<()>>>,
    /// Retries, resyncs, and flushing the log. They may be aborted at any time:
    /// each of their steps is atomic.
    background_tasks: Vec<AbortHandle>,
}

impl SyncExecutor {
    /// Starts the workers.
    pub fn start(
        queue: Arc<SyncQueue>,
        primary: &FullStorage,
        secondaries: &[Arc<SecondaryConnectionManager>],
        config: &ExecutorConfig,
        runtime: &Handle,
    ) -> Self {
        let (mut replicators, mut workers) = (Vec::new(), Vec::new());
        let (mut background_tasks, mut copiers) = (Vec::new(), Vec::new());
        for manager in secondaries {
            let context = Arc::new(Context {
                queue: Arc::clone(&queue),
                primary: primary.clone(),
                manager: Arc::clone(manager),
                config: config.clone(),
                progress: Counters::default(),
                partition_locks: PartitionLocks::default(),
            });
            let replicator = Arc::new(Replicator::new(Arc::clone(&context)));
            for _ in 0..config.workers {
                workers.push(runtime.spawn(Arc::clone(&replicator).work()));
            }
            replicators.push(replicator);
            let retries = RetryQueue::new(Arc::clone(&context)).run();
            background_tasks.push(runtime.spawn(retries).abort_handle());
            let copier = Arc::new(Copier::new(Arc::clone(&context)));
            copiers.push(Arc::clone(&copier));
            let scans = Arc::new(ResyncScanner::new(context, copier)).run();
            background_tasks.push(runtime.spawn(scans).abort_handle());
        }
        if let Some(interval) = queue.sync_interval() {
            let syncs = sync_regularly(queue, interval);
            background_tasks.push(runtime.spawn(syncs).abort_handle());
        }
        Self {
            replicators,
            copiers,
            workers: parking_lot::Mutex::new(workers),
            background_tasks,
        }
    }

    fn context(&self, secondary: &str) -> Option<&Context> {
        self.replicators
            .iter()
            .map(|replicator| &*replicator.context)
            .find(|context| context.name() == secondary)
    }

    /// Counts and rates of a secondary; none for one that is not configured.
    pub fn progress(&self, secondary: &str) -> Option<Progress> {
        Some(self.context(secondary)?.progress.snapshot())
    }

    /// What the replication to a secondary measures; none for one that is not
    /// configured.
    pub fn metrics(&self, secondary: &str) -> Option<Arc<ReplicationMetrics>> {
        Some(Arc::clone(&self.context(secondary)?.progress.metrics))
    }

    /// The scans of a secondary's tables that are under way, by table.
    pub fn scans(&self, secondary: &str) -> BTreeMap<String, ScanProgress> {
        self.context(secondary)
            .map(|context| context.progress.scans())
            .unwrap_or_default()
    }

    /// The resync requests of a secondary. Its state is up to date with them
    /// afterwards.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn resync_requests(&self, secondary: &str) -> Result<Vec<ResyncRequest>, QueueError> {
        self.context(secondary)
            .map_or_else(|| Ok(Vec::new()), Context::resync_requests)
    }

    /// Copies these rows of a table to a secondary. False if it has to be done again:
    /// the secondary is not connected, replication is paused, or a read or the
    /// log failed.
    pub async fn copy_rows(&self, secondary: &str, table: &str, ids: Vec<RecordId>) -> bool {
        let mut copiers = self.copiers.iter();
        match copiers.find(|copier| copier.secondary() == secondary) {
            Some(copier) => copier.copy_rows(table, ids).await,
            None => false,
        }
    }

    /// Stops applying; the log goes on filling.
    pub fn pause(&self) {
        self.note(Event::Pause);
    }

    /// Continues applying.
    pub fn resume(&self) {
        self.note(Event::Resume);
    }

    /// Is it paused?
    pub fn is_paused(&self) -> bool {
        self.managers()
            .any(|manager| manager.snapshot().is_paused())
    }

    fn managers(&self) -> impl Iterator<Item = &SecondaryConnectionManager> {
        self.replicators
            .iter()
            .map(|replicator| &*replicator.context.manager)
    }

    fn note(&self, event: Event<'_>) {
        self.managers().for_each(|manager| manager.note(event));
    }

    /// Waits until the secondaries that are connected have everything, for at
    /// most `timeout`. True if they have.
    pub async fn drain(&self, timeout: Duration) -> bool {
        let drained = async {
            for replicator in &self.replicators {
                replicator.idle().await;
            }
        };
        tokio::time::timeout(timeout, drained).await.is_ok()
    }

    /// Stops all secondaries and their workers. A batch that is under way is
    /// finished, or given up at `timeout`: the log knows either way.
    pub async fn shutdown(&self, timeout: Duration) {
        self.managers()
            .for_each(SecondaryConnectionManager::shutdown);
        self.background_tasks.iter().for_each(AbortHandle::abort);
        let workers = std::mem::take(&mut *self.workers.lock());
        let deadline = tokio::time::Instant::now() + timeout;
        for worker in workers {
            let abort = worker.abort_handle();
            if tokio::time::timeout_at(deadline, worker).await.is_err() {
                abort.abort();
            }
        }
    }
}

/// Flushes the log to the disk at most once per `interval`, and only if there is
/// anything new.
async fn sync_regularly(queue: Arc<SyncQueue>, interval: Duration) {
    let mut failing = false;
    loop {
        queue.sync_due().await;
        tokio::time::sleep(interval).await;
        match queue.sync() {
            Ok(()) => failing = false,
            Err(QueueError::Closed) => return,
            // Logged by the task that reopens it.
            Err(QueueError::Unavailable) => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "the log cannot be flushed to the disk; retried automatically");
                }
            }
        }
    }
}
