//! Logging: a module's log lines go to the host.

use crate::{
    ffi::{Shared, TextRef},
    panic,
    value::Object,
};
use abi_stable::{StableAbi, erased_types::TD_Opaque, sabi_trait};

/// The severity of a log line. An open set: an unknown level counts as the next
/// lower one that is known.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogLevel(pub u8);

impl LogLevel {
    /// Every step.
    pub const TRACE: Self = Self(10);
    /// Details for finding a fault.
    pub const DEBUG: Self = Self(20);
    /// What an operator wants to know in normal operation.
    pub const INFO: Self = Self(30);
    /// Something is wrong, and the module goes on.
    pub const WARN: Self = Self(40);
    /// Something failed, and an operator has to act.
    pub const ERROR: Self = Self(50);
}

/// The host's side of logging. Called from any thread; must not block for long.
pub trait HostLogger: Send + Sync {
    /// Whether a line of this level and target would be logged.
    fn enabled(&self, level: LogLevel, target: &str) -> bool;

    /// Logs one line. `fields` are its structured values, by name.
    fn log(&self, level: LogLevel, target: &str, message: &str, fields: &Object);
}

#[sabi_trait]
trait StableLogger: Send + Sync {
    fn enabled(&self, level: LogLevel, target: TextRef<'_>) -> bool;
    #[sabi(last_prefix_field)]
    fn log(&self, level: LogLevel, target: TextRef<'_>, message: TextRef<'_>, fields: &Object);
}

impl<T: HostLogger> StableLogger for T {
    fn enabled(&self, level: LogLevel, target: TextRef<'_>) -> bool {
        panic::guard_or(false, || HostLogger::enabled(self, level, target.as_str()))
    }

    fn log(&self, level: LogLevel, target: TextRef<'_>, message: TextRef<'_>, fields: &Object) {
        panic::guard_or((), || {
            HostLogger::log(self, level, target.as_str(), message.as_str(), fields);
        });
    }
}

/// A [`HostLogger`] in the form that crosses the boundary.
#[repr(C)]
#[derive(StableAbi)]
pub struct Logger {
    inner: StableLogger_TO<'static, Shared<()>>,
}

impl Logger {
    /// Wraps `logger` for the boundary. A line that panics in it is dropped.
    pub fn new(logger: impl HostLogger + 'static) -> Self {
        Self {
            inner: StableLogger_TO::from_ptr(Shared::new(logger), TD_Opaque),
        }
    }
}

impl Clone for Logger {
    fn clone(&self) -> Self {
        Self {
            inner: StableLogger_TO::from_sabi(self.inner.obj.shallow_clone()),
        }
    }
}

impl HostLogger for Logger {
    fn enabled(&self, level: LogLevel, target: &str) -> bool {
        self.inner.enabled(level, target.into())
    }

    fn log(&self, level: LogLevel, target: &str, message: &str, fields: &Object) {
        self.inner.log(level, target.into(), message.into(), fields);
    }
}
