//! The databases that reads go to.

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

    /// Of two secondaries that have a row, the one with the lower number wins.
    fn priority(&self) -> u32;

    /// Its current connection; none while it is not connected.
    fn connected(&self) -> Option<Connected>;

    /// Checks whether anything still listens on the server's port, and returns
    /// the error if nothing does. Asked when a response is late; may block for
    /// a second.
    fn probe_port(&self) -> Option<StorageError> {
        None
    }

    /// Reports that a call failed because the connection of that generation is
    /// gone.
    fn connection_lost(&self, generation: u64, error: &StorageError);
}

/// A secondary's storage over one connection.
#[derive(Clone)]
pub struct Connected {
    /// The storage.
    pub backend: Arc<dyn Backend>,
    /// Which of the secondary's connections it is.
    pub generation: u64,
}

impl Secondary for SecondaryConnectionManager {
    fn name(&self) -> &str {
        self.name()
    }

    fn priority(&self) -> u32 {
        self.priority()
    }

    fn connected(&self) -> Option<Connected> {
        let session = self.session()?;
        Some(Connected {
            backend: Arc::new(session.storage.clone()),
            generation: session.generation,
        })
    }

    fn probe_port(&self) -> Option<StorageError> {
        self.is_gone()
    }

    fn connection_lost(&self, generation: u64, error: &StorageError) {
        let session = self.session();
        if let Some(session) = session.filter(|session| session.generation == generation) {
            self.lost(&session, error);
        }
    }
}
