//! Vector memories, documents, and the search across them.

use super::GraphResult;
use crate::value::{Object, RecordId, Timestamp};
use abi_stable::{
    StableAbi,
    std_types::{ROption, RString, RVec},
};
use serde::{Deserialize, Serialize};

/// A vector memory found by similarity.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundVector {
    /// The row's id.
    pub id: RecordId,
    /// Whose memory it is.
    pub user_id: ROption<RString>,
    /// The text.
    pub content: RString,
    /// Cosine similarity to the query, -1 to 1.
    pub similarity: f64,
    /// What the caller stored along with it.
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
    pub file_path: RString,
    /// The text.
    pub content: RString,
    /// 768 floats; zeros if none was given.
    pub embedding: RVec<f32>,
    /// What the caller stored along with it.
    pub metadata: Object,
    /// Of a chunk: the path of the document.
    pub source_file: ROption<RString>,
    /// Of a chunk: its place, from 0. Of a whole document: 0.
    pub chunk_index: u32,
    /// Of a chunk: how many there are. Of a whole document: 0.
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
    pub vectors: RVec<FoundVector>,
    /// The neighbourhood (two steps) of each entity asked for.
    pub graph: RVec<GraphResult>,
    /// The user's facts, key to value.
    pub facts: Object,
    /// How many results there are in all.
    pub total: u64,
    /// How long the search took, in microseconds.
    pub query_time_us: u64,
}
