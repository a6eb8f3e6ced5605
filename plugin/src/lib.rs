//! db-sync-server: the replication module of Remembrances-MCP.
//!
//! It wraps the host's storage, copies every write to secondary databases in
//! the background, and merges them into reads.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`module`] | the module's life, from provisioning to cleanup |
//! | [`config`] | the keys of its block in the host's YAML |
//! | [`replication`] | everything that works in between, put together |
//! | [`wrapped_storage`] | the door through which the host calls the storage |
//! | [`connection`] | a secondary's connection: opened, watched, opened again |
//! | [`secondary_state`] | what a secondary is doing, and every transition of that |
//! | [`error_policy`] | what is done about an error, by its kind and by what failed |
//! | [`synced_storage`] | the write path: the primary first, then the log |
//! | [`key_locks`] | who may write what at the same time |
//! | [`sync_types`] | what travels: [`SyncOperation`](sync_types::SyncOperation) |
//! | [`sync_queue`] | the durable log |
//! | [`sync_executor`] | from the log to the secondaries |
//! | [`merged_storage`] | each method to whoever answers for its kind |
//! | [`query_merger`] | the read path: the union of the primary and the secondaries |
//! | [`self_healing`] | a database on disk that may fail, and is opened again by itself |
//! | [`raw_query`] | what raw SurrealQL does, by SurrealQL's own parser |
//! | [`dedup`] | which row is which |
//! | [`tombstones`] | what was deleted stays deleted for merged reads |
//! | [`status`], [`metrics`], [`http`] | to see and to steer it |
//! | [`logging`] | its log lines, to the host |
//! | [`fail_points`] | where a test makes it fail |

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
pub mod wrapped_storage;

#[cfg(test)]
mod test_server;

use module::ReplicationModule;
use plugin_api::{
    abi_stable::{
        export_root_module,
        prefix_type::PrefixTypeTrait,
        std_types::{ROk, RResult},
    },
    error::StorageError,
    module::{ModuleHandle, ModuleInfo, ModuleRoot, ModuleRoot_Ref},
};

/// What a host finds when it opens the library.
#[export_root_module]
fn root() -> ModuleRoot_Ref {
    ModuleRoot { module_info, new }.leak_into_prefix()
}

extern "C" fn module_info() -> ModuleInfo {
    module::info()
}

extern "C" fn new() -> RResult<ModuleHandle, StorageError> {
    ROk(ModuleHandle::new(ReplicationModule::default()))
}
