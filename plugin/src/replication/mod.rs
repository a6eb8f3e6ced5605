//! [`Replication`]: everything that works between provisioning and cleanup,
//! put together.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `admin` | pausing, dead letters, resyncs: what an operator can ask for |
//! | `status` | the status and what the metrics need |
//! | [`verify`] | comparing the secondaries with the primary |
//! | `not_replicated` | which tables of the primary are not replicated |
//! | `log_row` | the log's row in the primary: that the log misses writes, and its epoch |
//! | `queue_id` | the name of a `queue_dir`, which moves along with it |
//! | `recovery_task` | reopening the log and the tombstones after a failure |
//! | `sampling_task` | recording how each secondary does |
//! | `settlement_task` | settling writes whose outcome on the primary is unknown |

mod admin;
mod log_row;
mod not_replicated;
mod queue_id;
mod recovery_task;
mod sampling_task;
mod settlement_task;
mod status;
mod verify;

pub use verify::{
    ColumnDifference, ColumnValues, DEFAULT_EXAMPLES, Difference, MAX_EXAMPLES, RowExample,
    TableReport, VerifyJob, VerifyOptions, VerifyProgress, VerifyReport, VerifyState,
};

use crate::{
    build_info::BUILD,
    config::{
        Config, DeletedReads, HostTables, InitialSync, QueueFsync, SecondaryConfig, Settings,
    },
    connection::{ConnectionPolicy, LoopDetector, SecondaryConnectionManager},
    key_locks::KeyLocks,
    logging::Log,
    merged_storage::MergedStorage,
    metrics::instruments::{ReadMetrics, WriteMetrics},
    query_merger::{QueryMerger, ReadSettings, Secondary},
    status::History,
    sync_executor::{ExecutorConfig, SyncExecutor, TableFilter},
    sync_queue::{Fsync, QueueConfig, SyncQueue},
    synced_storage::SyncedStorage,
    tombstones::Tombstones,
};
use log_row::{DisabledMarker, PrimaryLogRow};
use not_replicated::NotReplicated;
use parking_lot::Mutex;
use plugin_api::{
    error::{StorageError, StorageResult},
    storage::FullStorage,
    value::Timestamp,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::runtime::{Builder, Handle, Runtime};
use verify::Verification;

/// The database's futures are deep.
const STACK_SIZE: usize = 10 << 20;

/// How long shutdown waits for the workers, and then for the runtime's threads.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// How often the log is flushed to the disk with `queue_fsync: interval`.
const FSYNC_INTERVAL: Duration = Duration::from_millis(100);

/// One module's runtime, log, secondaries and workers.
pub struct Replication {
    config: Config,
    log: Arc<Log>,
    started_at: Timestamp,
    history: Arc<History>,
    verification: Verification,
    primary: FullStorage,
    tables: TableFilter,
    locks: Arc<KeyLocks>,
    tombstones: Arc<Tombstones>,
    not_replicated: NotReplicated,
    connections: Vec<Arc<SecondaryConnectionManager>>,
    loops: Arc<LoopDetector>,
    /// What the wrapped storages measure.
    writes: Arc<WriteMetrics>,
    reads: BTreeMap<String, Arc<ReadMetrics>>,
    /// None with `sync_enabled: false`.
    pipeline: Option<Pipeline>,
    handle: Handle,
    /// None once it has shut down.
    runtime: Mutex<Option<Runtime>>,
}

#[derive(Clone)]
struct Pipeline {
    queue: Arc<SyncQueue>,
    executor: Arc<SyncExecutor>,
}

impl Replication {
    /// Starts everything; nothing here waits for a network.
    ///
    /// # Errors
    /// If threads cannot be started, or `queue_dir` cannot be used.
    pub fn start(config: Config, primary: FullStorage, log: Log) -> StorageResult<Arc<Self>> {
        let log = Arc::new(log);
        let replication = log.scope(|| Self::build(config, primary, Arc::clone(&log)))?;
        Ok(Arc::new(replication))
    }

    fn build(config: Config, primary: FullStorage, log: Arc<Log>) -> StorageResult<Self> {
        for warning in &config.warnings {
            tracing::warn!("{warning}");
        }
        let settings = &config.settings;
        let names: Vec<String> = config
            .secondaries
            .iter()
            .map(|one| one.name.clone())
            .collect();
        let queue = match settings.sync_enabled {
            true => Some(Arc::new(open_queue(settings, &names, &primary)?)),
            false => None,
        };
        let tombstones = Arc::new(
            Tombstones::open_in(
                &settings.queue_dir.join("deleted"),
                settings.queue_fsync == QueueFsync::Always,
                settings.primary_request_lifetime,
            )
            .map_err(|error| StorageError::invalid_input(error.to_string()))?,
        );
        let runtime = runtime(&log)?;
        runtime.spawn(recovery_task::run(
            looked_after(queue.as_ref(), settings, &primary),
            Arc::clone(&tombstones),
            settings.queue_fsync,
        ));
        runtime.spawn(settlement_task::run(
            primary.clone(),
            queue.clone(),
            Arc::clone(&tombstones),
            settings.primary_request_lifetime,
        ));
        let selection = settings.tables.clone();
        let others = selection.others.clone();
        let tables = TableFilter::new(move |table| selection.includes(table)).with_others(others);
        let not_replicated = NotReplicated::default();
        runtime.spawn(not_replicated::watch(
            primary.clone(),
            tables.clone(),
            settings.operation_timeout,
            Arc::clone(&not_replicated),
        ));
        let policy = ConnectionPolicy::from(settings);
        let loops = LoopDetector::new(primary.clone(), settings.health_check_interval);
        let start = |secondary: &SecondaryConfig| {
            SecondaryConnectionManager::start(
                secondary.clone(),
                policy,
                Some(Arc::clone(&loops)),
                runtime.handle().clone(),
            )
        };
        let connections: Vec<_> = config.secondaries.iter().map(start).collect();
        let pipeline = queue.map(|queue| Pipeline {
            executor: Arc::new(SyncExecutor::start(
                Arc::clone(&queue),
                &primary,
                &connections,
                &executor_config(settings, &tables),
                runtime.handle(),
            )),
            queue,
        });
        let history = Arc::new(History::new(names.iter().cloned()));
        if let Some(pipeline) = &pipeline {
            runtime.spawn(sampling_task::run(
                pipeline.clone(),
                names.clone(),
                Arc::clone(&history),
            ));
        }
        tracing::info!(
            version = BUILD.version,
            commit = BUILD.commit,
            secondaries = names.join(", "),
            sync_enabled = settings.sync_enabled,
            merge_reads = settings.merge_reads,
            "replication has started"
        );
        Ok(Self {
            config,
            log,
            started_at: Timestamp::now(),
            history,
            verification: Verification::default(),
            primary,
            tables,
            locks: Arc::default(),
            tombstones,
            not_replicated,
            connections,
            loops,
            writes: Arc::default(),
            reads: names
                .into_iter()
                .map(|name| (name, Arc::default()))
                .collect(),
            pipeline,
            handle: runtime.handle().clone(),
            runtime: Mutex::new(Some(runtime)),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where log lines go.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// How each secondary did in the last minutes.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The names of the secondaries, the one that wins first.
    pub fn secondaries(&self) -> Vec<String> {
        self.connections
            .iter()
            .map(|connection| connection.name().to_owned())
            .collect()
    }

    /// The storage that replicates what is written to `primary` and merges what
    /// is read from it.
    pub fn wrap(&self, primary: FullStorage) -> MergedStorage {
        let settings = &self.config.settings;
        let queue = self
            .pipeline
            .as_ref()
            .map(|pipeline| Arc::clone(&pipeline.queue));
        let synced = SyncedStorage::new(
            primary.clone(),
            queue,
            Arc::clone(&self.tombstones),
            self.tables.clone(),
            Arc::clone(&self.locks),
            Arc::clone(&self.writes),
        );
        let secondaries = self.connections.iter().map(|connection| {
            let secondary: Arc<dyn Secondary> =
                Arc::<SecondaryConnectionManager>::clone(connection);
            let metrics = self.reads.get(connection.name()).cloned();
            (secondary, metrics.unwrap_or_default())
        });
        let merger = QueryMerger::new(
            primary.clone(),
            secondaries,
            (settings.deleted_reads == DeletedReads::Hide).then(|| Arc::clone(&self.tombstones)),
            ReadSettings {
                merge: settings.merge_reads,
                query_timeout: settings.query_timeout,
            },
            self.handle.clone(),
        );
        MergedStorage::new(
            primary,
            Arc::new(synced),
            Arc::new(merger),
            settings.merge_reads && settings.merge_raw_queries,
        )
    }

    /// Lets the log drain for up to `drain`, then ends all work and frees
    /// everything. What is left in the log is replicated after the next start.
    ///
    /// # Errors
    /// If a thread could not be ended in order.
    pub fn shutdown(&self, drain: Duration) -> StorageResult<()> {
        let Some(runtime) = self.runtime.lock().take() else {
            return Ok(());
        };
        self.verification.cancel();
        let pipeline = self.pipeline.as_ref();
        let executor = pipeline.map(|pipeline| Arc::clone(&pipeline.executor));
        // On a thread of its own: the caller's may belong to a runtime, which
        // must neither block on another runtime nor drop one.
        let work = move || {
            if let Some(executor) = executor {
                runtime.block_on(async {
                    executor.drain(drain).await;
                    executor.shutdown(SHUTDOWN_TIMEOUT).await;
                });
            }
            runtime
        };
        let runtime = on_own_thread(work)?;
        for connection in &self.connections {
            connection.shutdown();
        }
        self.loops.clear();
        if let Some(Pipeline { queue, .. }) = pipeline {
            for name in self.secondaries() {
                let waiting = queue.backlog_operations(&name);
                if waiting > 0 {
                    tracing::info!(
                        secondary = name,
                        operations = waiting,
                        "operations that were not replicated yet wait in the log for the next \
                         start"
                    );
                }
            }
            queue.close();
        }
        self.tombstones.close();
        on_own_thread(move || runtime.shutdown_timeout(SHUTDOWN_TIMEOUT))?;
        tracing::info!("replication has ended");
        Ok(())
    }
}

fn on_own_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> StorageResult<T> {
    thread::Builder::new()
        .name("db-sync-end".to_owned())
        .stack_size(STACK_SIZE)
        .spawn(work)
        .ok()
        .and_then(|thread| thread.join().ok())
        .ok_or_else(|| StorageError::internal("the module's threads could not be ended in order"))
}

/// What the recovery task looks after.
fn looked_after(
    queue: Option<&Arc<SyncQueue>>,
    settings: &Settings,
    primary: &FullStorage,
) -> recovery_task::Log {
    if let Some(queue) = queue {
        return recovery_task::Log::Queue(Arc::clone(queue));
    }
    let disabled_marker = DisabledMarker::new(primary, &settings.queue_dir);
    // Before the first write that it misses.
    disabled_marker.set();
    recovery_task::Log::Disabled(Arc::new(disabled_marker))
}

fn log_dir(queue_dir: &Path) -> PathBuf {
    queue_dir.join("log")
}

fn open_queue(
    settings: &Settings,
    secondaries: &[String],
    primary: &FullStorage,
) -> StorageResult<SyncQueue> {
    let config = QueueConfig {
        dir: log_dir(&settings.queue_dir),
        max_bytes: settings.queue_max_bytes,
        fsync: match settings.queue_fsync {
            QueueFsync::None => Fsync::None,
            QueueFsync::Interval => Fsync::Interval(FSYNC_INTERVAL),
            QueueFsync::Always => Fsync::Always,
        },
        tables: match &settings.tables.host {
            HostTables::All => None,
            HostTables::Only(names) => Some(names.iter().map(|&name| name.to_owned()).collect()),
        },
        other_tables: settings.tables.others.clone(),
        request_lifetime: settings.primary_request_lifetime,
    };
    let row = PrimaryLogRow::new(primary.clone(), &settings.queue_dir);
    Ok(SyncQueue::open_with(config, secondaries, Box::new(row))?)
}

fn executor_config(settings: &Settings, tables: &TableFilter) -> ExecutorConfig {
    let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    ExecutorConfig {
        batch_size: number(settings.sync_batch_size),
        batch_timeout: settings.sync_batch_timeout,
        max_retries: settings.sync_max_retries,
        retry_interval: settings.sync_retry_interval,
        workers: number(settings.sync_workers),
        operation_timeout: settings.operation_timeout,
        initial_sync: settings.initial_sync == InitialSync::Auto,
        tables: tables.clone(),
    }
}

fn runtime(log: &Log) -> StorageResult<Runtime> {
    let workers = thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 4));
    Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("db-sync")
        .thread_stack_size(STACK_SIZE)
        .on_thread_start(log.adopt_thread())
        .enable_all()
        .build()
        .map_err(|error| {
            StorageError::internal(format!("the module's threads cannot be started: {error}"))
        })
}
