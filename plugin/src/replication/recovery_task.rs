//! What opens the module's own databases again after they have failed.

use crate::{config::QueueFsync, connection::Backoff, tombstones::Tombstones};
use std::{sync::Arc, time::Duration};

/// How often it is looked whether there is anything to do.
const TICK: Duration = Duration::from_millis(100);

/// The longest wait between two attempts.
const CEILING: Duration = Duration::from_secs(5);

/// Opens the log and the tombstones again whenever they have failed, and brings
/// the tombstones to the disk. Ends with the runtime. `recover_log` is true if
/// nothing is left to do.
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
        let mend = move || {
            // Both tell their failures themselves.
            let log = recover_log();
            let mut deletes = tombstones.recover().is_ok();
            if fsync == QueueFsync::Interval {
                deletes &= tombstones.sync().is_ok();
            }
            log && deletes
        };
        let all_well = tokio::task::spawn_blocking(mend).await.unwrap_or(false);
        wait = match all_well {
            true => {
                backoff.reset();
                TICK
            }
            false => backoff.wait(),
        };
    }
}
