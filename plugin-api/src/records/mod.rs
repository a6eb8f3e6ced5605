//! What the storage methods take and return.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `mod.rs` | [`WriteReceipt`]: the rows that a write has stored |
//! | `knowledge.rs` | vector memories, documents, the search across all |
//! | `graph.rs` | entities and relationships |
//! | `event.rs` | events and the criteria of a search for them |
//! | `code.rs` | projects, files, symbols, chunks, indexing jobs |
//! | `stats.rs` | counts |
//!
//! A stored embedding has 768 floats ([`EMBEDDING_DIMENSION`]); a shorter one is
//! padded with zeros, a longer one is cut. Where it is optional, an empty vector
//! means none.
//!
//! These records cross the boundary as they are, without a conversion, so their
//! layout is fixed: a new column comes with a new record and a new method.

mod code;
mod event;
mod graph;
mod knowledge;
mod stats;

pub use code::{CodeChunk, CodeFile, CodeProject, CodeSymbol, IndexingJob, Scored, Stored};
pub use event::{Event, EventSearch, FoundEvent};
pub use graph::{Entity, GraphResult, Relationship};
pub use knowledge::{Document, FoundDocument, FoundVector, HybridResult};
pub use stats::{MemoryStats, ProjectStats, UserCount};

use crate::{
    ffi::List,
    value::{Object, RecordId},
};
use abi_stable::StableAbi;
use serde::{Deserialize, Serialize};

/// The number of floats in a stored embedding.
pub const EMBEDDING_DIMENSION: usize = 768;

/// What a write has stored: the rows, as they are in the database afterwards.
///
/// A replica that stores the same rows equals its primary, ids and timestamps
/// included.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WriteReceipt {
    /// One for each record that the call has written, in the order of its
    /// arguments.
    pub rows: List<StoredRow>,
}

/// One row as stored.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredRow {
    /// Its id.
    pub id: RecordId,
    /// Its columns, without `id`; without `embedding`, too, where the caller
    /// passed one: it is stored padded or cut to [`EMBEDDING_DIMENSION`].
    pub columns: Object,
}
