//! Panics stop at the boundary.
//!
//! Unwinding from one library into another is undefined, and abi_stable turns
//! it into an abort. So every call that crosses runs under [`guard`], on the
//! side that is called: a panic becomes an error of kind
//! [`ErrorKind::INTERNAL`](crate::error::ErrorKind::INTERNAL) with the panic's
//! own message, and the caller lives on.

use crate::error::{StorageError, StorageResult};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `call`; a panic inside it becomes an error that names `operation`.
///
/// # Errors
/// What `call` returns, or an internal error that carries the panic's message.
pub fn guard<T>(operation: &str, call: impl FnOnce() -> StorageResult<T>) -> StorageResult<T> {
    // What a panic leaves half-done is the callee's own state, which it guards
    // with locks that do not poison; the caller shares nothing with it.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let reason = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        Err(StorageError::internal(format!(
            "{operation} panicked: {reason}; the call was abandoned, please report this"
        )))
    })
}

/// Like [`guard`] for calls that cannot fail: a panic gives `fallback`.
pub fn guard_or<T>(fallback: T, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(fallback)
}
