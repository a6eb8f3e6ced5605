//! Reading what has no more bytes than a budget: an answer that does not fit into a
//! message would cost the connection, which may be the one that the host uses.

use plugin_api::{
    error::{StorageError, StorageResult},
    storage::{CallContext, Storage},
    value::{Object, Value},
};

/// About how many bytes of rows are read at once. A row counts as its SurrealQL
/// text, which has two or three times the bytes of a row with an embedding.
pub const PAGE_BYTES: u64 = 4 << 20;

/// The largest row that is read, in the same bytes; a message holds 128 MiB.
pub const MAX_ROW_BYTES: u64 = 96 << 20;

/// The most rows of a page: the database reads them all before it measures them.
pub(super) const MAX_ROWS: usize = 500;

/// What [`read_measured`] found.
#[derive(Debug)]
pub enum Measured {
    /// The values, and their bytes.
    Values(Vec<Value>, u64),
    /// They have more bytes than asked for: the bytes of each.
    TooMany(Vec<u64>),
}

/// The values that `expression` gives, an array, unless they have more than `budget`
/// bytes. Then they stay where they are, and only their sizes are returned.
///
/// # Errors
/// The database's.
pub fn read_measured(
    database: &(impl Storage + ?Sized),
    context: &CallContext,
    expression: &str,
    parameters: &Object,
    budget: u64,
) -> StorageResult<Measured> {
    let sql = format!(
        "{{ LET $found = ({expression}); \
            LET $bytes = bytes::len(<bytes>(<string> $found)); \
            IF $bytes <= $budget {{ RETURN [$found, $bytes] }}; \
            RETURN [NONE, (SELECT VALUE bytes::len(<bytes>(<string> $this)) FROM $found)]; }}"
    );
    let budget = i64::try_from(budget).unwrap_or(i64::MAX);
    let parameters = parameters.clone().with("budget", budget);
    let answer = database.query(context, &sql, &parameters)?;
    let mut pair = answer.into_first_rows().into_iter();
    match (pair.next(), pair.next()) {
        (Some(Value::Array(values)), bytes) => {
            Ok(Measured::Values(values.into(), size(bytes.as_ref())))
        }
        (_, Some(Value::Array(sizes))) => Ok(Measured::TooMany(
            sizes.iter().map(|bytes| size(Some(bytes))).collect(),
        )),
        _ => Err(StorageError::internal("a measured answer is no pair")),
    }
}

/// A number of bytes, or of rows.
pub(super) fn size(value: Option<&Value>) -> u64 {
    let bytes = value.and_then(Value::as_int).unwrap_or_default();
    u64::try_from(bytes).unwrap_or_default()
}
