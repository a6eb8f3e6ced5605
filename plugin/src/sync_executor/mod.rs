//! [`SyncExecutor`]: brings what is in the log to the secondaries.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`replicator`] | one secondary's workers: which partition, which batch, what to do with each outcome |
//! | [`batch`] | what a batch comes down to: the last state of each key |
//! | [`batch_limiter`] | how much a secondary takes at once |
//! | [`refresh`] | reading the primary's present rows for the operations that carry none |
//! | [`statement`] | the transaction that a batch becomes |
//! | [`rejection`] | operations that the secondary refuses: their retries, and the end of those |
//! | [`reconcile`] | comparing positions with a secondary that has just connected |
//! | [`resync`] | walking the primary's tables |
//! | [`catch_panic`] | what a panic ends, and what it does not |
//! | [`progress`] | counts and rates for those who look |

mod batch;
mod batch_limiter;
mod catch_panic;
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
    sync_queue::{QueueError, SyncQueue},
};
use plugin_api::storage::FullStorage;
use prometheus_client::metrics::histogram::Histogram;
use replicator::Replicator;
use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};
use tokio::{
    runtime::Handle,
    task::{AbortHandle, JoinHandle},
};

/// How the executor works; the names are those of the configuration.
#[derive(Clone, Debug)]
pub struct ExecutorConfig {
    /// Most operations in a batch.
    pub batch_size: usize,
    /// Longest wait to fill one.
    pub batch_timeout: Duration,
    /// How often an operation that was refused is tried again.
    pub max_retries: u32,
    /// The wait before the first of these; each further one doubles it.
    pub retry_interval: Duration,
    /// Workers of each secondary.
    pub workers: usize,
    /// Longest time that a secondary may take for a batch.
    pub operation_timeout: Duration,
    /// Is a secondary filled that this log has never bootstrapped?
    pub initial_sync: bool,
    /// Which tables are replicated.
    pub tables: TableFilter,
}

/// Says whether a table is replicated.
#[derive(Clone)]
pub struct TableFilter(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl TableFilter {
    /// Replicates the tables for which `selects` is true.
    pub fn new(selects: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(selects))
    }

    /// Is `table` replicated?
    pub fn selects(&self, table: &str) -> bool {
        (self.0)(table)
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
    queue: Arc<SyncQueue>,
    replicators: Vec<Arc<Replicator>>,
    workers: parking_lot::Mutex<Vec<JoinHandle<()>>>,
    /// What goes on beside them: retries, resyncs, and bringing the log to the
    /// disk. Each of their steps is whole in itself, so they end at once.
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
        let replicators: Vec<_> = secondaries
            .iter()
            .map(|manager| {
                Arc::new(Replicator::new(
                    Arc::clone(&queue),
                    primary.clone(),
                    Arc::clone(manager),
                    config.clone(),
                ))
            })
            .collect();
        let (mut workers, mut background_tasks) = (Vec::new(), Vec::new());
        for replicator in &replicators {
            for _ in 0..config.workers {
                workers.push(runtime.spawn(Arc::clone(replicator).work()));
            }
            let retries = Arc::clone(replicator).run_due_retries();
            background_tasks.push(runtime.spawn(retries).abort_handle());
            let resyncs = Arc::clone(replicator).run_resyncs();
            background_tasks.push(runtime.spawn(resyncs).abort_handle());
        }
        if let Some(interval) = queue.sync_interval() {
            let syncs = sync_regularly(Arc::clone(&queue), interval);
            background_tasks.push(runtime.spawn(syncs).abort_handle());
        }
        Self {
            queue,
            replicators,
            workers: parking_lot::Mutex::new(workers),
            background_tasks,
        }
    }

    /// Counts and rates of a secondary; none for one that is not configured.
    pub fn progress(&self, secondary: &str) -> Option<Progress> {
        self.replicators
            .iter()
            .find(|replicator| replicator.name() == secondary)
            .map(|replicator| replicator.progress.snapshot())
    }

    /// How long its batches took, in seconds; none for a secondary that is not
    /// configured.
    pub fn batch_seconds(&self, secondary: &str) -> Option<Histogram> {
        self.replicators
            .iter()
            .find(|replicator| replicator.name() == secondary)
            .map(|replicator| replicator.progress.batch_seconds())
    }

    /// The scans of a secondary's tables that are under way, by table.
    pub fn scans(&self, secondary: &str) -> BTreeMap<String, ScanProgress> {
        self.replicators
            .iter()
            .find(|replicator| replicator.name() == secondary)
            .map(|replicator| replicator.progress.scans())
            .unwrap_or_default()
    }

    /// Is it settled what this session of a secondary lacks? Until then an
    /// empty backlog means nothing.
    pub fn is_reconciled(&self, secondary: &str, generation: u64) -> bool {
        self.replicators
            .iter()
            .find(|replicator| replicator.name() == secondary)
            .is_none_or(|replicator| replicator.is_reconciled(generation))
    }

    /// Stops applying; the log goes on filling.
    pub fn pause(&self) {
        self.each(|replicator| replicator.set_paused(true));
    }

    /// Goes on applying.
    pub fn resume(&self) {
        self.each(|replicator| replicator.set_paused(false));
        self.queue.wake();
    }

    /// Is it paused?
    pub fn is_paused(&self) -> bool {
        self.replicators
            .iter()
            .any(|replicator| replicator.is_paused())
    }

    fn each(&self, act: impl Fn(&Replicator)) {
        self.replicators
            .iter()
            .for_each(|replicator| act(replicator));
    }

    /// Waits until the secondaries that are connected have everything, for at
    /// most `timeout`. True if they have.
    pub async fn drain(&self, timeout: Duration) -> bool {
        let drained = async {
            loop {
                let woken = self.queue.woken();
                if self
                    .replicators
                    .iter()
                    .all(|replicator| replicator.is_idle())
                {
                    return;
                }
                // Each batch wakes; the tick is for a secondary that is lost.
                let _ = tokio::time::timeout(Duration::from_millis(100), woken).await;
            }
        };
        tokio::time::timeout(timeout, drained).await.is_ok()
    }

    /// Ends all workers. A batch that is under way is finished, or given up at
    /// `timeout`: the log knows either way.
    pub async fn shutdown(&self, timeout: Duration) {
        self.each(Replicator::stop);
        self.queue.wake();
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

async fn sync_regularly(queue: Arc<SyncQueue>, interval: Duration) {
    let mut failing = false;
    loop {
        tokio::time::sleep(interval).await;
        match queue.sync() {
            Ok(()) => failing = false,
            Err(QueueError::Closed) => return,
            // It is told by whoever opens it again.
            Err(QueueError::Unavailable) => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%error, "the log cannot be brought to the disk");
                }
            }
        }
    }
}
