//! The task that reopens the log and the tombstone store after a failure.

use crate::{config::QueueFsync, connection::Backoff, tombstones::Tombstones};
use std::{sync::Arc, time::Duration};

/// How often the task checks whether anything has failed.
const TICK: Duration = Duration::from_millis(100);

/// The longest wait between two attempts.
const CEILING: Duration = Duration::from_secs(5);

/// Reopens the log and the tombstone store whenever they have failed, and
/// flushes the tombstones to the disk. Ends with the runtime. `recover_log`
/// returns true if nothing is left to do.
pub(super) async fn run(
    recover_log: Arc<dyn Fn() -> bool + Send + Sync>,
    tombstones: Arc<Tombstones>,
    fsync: QueueFsync,
) {
    let mut backoff = Backoff::new(CEILING);
    let mut wait = TICK;
    loop {
        tokio::time::sleep(wait).await;
        let (recover_log, tombstones) = (Arc::clone(&recover_log), Arc::clone(&tombstones));
        let recover = move || {
            // Both log their failures themselves.
            let log = recover_log();
            let mut stored = tombstones.recover().is_ok();
            if fsync == QueueFsync::Interval {
                stored &= tombstones.sync().is_ok();
            }
            log && stored
        };
        let recovered = tokio::task::spawn_blocking(recover).await.unwrap_or(false);
        wait = match recovered {
            true => {
                backoff.reset();
                TICK
            }
            false => backoff.wait(),
        };
    }
}
