//! Counts across the tables.

use super::{facts::absent_is_empty, parameters};
use crate::{rows::Row, schema::identifier, storage::Call};
use abi_stable::std_types::RVec;
use plugin_api::{
    error::StorageResult,
    records::{MemoryStats, UserCount},
    storage::UserCounts,
    value::Object,
};

impl Call {
    /// The bytes are those of a fact's key and value as text, and of the
    /// content of vectors, documents and events.
    pub(crate) async fn get_stats(self, user_id: String) -> StorageResult<MemoryStats> {
        let of_user = match user_id.as_str() {
            "" | "global" => "",
            _ => "WHERE user_id = $user",
        };
        let rows = |table: &str, filter: &str| {
            format!("((SELECT count() FROM {table} {filter} GROUP ALL)[0].count ?? 0)")
        };
        let bytes = |table: &str, filter: &str, text: &str| {
            format!("math::sum((SELECT VALUE bytes::len(<bytes>({text})) FROM {table} {filter}))")
        };
        let edges: Vec<String> = self
            .relationship_types()
            .await?
            .iter()
            .map(|name| rows(&format!("`{name}`"), ""))
            .collect();
        let statement = format!(
            "RETURN {{
                facts: {facts}, vectors: {vectors}, entities: {entities}, edges: {edges},
                documents: array::len(array::distinct(SELECT VALUE source_file ?: file_path FROM knowledge_base)),
                events: {events},
                bytes: {fact_bytes} + {vector_bytes} + {document_bytes} + {event_bytes},
            }}",
            facts = rows("kv_memories", of_user),
            vectors = rows("vector_memories", of_user),
            entities = rows("entities", ""),
            edges = if edges.is_empty() { "0".to_owned() } else { edges.join(" + ") },
            events = rows("events", of_user),
            fact_bytes = bytes("kv_memories", of_user, "key + <string>(value ?? '')"),
            vector_bytes = bytes("vector_memories", of_user, "content ?? ''"),
            document_bytes = bytes("knowledge_base", "", "content ?? ''"),
            event_bytes = bytes("events", of_user, "content ?? ''"),
        );
        let answer = self.ask(&statement, parameters! { user: user_id }).await?;
        let counts = Row::first(answer).unwrap_or_default();
        Ok(MemoryStats {
            key_value_count: counts.count("facts"),
            vector_count: counts.count("vectors"),
            entity_count: counts.count("entities"),
            relationship_count: counts.count("edges"),
            document_count: counts.count("documents"),
            event_count: counts.count("events"),
            total_size_bytes: counts.count("bytes"),
        })
    }

    pub(crate) async fn count_by_user_id(self, table: String) -> StorageResult<UserCounts> {
        let table = identifier("a table", &table)?;
        let statement = format!(
            "SELECT user_id, count() AS count FROM `{table}`
             WHERE type::is_string(user_id) GROUP BY user_id"
        );
        let answer = absent_is_empty(self.ask(&statement, Object::new()).await)?;
        let mut counts: Vec<UserCount> = Row::all(answer)
            .iter()
            .map(|row| UserCount {
                user_id: row.text("user_id"),
                count: row.count("count"),
            })
            .collect();
        counts.sort_by(|a, b| a.user_id.cmp(&b.user_id));
        Ok(RVec::from(counts))
    }
}
