//! db-sync-server: the replication module of Remembrances-MCP.

pub mod config;
pub mod connection;
pub mod dedup;
pub mod logging;
pub mod query_merger;
pub mod tombstones;

#[cfg(test)]
mod test_server;
