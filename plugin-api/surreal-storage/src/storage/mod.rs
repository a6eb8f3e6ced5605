//! [`SurrealStorage`]: the contract's traits over one connection.

mod call;
mod traits;

pub(crate) use call::Call;

use crate::{
    blocking,
    connection::Connection,
    target::{Target, Timeouts},
};
use parking_lot::Mutex;
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::CallContext,
};
use std::{
    collections::HashSet,
    fmt,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// As good as no limit, without overflowing the clock.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The method that may take ten times the operation timeout: it builds missing
/// indexes, which takes long on a large database.
const BUILDS_INDEXES: &str = "initialize_schema";

/// The 64 storage methods over a SurrealDB, embedded or remote.
///
/// It implements [`Storage`](plugin_api::storage::Storage),
/// [`StatsProvider`](plugin_api::storage::StatsProvider) and
/// [`CodeStorage`](plugin_api::storage::CodeStorage). The methods block and may
/// be called from any thread; the work itself runs on the runtime that the
/// storage was made with, which must be multi-threaded and, for an embedded
/// database, give its threads stacks of 10 MiB. Clones share one connection.
///
/// A call takes no longer than the operation timeout or its own deadline,
/// whichever is shorter (ten times as long for `initialize_schema`, which may
/// have indexes to build). When a server does not answer or its connection
/// breaks, the connection is dropped, and the next call opens a new one.
///
/// ```no_run
/// use plugin_api::storage::{CallContext, Storage};
/// use surreal_storage::{SurrealStorage, Target, Timeouts};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = tokio::runtime::Builder::new_multi_thread()
///     .enable_all()
///     .thread_stack_size(10 << 20)
///     .build()?;
/// let target = Target {
///     url: "ws://localhost:8000".to_owned(),
///     credentials: None,
///     ca_file: None,
///     namespace: "memory".to_owned(),
///     database: "agents".to_owned(),
/// };
/// let storage = SurrealStorage::new(target, Timeouts::default(), runtime.handle().clone());
/// let context = CallContext::new();
/// storage.connect(&context)?;
/// storage.initialize_schema(&context)?;
/// storage.save_fact(&context, "ada", "colour", &"green".into())?;
/// assert_eq!(storage.get_fact(&context, "ada", "colour")?, Some("green".into()).into());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SurrealStorage {
    shared: Arc<Shared>,
    runtime: Handle,
}

/// What calls share with each other and with the storage's clones.
pub(crate) struct Shared {
    /// None if the storage was created from an open connection; replacing that is
    /// up to its owner.
    target: Option<Target>,
    timeouts: Timeouts,
    state: Mutex<State>,
    /// Held while connecting, so that concurrent calls open one connection.
    connecting: tokio::sync::Mutex<()>,
    /// Relationship tables known to be defined.
    relationships: Mutex<HashSet<String>>,
}

enum State {
    /// `connect` was not called yet.
    New,
    Open(Connection),
    /// The connection was lost; the next call opens another.
    Lost,
    Closed,
}

impl SurrealStorage {
    /// A storage that opens its connection at
    /// [`connect`](plugin_api::storage::Storage::connect).
    pub fn new(target: Target, timeouts: Timeouts, runtime: Handle) -> Self {
        Self::with_state(Some(target), State::New, timeouts, runtime)
    }

    /// A storage over an open connection. It is never replaced: once it is lost,
    /// calls fail until the storage is dropped.
    pub fn from_connection(connection: Connection, timeouts: Timeouts, runtime: Handle) -> Self {
        Self::with_state(None, State::Open(connection), timeouts, runtime)
    }

    fn with_state(
        target: Option<Target>,
        state: State,
        timeouts: Timeouts,
        runtime: Handle,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                target,
                timeouts,
                state: Mutex::new(state),
                connecting: tokio::sync::Mutex::new(()),
                relationships: Mutex::default(),
            }),
            runtime,
        }
    }

    /// The open connection, to run SurrealQL on it directly.
    ///
    /// # Errors
    /// `Closed` after a close, `Connection` while there is none.
    pub fn connection(&self) -> StorageResult<Connection> {
        match &*self.shared.state.lock() {
            State::Open(connection) => Ok(connection.clone()),
            state => Err(state.error()),
        }
    }

    /// Runs one method on the runtime and waits for its answer.
    fn run<T, F>(
        &self,
        context: &CallContext,
        method: &'static str,
        work: impl FnOnce(Call) -> F,
    ) -> StorageResult<T>
    where
        T: Send + 'static,
        F: Future<Output = StorageResult<T>> + Send + 'static,
    {
        let operation = self.shared.timeouts.operation;
        let longest = if method == BUILDS_INDEXES {
            operation.saturating_mul(10)
        } else {
            operation
        };
        let budget = context.time_left_or(longest).min(FOREVER);
        let call = Call::new(Arc::clone(&self.shared), Instant::now() + budget);
        blocking::wait_for(&self.runtime, budget, work(call)).map_err(|error| {
            tracing::debug!(method, request_id = %context.request_id, %error, "storage call failed");
            error.context(method)
        })
    }
}

impl State {
    fn error(&self) -> StorageError {
        match self {
            Self::Closed => StorageError::closed("the storage was closed"),
            Self::Lost => StorageError::connection("the connection to the database was lost"),
            _ => StorageError::connection("the storage is not connected yet: call connect first"),
        }
    }
}

impl Shared {
    /// The connection for a call; a new one if it was lost, or if `first`.
    pub(crate) async fn connection(
        &self,
        left: Duration,
        first: bool,
    ) -> StorageResult<Connection> {
        let open = |state: &State| match state {
            State::Open(connection) => Some(Ok(connection.clone())),
            State::Lost => None,
            State::New if first => None,
            state => Some(Err(state.error())),
        };
        if let Some(answer) = open(&self.state.lock()) {
            return answer;
        }
        let connect = async {
            let _connecting = self.connecting.lock().await;
            if let Some(answer) = open(&self.state.lock()) {
                return answer;
            }
            let Some(target) = &self.target else {
                return Err(self.state.lock().error());
            };
            let connection = Connection::open(target, &self.timeouts).await?;
            let mut state = self.state.lock();
            if matches!(*state, State::Closed) {
                return Err(state.error());
            }
            *state = State::Open(connection.clone());
            Ok(connection)
        };
        crate::connection::within(left, connect).await
    }

    /// Drops a connection whose server does not answer. An embedded database
    /// stays open, since dropping it would lose what it holds in memory.
    pub(crate) fn drop_if_lost(
        &self,
        connection: &Connection,
        error: &StorageError,
        waited: Duration,
    ) {
        // A timeout after a caller's short deadline says nothing about the server.
        let gone = error.kind == ErrorKind::CONNECTION
            || (error.kind == ErrorKind::TIMEOUT && waited * 2 >= self.timeouts.operation);
        if !gone || self.target.is_none() || !connection.address().is_remote() {
            return;
        }
        let mut state = self.state.lock();
        if matches!(&*state, State::Open(current) if current.is(connection)) {
            tracing::warn!(%error, "the connection to the database was lost; the next call opens a new one");
            *state = State::Lost;
            // The server may come back with another database.
            self.relationships.lock().clear();
        }
    }

    /// Closes the connection, if this storage has opened it.
    pub(crate) async fn close(&self, left: Duration) -> StorageResult<()> {
        let before = std::mem::replace(&mut *self.state.lock(), State::Closed);
        match before {
            State::Open(connection) if self.target.is_some() => connection.close(left).await,
            _ => Ok(()),
        }
    }

    pub(crate) fn relationships(&self) -> &Mutex<HashSet<String>> {
        &self.relationships
    }
}

impl fmt::Debug for SurrealStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SurrealStorage")
            .field("target", &self.shared.target)
            .field("connection", &self.connection().ok())
            .finish_non_exhaustive()
    }
}
