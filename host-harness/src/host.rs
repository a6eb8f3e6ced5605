//! [`Host`]: a primary, the modules around it, and their end in the right order.

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
use std::{io, path::PathBuf, time::Duration};
use surreal_storage::{SurrealStorage, Timeouts};
use tokio::runtime::Runtime;

/// The database recurses deeply on the stack of whoever runs a query.
const STACK_BYTES: usize = 10 * 1024 * 1024;

/// How long the primary may take to connect and to answer.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    operation: Duration::from_secs(60),
};

/// Why a host did not start.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// No threads for the database.
    #[error("cannot start the threads of the database: {0}")]
    Runtime(io::Error),
    /// A directory that the host needs.
    #[error("cannot use the directory {}: {reason}", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// The host's own database.
    #[error("the primary: {0}")]
    Primary(#[from] StorageError),
}

/// A runtime that the database can live on.
///
/// # Errors
/// The system gives no threads.
pub fn database_runtime() -> Result<Runtime, HostError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("host-database")
        .thread_stack_size(STACK_BYTES)
        .build()
        .map_err(HostError::Runtime)
}

/// A host at work. Dropping it shuts it down.
pub struct Host {
    // In the order in which they end: the modules while their primary is still
    // there, the primary before the threads that it runs on.
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

    /// Makes the modules, as a start does, after [`Host::unload_modules`].
    pub fn load_modules(&mut self) {
        (self.manager, self.storage, self.failures) = ModuleManager::load(
            &self.discovery,
            &self.config.modules_dir,
            &self.config.modules,
            &self.surroundings,
        );
    }

    /// Ends the modules, the last one first. The primary stays, and is all
    /// that the host works with from now on. Gives what a module could not
    /// finish; it has ended all the same.
    pub fn unload_modules(&mut self) -> Vec<ManagerError> {
        self.storage = self.surroundings.primary.clone();
        self.manager.unload()
    }

    /// What the host works with: the primary with every module around it.
    pub fn storage(&self) -> &FullStorage {
        &self.storage
    }

    /// The primary alone.
    pub fn primary(&self) -> &SurrealStorage {
        &self.primary
    }

    /// The modules at work.
    pub fn modules(&self) -> &ModuleManager {
        &self.manager
    }

    /// Modules that were wanted and are not there.
    pub fn failures(&self) -> &[ManagerError] {
        &self.failures
    }

    /// Libraries of the modules directory that do not fit.
    pub fn refused(&self) -> &[Refused] {
        &self.discovery.refused
    }

    /// Ends the modules, the last one first, then the primary.
    ///
    /// # Errors
    /// What a module could not finish; everything has ended all the same.
    pub fn shutdown(mut self) -> Result<(), Vec<ManagerError>> {
        let failures = self.end();
        if failures.is_empty() {
            Ok(())
        } else {
            Err(failures)
        }
    }

    fn end(&mut self) -> Vec<ManagerError> {
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
        for error in self.end() {
            tracing::error!("{error}");
        }
    }
}
