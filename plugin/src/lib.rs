//! db-sync-server: the replication module of Remembrances-MCP.

pub mod dedup;
pub mod tombstones;
