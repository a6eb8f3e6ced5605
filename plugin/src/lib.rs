//! db-sync-server: the replication module of Remembrances-MCP.
//!
//! It wraps the host's storage, replicates every write to secondary databases
//! in the background, and merges them into reads.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`module`] | the module's lifecycle, from provisioning to cleanup |
//! | [`config`] | its configuration: the keys in the host's YAML |
//! | [`replication`] | puts the parts together, starts and stops them |
//! | **storage** | |
//! | [`wrapped_storage`] | the storage that the host calls, until cleanup closes it |
//! | [`merged_storage`] | routes each method to the read or the write path |
//! | [`synced_storage`] | the write path: the primary first, then the log |
//! | [`query_merger`] | the read path: the union of the primary and the secondaries |
//! | [`raw_query`] | classifies raw SurrealQL: what it reads and writes |
//! | **replication** | |
//! | [`sync_types`] | [`SyncOperation`](sync_types::SyncOperation): one replicated change of one row |
//! | [`sync_queue`] | the durable log of operations, with retries and dead letters |
//! | [`sync_executor`] | applies the log to each secondary |
//! | [`connection`] | connects to a secondary, checks its health, reconnects |
//! | [`secondary_state`] | the state of a secondary, with every transition |
//! | [`error_policy`] | what is done about an error, by its kind and by what failed |
//! | **shared** | |
//! | [`dedup`] | keys: which rows of two databases are the same |
//! | [`tombstones`] | deleted rows, which merged reads leave out |
//! | [`key_locks`] | orders concurrent writes of the same key |
//! | [`unsettled`] | what requests may still change on the primary, and when it is looked at |
//! | [`self_healing`] | a store on disk that reopens itself after a failure |
//! | **operation** | |
//! | [`status`] | the state and health of replication |
//! | [`metrics`] | what is measured, and the metrics for Prometheus |
//! | [`http`] | the HTTP routes, and the status page |
//! | [`logging`] | forwards `tracing` events to the host's logger, and keeps the recent ones |
//! | [`build_info`] | what the library was built from |
//! | [`fail_points`] | steps at which tests inject failures |

pub mod build_info;
pub mod config;
pub mod connection;
pub mod dedup;
pub mod error_policy;
pub mod fail_points;
pub mod http;
pub mod key_locks;
pub mod logging;
pub mod merged_storage;
pub mod metrics;
pub mod module;
pub mod query_merger;
pub mod raw_query;
pub mod replication;
pub mod secondary_state;
pub mod self_healing;
pub mod status;
pub mod sync_executor;
pub mod sync_queue;
pub mod sync_types;
pub mod synced_storage;
pub mod tombstones;
pub mod unsettled;
pub mod wrapped_storage;

#[cfg(test)]
mod documents;
#[cfg(test)]
mod test_server;

use module::ReplicationModule;
use plugin_api::{
    abi_stable::export_root_module,
    error::ModuleResult,
    module::{ModuleFactory, ModuleHandle, ModuleInfo, ModuleRoot, ModuleRoot_Ref},
};

/// Creates the library's modules.
struct Factory;

impl ModuleFactory for Factory {
    fn info() -> ModuleInfo {
        module::info()
    }

    fn create() -> ModuleResult<ModuleHandle> {
        Ok(ModuleHandle::new(ReplicationModule::default()))
    }
}

/// The root that a host looks up in the library.
#[export_root_module]
fn root() -> ModuleRoot_Ref {
    ModuleRoot::of::<Factory>()
}
