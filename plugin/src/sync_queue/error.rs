//! [`QueueError`]: what each error means for the files, and as an error of a
//! call.

use super::log::WireError;
use crate::{
    error_policy::{Call, Failure},
    self_healing::{self, Incompatible, OpenError, Severity, StoreError},
};
use plugin_api::error::StorageError;
use std::path::{Path, PathBuf};

/// Why the queue cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Another process has the store open.
    #[error("queue_dir {} is in use by another process; stop it, or give this host its own queue_dir", .0.display())]
    Locked(PathBuf),
    /// The store's directory cannot be created or opened.
    #[error("queue_dir {} cannot be used: {source}; check its owner and permissions", .dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// The error of the file system.
        source: std::io::Error,
    },
    /// The operations do not fit within `queue_max_bytes`.
    #[error("the log holds {held} bytes and {wanted} more do not fit within queue_max_bytes")]
    Full {
        /// Bytes in the log.
        held: u64,
        /// Bytes to be added.
        wanted: u64,
    },
    /// A log entry cannot be decoded.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A newer version of the module has written the store.
    #[error("the queue store cannot be used: {0}")]
    Incompatible(Incompatible),
    /// The store's content is invalid or incomplete.
    #[error("the queue store is corrupt: {0}")]
    Corrupt(&'static str),
    /// The disk, or the database on it, failed.
    #[error("the queue store cannot be read or written: {0}")]
    Storage(#[from] fjall::Error),
    /// The store has failed and has not been reopened yet.
    #[error("the queue store is unavailable; GET /api/db-sync/status shows the cause")]
    Unavailable,
    /// The queue was closed.
    #[error("the queue is closed")]
    Closed,
}

impl QueueError {
    /// The error of a store in `dir` that could not be opened.
    pub(super) fn of_opening(dir: &Path, error: OpenError) -> Self {
        match error {
            OpenError::Directory(source) => Self::Directory {
                dir: dir.to_owned(),
                source,
            },
            OpenError::Incompatible(error) => Self::Incompatible(error),
            OpenError::Database(error) => Self::Storage(error),
        }
    }
}

impl StoreError for QueueError {
    fn severity(&self) -> Option<Severity> {
        match self {
            Self::Storage(error) => self_healing::severity(error),
            Self::Directory { .. } => Some(Severity::Environment),
            Self::Incompatible(_) | Self::Wire(WireError::Version(_)) => {
                Some(Severity::Incompatible)
            }
            Self::Wire(WireError::Corrupt(_)) | Self::Corrupt(_) => Some(Severity::Corrupt),
            Self::Locked(_) | Self::Full { .. } | Self::Unavailable | Self::Closed => None,
        }
    }

    fn unavailable() -> Self {
        Self::Unavailable
    }

    fn closed() -> Self {
        Self::Closed
    }

    fn panicked() -> Self {
        Self::Corrupt("an access to it panicked")
    }
}

/// The log's error as a caller of the storage or of a route gets it.
impl From<QueueError> for StorageError {
    fn from(error: QueueError) -> Self {
        let message = error.to_string();
        match error {
            QueueError::Locked(_) | QueueError::Directory { .. } => Self::invalid_input(message),
            QueueError::Closed => Self::closed(message),
            _ => Self::internal(message),
        }
    }
}

impl From<QueueError> for Failure {
    fn from(error: QueueError) -> Self {
        Self::of(Call::UseLog, error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_policy::Action;

    #[test]
    fn a_fault_of_the_log_waits_for_the_log_and_blames_no_database() {
        for error in [
            QueueError::Unavailable,
            QueueError::Corrupt("an entry is incomplete"),
            QueueError::Closed,
        ] {
            let failure = Failure::from(error);
            assert_eq!(failure.policy.action, Action::Wait);
            assert!(failure.policy.remedy.contains("log.fault"), "{failure:?}");
        }
    }
}
