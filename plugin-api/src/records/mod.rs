//! What the storage methods take and give.
//!
//! An embedding is 768 floats as stored ([`EMBEDDING_DIMENSION`]); a shorter
//! one given is padded with zeros, a longer one is cut. Where it is optional,
//! an empty vector means none.

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

/// How many floats a stored embedding has.
pub const EMBEDDING_DIMENSION: usize = 768;

/// What a write has stored: the rows, as the database holds them afterwards.
///
/// A replica that carries these rows is equal to its primary, ids and
/// timestamps included.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WriteReceipt {
    /// One for each record that the call wrote, in the order of its arguments.
    pub rows: List<StoredRow>,
}

/// One row as stored.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredRow {
    /// Its id.
    pub id: RecordId,
    /// Its columns, without `id`, and without `embedding` where the caller gave
    /// one: that is the caller's, padded or cut to [`EMBEDDING_DIMENSION`].
    pub columns: Object,
}
