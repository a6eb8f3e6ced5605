//! db-sync-server: the replication module of Remembrances-MCP.

pub mod dedup;
pub mod fail_points;
pub mod key_locks;
pub mod sync_queue;
pub mod sync_types;
pub mod tombstones;
