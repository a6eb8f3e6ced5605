//! Exact search by similarity: every candidate row is compared.
//!
//! The similarity of two embeddings is their cosine. An embedding of zeros, or
//! with a component that is not a number, has similarity 0 to every other. Rows
//! without an embedding, or with one of another width, are not found.

use crate::{
    rows::{Row, stored_embedding},
    storage::Call,
};
use plugin_api::{
    error::StorageResult,
    records::EMBEDDING_DIMENSION,
    value::{Object, Value},
};

/// True for rows whose embedding can be compared with `$embedding`.
pub(super) fn comparable() -> String {
    format!("type::is_array(embedding) AND array::len(embedding) = {EMBEDDING_DIMENSION}")
}

/// `cosine`, or 0 where it is not a number.
pub(super) fn number_or_zero(cosine: &str) -> String {
    format!(
        "(IF {} {{ {cosine} }} ELSE {{ 0f }})",
        is_above(cosine, "-2")
    )
}

/// True if `cosine` is a number above `least`. NaN compares, by its sign, as less
/// or greater than every number.
pub(super) fn is_above(cosine: &str, least: &str) -> String {
    format!("{cosine} > {least} AND {cosine} <= 2")
}

impl Call {
    /// The `limit` rows of a table that satisfy `condition` and are nearest to
    /// an embedding, the nearest first, then by id; each with its similarity.
    ///
    /// Sorts ids and similarities first and reads only the rows found, since rows
    /// are large.
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
