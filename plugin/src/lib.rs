//! db-sync-server: the replication module of Remembrances-MCP.

pub mod config;
pub mod dedup;
pub mod tombstones;
