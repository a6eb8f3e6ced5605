//! Waiting for the disk without stalling the runtime.

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

/// Runs work that may wait for the disk, or for a lock that is held meanwhile. If
/// this is a thread of the module's runtime, its other tasks move to another
/// thread first, so that timers, sessions and the status go on.
pub fn off_the_runtime<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        // The host's own threads.
        _ => work(),
    }
}
