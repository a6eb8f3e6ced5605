//! Where a module's log lines go: to the host.

use crate::{panic, value::Object};
use abi_stable::{
    StableAbi,
    erased_types::TD_Opaque,
    sabi_trait,
    std_types::{RArc, RStr},
};

/// How much a log line matters. Open: an unknown level counts as the next
/// less important one that is known.
#[repr(transparent)]
#[derive(StableAbi, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogLevel(pub u8);

impl LogLevel {
    /// Every step.
    pub const TRACE: Self = Self(10);
    /// For whoever looks for a fault.
    pub const DEBUG: Self = Self(20);
    /// What a person running it wants to have been told.
    pub const INFO: Self = Self(30);
    /// Something is not as it should be, and the work goes on.
    pub const WARN: Self = Self(40);
    /// Something failed and needs a person.
    pub const ERROR: Self = Self(50);
}

/// The host's side of logging. Called from any thread; must not block long.
pub trait HostLogger: Send + Sync {
    /// Would a line of this level and target be kept?
    fn enabled(&self, level: LogLevel, target: &str) -> bool;

    /// Takes one line. `fields` are named values that belong to it.
    fn log(&self, level: LogLevel, target: &str, message: &str, fields: &Object);
}

#[sabi_trait]
trait StableLogger: Send + Sync {
    fn enabled(&self, level: LogLevel, target: RStr<'_>) -> bool;
    #[sabi(last_prefix_field)]
    fn log(&self, level: LogLevel, target: RStr<'_>, message: RStr<'_>, fields: &Object);
}

impl<T: HostLogger> StableLogger for T {
    fn enabled(&self, level: LogLevel, target: RStr<'_>) -> bool {
        panic::guard_or(false, || HostLogger::enabled(self, level, target.as_str()))
    }

    fn log(&self, level: LogLevel, target: RStr<'_>, message: RStr<'_>, fields: &Object) {
        panic::guard_or((), || {
            HostLogger::log(self, level, target.as_str(), message.as_str(), fields);
        });
    }
}

/// A [`HostLogger`] in the form that crosses the boundary.
#[repr(C)]
#[derive(StableAbi)]
pub struct Logger {
    inner: StableLogger_TO<'static, RArc<()>>,
}

impl Logger {
    /// Makes `logger` ready to cross.
    pub fn new(logger: impl HostLogger + 'static) -> Self {
        Self {
            inner: StableLogger_TO::from_ptr(RArc::new(logger), TD_Opaque),
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
