//! Configuration errors.

use plugin_api::error::StorageError;
use thiserror::Error;

/// An error in the module's block. Its message names the key and how to fix it,
/// and never contains the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A key has an invalid value.
    #[error("{key}: {problem}; accepted: {accepted}")]
    Value {
        /// The key with its path, such as `secondary_databases[0].url`.
        key: String,
        /// The problem with the value.
        problem: String,
        /// The accepted values.
        accepted: String,
    },
    /// An unknown key.
    #[error("{key}: unknown key{}", hint(suggestion))]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The most similar key, if one is similar enough.
        suggestion: Option<String>,
    },
    /// A key is given twice, under two of its names.
    #[error("{first} and {second} are two names of one key; keep one of them")]
    Duplicate {
        /// One name.
        first: String,
        /// The other.
        second: String,
    },
    /// `${NAME}` refers to a variable that is not set.
    #[error(
        "{key}: the environment variable {variable} is not set or not valid Unicode; set it, \
         or write the value instead of ${{{variable}}}"
    )]
    Environment {
        /// The key whose value refers to it.
        key: String,
        /// The variable's name.
        variable: String,
    },
    /// The block as a whole is invalid, or keys contradict each other.
    #[error("{0}")]
    Block(String),
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
