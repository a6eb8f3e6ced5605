//! The connection to a secondary: opened, watched, and opened again.
//!
//! The SDK does not tell when a server is gone: a call on an open client hangs
//! and is kept, to run after the SDK has reconnected by itself. So a client
//! that failed a call or a health check is never used again. Its
//! [`Session`] is taken back, and once everyone has let go of it what it held
//! is gone too. Only a new client, which fails at once while the server is
//! away, starts the next session.

mod backoff;
mod port;
mod state;
#[cfg(test)]
mod tests;

pub use state::{ConnectionFailure, ConnectionState, Phase};

use crate::config::{SecondaryConfig, Settings};
use arc_swap::ArcSwapOption;
pub(crate) use backoff::{Backoff, jitter};
use plugin_api::error::{ErrorKind, StorageError, StorageResult};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use surreal_storage::{
    Connection, SurrealStorage, Timeouts,
    schema::{self, SchemaReport},
};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::AbortHandle,
    time::{sleep, timeout},
};

/// What a connection lives by.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionPolicy {
    /// How long connecting and each call may take.
    pub timeouts: Timeouts,
    /// From one health check to the next.
    pub health_check_interval: Duration,
    /// The longest wait between two attempts to connect.
    pub reconnect_backoff: Duration,
    /// Must the tables be prepared? Where nothing is copied, a user who may
    /// only read is enough.
    pub schema_required: bool,
}

impl From<&Settings> for ConnectionPolicy {
    fn from(settings: &Settings) -> Self {
        Self {
            timeouts: Timeouts {
                connect: settings.connect_timeout,
                operation: settings.operation_timeout,
            },
            health_check_interval: settings.health_check_interval,
            reconnect_backoff: settings.reconnect_backoff,
            schema_required: settings.sync_enabled,
        }
    }
}

/// A connected secondary with its schema in place.
///
/// Hold it for one piece of work, not longer: the client closes, and drops
/// the calls that it still holds, when the last handle of its session is gone.
#[derive(Debug)]
pub struct Session {
    /// The 64 methods on it.
    pub storage: SurrealStorage,
    /// SurrealQL on it.
    pub connection: Connection,
    /// What preparing its tables found.
    pub schema: SchemaReport,
    /// Counts the sessions of this secondary, from 1.
    pub generation: u64,
}

/// Keeps one secondary connected, in the background.
#[derive(Debug)]
pub struct SecondaryConnectionManager {
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    config: SecondaryConfig,
    policy: ConnectionPolicy,
    /// The open session. Written only inside a change of `state`, so that the
    /// two never disagree; read without a lock.
    session: ArcSwapOption<Session>,
    state: watch::Sender<ConnectionState>,
}

impl SecondaryConnectionManager {
    /// Begins to connect, and returns at once.
    pub fn start(config: SecondaryConfig, policy: ConnectionPolicy, runtime: Handle) -> Arc<Self> {
        let shared = Arc::new(Shared {
            config,
            policy,
            session: ArcSwapOption::empty(),
            state: watch::Sender::new(ConnectionState::new()),
        });
        let work = Arc::clone(&shared).run(runtime.clone());
        Arc::new(Self {
            shared,
            task: runtime.spawn(work).abort_handle(),
        })
    }

    /// The secondary's name in the configuration.
    pub fn name(&self) -> &str {
        &self.shared.config.name
    }

    /// The secondary's configuration.
    pub fn config(&self) -> &SecondaryConfig {
        &self.shared.config
    }

    /// The lower number wins.
    pub fn priority(&self) -> u32 {
        self.shared.config.priority
    }

    /// The open session; none while there is none. Takes no lock.
    pub fn session(&self) -> Option<Arc<Session>> {
        self.shared.session.load_full()
    }

    /// Waits for a session; none once the manager is shut down.
    pub async fn connected(&self) -> Option<Arc<Session>> {
        let mut states = self.subscribe();
        loop {
            let settled =
                |state: &ConnectionState| matches!(state.phase, Phase::Connected | Phase::Stopped);
            let phase = states.wait_for(settled).await.ok()?.phase;
            match self.session() {
                Some(session) => return Some(session),
                None if phase == Phase::Stopped => return None,
                // Lost again between the two looks.
                None => {}
            }
        }
    }

    /// Says that a call on `session` failed with a `Connection` or `Timeout`
    /// error: the session is given up and a new one opened. A report about an
    /// older session than the open one does nothing.
    pub fn lost(&self, session: &Session, error: &StorageError) {
        self.shared.lose(session.generation, error);
    }

    /// Looks whether anybody still listens at the server's address: an error if
    /// not, none if so or if that cannot be told soon. Blocks for a second at
    /// most, beside resolving a name.
    pub fn is_gone(&self) -> Option<StorageError> {
        port::nobody_listens(&self.shared.config.address)
    }

    /// What is known about the connection now.
    pub fn state(&self) -> ConnectionState {
        self.shared.state.borrow().clone()
    }

    /// The state and its changes.
    pub fn subscribe(&self) -> watch::Receiver<ConnectionState> {
        self.shared.state.subscribe()
    }

    /// Gives the session up and connects no more. Doing it twice is doing it once.
    pub fn shutdown(&self) {
        self.task.abort();
        self.shared.state.send_modify(|state| {
            self.shared.session.store(None);
            state.enter(Phase::Stopped);
        });
    }
}

impl Drop for SecondaryConnectionManager {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// Does the error say that the server is not there?
fn is_gone(error: &StorageError) -> bool {
    matches!(error.kind, ErrorKind::CONNECTION | ErrorKind::TIMEOUT)
}

impl Shared {
    async fn run(self: Arc<Self>, runtime: Handle) {
        let ceiling = self.policy.reconnect_backoff;
        let mut backoff = Backoff::new(ceiling);
        for generation in 1.. {
            let began = loop {
                match self.open(generation, &runtime).await {
                    Ok(session) => break self.begin(session),
                    Err(error) => self.note_failure(&error),
                }
                sleep(backoff.wait()).await;
            };
            self.watch(generation).await;
            // A session that ends as soon as it began is a failed attempt too.
            if began.elapsed() >= ceiling {
                backoff.reset();
            }
            sleep(backoff.wait()).await;
        }
    }

    async fn open(&self, generation: u64, runtime: &Handle) -> StorageResult<Session> {
        let timeouts = self.policy.timeouts;
        let connection = Connection::open(&self.config.target(), &timeouts).await?;
        let schema = match schema::initialize(&connection, timeouts.operation).await {
            Err(error) if self.policy.schema_required || is_gone(&error) => {
                return Err(error.context("preparing the secondary's tables"));
            }
            Err(error) => {
                tracing::debug!(secondary = self.config.name, %error, "its tables stay as they are");
                SchemaReport::default()
            }
            Ok(report) => report,
        };
        Ok(Session {
            storage: SurrealStorage::from_connection(connection.clone(), timeouts, runtime.clone()),
            connection,
            schema,
            generation,
        })
    }

    fn begin(&self, session: Session) -> Instant {
        let generation = session.generation;
        let without_index = session.schema.without_unique_index.clone();
        let begun = self.state.send_if_modified(|state| {
            if state.phase == Phase::Stopped {
                return false;
            }
            self.session.store(Some(Arc::new(session)));
            state.generation = generation;
            state.attempts = 0;
            state.enter(Phase::Connected)
        });
        if !begun {
            return Instant::now();
        }
        tracing::info!(
            secondary = self.config.name,
            address = self.config.address.as_str(),
            generation,
            "the secondary is connected"
        );
        if !without_index.is_empty() {
            tracing::warn!(
                secondary = self.config.name,
                tables = without_index.join(", "),
                "tables of the secondary hold rows that share a key, so it cannot keep keys unique; remove all but one of each"
            );
        }
        Instant::now()
    }

    /// Checks the session until it is lost.
    async fn watch(&self, generation: u64) {
        let mut states = self.state.subscribe();
        let lost = |state: &ConnectionState| state.phase != Phase::Connected;
        // A sign of life takes no longer than a connection does.
        let timeouts = self.policy.timeouts;
        let ping_timeout = timeouts.connect.min(timeouts.operation);
        loop {
            let due = timeout(self.policy.health_check_interval, states.wait_for(lost))
                .await
                .is_err();
            let Some(session) = self.session.load_full().filter(|_| due) else {
                return;
            };
            let began = Instant::now();
            let answer = tokio::select! {
                answer = session.connection.ping(ping_timeout) => answer,
                _ = states.wait_for(lost) => return,
            };
            match answer {
                Ok(()) => self
                    .state
                    .send_modify(|state| state.latency = Some(began.elapsed())),
                Err(error) => self.lose(generation, &error.context("health check")),
            }
        }
    }

    /// Takes the session back, if it is still the one of `generation`.
    fn lose(&self, generation: u64, error: &StorageError) {
        let lost = self.state.send_if_modified(|state| {
            let current = state.phase == Phase::Connected && state.generation == generation;
            if current {
                self.session.store(None);
                state.fail(error);
                // Whatever was wrong with a call, the server had let us in.
                state.enter(Phase::Unreachable);
            }
            current
        });
        if lost {
            tracing::warn!(
                secondary = self.config.name,
                error = %error.message,
                "the connection to the secondary is lost; writes wait in the log, reads are the primary's; it is opened again as soon as the server answers"
            );
        }
    }

    /// Notes a failed attempt: a warning when that is news, else a detail.
    fn note_failure(&self, error: &StorageError) {
        let mut news = None;
        self.state.send_if_modified(|state| {
            if state.phase == Phase::Stopped {
                return false;
            }
            let changed = state.fail(error);
            news = changed.then_some(state.phase);
            true
        });
        let (secondary, error) = (&self.config.name, &error.message);
        match news {
            Some(Phase::Refused) => tracing::warn!(
                secondary,
                %error,
                "the secondary refuses the connection; mend what the error names, it is tried again by itself"
            ),
            Some(_) => tracing::warn!(
                secondary,
                %error,
                "the secondary cannot be reached; writes wait in the log, reads are the primary's; it is tried again by itself"
            ),
            None => tracing::debug!(secondary, %error, "the secondary is still not connected"),
        }
    }
}
