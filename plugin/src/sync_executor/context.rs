//! [`Context`]: what all parts of one secondary's replication work with.

use super::{ExecutorConfig, progress::Counters, statement::LogPartition};
use crate::{
    connection::SecondaryConnectionManager,
    secondary_state::{Event, SecondaryState},
    sync_queue::{QueueError, ResyncRequest, SyncQueue},
};
use plugin_api::storage::FullStorage;
use std::sync::Arc;

/// A secondary, and where its data comes from.
pub(super) struct Context {
    pub(super) queue: Arc<SyncQueue>,
    pub(super) primary: FullStorage,
    pub(super) manager: Arc<SecondaryConnectionManager>,
    pub(super) config: ExecutorConfig,
    pub(super) progress: Counters,
}

impl Context {
    /// The secondary's name.
    pub(super) fn name(&self) -> &str {
        self.manager.name()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.manager.state() == SecondaryState::Stopped
    }

    /// May the log be applied to the secondary now?
    pub(super) fn may_replicate(&self) -> bool {
        self.queue.is_available() && self.manager.state().is_replicating()
    }

    /// A partition of the log, as the secondary knows it.
    pub(super) fn partition(&self, partition: u16) -> LogPartition {
        LogPartition {
            log: self.queue.log_id(self.name()),
            partition,
            epoch: self.queue.epoch(),
        }
    }

    /// The resync requests of the secondary. Whether there are any is noted in
    /// its state.
    pub(super) fn resync_requests(&self) -> Result<Vec<ResyncRequest>, QueueError> {
        // Asked first: requests that are read before the session is reconciled
        // say nothing about what it needs.
        let reconciled = self.manager.snapshot().reconciled_generation();
        let requests = self.queue.resync_requests(self.name())?;
        if let Some(generation) = reconciled {
            self.manager.note(Event::ResyncObserved {
                generation,
                pending: !requests.is_empty(),
            });
        }
        Ok(requests)
    }
}
