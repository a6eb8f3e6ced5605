//! Configuration errors: all of a block, told at once.

use plugin_api::error::StorageError;
use std::fmt;
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

impl ConfigError {
    /// The key that it is about, if it is about one.
    fn key(&self) -> Option<&str> {
        match self {
            Self::Value { key, .. }
            | Self::UnknownKey { key, .. }
            | Self::Environment { key, .. } => Some(key),
            Self::Duplicate { .. } | Self::Block(_) => None,
        }
    }
}

/// All errors of a block, in the order of its keys. It shows one as it is, and
/// several in lines of their own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Error)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// Adds an error, unless there is one about the same key: the first names
    /// the cause.
    pub(super) fn push(&mut self, error: ConfigError) {
        if !error.key().is_some_and(|key| self.is_about(key)) {
            self.0.push(error);
        }
    }

    /// Is there an error about this key?
    pub(super) fn is_about(&self, key: &str) -> bool {
        self.0.iter().any(|error| error.key() == Some(key))
    }

    /// The value, if there is no error.
    pub(super) fn or<T>(self, value: T) -> Result<T, Self> {
        match self.0.is_empty() {
            true => Ok(value),
            false => Err(self),
        }
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [error] => error.fmt(f),
            errors => {
                write!(f, "{} errors:", errors.len())?;
                errors.iter().try_for_each(|error| write!(f, "\n  {error}"))
            }
        }
    }
}

impl From<ConfigErrors> for StorageError {
    fn from(errors: ConfigErrors) -> Self {
        Self::invalid_input(errors.to_string())
    }
}
