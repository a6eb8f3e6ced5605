//! The task that reopens the log and the tombstone store after a failure.

use super::log_row::DisabledMarker;
use crate::{
    config::QueueFsync,
    connection::Backoff,
    sync_queue::{SyncQueue, Upkeep},
    tombstones::Tombstones,
};
use std::{future::pending, sync::Arc, time::Duration};

/// The wait before work that has come up, so that what follows is done with it.
/// Also what a power cut costs of the tombstones with `queue_fsync: interval`.
const GATHER: Duration = Duration::from_millis(100);

/// The longest wait between two attempts.
const CEILING: Duration = Duration::from_secs(5);

/// What the task looks after beside the tombstones.
#[derive(Clone)]
pub(super) enum Log {
    Queue(Arc<SyncQueue>),
    /// Without replication: noting that the log misses writes.
    Disabled(Arc<DisabledMarker>),
}

impl Log {
    /// Does what is due. It logs its failures itself.
    fn recover(&self) -> Upkeep {
        match self {
            Self::Queue(queue) => queue.recover().unwrap_or(Upkeep::Waiting),
            Self::Disabled(marker) => match marker.set() {
                true => Upkeep::Done,
                false => Upkeep::Waiting,
            },
        }
    }

    /// Waits until something is due.
    async fn due(&self) {
        match self {
            Self::Queue(queue) => queue.recovery_due().await,
            Self::Disabled(_) => pending().await,
        }
    }
}

/// Reopens the log and the tombstone store whenever they have failed, and
/// flushes the tombstones to the disk. Ends with the runtime.
pub(super) async fn run(log: Log, tombstones: Arc<Tombstones>, fsync: QueueFsync) {
    let mut backoff = Backoff::new(CEILING);
    loop {
        let step = {
            let (log, tombstones) = (log.clone(), Arc::clone(&tombstones));
            move || {
                let left = log.recover();
                let mut stored = tombstones.recover().is_ok();
                if fsync == QueueFsync::Interval {
                    stored &= tombstones.sync().is_ok();
                }
                match stored {
                    true => left,
                    false => Upkeep::Waiting,
                }
            }
        };
        let left = tokio::task::spawn_blocking(step).await;
        match left.unwrap_or(Upkeep::Waiting) {
            Upkeep::Done => {
                backoff.reset();
                tokio::select! {
                    () = log.due() => {}
                    () = tombstones.upkeep_due() => {}
                }
                tokio::time::sleep(GATHER).await;
            }
            Upkeep::Unfinished => tokio::time::sleep(GATHER).await,
            Upkeep::Waiting => tokio::time::sleep(backoff.wait()).await,
        }
    }
}
