//! Search by similarity, exact: every row in question is compared.
//!
//! The similarity of two embeddings is their cosine. An embedding of zeros, or
//! with a component that is no number, is like nothing: its similarity is 0.
//! Rows without an embedding, or with one of another width, are not found.

use crate::{
    rows::{Row, stored_embedding},
    storage::Call,
};
use plugin_api::{
    error::StorageResult,
    records::EMBEDDING_DIMENSION,
    value::{Object, Value},
};

/// Holds for rows whose embedding can be compared with `$embedding`.
pub(super) fn comparable() -> String {
    format!("type::is_array(embedding) AND array::len(embedding) = {EMBEDDING_DIMENSION}")
}

/// `cosine`, or 0 where it is no number.
pub(super) fn number_or_zero(cosine: &str) -> String {
    format!("(IF {} {{ {cosine} }} ELSE {{ 0f }})", within(cosine, "-2"))
}

/// Holds if `cosine` is a number above `least`. What is no number is, by its
/// sign, smaller or greater than every number.
pub(super) fn within(cosine: &str, least: &str) -> String {
    format!("{cosine} > {least} AND {cosine} <= 2")
}

impl Call {
    /// The `limit` rows of a table that fulfil `condition` and are nearest to
    /// an embedding, the nearest first, then by id; each with its similarity.
    ///
    /// Ids and similarities are sorted first and only the rows found are read,
    /// since rows are large.
    pub(super) async fn nearest(
        &self,
        table: &str,
        condition: &str,
        parameters: Object,
        embedding: &[f32],
        limit: u32,
    ) -> StorageResult<Vec<(Row, f64)>> {
        let comparable = comparable();
        let similarity = number_or_zero("cosine");
        let statement = format!(
            "{{
                LET $found = (
                    SELECT id, {similarity} AS similarity FROM (
                        SELECT id, vector::similarity::cosine(embedding, $embedding) AS cosine
                        FROM {table} WHERE {condition} AND {comparable}
                    ) ORDER BY similarity DESC, id ASC LIMIT $limit
                );
                RETURN {{ similarities: $found.similarity, rows: (SELECT * FROM $found.id) }};
            }}"
        );
        let parameters = parameters
            .with("embedding", stored_embedding(embedding))
            .with("limit", limit);
        let mut answer = Row::first(self.ask(&statement, parameters).await?).unwrap_or_default();
        let similarities = answer.take("similarities");
        let similarities = similarities.as_array().unwrap_or_default().iter();
        Ok(Row::all(answer.take("rows"))
            .into_iter()
            .zip(similarities.map(|number| Value::as_float(number).unwrap_or_default()))
            .collect())
    }
}
