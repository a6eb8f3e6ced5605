//! The tables as data, and the statements that are made from them.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `table` | [`Table`]: what is known of a table |
//! | `tables` | [`TABLES`]: the tables, each with these facts |
//! | `initialize` | [`initialize()`]: creates what a database lacks of them |
//! | `existing` | what a database's own definitions do to rows, and what mends them |
//! | `upsert` | the statement that stores rows under their keys |
//! | [`relationships`] | the tables of relationship types, created on first use |

mod existing;
mod initialize;
pub mod relationships;
mod table;
mod tables;
mod upsert;

pub use initialize::{SchemaReport, initialize, initialize_replica};
pub use table::{Column, Kind, Rule, Table, table};
pub use tables::{
    CHUNKS, DOCUMENTS, ENTITIES, EVENTS, FACTS, FILES, INSTANCE_TABLE, JOBS, LARGE_COLUMNS,
    LOG_TABLE, POSITION_TABLE, PROJECT_PARTS, PROJECTS, RELATIONSHIPS, SYMBOLS, TABLES, VECTORS,
};
pub(crate) use upsert::{assignments, upsert_parameters, upsert_statement};

use plugin_api::error::{StorageError, StorageResult};

/// The analyzer behind the text search over events.
pub const TEXT_ANALYZER: &str = "event_content";

/// A table's name in backticks, as a statement takes it whatever characters it has.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// Checks that `name` is valid as an identifier in a statement: a letter or `_`,
/// then letters, digits and `_`, at most 128 of them.
///
/// # Errors
/// `InvalidInput` with `what` the name was for.
pub fn identifier<'a>(what: &str, name: &'a str) -> StorageResult<&'a str> {
    let mut characters = name.chars();
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_';
    let fits = characters.next().is_some_and(starts)
        && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && name.len() <= 128;
    if fits {
        Ok(name)
    } else {
        Err(StorageError::invalid_input(format!(
            "{name:?} cannot be {what}: use a letter, then letters, digits and _, 128 at most"
        )))
    }
}
