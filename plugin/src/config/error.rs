//! What can be wrong with a configuration, each with how to mend it.

use plugin_api::error::StorageError;
use thiserror::Error;

/// A fault in the module's block. Its text names the key and never holds the
/// value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A key's value cannot be used.
    #[error("{key}: {problem}; accepted: {accepted}")]
    Value {
        /// The key, with its place in a list: `secondary_databases[0].url`.
        key: String,
        /// What is wrong with the value.
        problem: String,
        /// What the key accepts.
        accepted: String,
    },
    /// There is no such key.
    #[error("{key}: there is no such key{}", hint(suggestion))]
    UnknownKey {
        /// The key as written.
        key: String,
        /// What to write instead, if something is near.
        suggestion: Option<String>,
    },
    /// A key is given under two of its names.
    #[error("{first} and {second} are two names of one key; keep one of them")]
    Twice {
        /// One name.
        first: String,
        /// The other.
        second: String,
    },
    /// `${NAME}` names a variable that is not there.
    #[error(
        "{key}: the environment variable {variable} is not set (or is not text); set it, \
         or write the value in place of ${{{variable}}}"
    )]
    Environment {
        /// The key whose value names it.
        key: String,
        /// The variable.
        variable: String,
    },
    /// Keys that are right alone and wrong together.
    #[error("{0}")]
    Together(String),
}

fn hint(suggestion: &Option<String>) -> String {
    match suggestion {
        Some(suggestion) => format!("; did you mean {suggestion}?"),
        None => "; the keys are listed in docs/configuration.md".to_owned(),
    }
}

impl From<ConfigError> for StorageError {
    fn from(error: ConfigError) -> Self {
        Self::invalid_input(error.to_string())
    }
}
