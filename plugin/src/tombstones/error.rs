//! [`TombstoneError`].

use crate::self_healing::{self, Incompatible, OpenError, Severity, StoreError};
use plugin_api::error::StorageError;
use std::path::{Path, PathBuf};

/// Why the tombstones cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TombstoneError {
    /// Another process has the store open.
    #[error("queue_dir {} is in use by another process; stop it, or give this host its own queue_dir", .0.display())]
    Locked(PathBuf),
    /// Its directory cannot be created or opened.
    #[error("{} cannot be used for the tombstones: {source}", .dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A newer version of the module has written the store.
    #[error("the tombstone store cannot be used: {0}")]
    Incompatible(Incompatible),
    /// The disk, or the store on it, failed.
    #[error(
        "the tombstone store cannot be read or written: {0}; check the disk that holds queue_dir"
    )]
    Storage(#[from] fjall::Error),
    /// The store's code panicked: a corrupt file can cause that.
    #[error("the tombstone store panicked; it is treated as corrupt and reopened")]
    Panicked,
    /// It is not open, or not open again yet.
    #[error("the tombstone store is unavailable; GET /api/db-sync/status says why")]
    Unavailable,
    /// It was closed.
    #[error("the tombstone store is closed")]
    Closed,
}

impl TombstoneError {
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

impl StoreError for TombstoneError {
    fn severity(&self) -> Option<Severity> {
        match self {
            Self::Storage(error) => self_healing::severity(error),
            Self::Directory { .. } => Some(Severity::Environment),
            Self::Incompatible(_) => Some(Severity::Incompatible),
            Self::Panicked => Some(Severity::Corrupt),
            Self::Locked(_) | Self::Unavailable | Self::Closed => None,
        }
    }

    fn unavailable() -> Self {
        Self::Unavailable
    }

    fn closed() -> Self {
        Self::Closed
    }

    fn panicked() -> Self {
        Self::Panicked
    }
}

impl From<TombstoneError> for StorageError {
    fn from(error: TombstoneError) -> Self {
        Self::internal(error.to_string())
    }
}
