//! From a thread that may block into the async runtime and back.
//!
//! The work runs on the runtime's own threads, never on the caller's: the
//! embedded database needs their large stacks, and a caller that is itself a
//! worker of some runtime may not start another one's.

use plugin_api::error::{StorageError, StorageResult};
use std::{future::Future, sync::mpsc, thread, time::Duration};
use tokio::runtime::{Handle, RuntimeFlavor};

/// How much longer than its deadline to wait for a call, in case the runtime is
/// too busy to enforce the deadline itself.
const GRACE: Duration = Duration::from_secs(5);

/// Runs `work` on `runtime` and waits for it, about `timeout` at most. Callable
/// from any thread, including a runtime's worker; only the one thread of a
/// single-threaded runtime cannot wait for itself.
pub(crate) fn wait_for<T, F>(runtime: &Handle, timeout: Duration, work: F) -> StorageResult<T>
where
    T: Send + 'static,
    F: Future<Output = StorageResult<T>> + Send + 'static,
{
    let (sender, receiver) = mpsc::sync_channel(1);
    let mut reply = Reply {
        sender: Some(sender),
        begun: false,
    };
    let wait = || {
        runtime.spawn(async move {
            reply.begun = true;
            let result = work.await;
            reply.send(result);
        });
        match receiver.recv_timeout(timeout.saturating_add(GRACE)) {
            Ok(result) => result,
            Err(_) => Err(StorageError::timeout(format!(
                "no answer within {timeout:?}: the runtime behind the storage is busy"
            ))),
        }
    };
    match Handle::try_current() {
        Ok(current) if current.runtime_flavor() == RuntimeFlavor::MultiThread => {
            // Hands this worker's other tasks, including this one, to another.
            tokio::task::block_in_place(wait)
        }
        Ok(current) if current.id() == runtime.id() => Err(StorageError::internal(
            "a storage call would wait for its own thread; make it from spawn_blocking, or give the storage a multi-threaded runtime",
        )),
        _ => wait(),
    }
}

/// Sends the caller the result of the work; or, if the work is dropped before it
/// has one, why.
struct Reply<T> {
    sender: Option<mpsc::SyncSender<StorageResult<T>>>,
    begun: bool,
}

impl<T> Reply<T> {
    fn send(&mut self, result: StorageResult<T>) {
        if let Some(sender) = self.sender.take() {
            // The caller may have given up.
            let _ = sender.send(result);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        self.send(Err(if thread::panicking() {
            StorageError::internal(
                "the call panicked; a write may have happened all the same, please report this",
            )
        } else if self.begun {
            StorageError::internal(
                "the runtime behind the storage ended during the call; a write may have happened \
                 all the same",
            )
        } else {
            StorageError::closed("the runtime behind the storage has ended")
        }));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use plugin_api::error::ErrorKind;
    use std::future::pending;
    use tokio::runtime::Runtime;

    const LONG: Duration = Duration::from_secs(60);

    fn kind(runtime: &Handle, work: impl Future<Output = ()> + Send + 'static) -> ErrorKind {
        let work = async {
            work.await;
            Ok(())
        };
        wait_for(runtime, LONG, work).unwrap_err().kind
    }

    #[test]
    fn only_a_call_that_never_began_is_closed() {
        let runtime = Runtime::new().unwrap();
        let handle = runtime.handle().clone();
        assert_eq!(
            kind(&handle, async { panic!("as the test wants") }),
            ErrorKind::INTERNAL
        );
        let (begun, begins) = mpsc::channel();
        let cut_off = thread::spawn({
            let handle = handle.clone();
            move || {
                kind(&handle, async move {
                    begun.send(()).unwrap();
                    pending::<()>().await;
                })
            }
        });
        begins.recv().unwrap();
        runtime.shutdown_background();
        assert_eq!(cut_off.join().unwrap(), ErrorKind::INTERNAL);
        assert_eq!(kind(&handle, pending()), ErrorKind::CLOSED);
    }
}
