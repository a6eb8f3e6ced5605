//! Which functions of SurrealQL a server does not allow.

use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    value::Object,
};
use std::time::Duration;
use surreal_storage::Connection;

/// The functions that the module calls on a secondary, each with a harmless call.
/// Methods such as `.map()` count as functions too. None of them is needed to
/// apply the log; merged reads, comparisons and counts need them. `search::score`
/// is missing: it cannot be called without a row that matches.
pub(crate) const FUNCTIONS: &[(&str, &str)] = &[
    ("array::distinct", "array::distinct([])"),
    ("array::filter", "[].filter(|$x| $x)"),
    ("array::flatten", "[].flatten()"),
    ("array::is_empty", "array::is_empty([])"),
    ("array::len", "array::len([])"),
    ("array::map", "[].map(|$x| $x)"),
    ("bytes::len", "bytes::len(<bytes> '')"),
    ("count", "count([])"),
    ("crypto::blake3", "crypto::blake3('')"),
    ("math::sum", "math::sum([])"),
    ("object::keys", "{}.keys()"),
    ("string::concat", "string::concat('', '')"),
    ("string::contains", "string::contains('', '')"),
    ("type::is_array", "type::is_array(0)"),
    ("type::is_number", "type::is_number(0)"),
    ("type::is_string", "type::is_string(0)"),
    ("type::record", "type::record('a', 'b')"),
    ("type::table", "type::table('a')"),
    (
        "vector::similarity::cosine",
        "vector::similarity::cosine([1f], [1f])",
    ),
];

/// Those of [`FUNCTIONS`] that the server does not allow.
///
/// # Errors
/// Those of the connection.
pub(super) async fn denied(
    connection: &Connection,
    timeout: Duration,
) -> StorageResult<Vec<&'static str>> {
    let calls: Vec<&str> = FUNCTIONS.iter().map(|(_, call)| *call).collect();
    let all = format!("RETURN [{}]", calls.join(", "));
    match connection.query(&all, Object::new(), timeout).await {
        Ok(_) => return Ok(Vec::new()),
        Err(error) if is_lost(&error) => return Err(error),
        Err(_) => {}
    }
    let mut denied = Vec::new();
    for (name, call) in FUNCTIONS {
        if is_denied(connection, &format!("RETURN {call}"), timeout).await? {
            denied.push(*name);
        }
    }
    Ok(denied)
}

async fn is_denied(connection: &Connection, sql: &str, timeout: Duration) -> StorageResult<bool> {
    match connection.query(sql, Object::new(), timeout).await {
        Ok(_) => Ok(false),
        Err(error) if is_lost(&error) => Err(error),
        // Any other error comes from the call itself, which was allowed then.
        Err(error) => Ok(error.message.contains("is not allowed to be executed")),
    }
}

fn is_lost(error: &StorageError) -> bool {
    matches!(error.kind, ErrorKind::CONNECTION | ErrorKind::TIMEOUT)
}
