//! The databases that reads go to.

use crate::{connection::SecondaryConnectionManager, error_policy::Failure};
use plugin_api::{
    error::StorageResult,
    storage::{CodeStorage, StatsProvider, Storage},
};
use std::{ptr, sync::Arc};
use surreal_storage::SurrealStorage;

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

    /// True if it is to be asked whether it is there: an answer over the
    /// connection of that generation is late. May be called often.
    fn is_check_due(&self, generation: u64) -> bool;

    /// Asks it, after [`Secondary::is_check_due`] was true; may block for more
    /// than a second.
    ///
    /// # Errors
    /// The connection of that generation is lost.
    fn check_alive(&self, generation: u64) -> StorageResult<()>;

    /// Reports that a call failed because this connection is gone.
    fn lost(&self, connected: &Connected, failure: &Failure);
}

/// A secondary's storage over one connection for reads.
#[derive(Clone)]
pub struct Connected {
    /// The storage.
    pub backend: Arc<dyn Backend>,
    /// Which of the secondary's sessions it belongs to.
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
        let reads: Arc<dyn Backend> = session.reads.load_full()?;
        Some(Connected {
            backend: reads,
            generation: session.generation,
        })
    }

    fn is_check_due(&self, generation: u64) -> bool {
        self.is_check_due(generation)
    }

    fn check_alive(&self, generation: u64) -> StorageResult<()> {
        self.check_alive(generation)
    }

    fn lost(&self, connected: &Connected, failure: &Failure) {
        let is_it = |reads: &Arc<SurrealStorage>| {
            ptr::addr_eq(Arc::as_ptr(reads), Arc::as_ptr(&connected.backend))
        };
        self.lost_reads(connected.generation, is_it, failure);
    }
}
