//! One search across vectors, graph and facts.

use crate::storage::Call;
use abi_stable::std_types::{RString, RVec};
use plugin_api::{error::StorageResult, records::HybridResult};
use std::time::Instant;

/// How far from each entity the graph is traversed.
const NEIGHBOUR_DEPTH: u32 = 2;

impl Call {
    pub(crate) async fn hybrid_search(
        self,
        user_id: String,
        query_embedding: Vec<f32>,
        entities: Vec<RString>,
        limit: u32,
    ) -> StorageResult<HybridResult> {
        let started = Instant::now();
        let vectors = self.similar(&user_id, &query_embedding, limit).await?;
        let mut graph = RVec::new();
        for entity in &entities {
            graph.extend(self.traverse(entity, "", NEIGHBOUR_DEPTH).await?);
        }
        let facts = self.facts_of(&user_id).await?;
        let total = vectors.len() + graph.len() + facts.len();
        Ok(HybridResult {
            vectors,
            graph,
            facts,
            total: u64::try_from(total).unwrap_or(u64::MAX),
            query_time_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        })
    }
}
