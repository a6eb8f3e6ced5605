//! The connection of merged reads.
//!
//! A host may ask for more than a message holds: such an answer ends the connection
//! that it comes over. That costs merged reads theirs, which is replaced, and not the
//! session: the log goes on.

use super::{SecondaryConnectionManager, Shared};
use crate::error_policy::{Call, Failure};
use plugin_api::{
    error::{StorageError, StorageResult},
    storage::method,
};
use std::{sync::Arc, time::Duration};
use surreal_storage::{Connection, MESSAGE_BYTES, SurrealStorage};
use tokio::runtime::Handle;

/// How long the secondary may take to answer over the session's own connection.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

impl Shared {
    /// Opens a connection for merged reads.
    pub(super) async fn open_reads(&self, runtime: &Handle) -> StorageResult<SurrealStorage> {
        let timeouts = self.policy.timeouts;
        let connection = Connection::open(&self.config.target()?, &timeouts)
            .await
            .map_err(|error| error.context("opening the connection for reads"))?;
        Ok(SurrealStorage::from_connection(
            connection,
            timeouts,
            runtime.clone(),
        ))
    }
}

impl SecondaryConnectionManager {
    /// Reports that a read failed because its connection is gone; `is_it` says
    /// whether that is the session's present one. If the secondary answers over the
    /// session's own connection, only this one is replaced, in the background.
    pub(crate) fn lost_reads(
        &self,
        generation: u64,
        is_it: impl Fn(&Arc<SurrealStorage>) -> bool,
        failure: &Failure,
    ) {
        let session = self.session();
        let Some(session) = session.filter(|open| open.generation == generation) else {
            return;
        };
        let present = session.reads.load_full();
        if !present.as_ref().is_some_and(is_it) {
            return;
        }
        let replaced = session.reads.compare_and_swap(&present, None);
        if replaced.as_ref().map(Arc::as_ptr) != present.as_ref().map(Arc::as_ptr) {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let (runtime, error) = (self.runtime.clone(), failure.error.clone());
        let policy = failure.policy;
        self.runtime.spawn(async move {
            if session.connection.ping(ANSWER_TIMEOUT).await.is_err() {
                shared.lose(generation, &Failure { error, policy });
                return;
            }
            tracing::warn!(
                secondary = shared.config.name,
                %error,
                "the connection for reads was lost, although the secondary answers: {}; it is \
                 opened again",
                likely_reason(&error)
            );
            match shared.open_reads(&runtime).await {
                Ok(reads) => session.reads.store(Some(Arc::new(reads))),
                Err(error) => shared.lose(generation, &Failure::of(Call::Connect, error)),
            }
        });
    }
}

/// Why a connection of a server that answers is lost in the middle of a read.
fn likely_reason(error: &StorageError) -> String {
    let read = error.message.split(':').next().unwrap_or_default();
    let table = method(read).map_or("the rows", |method| match method.table {
        "" | "*" => "the rows",
        table => table,
    });
    format!(
        "an answer that has more than {} MiB of {table} ends it; read less at once",
        MESSAGE_BYTES >> 20
    )
}
