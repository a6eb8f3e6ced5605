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
