//! The task that settles writes and deletes whose outcome on the primary is
//! unknown.

use crate::{
    error_policy::{self, Action, Call},
    sync_queue::SyncQueue,
    tombstones::Tombstones,
    unsettled,
};
use plugin_api::{
    storage::{CallContext, FullStorage, Storage as _},
    value::Object,
};
use std::{
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long the primary may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Settles what is unsettled in these, once requests to the primary have lived
/// for their longest time. Asks nothing while there is nothing. Ends with the
/// runtime.
pub(super) async fn run(
    primary: FullStorage,
    queue: Option<Arc<SyncQueue>>,
    tombstones: Arc<Tombstones>,
    request_lifetime: Duration,
) {
    let tick = unsettled::tick(request_lifetime);
    loop {
        tokio::select! {
            () = anything_unsettled(queue.as_deref()) => {}
            () = tombstones.anything_unsettled() => {}
        }
        tokio::time::sleep(tick).await;
        let (primary, queue) = (primary.clone(), queue.clone());
        let tombstones = Arc::clone(&tombstones);
        let settle = move || {
            // Not counted: how long the answer itself took.
            let answered = answers(&primary).then_some(tick);
            let oldest_write = match &queue {
                Some(queue) => {
                    if let Err(error) = queue.settle(answered) {
                        tracing::debug!(%error, "unsettled writes stay so until the log works");
                    }
                    queue.oldest_write()
                }
                None => None,
            };
            tombstones.settle(answered, oldest_write);
        };
        if let Err(error) = tokio::task::spawn_blocking(settle).await {
            tracing::debug!(%error, "settling panicked; it is tried again");
        }
    }
}

async fn anything_unsettled(queue: Option<&SyncQueue>) {
    match queue {
        Some(queue) => queue.anything_unsettled().await,
        None => pending().await,
    }
}

/// Does the primary answer in time, whatever it says?
fn answers(primary: &FullStorage) -> bool {
    let started = Instant::now();
    let context = CallContext::with_timeout(TIMEOUT);
    let answer = primary.query(&context, "RETURN true", &Object::new());
    let has_answered = match answer {
        Ok(_) => true,
        Err(error) => error_policy::of(Call::ReadPrimary, error.kind).action != Action::Wait,
    };
    // A host may not keep to deadlines.
    has_answered && started.elapsed() < 2 * TIMEOUT
}
