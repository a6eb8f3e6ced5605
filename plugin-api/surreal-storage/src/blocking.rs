//! From a thread that may block into the async runtime and back.
//!
//! The work runs on the runtime's own threads, never on the caller's: the
//! embedded database needs their large stacks, and a caller that is itself a
//! worker of some runtime may not start another one's.

use plugin_api::error::{StorageError, StorageResult};
use std::{future::Future, sync::mpsc, time::Duration};
use tokio::runtime::{Handle, RuntimeFlavor};

/// How much longer than its deadline a call is waited for, should the runtime
/// be too busy to notice the deadline itself.
const GRACE: Duration = Duration::from_secs(5);

/// Runs `work` on `runtime` and waits for it, about `timeout` at most. Callable
/// from any thread, a runtime's worker included; only the one thread of a
/// single-threaded runtime cannot wait for itself.
pub(crate) fn wait_for<T, F>(runtime: &Handle, timeout: Duration, work: F) -> StorageResult<T>
where
    T: Send + 'static,
    F: Future<Output = StorageResult<T>> + Send + 'static,
{
    let (sender, receiver) = mpsc::sync_channel(1);
    let wait = || {
        runtime.spawn(async move {
            // Nobody listens any more only if the caller gave up.
            let _ = sender.send(work.await);
        });
        match receiver.recv_timeout(timeout.saturating_add(GRACE)) {
            Ok(result) => result,
            Err(mpsc::RecvTimeoutError::Timeout) => Err(StorageError::timeout(format!(
                "no answer within {timeout:?}: the runtime behind the storage is busy"
            ))),
            Err(mpsc::RecvTimeoutError::Disconnected) => Err(StorageError::closed(
                "the runtime behind the storage has ended, or the call panicked",
            )),
        }
    };
    match Handle::try_current() {
        Ok(current) if current.runtime_flavor() == RuntimeFlavor::MultiThread => {
            // Hands this worker's other tasks, ours among them, to another one.
            tokio::task::block_in_place(wait)
        }
        Ok(current) if current.id() == runtime.id() => Err(StorageError::internal(
            "a storage call would wait for its own thread; make it from spawn_blocking, or give the storage a multi-threaded runtime",
        )),
        _ => wait(),
    }
}
