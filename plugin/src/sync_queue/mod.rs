//! [`SyncQueue`]: the durable queue of what has yet to reach the secondaries.
//!
//! The queue is a facade over parts that share one store. What belongs together
//! is committed together, in a [`store::WriteBatch`] that each part can add to:
//! an append with the end of its intent, a retry with the removal of the
//! rejection.
//!
//! | module | contents |
//! | --- | --- |
//! | [`api`] | the queue's methods for the rest of the module |
//! | [`log`] | [`log::OperationLog`]: the operations, and each secondary's watermarks |
//! | [`eviction`] | appending when the log is full |
//! | [`intents`] | [`intents::IntentStore`]: writes in flight, so that a killed process leaves a trace, and unsettled ones |
//! | [`settlement`] | how a write ends: committed, cancelled, or unsettled until its request cannot run any more |
//! | [`rejections`] | [`rejections::RejectionStore`]: retries and dead letters |
//! | [`resyncs`] | [`resyncs::ResyncStore`]: tables that a secondary needs compared with the primary |
//! | [`epochs`] | [`Epoch`]: the fencing token of an opening, which secondaries and the primary keep |
//! | [`lineage`] | whether the log is a copy of another host's, or was restored to an earlier state |
//! | [`log_ids`] | [`log_ids::LogIds`]: the ids by which secondaries know the log |
//! | [`page_watch`] | [`PageWatch`]: which keys are written while a page of a table is copied |
//! | [`bootstrap`] | [`bootstrap::BootstrapRegistry`]: which secondaries the log has bootstrapped |
//! | [`table_filter`] | [`table_filter::TableFilterRecord`]: which tables' writes are in the log |
//! | [`log_row`] | [`LogRow`]: what is kept outside of the store: that the log misses writes, and its epoch |
//! | [`store`] | the database with all of the above, and its commit marker |
//! | [`leases`] | [`PartitionLease`]: which partitions workers are at, and when an idle one is called |
//! | [`wakeups`] | who is woken by what happens to the queue |
//! | [`boot_record`] | whether the machine went down while the log was open |
//! | [`recovery`] | opening the store, also when it is corrupt, and reopening it when it fails |
//! | [`config`], [`error`] | the queue's configuration and errors |

mod api;
mod boot_record;
mod bootstrap;
mod config;
mod epochs;
mod error;
mod eviction;
mod intents;
mod leases;
mod lineage;
mod log;
mod log_ids;
mod log_row;
mod page_watch;
mod recovery;
mod rejections;
mod resyncs;
mod settlement;
mod store;
mod table_filter;
mod wakeups;

pub use config::{Fsync, QueueConfig};
pub use epochs::Epoch;
pub use error::QueueError;
pub use intents::Intent;
pub use leases::PartitionLease;
pub use log::{Backlog, Batch, PARTITIONS, Position, Watermark, WireError, partition_of};
pub use log_row::{LogRow, NoLogRow};
pub use page_watch::PageWatch;
pub use recovery::Upkeep;
pub use rejections::{DeadLetter, RejectedCount, Retry};
pub use resyncs::{EVERY_TABLE, ResyncRequest};

use crate::metrics::instruments::LogMetrics;
use bootstrap::BootstrapRegistry;
use epochs::Epochs;
use intents::IntentStore;
use log::OperationLog;
use log_ids::LogIds;
use log_row::TrackedLogRow;
use page_watch::PageWatches;
use rejections::RejectionStore;
use resyncs::ResyncStore;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use store::StoreHandle;
use table_filter::TableFilterRecord;
use tokio::sync::Notify;
use wakeups::Wakeups;

/// The durable queue. All methods may be called from any thread.
pub struct SyncQueue {
    config: QueueConfig,
    secondaries: Arc<[String]>,
    store: Arc<StoreHandle>,
    log: OperationLog,
    intents: IntentStore,
    rejections: RejectionStore,
    resyncs: ResyncStore,
    page_watches: PageWatches,
    bootstraps: BootstrapRegistry,
    table_filter: TableFilterRecord,
    epochs: Epochs,
    log_ids: LogIds,
    log_row: Arc<TrackedLogRow>,
    /// True once the primary keeps the current epoch.
    is_known_to_primary: AtomicBool,
    /// True once every secondary has a resync request because the log was found
    /// to be copied or restored.
    is_resynced_as_copy: AtomicBool,
    /// True until the resync requests that the last recovery made are durable.
    has_unresolved_recovery: AtomicBool,
    wakeups: Wakeups,
    metrics: Arc<LogMetrics>,
}

impl SyncQueue {
    /// Opens the queue for these secondaries, without a [`LogRow`].
    ///
    /// # Errors
    /// As [`SyncQueue::open_with`].
    pub fn open(config: QueueConfig, secondaries: &[String]) -> Result<Self, QueueError> {
        Self::open_with(config, secondaries, Box::new(NoLogRow))
    }

    /// Opens the queue for these secondaries. The backlog, resync requests and
    /// rejections of a secondary that is no longer among them are dropped.
    ///
    /// A corrupt store is moved aside and replaced by a new one, with a resync
    /// request for every table. A store that cannot be opened now is unavailable
    /// until [`SyncQueue::recover`] has opened it.
    ///
    /// # Errors
    /// [`QueueError::Locked`].
    pub fn open_with(
        config: QueueConfig,
        secondaries: &[String],
        log_row: Box<dyn LogRow>,
    ) -> Result<Self, QueueError> {
        let recovery = Arc::<Notify>::default();
        let metrics = Arc::<LogMetrics>::default();
        let store = Arc::new(StoreHandle::unopened(
            config.fsync,
            Arc::clone(&recovery),
            Arc::clone(&metrics),
        ));
        let secondaries: Arc<[String]> = secondaries.into();
        let log_row = Arc::new(TrackedLogRow::new(log_row));
        let queue = Self {
            log: OperationLog::new(Arc::clone(&store), Arc::clone(&secondaries)),
            intents: IntentStore::new(Arc::clone(&store), config.request_lifetime),
            rejections: RejectionStore::new(Arc::clone(&store)),
            resyncs: ResyncStore::new(Arc::clone(&store), Arc::clone(&log_row)),
            page_watches: PageWatches::default(),
            bootstraps: BootstrapRegistry::new(Arc::clone(&store)),
            table_filter: TableFilterRecord::new(&config),
            epochs: Epochs::new(),
            log_ids: LogIds::default(),
            is_known_to_primary: AtomicBool::new(false),
            is_resynced_as_copy: AtomicBool::new(false),
            log_row,
            has_unresolved_recovery: AtomicBool::new(false),
            wakeups: Wakeups::new(&secondaries, recovery),
            metrics,
            store,
            secondaries,
            config,
        };
        if queue.log_row.was_dirty() {
            queue.request_resync_of_everything(
                "the log may miss writes from before this start (the dirty flag was set)",
            );
        }
        match queue.recover() {
            Err(QueueError::Storage(fjall::Error::Locked)) => {
                Err(QueueError::Locked(queue.config.dir))
            }
            // A failure is logged and shown in the status, and `recover` is
            // called again.
            Ok(_) | Err(_) => Ok(queue),
        }
    }

    /// Closes the queue. Its content stays for the next start.
    pub fn close(&self) {
        self.persist_resync_requests();
        self.end_epoch();
        let closed = self.store.with(|store| {
            store.sync()?;
            // From here on the machine going down loses nothing.
            if !self.has_unresolved_recovery.load(Ordering::Acquire) {
                boot_record::clear(store)?;
            }
            store.sync()
        });
        if let Err(error) = closed {
            tracing::warn!(
                %error,
                "the queue store could not be synced to the disk before closing; after a power cut \
                 the next start resyncs every table"
            );
        }
        self.store.close();
        self.wakeups.reopened();
    }
}

#[cfg(test)]
mod tests;
