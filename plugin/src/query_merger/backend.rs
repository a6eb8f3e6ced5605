//! The databases that a read is asked of.

use crate::connection::SecondaryConnectionManager;
use plugin_api::{
    error::StorageError,
    storage::{CodeStorage, StatsProvider, Storage},
};
use std::sync::Arc;

/// One database: the primary or a secondary. Anything with the 64 methods.
pub trait Backend: Storage + StatsProvider + CodeStorage {}

impl<T: Storage + StatsProvider + CodeStorage + ?Sized> Backend for T {}

/// A configured secondary, connected or not.
pub trait Secondary: Send + Sync {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// Of two secondaries that have a row, the lower number's is shown.
    fn priority(&self) -> u32;

    /// Its storage and which connection that is; none while it is not
    /// connected.
    fn storage(&self) -> Option<(Arc<dyn Backend>, u64)>;

    /// Is its server gone? Asked when an answer is late: an error if the server
    /// is known to be gone. May block for a second.
    fn is_gone(&self) -> Option<StorageError> {
        None
    }

    /// A call on that connection failed because the connection is gone.
    fn lost(&self, connection: u64, error: &StorageError);
}

impl Secondary for SecondaryConnectionManager {
    fn name(&self) -> &str {
        self.name()
    }

    fn priority(&self) -> u32 {
        self.priority()
    }

    fn storage(&self) -> Option<(Arc<dyn Backend>, u64)> {
        let session = self.session()?;
        Some((Arc::new(session.storage.clone()), session.generation))
    }

    fn is_gone(&self) -> Option<StorageError> {
        self.is_gone()
    }

    fn lost(&self, connection: u64, error: &StorageError) {
        let session = self.session();
        if let Some(session) = session.filter(|session| session.generation == connection) {
            self.lost(&session, error);
        }
    }
}
