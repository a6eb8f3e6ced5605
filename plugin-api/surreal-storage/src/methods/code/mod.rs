//! Indexed code: projects, files, symbols, chunks, jobs.

mod chunks;
mod files;
mod jobs;
mod projects;
mod symbols;

use crate::{
    rows::{Row, receipt},
    schema::{Table, upsert_statement},
    storage::Call,
};
use abi_stable::std_types::RVec;
use plugin_api::{
    error::StorageResult,
    records::{Stored, StoredRow, WriteReceipt},
    value::{Object, Value},
};
use std::collections::HashMap;

/// A record with the id and the times of its row.
fn stored<T>(row: &Row, record: T) -> StorageResult<Stored<T>> {
    Ok(Stored {
        id: row.id()?,
        created_at: row.optional_time("created_at"),
        updated_at: row.optional_time("updated_at"),
        record,
    })
}

/// Rows as records with their ids.
fn all_stored<T>(answer: Value, record: impl Fn(&Row) -> T) -> StorageResult<RVec<Stored<T>>> {
    let rows = Row::all(answer);
    rows.iter().map(|row| stored(row, record(row))).collect()
}

/// The row's key as text, to tell rows apart.
fn key_text(table: &Table, row: &Object) -> String {
    let columns = table.key.iter().filter_map(|column| row.get(column));
    columns.map(|value| format!("{value}\u{0}")).collect()
}

impl Call {
    /// Stores rows by their keys, all or none. Of several with the same key
    /// the last one stays, and the receipt has it for each of them.
    async fn save_rows(&self, table: &Table, rows: Vec<Object>) -> StorageResult<WriteReceipt> {
        let keys: Vec<String> = rows.iter().map(|row| key_text(table, row)).collect();
        let mut position_of: HashMap<&str, usize> = HashMap::new();
        let mut unique: Vec<Object> = Vec::with_capacity(rows.len());
        for (key, row) in keys.iter().zip(rows) {
            match position_of.get(key.as_str()) {
                Some(&position) => unique[position] = row,
                None => {
                    position_of.insert(key, unique.len());
                    unique.push(row);
                }
            }
        }
        if unique.is_empty() {
            return Ok(WriteReceipt::default());
        }
        let rows: Value = unique.into_iter().collect();
        let answer = self
            .write(
                &upsert_statement(table, ""),
                Object::new().with("rows", rows),
            )
            .await?;
        let written: Vec<StoredRow> = receipt(answer)?.rows.into();
        let rows = keys.iter().filter_map(|key| {
            let position = position_of.get(key.as_str())?;
            written.get(*position).cloned()
        });
        Ok(WriteReceipt {
            rows: rows.collect(),
        })
    }
}
