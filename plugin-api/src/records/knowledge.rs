//! Vector memories, documents, and the search across them.

use super::GraphResult;
use crate::{
    ffi::{List, Maybe, Text},
    value::{Object, RecordId, Timestamp},
};
use abi_stable::StableAbi;
use serde::{Deserialize, Serialize};

/// A vector memory found by similarity.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundVector {
    /// The row's id.
    pub id: RecordId,
    /// The user that it belongs to.
    pub user_id: Maybe<Text>,
    /// The text.
    pub content: Text,
    /// Cosine similarity to the query, -1 to 1.
    pub similarity: f64,
    /// Free-form data of the caller.
    pub metadata: Object,
    /// When the row was created.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

/// A document of the knowledge base, or one chunk of it.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The row's id.
    pub id: RecordId,
    /// The document's path; of a chunk, `path#chunkN`.
    pub file_path: Text,
    /// The text.
    pub content: Text,
    /// 768 floats; zeros if none was given.
    pub embedding: List<f32>,
    /// Free-form data of the caller.
    pub metadata: Object,
    /// Of a chunk: the path of the document.
    pub source_file: Maybe<Text>,
    /// Of a chunk: its position, from 0. Of a whole document: 0.
    pub chunk_index: u32,
    /// Of a chunk: the number of chunks. Of a whole document: 0.
    pub chunk_count: u32,
    /// When the row was created.
    pub created_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
}

/// A document or chunk found by similarity.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundDocument {
    /// What was found.
    pub document: Document,
    /// Cosine similarity to the query, -1 to 1.
    pub similarity: f64,
}

/// What `hybrid_search` found in the three memories.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HybridResult {
    /// The nearest vector memories.
    pub vectors: List<FoundVector>,
    /// The neighbourhood (two steps) of each entity asked for.
    pub graph: List<GraphResult>,
    /// The user's facts, key to value.
    pub facts: Object,
    /// The number of results in all.
    pub total: u64,
    /// The duration of the search in microseconds.
    pub query_time_us: u64,
}
