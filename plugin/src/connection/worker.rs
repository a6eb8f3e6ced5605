//! [`WorkerConnection`]: a worker's own connection, within a session.
//!
//! The SDK sends one request after the other: while a large one is on its way,
//! nothing else gets through on that connection, a health check included. So
//! every worker sends its transactions over a connection of its own. One that
//! is too slow, or that ends its connection, costs this worker its connection;
//! the session and the other workers go on.

use super::{Backoff, SecondaryConnectionManager, Session};
use plugin_api::error::StorageResult;
use std::{sync::Arc, time::Duration};
use surreal_storage::Connection;

/// Opened with its session, closed with it, and reopened after a failure.
pub(crate) struct WorkerConnection {
    manager: Arc<SecondaryConnectionManager>,
    open: Option<Open>,
    backoff: Backoff,
}

struct Open {
    connection: Connection,
    /// The session that it belongs to.
    generation: u64,
}

impl WorkerConnection {
    /// None is open yet.
    pub(crate) fn new(manager: Arc<SecondaryConnectionManager>) -> Self {
        let backoff = Backoff::new(manager.shared.policy.reconnect_backoff);
        Self {
            manager,
            open: None,
            backoff,
        }
    }

    /// The connection for work in `session`. Hold it for one call: what the SDK
    /// still has to send is dropped with the last handle.
    ///
    /// # Errors
    /// Why it cannot be opened now; wait as long as [`WorkerConnection::failed`]
    /// says.
    pub(crate) async fn get(&mut self, session: &Session) -> StorageResult<Connection> {
        self.close_unless_of(Some(session.generation));
        if let Some(open) = &self.open {
            return Ok(open.connection.clone());
        }
        let opening = async {
            let target = self.manager.config().target()?;
            Connection::open(&target, &self.manager.shared.policy.timeouts).await
        };
        let connection = opening
            .await
            .map_err(|error| error.context("opening a worker's connection"))?;
        self.open = Some(Open {
            connection: connection.clone(),
            generation: session.generation,
        });
        Ok(connection)
    }

    /// Closes it: a call on it failed.
    pub(crate) fn close(&mut self) {
        self.open = None;
    }

    /// Closes it if its session is lost.
    pub(crate) fn close_if_lost(&mut self) {
        self.close_unless_of(self.manager.session().map(|session| session.generation));
    }

    fn close_unless_of(&mut self, generation: Option<u64>) {
        if self.generation() != generation {
            self.open = None;
        }
    }

    /// The session that it is open in.
    pub(super) fn generation(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.generation)
    }

    /// It could not be opened. Returns how long to wait before the next attempt.
    pub(crate) fn failed(&mut self) -> Duration {
        self.backoff.wait()
    }

    /// A call on it succeeded.
    pub(crate) fn succeeded(&mut self) {
        self.backoff.reset();
    }
}
