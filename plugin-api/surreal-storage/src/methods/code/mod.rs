//! Indexed code: projects, files, symbols, chunks, jobs.

mod chunks;
mod files;
mod jobs;
mod projects;
mod symbols;

use crate::rows::Row;
use abi_stable::std_types::RVec;
use plugin_api::{error::StorageResult, records::Stored, value::Value};

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
