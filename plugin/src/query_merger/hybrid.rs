//! Hybrid search: vectors, graph and facts in one answer.

use super::{QueryMerger, read_specs};
use abi_stable::std_types::{RString, RVec};
use plugin_api::{error::StorageResult, records::HybridResult, storage::CallContext};
use std::time::Instant;

/// How far the graph is traversed from each entity.
const DEPTH: u32 = 2;

impl QueryMerger {
    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn hybrid_search(
        &self,
        context: &CallContext,
        user_id: &str,
        query_embedding: &[f32],
        entities: &[RString],
        limit: u32,
    ) -> StorageResult<HybridResult> {
        let started = Instant::now();
        // The parts share the caller's deadline.
        let remaining = || context.after(started.elapsed());
        let limit = read_specs::hybrid_search.limit_or_default(limit);
        let limit = limit.unwrap_or_default();
        let vectors = self.search_similar(&remaining(), user_id, query_embedding, limit)?;
        let mut graph = RVec::new();
        for entity in entities {
            graph.extend(self.traverse_graph(&remaining(), entity, "", DEPTH)?);
        }
        let facts = self.list_facts(&remaining(), user_id)?;
        Ok(HybridResult {
            total: (vectors.len() + graph.len() + facts.len()) as u64,
            vectors,
            graph,
            facts,
            query_time_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        })
    }
}
