//! [`Host`]: a primary and the modules that wrap it, shut down in the right order.

use crate::{
    config::HostConfig,
    logging::TracingLogger,
    modules::{Discovery, ManagerError, ModuleManager, Refused, Surroundings, discover},
};
use plugin_api::{
    error::StorageError,
    module::Logger,
    storage::{CallContext, FullStorage, Storage},
};
use std::{fmt, io, ops::Deref, path::PathBuf, time::Duration};
use surreal_storage::{SurrealStorage, Timeouts};
use tokio::runtime::Runtime;

/// The database recurses deeply when it runs a query.
const STACK_BYTES: usize = 10 * 1024 * 1024;

/// How long the primary may take to connect and to answer.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    operation: Duration::from_secs(60),
};

/// Why a host did not start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The system refused the threads.
    #[error("cannot start the threads of the database: {0}")]
    Runtime(io::Error),
    /// A directory that the host needs cannot be used.
    #[error("cannot use the directory {}: {reason}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// The host's own database cannot be opened.
    #[error("cannot open the primary: {0}")]
    Primary(#[from] StorageError),
    /// Enabled modules that did not load.
    #[error("{0}")]
    Modules(ManagerErrors),
}

/// The errors of several modules. It is a slice of them, and shows each on a line.
#[derive(Debug)]
pub struct ManagerErrors(Vec<ManagerError>);

impl Deref for ManagerErrors {
    type Target = [ManagerError];

    fn deref(&self) -> &[ManagerError] {
        &self.0
    }
}

impl fmt::Display for ManagerErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.iter().map(ToString::to_string).collect();
        f.write_str(&all.join("\n"))
    }
}

impl std::error::Error for ManagerErrors {}

/// A runtime with threads that suit the database.
///
/// # Errors
/// The system refuses the threads.
pub fn database_runtime() -> Result<Runtime, HostError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("host-database")
        .thread_stack_size(STACK_BYTES)
        .build()
        .map_err(HostError::Runtime)
}

/// A running host. Dropping it shuts it down.
pub struct Host {
    // In the order in which they are shut down: the modules while their primary is
    // still open, the primary before the threads that it runs on.
    manager: ModuleManager,
    storage: FullStorage,
    primary: SurrealStorage,
    runtime: Option<Runtime>,
    failures: Vec<ManagerError>,
    // What the modules are made from.
    config: HostConfig,
    discovery: Discovery,
    surroundings: Surroundings,
}

impl Host {
    /// Opens the primary, brings its schema up to date, loads the modules. A
    /// module that fails is left out and listed by [`Host::failures`].
    ///
    /// # Errors
    /// The primary cannot be opened, or a directory cannot be used.
    pub fn start(config: &HostConfig) -> Result<Self, HostError> {
        let directory = |path: &PathBuf| {
            let path = path.clone();
            move |reason| HostError::Directory { path, reason }
        };
        std::fs::create_dir_all(&config.data_dir).map_err(directory(&config.data_dir))?;
        let discovery = if config.modules.iter().any(|module| module.enabled) {
            discover(&config.modules_dir).map_err(directory(&config.modules_dir))?
        } else {
            Default::default()
        };

        let runtime = database_runtime()?;
        let primary =
            SurrealStorage::new(config.primary.clone(), TIMEOUTS, runtime.handle().clone());
        let context = CallContext::new();
        primary.connect(&context)?;
        primary.initialize_schema(&context)?;

        let surroundings = Surroundings {
            primary: FullStorage::new(primary.clone()),
            namespace: config.primary.namespace.clone(),
            database: config.primary.database.clone(),
            logger: Logger::new(TracingLogger),
            data_dir: config.data_dir.clone(),
        };
        let mut host = Self {
            manager: ModuleManager::default(),
            storage: surroundings.primary.clone(),
            primary,
            runtime: Some(runtime),
            failures: Vec::new(),
            config: config.clone(),
            discovery,
            surroundings,
        };
        host.load_modules();
        Ok(host)
    }

    /// Like [`Host::start`], but a module that fails is an error: without it,
    /// writes would not be replicated. Libraries that do not fit are logged.
    ///
    /// # Errors
    /// Why the host or one of its modules did not start.
    pub fn start_with_all_modules(config: &HostConfig) -> Result<Self, HostError> {
        let mut host = Self::start(config)?;
        for refused in host.refused() {
            tracing::warn!("{} {}", refused.path.display(), refused.reason);
        }
        if host.failures.is_empty() {
            Ok(host)
        } else {
            let failures = std::mem::take(&mut host.failures);
            Err(HostError::Modules(ManagerErrors(failures)))
        }
    }

    /// Loads the modules, as a start does, after [`Host::unload_modules`].
    pub fn load_modules(&mut self) {
        (self.manager, self.storage, self.failures) = ModuleManager::load(
            &self.discovery,
            &self.config.modules_dir,
            &self.config.modules,
            &self.surroundings,
        );
    }

    /// Cleans the modules up, the last one first. From now on the host works on
    /// the primary alone. Returns the errors of their cleanups; the modules are
    /// gone all the same.
    pub fn unload_modules(&mut self) -> Vec<ManagerError> {
        self.storage = self.surroundings.primary.clone();
        self.manager.unload()
    }

    /// What the host works with: the primary, wrapped by every module.
    pub fn storage(&self) -> &FullStorage {
        &self.storage
    }

    /// The primary alone.
    pub fn primary(&self) -> &SurrealStorage {
        &self.primary
    }

    /// The loaded modules.
    pub fn modules(&self) -> &ModuleManager {
        &self.manager
    }

    /// Enabled modules that did not load.
    pub fn failures(&self) -> &[ManagerError] {
        &self.failures
    }

    /// Libraries of the modules directory that do not fit.
    pub fn refused(&self) -> &[Refused] {
        &self.discovery.refused
    }

    /// Cleans the modules up, the last one first, then closes the primary.
    ///
    /// # Errors
    /// The modules' cleanups that failed; everything is shut down all the same.
    pub fn shutdown(mut self) -> Result<(), ManagerErrors> {
        let failures = self.stop();
        if failures.is_empty() {
            Ok(())
        } else {
            Err(ManagerErrors(failures))
        }
    }

    fn stop(&mut self) -> Vec<ManagerError> {
        let failures = self.unload_modules();
        if let Some(runtime) = self.runtime.take() {
            if let Err(error) = self
                .primary
                .close(&CallContext::with_timeout(TIMEOUTS.connect))
            {
                tracing::debug!("closing the primary: {error}");
            }
            runtime.shutdown_timeout(TIMEOUTS.connect);
        }
        failures
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for error in self.stop() {
            tracing::error!("{error}");
        }
    }
}
