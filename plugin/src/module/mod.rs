//! [`ReplicationModule`]: the module's lifecycle.
//!
//! A module is provisioned once and cleaned up once; it cannot be provisioned
//! again. In between, a [`Replication`] does the work. The host calls it through
//! a [`ClosableStorage`], which cleanup closes first.

#[cfg(test)]
mod tests;

use crate::{
    build_info::BUILD,
    config::{Config, HostContext, environment},
    http::Endpoints,
    logging::Log,
    merged_storage::MergedStorage,
    replication::Replication,
    wrapped_storage::ClosableStorage,
};
use parking_lot::Mutex;
use plugin_api::{
    error::{ModuleError, ModuleResult},
    module::{
        HttpEndpoints, Module, ModuleConfig, ModuleInfo, StorageWrapper, StorageWrapperProvider,
    },
    storage::FullStorage,
};
use std::{sync::Arc, time::Instant};

/// The module's id in the host's configuration.
pub const ID: &str = "commercial_db-sync-server";

/// The module's description of itself.
pub fn info() -> ModuleInfo {
    ModuleInfo {
        id: ID.into(),
        name: "db-sync-server".into(),
        description: "Replicates every write to secondary databases and merges them into reads"
            .into(),
        version: BUILD.version.into(),
        author: env!("CARGO_PKG_AUTHORS").into(),
        license: env!("CARGO_PKG_LICENSE").into(),
        commit: BUILD.commit.into(),
        surrealdb_client: BUILD.surrealdb_client.into(),
        target: BUILD.target.into(),
        profile: BUILD.profile.into(),
    }
}

/// The replication module. Dropping it cleans it up.
#[derive(Default)]
pub struct ReplicationModule {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
enum State {
    #[default]
    New,
    /// Provisioned with `enabled: false`.
    Disabled,
    Running(Running),
    CleanedUp,
}

struct Running {
    replication: Arc<Replication>,
    /// The wrapped storage, once the host has asked for it.
    storage: Option<Arc<ClosableStorage<MergedStorage>>>,
}

impl State {
    /// The error of a call that is not allowed in this state.
    fn error(&self) -> ModuleError {
        match self {
            Self::CleanedUp => {
                ModuleError::closed("the module was cleaned up; load it again to use it")
            }
            Self::New => ModuleError::invalid_input("the module is not provisioned"),
            Self::Disabled | Self::Running(_) => {
                ModuleError::invalid_input("the module is already provisioned")
            }
        }
    }
}

impl Module for ReplicationModule {
    fn info(&self) -> ModuleInfo {
        info()
    }

    fn provision(&self, module: ModuleConfig) -> ModuleResult<()> {
        let mut state = self.state.lock();
        if !matches!(*state, State::New) {
            return Err(state.error());
        }
        let host = HostContext {
            namespace: &module.namespace,
            database: &module.database,
            data_dir: &module.data_dir,
        };
        let config = Config::read(&module.settings, host, &environment::of_process)?;
        let log = Log::new(module.logger);
        *state = match config {
            None => {
                log.scope(|| {
                    tracing::info!(
                        "the module is disabled by its configuration: nothing is replicated"
                    );
                });
                State::Disabled
            }
            Some(config) => State::Running(Running {
                replication: Replication::start(config, module.primary, log)?,
                storage: None,
            }),
        };
        Ok(())
    }

    fn validate(&self) -> ModuleResult<()> {
        match &*self.state.lock() {
            State::Disabled | State::Running(_) => Ok(()),
            other => Err(other.error()),
        }
    }

    fn cleanup(&self) -> ModuleResult<()> {
        clean_up(&self.state)
    }

    fn storage_wrapper(&self) -> Option<StorageWrapper> {
        Some(StorageWrapper::new(Wrapper {
            state: Arc::clone(&self.state),
        }))
    }

    fn http_endpoints(&self) -> Option<HttpEndpoints> {
        let state = Arc::clone(&self.state);
        Some(HttpEndpoints::new(Endpoints::new(move || {
            match &*state.lock() {
                State::Running(running) => Some(Arc::clone(&running.replication)),
                _ => None,
            }
        })))
    }
}

impl Drop for ReplicationModule {
    fn drop(&mut self) {
        // Drop cannot report an error.
        let _ = clean_up(&self.state);
    }
}

/// Closes the wrapped storage first, so that no write is accepted that would
/// not be replicated; then drains the log and stops.
fn clean_up(state: &Mutex<State>) -> ModuleResult<()> {
    // Not locked while draining: calls meanwhile get their error at once.
    let former = std::mem::replace(&mut *state.lock(), State::CleanedUp);
    let State::Running(running) = former else {
        return Ok(());
    };
    let deadline = Instant::now() + running.replication.config().settings.shutdown_drain_timeout;
    let remaining = || deadline.saturating_duration_since(Instant::now());
    let is_idle = running
        .storage
        .is_none_or(|storage| storage.close(remaining()));
    running.replication.log().scope(|| {
        if !is_idle {
            tracing::warn!(
                "calls to the storage were still in flight when shutdown_drain_timeout expired; \
                 a larger value lets them finish"
            );
        }
        running.replication.shutdown(remaining())
    })
}

/// Wraps the host's storage while the module runs. Wrapping again returns the
/// same storage: a second write path would replicate everything twice, and
/// could not keep the order between its writes and those of the first.
struct Wrapper {
    state: Arc<Mutex<State>>,
}

impl StorageWrapperProvider for Wrapper {
    fn wrap_storage(&self, primary: FullStorage) -> ModuleResult<FullStorage> {
        match &mut *self.state.lock() {
            State::Disabled => Ok(primary),
            State::Running(Running {
                replication,
                storage,
            }) => Ok(storage
                .get_or_insert_with(|| {
                    let wrapped = replication.wrap(primary.clone());
                    ClosableStorage::new(primary, wrapped, Arc::clone(replication.log()))
                })
                .storage()),
            other => Err(other.error()),
        }
    }
}
