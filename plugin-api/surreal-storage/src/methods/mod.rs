//! The 64 methods, by subject. Each is a method of
//! [`Call`](crate::storage::Call) with its name in the contract.

mod admin;
mod code;
mod documents;
mod events;
mod facts;
mod graph;
mod hybrid;
mod nearest;
mod stats;
mod traversal;
mod upsert;
mod vectors;

pub use documents::check_document_path;

use plugin_api::{
    error::{StorageError, StorageResult},
    records::WriteReceipt,
    value::Value,
};

/// Parameters of a statement.
macro_rules! parameters {
    ($($name:ident: $value:expr),* $(,)?) => {
        plugin_api::value::Object::new()$(.with(stringify!($name), $value))*
    };
}
pub(crate) use parameters;

/// The number of results: 0 means the method's default.
pub(crate) fn limit_or(limit: u32, default: u32) -> u32 {
    if limit == 0 { default } else { limit }
}

/// The receipt of an update.
///
/// # Errors
/// `NotFound` if it updated nothing.
pub(crate) fn updated(answer: Value, what: impl FnOnce() -> String) -> StorageResult<WriteReceipt> {
    let receipt = crate::rows::receipt(answer)?;
    if receipt.rows.is_empty() {
        return Err(StorageError::not_found(format!("there is no {}", what())));
    }
    Ok(receipt)
}
