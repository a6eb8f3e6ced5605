//! [`ReplicationModule`]: the module's life.
//!
//! New → provisioned → cleaned up, and never back. What works in between is a
//! [`Replication`]; the host's storages are [`ClosableStorage`]s to it, which cleaning up
//! closes first.

#[cfg(test)]
mod tests;

use crate::{
    config::{Config, HostContext, environment},
    http::Endpoints,
    logging::Log,
    merged_storage::MergedStorage,
    replication::Replication,
    wrapped_storage::ClosableStorage,
};
use parking_lot::Mutex;
use plugin_api::{
    error::{StorageError, StorageResult},
    module::{
        HttpEndpoints, Module, ModuleConfig, ModuleInfo, StorageWrapper, StorageWrapperProvider,
    },
    storage::FullStorage,
};
use std::{sync::Arc, time::Instant};

/// The module's id in the host's configuration.
pub const ID: &str = "commercial_db-sync-server";

/// What the module says of itself.
pub fn info() -> ModuleInfo {
    ModuleInfo {
        id: ID.into(),
        name: "db-sync-server".into(),
        description: "Copies every write to secondary databases and merges them into reads".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        author: env!("CARGO_PKG_AUTHORS").into(),
        license: env!("CARGO_PKG_LICENSE").into(),
    }
}

/// The replication module. Dropping it cleans it up.
#[derive(Default)]
pub struct ReplicationModule {
    stage: Arc<Mutex<Stage>>,
}

#[derive(Default)]
enum Stage {
    #[default]
    New,
    /// The configuration says `enabled: false`.
    Disabled,
    Working(Working),
    CleanedUp,
}

struct Working {
    replication: Arc<Replication>,
    /// There once the host has wrapped its storage.
    door: Option<Arc<ClosableStorage<MergedStorage>>>,
}

impl Stage {
    fn refusal(&self) -> StorageError {
        match self {
            Self::CleanedUp => {
                StorageError::closed("the module was cleaned up; load it again to go on")
            }
            Self::New => StorageError::invalid_input("the module is not provisioned yet"),
            Self::Disabled | Self::Working(_) => {
                StorageError::invalid_input("the module is provisioned already")
            }
        }
    }
}

impl Module for ReplicationModule {
    fn info(&self) -> ModuleInfo {
        info()
    }

    fn provision(&self, module: ModuleConfig) -> StorageResult<()> {
        let mut stage = self.stage.lock();
        if !matches!(*stage, Stage::New) {
            return Err(stage.refusal());
        }
        let host = HostContext {
            namespace: &module.namespace,
            database: &module.database,
            data_dir: &module.data_dir,
        };
        let config = Config::read(&module.settings, host, &environment::of_process)?;
        let log = Log::new(module.logger);
        *stage = match config {
            None => {
                log.scope(|| {
                    tracing::info!("disabled by the configuration; nothing is replicated");
                });
                Stage::Disabled
            }
            Some(config) => Stage::Working(Working {
                replication: Replication::start(config, module.primary, log)?,
                door: None,
            }),
        };
        Ok(())
    }

    fn validate(&self) -> StorageResult<()> {
        match &*self.stage.lock() {
            Stage::Disabled | Stage::Working(_) => Ok(()),
            other => Err(other.refusal()),
        }
    }

    fn cleanup(&self) -> StorageResult<()> {
        clean_up(&self.stage)
    }

    fn storage_wrapper(&self) -> Option<StorageWrapper> {
        Some(StorageWrapper::new(Wrapper {
            stage: Arc::clone(&self.stage),
        }))
    }

    fn http_endpoints(&self) -> Option<HttpEndpoints> {
        let stage = Arc::clone(&self.stage);
        Some(HttpEndpoints::new(Endpoints::new(move || {
            match &*stage.lock() {
                Stage::Working(working) => Some(Arc::clone(&working.replication)),
                _ => None,
            }
        })))
    }
}

impl Drop for ReplicationModule {
    fn drop(&mut self) {
        // A host that forgot to clean up gets no error to act on either.
        let _ = clean_up(&self.stage);
    }
}

/// Intake first, so that nothing is taken in that nobody would work on.
fn clean_up(stage: &Mutex<Stage>) -> StorageResult<()> {
    // The lock is not held while draining: others are told at once.
    let former = std::mem::replace(&mut *stage.lock(), Stage::CleanedUp);
    let Stage::Working(working) = former else {
        return Ok(());
    };
    let deadline = Instant::now() + working.replication.config().settings.shutdown_drain_timeout;
    let left = || deadline.saturating_duration_since(Instant::now());
    let all_left = working.door.is_none_or(|door| door.close(left()));
    working.replication.log().scope(|| {
        if !all_left {
            tracing::warn!("calls on the storage were still under way at cleanup");
        }
        working.replication.shutdown(left())
    })
}

/// Wraps the host's storage while the module works. Wrapping again gives the
/// same storage: a second write path would copy everything twice, and could
/// not keep the order of writes that come by the first.
struct Wrapper {
    stage: Arc<Mutex<Stage>>,
}

impl StorageWrapperProvider for Wrapper {
    fn wrap_storage(&self, primary: FullStorage) -> StorageResult<FullStorage> {
        match &mut *self.stage.lock() {
            Stage::Disabled => Ok(primary),
            Stage::Working(Working { replication, door }) => Ok(door
                .get_or_insert_with(|| {
                    let wrapped = replication.wrap(primary.clone());
                    ClosableStorage::new(primary, wrapped, Arc::clone(replication.log()))
                })
                .storage()),
            other => Err(other.refusal()),
        }
    }
}
