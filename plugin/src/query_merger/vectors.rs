//! Vector memories.

use super::{methods::merged_reads, order};
use plugin_api::{
    error::StorageResult,
    rust_type,
    storage::{CallContext, FoundVectors},
};

merged_reads! {
    top search_similar(user_id: str, query_embedding: [f32]) -> FoundVectors, order::nearest;
}
