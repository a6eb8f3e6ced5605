//! The meaning of the database's errors for a caller.

use plugin_api::error::{ErrorKind, StorageError};
use surrealdb::{
    Error,
    types::{AuthError, ErrorDetails, NotAllowedError, QueryError},
};

/// Errors that the database has no kind for, by the beginning of their text: the
/// rest may quote what a user stored.
const BY_TEXT: &[(&str, ErrorKind)] = &[
    // A unique index: another caller has created the row in the meantime.
    ("Database index `", ErrorKind::CONFLICT),
    ("Couldn't coerce value", ErrorKind::INVALID_INPUT),
    ("Missing COMMIT statement", ErrorKind::INVALID_INPUT),
    ("Incorrect arguments for function", ErrorKind::INVALID_INPUT),
    // The session behind the connection is gone: only a new connection helps.
    ("Anonymous access not allowed", ErrorKind::CONNECTION),
];

/// The contract's error for one of the database.
pub(crate) fn storage_error(error: &Error) -> StorageError {
    StorageError::new(kind(error), error.message())
}

/// Did the statement fail only because another one did? Then the reason is in
/// the error of that one.
pub(crate) fn is_follow_up(error: &Error) -> bool {
    matches!(
        error.query_details(),
        Some(QueryError::NotExecuted | QueryError::Cancelled)
    )
}

/// Has what was signed in expired? Then the server did nothing.
pub(crate) fn is_expired(error: &Error) -> bool {
    matches!(
        error.details(),
        ErrorDetails::NotAllowed(Some(NotAllowedError::Auth(
            AuthError::TokenExpired | AuthError::SessionExpired,
        )))
    )
}

/// What the errors of a connection that could not be opened say of the address,
/// by what is in their text; the first that fits. The SDK hands on the text only.
const WRONG_ADDRESS: &[(&str, Option<&str>)] = &[
    (
        "InvalidContentType",
        Some(
            "the server does not speak TLS on this port: write ws:// instead of wss://, or give the port that does",
        ),
    ),
    (
        "UnknownIssuer",
        Some(
            "the certificate's authority is none of the system's: give its certificate as a CA file (secondary_ca_file, or ca_file of an entry)",
        ),
    ),
    (
        "invalid peer certificate",
        Some("check the server's certificate, and that the address has the name that is in it"),
    ),
    (
        "httparse error",
        Some(
            "what listens on this port does not speak HTTP: if it expects TLS, write wss:// instead of ws://",
        ),
    ),
    ("HTTP error: 408", None),
    ("HTTP error: 425", None),
    ("HTTP error: 429", None),
    (
        "HTTP error: 404",
        Some(
            "no SurrealDB answers under this path: check the address; /rpc is added to its path automatically",
        ),
    ),
    (
        "HTTP error: 3",
        Some(
            "the server redirects: give the address to which it leads, with wss:// if that requires TLS",
        ),
    ),
    (
        "HTTP error: 4",
        Some(
            "the server, or a proxy before it, accepts no WebSocket connection here: check the address and its scheme",
        ),
    ),
];

/// How to mend the address, if the error of a connection that could not be
/// opened shows that it is wrong.
pub(crate) fn wrong_address(message: &str) -> Option<&'static str> {
    WRONG_ADDRESS
        .iter()
        .find(|(text, _)| message.contains(text))
        .and_then(|&(_, hint)| hint)
}

fn kind(error: &Error) -> ErrorKind {
    match error.details() {
        ErrorDetails::Query(Some(QueryError::TransactionConflict))
        | ErrorDetails::AlreadyExists(_) => ErrorKind::CONFLICT,
        ErrorDetails::Query(Some(QueryError::TimedOut { .. })) => ErrorKind::TIMEOUT,
        ErrorDetails::Connection(_)
        | ErrorDetails::NotAllowed(Some(NotAllowedError::Auth(
            AuthError::TokenExpired | AuthError::SessionExpired,
        ))) => ErrorKind::CONNECTION,
        ErrorDetails::NotFound(_) => ErrorKind::NOT_FOUND,
        details => BY_TEXT
            .iter()
            .find(|(text, _)| error.message().starts_with(text))
            .map_or_else(|| by_details(details), |&(_, kind)| kind),
    }
}

fn by_details(details: &ErrorDetails) -> ErrorKind {
    match details {
        ErrorDetails::Validation(_)
        | ErrorDetails::NotAllowed(_)
        | ErrorDetails::Thrown
        | ErrorDetails::Configuration(_) => ErrorKind::INVALID_INPUT,
        _ => ErrorKind::INTERNAL,
    }
}
