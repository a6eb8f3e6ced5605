//! Vector memories: texts found by similarity.

use super::{limit_or, parameters, updated};
use crate::{
    rows::{Row, record_id, stored_embedding, with_zero_embeddings},
    schema::{VECTORS, assignments},
    storage::Call,
};
use abi_stable::std_types::RVec;
use plugin_api::{
    error::StorageResult,
    records::{FoundVector, WriteReceipt},
    storage::FoundVectors,
    value::Object,
};

/// The row; an empty user is none.
fn row(user_id: &str, content: String, embedding: &[f32], metadata: Object) -> Object {
    parameters! {
        user_id: Some(user_id).filter(|user| !user.is_empty()),
        content: content,
        embedding: stored_embedding(embedding),
        metadata: metadata,
    }
}

fn found(row: &Row, similarity: f64) -> StorageResult<FoundVector> {
    Ok(FoundVector {
        id: row.id()?,
        user_id: row.optional_text("user_id"),
        content: row.text("content"),
        similarity,
        metadata: row.object("metadata"),
        created_at: row.time("created_at"),
        updated_at: row.time("updated_at"),
    })
}

impl Call {
    pub(crate) async fn index_vector(
        self,
        user_id: String,
        content: String,
        embedding: Vec<f32>,
        metadata: Object,
    ) -> StorageResult<WriteReceipt> {
        let row = row(&user_id, content, &embedding, metadata);
        let receipt = self.upsert(&VECTORS, vec![row]).await?;
        Ok(with_zero_embeddings(receipt, |_| embedding.is_empty()))
    }

    pub(crate) async fn search_similar(
        self,
        user_id: String,
        query_embedding: Vec<f32>,
        limit: u32,
    ) -> StorageResult<FoundVectors> {
        self.similar(&user_id, &query_embedding, limit).await
    }

    pub(super) async fn similar(
        &self,
        user_id: &str,
        query_embedding: &[f32],
        limit: u32,
    ) -> StorageResult<FoundVectors> {
        // Only the first uses the index.
        let of_user = if user_id.is_empty() {
            "(user_id ?? '') = ''"
        } else {
            "user_id = $user"
        };
        let rows = self
            .nearest(
                VECTORS.name,
                of_user,
                parameters! { user: user_id },
                query_embedding,
                limit_or(limit, 10),
            )
            .await?;
        rows.iter()
            .map(|(row, similarity)| found(row, *similarity))
            .collect::<StorageResult<RVec<_>>>()
    }

    pub(crate) async fn update_vector(
        self,
        id: String,
        user_id: String,
        content: String,
        embedding: Vec<f32>,
        metadata: Object,
    ) -> StorageResult<WriteReceipt> {
        let record = record_id(VECTORS.name, &id)?;
        let assignments = assignments(&VECTORS);
        let statement = format!(
            "{{
                LET $now = time::now();
                LET $written = (UPDATE $id SET {assignments} WHERE (user_id ?? '') = ($row.user_id ?? '') RETURN VALUE id);
                RETURN SELECT * OMIT embedding FROM $written;
            }}"
        );
        let row = row(&user_id, content, &embedding, metadata);
        let answer = self
            .write(&statement, parameters! { id: record, row: row })
            .await?;
        let receipt = updated(answer, || {
            format!("vector memory {id:?} of user {user_id:?}")
        })?;
        Ok(with_zero_embeddings(receipt, |_| embedding.is_empty()))
    }

    pub(crate) async fn delete_vector(self, id: String, user_id: String) -> StorageResult<()> {
        let record = record_id(VECTORS.name, &id)?;
        self.write(
            "DELETE $id WHERE (user_id ?? '') = $user",
            parameters! { id: record, user: user_id },
        )
        .await
        .map(drop)
    }
}
