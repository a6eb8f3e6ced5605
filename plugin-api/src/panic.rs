//! No panic crosses the boundary.
//!
//! Unwinding from one library into another is undefined behaviour, and
//! abi_stable turns it into an abort. So the called side runs every call under
//! [`guard`]: a panic becomes an error of kind
//! [`ErrorKind::INTERNAL`](crate::error::ErrorKind::INTERNAL) with the panic's
//! message, and the caller goes on.

use crate::error::PluginError;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `call`; a panic inside it becomes an error that names `operation`.
///
/// # Errors
/// What `call` returns, or an internal error with the panic's message.
pub fn guard<T>(
    operation: &str,
    call: impl FnOnce() -> Result<T, PluginError>,
) -> Result<T, PluginError> {
    // A panic can leave only the callee's own state half changed. The callee
    // guards that with locks that do not poison; the caller shares none of it.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let reason = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        Err(PluginError::internal(format!(
            "{operation} panicked: {reason}; the call was abandoned, please report this"
        )))
    })
}

/// Like [`guard`] for calls that cannot fail: a panic gives `fallback`.
pub fn guard_or<T>(fallback: T, call: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(fallback)
}
