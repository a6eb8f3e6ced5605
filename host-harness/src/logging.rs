//! The log lines of the host and its modules, through one subscriber.

use plugin_api::{
    module::{HostLogger, LogLevel},
    value::Object,
};
use std::{
    fmt::Write as _,
    io::{self, IsTerminal},
};
use tracing_subscriber::{EnvFilter, fmt, prelude::*};

/// The storage engine warns of an unclean shutdown whenever its last handle is
/// dropped outside its runtime, even if it was closed before.
const NOISE: &str = "surrealkv=error";

/// Prints log lines on stderr. `filter` is as in `RUST_LOG`, which wins.
/// A second call changes nothing.
pub fn start(filter: &str) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("{NOISE},{filter}")));
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false);
    // A program that embeds the host may have a subscriber already, and keeps it.
    let _ = tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init();
}

/// Hands a module's log lines to the host's subscriber, under the target
/// `module`; the line begins with the module's own target.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingLogger;

impl HostLogger for TracingLogger {
    fn enabled(&self, level: LogLevel, _target: &str) -> bool {
        match level {
            LogLevel(50..) => tracing::enabled!(target: "module", tracing::Level::ERROR),
            LogLevel(40..) => tracing::enabled!(target: "module", tracing::Level::WARN),
            LogLevel(30..) => tracing::enabled!(target: "module", tracing::Level::INFO),
            LogLevel(20..) => tracing::enabled!(target: "module", tracing::Level::DEBUG),
            _ => tracing::enabled!(target: "module", tracing::Level::TRACE),
        }
    }

    fn log(&self, level: LogLevel, target: &str, message: &str, fields: &Object) {
        let mut line = format!("{target}: {message}");
        for (name, value) in fields.iter() {
            // Writing to a string cannot fail.
            let _ = write!(line, " {name}={value}");
        }
        match level {
            LogLevel(50..) => tracing::error!(target: "module", "{line}"),
            LogLevel(40..) => tracing::warn!(target: "module", "{line}"),
            LogLevel(30..) => tracing::info!(target: "module", "{line}"),
            LogLevel(20..) => tracing::debug!(target: "module", "{line}"),
            _ => tracing::trace!(target: "module", "{line}"),
        }
    }
}
