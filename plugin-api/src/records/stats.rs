//! Counts.

use crate::ffi::Text;
use abi_stable::StableAbi;
use serde::{Deserialize, Serialize};

/// Counts of what is stored, for one user or for all.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// Facts.
    pub key_value_count: u64,
    /// Vector memories.
    pub vector_count: u64,
    /// Entities, of all users: an entity belongs to none.
    pub entity_count: u64,
    /// Relationships, of all users.
    pub relationship_count: u64,
    /// Documents of the knowledge base, a chunked one counted once, of all users.
    pub document_count: u64,
    /// Events.
    pub event_count: u64,
    /// Bytes of text in facts, vectors, documents and events.
    pub total_size_bytes: u64,
}

/// Counts of what is indexed of one code project.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProjectStats {
    /// The project.
    pub project_id: Text,
    /// Files indexed.
    pub file_count: u64,
    /// Symbols found.
    pub symbol_count: u64,
    /// Chunks of large symbols.
    pub chunk_count: u64,
    /// The number of symbols by type: `function` to 12.
    pub symbols_by_type: crate::value::Object,
    /// The number of files by language: `rust` to 7.
    pub files_by_language: crate::value::Object,
}

/// The number of rows of a table that belong to a user.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCount {
    /// The user.
    pub user_id: Text,
    /// The number of rows.
    pub count: u64,
}
