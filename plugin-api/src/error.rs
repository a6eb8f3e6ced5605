//! [`PluginError`]: why a call across the boundary failed, in kinds that a caller
//! can act on.
//!
//! There is one type of error, under a name for each use: [`StorageError`] for
//! the storage methods, [`ModuleError`] for the steps of a module's lifecycle
//! and its HTTP requests. So a module passes a storage's error on with `?`.

use crate::ffi::Text;
use abi_stable::StableAbi;
use std::fmt;

/// The kind of a failure; decides what the caller does next.
///
/// An open set: a newer module may send a number that this host has no name
/// for. Treat it like [`ErrorKind::INTERNAL`].
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorKind(u8);

impl ErrorKind {
    /// A fault inside the storage or the module: report it.
    pub const INTERNAL: Self = Self(0);
    /// What the call names does not exist: create it, or name another.
    pub const NOT_FOUND: Self = Self(1);
    /// An argument or a setting is wrong: the message names it and how to fix it.
    pub const INVALID_INPUT: Self = Self(2);
    /// The database cannot be reached: try again later.
    pub const CONNECTION: Self = Self(3);
    /// The deadline passed before the answer came; a write may still have happened.
    pub const TIMEOUT: Self = Self(4);
    /// A concurrent call changed the same rows: try again.
    pub const CONFLICT: Self = Self(5);
    /// The storage or module does not implement this, or was built against a
    /// contract that does not have it.
    pub const UNSUPPORTED: Self = Self(6);
    /// The module or storage was closed before the call, so nothing was done.
    pub const CLOSED: Self = Self(7);
    /// The called side's contract does not have the method. Never leaves this
    /// crate: [`FullStorage`](crate::storage::FullStorage) makes it
    /// `UNSUPPORTED`, with the versions of both sides.
    pub(crate) const MISSING: Self = Self(u8::MAX);

    /// The kind with this number; one without a name if it is of a newer contract.
    pub const fn from_code(code: u8) -> Self {
        Self(code)
    }

    /// The kind's number, as it crosses the boundary.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The kind's name, or `Unknown` for a number of a newer contract.
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "Internal",
            1 => "NotFound",
            2 => "InvalidInput",
            3 => "Connection",
            4 => "Timeout",
            5 => "Conflict",
            6 => "Unsupported",
            7 => "Closed",
            _ => "Unknown",
        }
    }
}

impl fmt::Debug for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a call failed: its kind, and a message that says how to fix it.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Eq)]
pub struct PluginError {
    /// Decides what a caller can do about it.
    pub kind: ErrorKind,
    /// What happened, to what, and how to fix it. Never contains a password.
    pub message: Text,
}

/// The error of a storage method.
pub type StorageError = PluginError;

/// The result of a storage method.
pub type StorageResult<T> = Result<T, StorageError>;

/// The error of a step of a module's lifecycle, or of an HTTP request to it.
pub type ModuleError = PluginError;

/// The result of a step of a module's lifecycle, or of an HTTP request to it.
pub type ModuleResult<T> = Result<T, ModuleError>;

/// One constructor for each kind, named like it.
macro_rules! constructors {
    ($($name:ident => $kind:ident),* $(,)?) => {
        $(
            #[doc = concat!("An error of kind [`ErrorKind::", stringify!($kind), "`].")]
            pub fn $name(message: impl Into<String>) -> Self {
                Self::new(ErrorKind::$kind, message)
            }
        )*
    };
}

impl PluginError {
    /// An error of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into().into(),
        }
    }

    constructors! {
        internal => INTERNAL,
        not_found => NOT_FOUND,
        invalid_input => INVALID_INPUT,
        connection => CONNECTION,
        timeout => TIMEOUT,
        conflict => CONFLICT,
        unsupported => UNSUPPORTED,
        closed => CLOSED,
    }

    /// The same error, its message preceded by the operation that failed.
    #[must_use]
    pub fn context(mut self, operation: impl fmt::Display) -> Self {
        self.message = format!("{operation}: {}", self.message).into();
        self
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.message, self.kind)
    }
}

impl std::error::Error for PluginError {}
