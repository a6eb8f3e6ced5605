//! [`Context`]: what all parts of one secondary's replication work with.

use super::{ExecutorConfig, progress::Counters, statement::LogPartition};
use crate::{
    connection::{SecondaryConnectionManager, Session},
    error_policy::{Action, Call, Failure},
    secondary_state::{Event, SecondaryState},
    sync_queue::{PARTITIONS, QueueError, ResyncRequest, SyncQueue},
};
use plugin_api::storage::FullStorage;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Mutex, MutexGuard};

/// A secondary, and where its data comes from.
pub(super) struct Context {
    pub(super) queue: Arc<SyncQueue>,
    pub(super) primary: FullStorage,
    pub(super) manager: Arc<SecondaryConnectionManager>,
    pub(super) config: ExecutorConfig,
    pub(super) progress: Counters,
    pub(super) partition_locks: PartitionLocks,
}

/// One lock for each partition, held while something of it is applied to the
/// secondary: a batch of the log, or the part of a page of a table. Whoever waits
/// longest is next.
pub(super) struct PartitionLocks(Vec<Mutex<()>>);

impl Default for PartitionLocks {
    fn default() -> Self {
        Self((0..PARTITIONS).map(|_| Mutex::default()).collect())
    }
}

impl PartitionLocks {
    /// Waits until nothing else of the partition is being applied.
    pub(super) async fn lock(&self, partition: u16) -> MutexGuard<'_, ()> {
        self.0[usize::from(partition)].lock().await
    }
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

    /// How long one page of the primary may take to be read. The host's storage drops
    /// a connection that does not answer for half of its own timeout, which is
    /// as long as ours by default; a page that takes long must not cost it.
    pub(super) fn read_timeout(&self) -> Duration {
        self.config.operation_timeout / 3
    }

    /// A partition of the log, as the secondary knows it.
    pub(super) fn partition(&self, partition: u16) -> LogPartition {
        LogPartition {
            log: self.queue.log_id(self.name()),
            partition,
            epoch: self.queue.epoch(),
        }
    }

    /// Does the session go on, although another connection to the secondary could
    /// not be opened? If not, it is given up.
    pub(super) async fn keeps_session(&self, session: &Session, failure: &Failure) -> bool {
        let timeout = self.manager.policy().ping_timeout();
        match session.connection.ping(timeout).await {
            Ok(()) if failure.policy.action == Action::Reconnect => return true,
            // An operator has to do something, which the next attempt to open a
            // session shows.
            Ok(()) => self.manager.lost(session.generation, failure),
            Err(error) => {
                let failure = Failure::of(Call::HealthCheck, error.context("health check"));
                self.manager.lost(session.generation, &failure);
            }
        }
        false
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
