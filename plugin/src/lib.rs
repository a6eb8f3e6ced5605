//! db-sync-server: the replication module of Remembrances-MCP.

pub mod config;
pub mod connection;
pub mod dedup;
pub mod fail_points;
pub mod key_locks;
pub mod logging;
pub mod sync_executor;
pub mod sync_queue;
pub mod sync_types;
pub mod synced_storage;
pub mod tombstones;

#[cfg(test)]
mod test_server;
