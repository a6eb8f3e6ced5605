//! [`catch_panic`]: a panic ends the piece of work that it happens in, not the
//! worker.

use plugin_api::{error::StorageResult, panic::guard};
use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll},
};

/// Runs `work`; a panic inside it becomes an internal error that names it.
pub(super) async fn catch_panic<T>(
    name: &str,
    work: impl Future<Output = StorageResult<T>>,
) -> StorageResult<T> {
    let mut work = pin!(work);
    poll_fn(|context: &mut Context<'_>| {
        guard(name, || Ok(work.as_mut().poll(context)))
            .unwrap_or_else(|panic| Poll::Ready(Err(panic)))
    })
    .await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use plugin_api::error::ErrorKind;

    #[tokio::test]
    async fn a_panic_after_an_await_becomes_an_error() {
        let work = async {
            tokio::task::yield_now().await;
            panic!("no good")
        };
        let error = catch_panic::<()>("the work", work).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::INTERNAL);
        assert!(error.message.contains("the work"), "{error}");
        assert!(error.message.contains("no good"), "{error}");
        assert_eq!(catch_panic("fine", async { Ok(3) }).await, Ok(3));
    }
}
