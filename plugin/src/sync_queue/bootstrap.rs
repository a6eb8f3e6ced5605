//! [`BootstrapRegistry`]: which secondaries this log has bootstrapped.
//!
//! A secondary that is not in it gets an initial sync, or a resync if it already
//! has positions of the log.

use super::{
    QueueError,
    store::{Store, StoreHandle, WriteBatch},
};
use std::sync::Arc;

const PREFIX: &str = "fed/";

fn storage_key(secondary: &str) -> String {
    format!("{PREFIX}{secondary}")
}

/// The secondaries that this log has bootstrapped.
pub(super) struct BootstrapRegistry {
    store: Arc<StoreHandle>,
}

impl BootstrapRegistry {
    pub(super) fn new(store: Arc<StoreHandle>) -> Self {
        Self { store }
    }

    pub(super) fn contains(&self, secondary: &str) -> Result<bool, QueueError> {
        self.store
            .with(|store| Ok(store.state.contains_key(storage_key(secondary))?))
    }

    pub(super) fn add(&self, secondary: &str) -> Result<(), QueueError> {
        self.store
            .with(|store| Ok(store.state.insert(storage_key(secondary), "")?))
    }

    /// Adds all secondaries to the registry of a log that replaces a corrupt one
    /// under the same id: each of them has a resync request for every table
    /// already, and one is enough.
    pub(super) fn add_all(store: &Store, secondaries: &[String]) -> Result<(), QueueError> {
        for secondary in secondaries {
            store.state.insert(storage_key(secondary), "")?;
        }
        Ok(())
    }

    /// Removes a secondary: it gets to know the log by another id.
    pub(super) fn remove(batch: &mut WriteBatch<'_>, secondary: &str) {
        batch.remove_state(storage_key(secondary));
    }

    /// Removes secondaries that are no longer configured: one that comes back
    /// has missed operations.
    pub(super) fn remove_unconfigured(
        batch: &mut WriteBatch<'_>,
        secondaries: &[String],
    ) -> Result<(), QueueError> {
        let keep: Vec<String> = secondaries.iter().map(|name| storage_key(name)).collect();
        batch.retain_state(PREFIX, |key| {
            keep.iter().any(|kept| *key == *kept.as_bytes())
        })
    }
}
