//! Storing rows under their keys: what all methods that do so share.

use crate::{
    rows::whole_receipt,
    schema::{Kind, Rule, Table, upsert_parameters, upsert_statement},
    storage::Call,
};
use plugin_api::{
    error::StorageResult,
    records::WriteReceipt,
    value::{Object, Value},
};
use std::collections::HashMap;

/// Rows with different keys, and the position among them of each row given.
struct Deduplicated {
    rows: Vec<Object>,
    positions: Vec<usize>,
}

impl Deduplicated {
    /// Keeps the last of several rows with the same key.
    fn of(table: &Table, given: Vec<Object>) -> Self {
        if table.is_keyed_by_id() {
            return Self {
                positions: (0..given.len()).collect(),
                rows: given,
            };
        }
        let mut position_of: HashMap<String, usize> = HashMap::new();
        let mut rows: Vec<Object> = Vec::with_capacity(given.len());
        let mut positions = Vec::with_capacity(given.len());
        for row in given {
            let position = *position_of
                .entry(key_text(table, &row))
                .or_insert(rows.len());
            match rows.get_mut(position) {
                Some(earlier) => *earlier = row,
                None => rows.push(row),
            }
            positions.push(position);
        }
        Self { rows, positions }
    }
}

/// A row's key as text, to compare it.
fn key_text(table: &Table, row: &Object) -> String {
    let columns = table.key.iter().filter_map(|column| row.get(column));
    columns.map(|value| format!("{value}\u{0}")).collect()
}

fn gives_embedding(row: &Object) -> bool {
    row.get("embedding")
        .is_some_and(|value| !value.is_nullish())
}

/// Does a row keep its embedding where none is given?
fn keeps_embedding(table: &Table) -> bool {
    let mut columns = table.columns.iter();
    columns.any(|column| column.kind == Kind::Embedding && column.rule == Rule::GivenOrKept)
}

impl Call {
    /// Stores rows by their keys, all or none. The receipt has a row for each
    /// one given; of several with the same key the last one is stored.
    pub(super) async fn upsert(
        &self,
        table: &Table,
        rows: Vec<Object>,
    ) -> StorageResult<WriteReceipt> {
        self.upsert_after("", Object::new(), table, rows).await
    }

    /// The same after the statement `before`, in the same transaction.
    pub(super) async fn upsert_after(
        &self,
        before: &str,
        parameters: Object,
        table: &Table,
        rows: Vec<Object>,
    ) -> StorageResult<WriteReceipt> {
        if rows.is_empty() {
            return Ok(WriteReceipt::default());
        }
        let Deduplicated { rows, positions } = Deduplicated::of(table, rows);
        // An embedding that was given is known to the caller. One that was kept has
        // to be read.
        let gives: Vec<bool> = rows.iter().map(gives_embedding).collect();
        let kept = keeps_embedding(table) && gives.contains(&false);
        let mut all = upsert_parameters(table, rows);
        for (name, value) in parameters {
            all.insert(name, value);
        }
        let answer: Value = self
            .write(&upsert_statement(table, before, kept), all)
            .await?;
        let mut written = whole_receipt(answer)?.rows;
        for (row, _) in written.iter_mut().zip(&gives).filter(|(_, given)| **given) {
            row.columns.remove("embedding");
        }
        let rows = positions.iter().filter_map(|&at| written.get(at).cloned());
        Ok(WriteReceipt {
            rows: rows.collect(),
        })
    }
}
