//! [`Exit`]: with which code the program ends. Scripts rely on it.

use crate::{
    admin::AdminError,
    call::CallError,
    config::ConfigError,
    host::HostError,
    http::{TokenError, TokenNeeded},
};
use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// Done, and the answer is yes.
    Yes = 0,
    /// Done, and the answer is no.
    No = 1,
    /// Nothing was done: what was asked is wrong.
    Usage = 2,
    /// Nothing was done: there is no host.
    Unreachable = 3,
    /// The host said no.
    Rejected = 4,
    /// It failed on the way.
    Failed = 5,
}

/// Every code with its meaning, for the help and the documentation.
pub(super) const CODES: [(Exit, &str); 6] = [
    (
        Exit::Yes,
        "done; where a question was asked, the answer is yes",
    ),
    (
        Exit::No,
        "done; the answer is no: rows differ or were not compared (verify), replication is not healthy (status --check), a library does not fit, a method or a check of the demo failed",
    ),
    (
        Exit::Usage,
        "the command line, or a file that it names, is wrong; nothing was done",
    ),
    (
        Exit::Unreachable,
        "the host cannot be reached, or does not start; nothing was done",
    ),
    (
        Exit::Rejected,
        "the host or the module rejected the request: no or a wrong token, an unknown name, a comparison that runs already; a storage method answered with an error",
    ),
    (Exit::Failed, "anything else failed; the message says what"),
];

/// What is wrong with the command line beyond its grammar.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) String);

impl Exit {
    /// Of a command that failed.
    pub(super) fn of(error: &anyhow::Error) -> Self {
        error
            .chain()
            .find_map(Self::of_cause)
            .unwrap_or(Self::Failed)
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(error) = cause.downcast_ref::<AdminError>() {
            return Some(match error {
                AdminError::InvalidUrl { .. } => Self::Usage,
                AdminError::NoRoutes | AdminError::Unreachable { .. } => Self::Unreachable,
                AdminError::Rejected { .. } | AdminError::Module(_) => Self::Rejected,
                AdminError::Answer(_) => Self::Failed,
            });
        }
        if let Some(error) = cause.downcast_ref::<CallError>() {
            return Some(match error {
                CallError::Storage(_) => Self::Rejected,
                _ => Self::Usage,
            });
        }
        if cause.is::<HostError>() {
            return Some(Self::Unreachable);
        }
        let is_usage = cause.is::<UsageError>()
            || cause.is::<ConfigError>()
            || cause.is::<TokenError>()
            || cause.is::<TokenNeeded>();
        is_usage.then_some(Self::Usage)
    }

    /// The codes as a section of the help.
    pub(super) fn help() -> String {
        let lines = CODES.map(|(exit, meaning)| format!("  {}  {meaning}\n", exit as u8));
        format!("Exit codes:\n{}", lines.concat())
    }
}

impl From<bool> for Exit {
    fn from(is_yes: bool) -> Self {
        match is_yes {
            true => Self::Yes,
            false => Self::No,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// With `UPDATE_DOCS=1` in the environment this writes the document instead.
    #[test]
    fn the_documentation_has_the_exit_codes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/host-harness.md");
        let document = std::fs::read_to_string(path).unwrap();
        let marker = "<!-- table: exit codes -->\n";
        let (before, rest) = document.split_once(marker).unwrap();
        let (_, after) = rest.split_once("<!-- end -->").unwrap();
        let rows = CODES.map(|(exit, meaning)| format!("| {} | {meaning} |\n", exit as u8));
        let table = format!("| code | meaning |\n| --- | --- |\n{}", rows.concat());
        let expected = format!("{before}{marker}\n{table}\n<!-- end -->{after}");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, expected).unwrap();
        } else {
            assert_eq!(
                document, expected,
                "UPDATE_DOCS=1 cargo test --workspace --lib"
            );
        }
    }
}
