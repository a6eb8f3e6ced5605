//! [`SecondaryConnectionManager`]: the connection to a secondary, opened,
//! watched, and opened again.
//!
//! The SDK does not report that a server is gone: a call on an open client hangs
//! and is kept, to run after the SDK has reconnected by itself. So a client
//! that failed a call or a health check is never used again, and closes once its
//! last handle is dropped.
//!
//! A [`Session`] has one connection for health checks and reconciliation, and
//! within it one for merged reads (`reads`), and a [`WorkerConnection`] for each
//! worker's transactions. These are replaced by themselves; the session is lost
//! when the first does not answer. Then it is withdrawn, and only a new client,
//! which fails at once while the server is away, starts the next one.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`worker`] | a worker's own connection |
//! | `reads` | the connection of merged reads: replaced when an answer costs it |
//! | `sign_of_life` | when a secondary is due to be asked whether it is there |
//! | `loop_detector` | whether a secondary is the primary, or replicates to it |
//! | `permissions` | which functions a server does not allow |
//! | `port` | whether a server still listens |
//! | `backoff` | waits between attempts |

mod backoff;
mod loop_detector;
mod permissions;
mod port;
mod reads;
mod sign_of_life;
#[cfg(test)]
mod tests;
mod worker;

use crate::{
    config::{SecondaryConfig, Settings},
    error_policy::{self, Action, Call, Failure},
    secondary_state::{Applied, Event, SecondaryState, StateMachine},
};
use arc_swap::ArcSwapOption;
pub(crate) use backoff::{Backoff, jitter};
pub(crate) use loop_detector::LoopDetector;
use plugin_api::error::{StorageError, StorageResult};
use sign_of_life::{PING_TIMEOUT, SignsOfLife};
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
pub(crate) use worker::WorkerConnection;

/// How a secondary is connected.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionPolicy {
    /// How long connecting and each call may take.
    pub timeouts: Timeouts,
    /// From one health check to the next.
    pub health_check_interval: Duration,
    /// The longest wait between two attempts to connect.
    pub reconnect_backoff: Duration,
    /// Is anything replicated to the secondary? If so its tables have to be
    /// prepared; if not, a user who may only read is enough.
    pub replicates: bool,
}

impl ConnectionPolicy {
    /// How long a short answer may take: no longer than a connection does.
    pub(crate) fn ping_timeout(&self) -> Duration {
        self.timeouts.connect.min(self.timeouts.operation)
    }
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
            replicates: settings.sync_enabled,
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
    /// SurrealQL on it, over the same connection. Transactions of workers go over
    /// a [`WorkerConnection`].
    pub connection: Connection,
    /// The 64 methods over a connection of their own, for merged reads; none while
    /// that is replaced.
    pub reads: ArcSwapOption<SurrealStorage>,
    /// What preparing its tables found.
    pub schema: SchemaReport,
    /// Functions of SurrealQL that the server does not allow, of those that the
    /// module calls.
    pub denied_functions: Vec<&'static str>,
    /// Counts the sessions of this secondary, from 1.
    pub generation: u64,
}

/// Keeps one secondary connected, in the background, and its
/// [`SecondaryState`] up to date.
#[derive(Debug)]
pub struct SecondaryConnectionManager {
    shared: Arc<Shared>,
    task: AbortHandle,
    runtime: Handle,
}

#[derive(Debug)]
struct Shared {
    config: SecondaryConfig,
    policy: ConnectionPolicy,
    loops: Option<Arc<LoopDetector>>,
    /// The open session. Written only inside a change of `machine`, so that the
    /// two never disagree; read without a lock.
    session: ArcSwapOption<Session>,
    machine: watch::Sender<StateMachine>,
    signs_of_life: SignsOfLife,
}

impl SecondaryConnectionManager {
    /// Begins to connect, and returns at once. Without a detector, a secondary
    /// that is the primary is not noticed.
    pub(crate) fn start(
        config: SecondaryConfig,
        policy: ConnectionPolicy,
        loops: Option<Arc<LoopDetector>>,
        runtime: Handle,
    ) -> Arc<Self> {
        let shared = Arc::new(Shared {
            config,
            policy,
            loops,
            session: ArcSwapOption::empty(),
            machine: watch::Sender::new(StateMachine::new(policy.replicates)),
            signs_of_life: SignsOfLife::default(),
        });
        let work = Arc::clone(&shared).run(runtime.clone());
        Arc::new(Self {
            shared,
            task: runtime.spawn(work).abort_handle(),
            runtime,
        })
    }

    /// How it is connected.
    pub(crate) fn policy(&self) -> &ConnectionPolicy {
        &self.shared.policy
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

    /// What the secondary is doing.
    pub fn state(&self) -> SecondaryState {
        self.shared.machine.borrow().state()
    }

    /// What the secondary is doing, and the session that this is about. There
    /// is one if the state says that it is connected.
    pub fn state_and_session(&self) -> (SecondaryState, Option<Arc<Session>>) {
        let machine = self.shared.machine.borrow();
        (machine.state(), self.session())
    }

    /// Everything that is known about the secondary's state.
    pub fn snapshot(&self) -> StateMachine {
        self.shared.machine.borrow().clone()
    }

    /// The state and its changes.
    pub fn subscribe(&self) -> watch::Receiver<StateMachine> {
        self.shared.machine.subscribe()
    }

    /// Waits for a session; none once the manager is shut down.
    pub async fn connected(&self) -> Option<Arc<Session>> {
        let mut states = self.subscribe();
        loop {
            let settled = |machine: &StateMachine| {
                let state = machine.state();
                state.is_connected() || state == SecondaryState::Stopped
            };
            states.wait_for(settled).await.ok()?;
            match self.state_and_session() {
                (SecondaryState::Stopped, _) => return None,
                (_, Some(session)) => return Some(session),
                // Lost again in between.
                _ => {}
            }
        }
    }

    /// Notes what was observed of the secondary, and logs a change of its state.
    pub(crate) fn note(&self, event: Event<'_>) {
        self.shared.apply(event, None);
    }

    /// Reports that a call on the session of that generation failed in a way that
    /// only a new session can fix: the session is withdrawn and another one
    /// opened. A report about an older session than the open one does nothing.
    pub(crate) fn lost(&self, generation: u64, failure: &Failure) {
        self.shared.lose(generation, failure);
    }

    /// True if the secondary is to be asked whether it is there, because an
    /// answer is late: it has not answered for a second, and was not asked. The
    /// caller then calls [`SecondaryConnectionManager::check_alive`].
    pub(crate) fn is_check_due(&self, generation: u64) -> bool {
        !self.is_open(generation) || self.shared.signs_of_life.ask()
    }

    /// Asks the secondary whether it is there: over the open connection first,
    /// then at its port. Blocks for some 1.5 seconds at most, beside resolving a
    /// name.
    ///
    /// # Errors
    /// The session of that generation is lost: nothing listens at the port, or it
    /// was lost before. None if something listens but does not answer in time.
    pub(crate) fn check_alive(&self, generation: u64) -> StorageResult<()> {
        let session = self.session();
        let Some(session) = session.filter(|open| open.generation == generation) else {
            return Err(StorageError::connection(
                "the connection was lost before the answer came",
            ));
        };
        let ping = session.connection.ping(PING_TIMEOUT);
        if self.runtime.block_on(ping).is_ok() {
            self.shared.signs_of_life.seen();
            return Ok(());
        }
        let Some(error) = port::probe(&self.shared.config.address) else {
            return Ok(());
        };
        self.lost(generation, &Failure::of(Call::HealthCheck, error.clone()));
        Err(error)
    }

    fn is_open(&self, generation: u64) -> bool {
        let session = self.shared.session.load();
        session
            .as_ref()
            .is_some_and(|open| open.generation == generation)
    }

    /// Withdraws the session and connects no more. Idempotent.
    pub fn shutdown(&self) {
        self.task.abort();
        self.note(Event::ShutDown);
    }
}

impl Drop for SecondaryConnectionManager {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Shared {
    /// Applies an event to the state, and keeps the session in step with it.
    /// True unless the event was ignored.
    fn apply(&self, event: Event<'_>, opened: Option<Arc<Session>>) -> bool {
        let mut transition = None;
        let noted = self.machine.send_if_modified(|machine| {
            let Applied::Noted(change) = machine.apply(event) else {
                return false;
            };
            if opened.is_some() || !machine.state().is_connected() {
                self.session.store(opened);
            }
            transition = change;
            true
        });
        // Not under the lock: the host's logger may ask for the status.
        if let Some(transition) = transition {
            transition.log(&self.config.name);
        }
        noted
    }

    async fn run(self: Arc<Self>, runtime: Handle) {
        let ceiling = self.policy.reconnect_backoff;
        let mut backoff = Backoff::new(ceiling);
        for generation in 1.. {
            let opened_at = loop {
                match self.open(generation, &runtime).await {
                    Ok(session) => break self.begin(session),
                    Err(error) => {
                        tracing::debug!(
                            secondary = self.config.name, %error,
                            "an attempt to connect to the secondary failed"
                        );
                        self.apply(Event::ConnectFailed(&error), None);
                    }
                }
                sleep(backoff.wait()).await;
            };
            self.watch(generation).await;
            // A session that ends soon after it began is a failed attempt too.
            if opened_at.elapsed() >= ceiling {
                backoff.reset();
            }
            sleep(backoff.wait()).await;
        }
    }

    async fn open(&self, generation: u64, runtime: &Handle) -> StorageResult<Session> {
        let timeouts = self.policy.timeouts;
        let connection = Connection::open(&self.config.target()?, &timeouts).await?;
        self.check_for_loop(&connection).await?;
        let (schema, reads) = tokio::join!(
            schema::initialize_replica(&connection, timeouts.operation),
            self.open_reads(runtime)
        );
        let schema = match schema {
            Ok(report) => report,
            Err(error) => {
                let policy = error_policy::of(Call::PrepareSchema, error.kind);
                if self.policy.replicates || policy.action != Action::Skip {
                    return Err(error.context("preparing the secondary's tables"));
                }
                tracing::debug!(
                    secondary = self.config.name, %error,
                    "the secondary's tables stay as they are"
                );
                SchemaReport::default()
            }
        };
        let denied_functions = permissions::denied(&connection, timeouts.operation).await?;
        Ok(Session {
            denied_functions,
            storage: SurrealStorage::from_connection(connection.clone(), timeouts, runtime.clone()),
            connection,
            reads: ArcSwapOption::from_pointee(reads?),
            schema,
            generation,
        })
    }

    async fn check_for_loop(&self, connection: &Connection) -> StorageResult<()> {
        match &self.loops {
            Some(loops) => loops.check(connection, self.policy.replicates).await,
            None => Ok(()),
        }
    }

    fn begin(&self, session: Session) -> Instant {
        let generation = session.generation;
        let without_index = session.schema.without_unique_index.clone();
        let begun = self.apply(Event::Connected { generation }, Some(Arc::new(session)));
        if begun && !without_index.is_empty() {
            tracing::warn!(
                secondary = self.config.name,
                tables = without_index.join(", "),
                "tables of the secondary hold several rows with the same key, so their unique \
                 index could not be created; remove all but one row of each key"
            );
        }
        Instant::now()
    }

    /// Checks the session until it is lost.
    async fn watch(&self, generation: u64) {
        let mut states = self.machine.subscribe();
        let lost = |machine: &StateMachine| !machine.state().is_connected();
        let ping_timeout = self.policy.ping_timeout();
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
                Ok(()) => {
                    let latency = began.elapsed();
                    self.signs_of_life.seen();
                    self.apply(
                        Event::HealthChecked {
                            generation,
                            latency,
                        },
                        None,
                    );
                    // What made it one may have come since the session began.
                    if let Err(error) = self.check_for_loop(&session.connection).await {
                        self.lose(generation, &Failure::of(Call::HealthCheck, error));
                    }
                }
                Err(error) => {
                    let error = error.context("health check");
                    self.lose(generation, &Failure::of(Call::HealthCheck, error));
                }
            }
        }
    }

    /// Withdraws the session, if it is still the one of `generation`.
    fn lose(&self, generation: u64, failure: &Failure) {
        let lost = Event::Lost {
            generation,
            failure,
        };
        self.apply(lost, None);
    }
}
