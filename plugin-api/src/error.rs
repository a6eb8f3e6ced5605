//! What can go wrong in a storage or module call, in kinds a caller can act on.

use abi_stable::{StableAbi, std_types::RString};
use std::fmt;

/// What kind of failure this is; decides what a caller does next.
///
/// An open set: a newer module may send a number that this host has no name
/// for, which is then treated like [`ErrorKind::INTERNAL`].
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorKind(u8);

impl ErrorKind {
    /// A fault inside the storage or the module: report it.
    pub const INTERNAL: Self = Self(0);
    /// What was named does not exist: create it, or name another.
    pub const NOT_FOUND: Self = Self(1);
    /// An argument or a setting is wrong: the message names it and how to mend it.
    pub const INVALID_INPUT: Self = Self(2);
    /// The database cannot be reached: try again later.
    pub const CONNECTION: Self = Self(3);
    /// The deadline passed before the answer came; a write may still have happened.
    pub const TIMEOUT: Self = Self(4);
    /// Somebody else changed the same thing: try again.
    pub const CONFLICT: Self = Self(5);
    /// This storage does not do that.
    pub const UNSUPPORTED: Self = Self(6);
    /// The module or storage was closed before the call.
    pub const CLOSED: Self = Self(7);

    /// The kind's number on the wire.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// The kind's name, or `Unknown` for a number of a newer version.
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

/// A failure: its kind, and a sentence for the person who has to mend it.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Eq)]
pub struct StorageError {
    /// What a caller can do about it.
    pub kind: ErrorKind,
    /// What happened to what, and how to mend it. Never holds a password.
    pub message: RString,
}

/// One constructor a kind, named like it.
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

impl StorageError {
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

    /// The same error with what was being done put before its message.
    #[must_use]
    pub fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message).into();
        self
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.message, self.kind)
    }
}

impl std::error::Error for StorageError {}

/// What every storage method returns.
pub type StorageResult<T> = Result<T, StorageError>;
