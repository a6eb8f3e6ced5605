//! [`ModuleManager`]: the modules of a host, from creating them to cleaning up.

use super::{Discovery, Found, Selection};
use crate::nearest::nearest;
use plugin_api::{
    error::{ModuleError, ModuleResult},
    module::{
        HttpEndpoints, Logger, Module, ModuleConfig, ModuleHandle, ModuleInfo,
        StorageWrapperProvider,
    },
    storage::FullStorage,
};
use std::path::{Path, PathBuf};

/// Why a module is not running, or did not end properly.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// No library of the modules directory holds it.
    #[error("module {id} is enabled, but no library in {} holds it{}", .directory.display(), list(.hints))]
    NotFound {
        /// The module's id.
        id: String,
        /// The directory that was searched.
        directory: PathBuf,
        /// What may explain it: a similar id, libraries that were refused.
        hints: Vec<String>,
    },
    /// Several libraries say that they are it.
    #[error("module {id} is in {} and in {}; remove one of the two", .first.display(), .second.display())]
    Duplicate {
        /// The module's id.
        id: String,
        /// One library.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// A step of its lifecycle failed; it has been cleaned up.
    #[error("module {id}: {step}: {error}")]
    Failed {
        /// The module's id.
        id: String,
        /// The step: create, provision, validate, wrap_storage, cleanup.
        step: &'static str,
        /// What the module said.
        error: ModuleError,
    },
}

fn list(hints: &[String]) -> String {
    hints.iter().map(|hint| format!("; {hint}")).collect()
}

/// What a host gives all its modules.
#[derive(Clone)]
pub struct Surroundings {
    /// The host's own storage.
    pub primary: FullStorage,
    /// Its namespace.
    pub namespace: String,
    /// Its database.
    pub database: String,
    /// Where log lines go.
    pub logger: Logger,
    /// Where modules keep their files.
    pub data_dir: PathBuf,
}

/// A running module.
pub struct LoadedModule {
    /// What it says about itself.
    pub info: ModuleInfo,
    /// Its library.
    pub path: PathBuf,
    handle: ModuleHandle,
}

impl LoadedModule {
    /// The HTTP routes that it offers, if any.
    pub fn http_endpoints(&self) -> Option<HttpEndpoints> {
        self.handle.http_endpoints()
    }

    /// The module itself.
    pub fn handle(&self) -> &ModuleHandle {
        &self.handle
    }
}

/// The modules of a host.
#[derive(Default)]
pub struct ModuleManager {
    modules: Vec<LoadedModule>,
}

impl ModuleManager {
    /// Creates the enabled modules, in their order, and lets each in turn wrap
    /// the storage. A module that fails is cleaned up and left out; the others
    /// go on. Returns the manager, the storage to use from now on, and the
    /// failures.
    pub fn load(
        discovery: &Discovery,
        directory: &Path,
        wanted: &[Selection],
        surroundings: &Surroundings,
    ) -> (Self, FullStorage, Vec<ManagerError>) {
        let mut manager = Self::default();
        let mut storage = surroundings.primary.clone();
        let mut failures = Vec::new();
        for selection in wanted.iter().filter(|selection| selection.enabled) {
            let loaded = find(discovery, directory, &selection.id)
                .and_then(|found| start(found, selection, surroundings, storage.clone()));
            match loaded {
                Ok((module, wrapped)) => {
                    manager.modules.push(module);
                    storage = wrapped;
                }
                Err(error) => failures.push(error),
            }
        }
        (manager, storage, failures)
    }

    /// The running modules, in the order in which they wrapped the storage.
    pub fn modules(&self) -> &[LoadedModule] {
        &self.modules
    }

    /// The module of that id.
    pub fn module(&self, id: &str) -> Option<&LoadedModule> {
        self.modules.iter().find(|module| module.info.id == id)
    }

    /// Cleans up all modules, the last one first; a failure stops none of the
    /// others.
    pub fn unload(&mut self) -> Vec<ManagerError> {
        let mut failures = Vec::new();
        while let Some(module) = self.modules.pop() {
            if let Err(error) = module.handle.cleanup() {
                failures.push(failed(&module.info.id, "cleanup", error));
            }
        }
        failures
    }
}

impl Drop for ModuleManager {
    fn drop(&mut self) {
        for error in self.unload() {
            tracing::error!("{error}");
        }
    }
}

fn failed(id: &str, step: &'static str, error: ModuleError) -> ManagerError {
    ManagerError::Failed {
        id: id.to_owned(),
        step,
        error,
    }
}

/// The one library that holds the module.
fn find<'a>(
    discovery: &'a Discovery,
    directory: &Path,
    id: &str,
) -> Result<&'a Found, ManagerError> {
    let mut matching = discovery.found.iter().filter(|found| found.info.id == id);
    match (matching.next(), matching.next()) {
        (Some(found), None) => Ok(found),
        (Some(first), Some(second)) => Err(ManagerError::Duplicate {
            id: id.to_owned(),
            first: first.path.clone(),
            second: second.path.clone(),
        }),
        (None, _) => {
            let known = discovery.found.iter().map(|found| found.info.id.as_str());
            let similar = nearest(id, known).map(|name| format!("did you mean {name}?"));
            let refused = discovery
                .refused
                .iter()
                .map(|refused| format!("{} {}", refused.path.display(), refused.reason));
            Err(ManagerError::NotFound {
                id: id.to_owned(),
                directory: directory.to_owned(),
                hints: similar.into_iter().chain(refused).collect(),
            })
        }
    }
}

/// Creates, provisions and validates a module and lets it wrap the storage;
/// cleans it up if any step fails.
fn start(
    found: &Found,
    selection: &Selection,
    surroundings: &Surroundings,
    storage: FullStorage,
) -> Result<(LoadedModule, FullStorage), ManagerError> {
    let id = &selection.id;
    let handle = found
        .library
        .create()
        .map_err(|error| failed(id, "create", error))?;
    let prepare = || -> Result<FullStorage, (&'static str, ModuleError)> {
        handle
            .provision(surroundings.config(selection))
            .map_err(|error| ("provision", error))?;
        handle.validate().map_err(|error| ("validate", error))?;
        wrap(&handle, storage).map_err(|error| ("wrap_storage", error))
    };
    match prepare() {
        Ok(wrapped) => {
            let module = LoadedModule {
                info: found.info.clone(),
                path: found.path.clone(),
                handle,
            };
            Ok((module, wrapped))
        }
        Err((step, error)) => {
            if let Err(also) = handle.cleanup() {
                tracing::warn!("{}", failed(id, "cleanup", also));
            }
            Err(failed(id, step, error))
        }
    }
}

fn wrap(handle: &ModuleHandle, storage: FullStorage) -> ModuleResult<FullStorage> {
    match handle.storage_wrapper() {
        Some(wrapper) => wrapper.wrap_storage(storage),
        None => Ok(storage),
    }
}

impl Surroundings {
    fn config(&self, selection: &Selection) -> ModuleConfig {
        ModuleConfig {
            settings: selection.settings.clone(),
            primary: self.primary.clone(),
            namespace: self.namespace.as_str().into(),
            database: self.database.as_str().into(),
            logger: self.logger.clone(),
            data_dir: self.data_dir.display().to_string().into(),
        }
    }
}
