//! [`Status`]: what replication is doing, for people and for machines.
//! [`Reason`]: why that is a problem, and what fixes it. [`History`]: the last
//! minutes.

mod history;
mod reasons;

pub use history::{HISTORY_INTERVAL, History, Sample, SecondaryHistory};
pub use reasons::{Problem, Reason};

use crate::{
    build_info::BuildInfo,
    secondary_state::{ConnectionFailure, SecondaryState, StateMachine},
    self_healing::Fault,
    sync_executor::{Progress, ScanProgress},
    sync_queue::{Backlog, ResyncRequest},
};
use plugin_api::value::Timestamp;
use serde::Serialize;
use std::time::Duration;

/// Whether replication works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// No problem is known.
    Healthy,
    /// There are problems, and every promise is kept: what a secondary lacks is
    /// on disk and reaches it later.
    Degraded,
    /// A promise is not kept: what the module knows would be lost with the host's
    /// process, or nothing is replicated any more.
    Unhealthy,
}

impl Health {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Healthy, Self::Degraded, Self::Unhealthy];

    /// Its name in the status and the metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What replication is doing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// When this was the status.
    pub at: Timestamp,
    /// Whether replication works.
    pub health: Health,
    /// Every problem with its remedy; empty if healthy.
    pub reasons: Vec<Reason>,
    /// The module's version.
    pub version: &'static str,
    /// What the library was built from.
    pub build: BuildInfo,
    /// When the module was provisioned.
    pub started_at: Timestamp,
    /// Are writes replicated?
    pub sync_enabled: bool,
    /// Are reads merged?
    pub merge_reads: bool,
    /// Has an operator paused replication?
    pub paused: bool,
    /// The log on disk.
    pub log: LogStatus,
    /// Each secondary, the one that wins first.
    pub secondaries: Vec<SecondaryStatus>,
    /// Tables of the primary with rows that are not replicated, because no method
    /// of the host reads them; looked up from time to time, and by verify.
    pub not_replicated: Vec<UnreplicatedTable>,
}

/// A table of the primary that is not replicated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnreplicatedTable {
    /// Its name.
    pub table: String,
    /// How many rows it has.
    pub rows: u64,
}

/// The log on disk, with the operations that are still to be replicated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogStatus {
    /// Its directory.
    pub directory: String,
    /// Bytes of operations that some secondary has yet to apply, each counted
    /// once.
    pub held_bytes: u64,
    /// The limit of `held_bytes`: `queue_max_bytes`.
    pub max_bytes: u64,
    /// Keys and tables with a write whose outcome on the primary is unknown, and
    /// deletes of that kind. They are read again until no request is left that
    /// could change them.
    pub unsettled_writes: usize,
    /// Why the log cannot be used; none if it can.
    pub fault: Option<Fault>,
    /// Why tombstones cannot be stored; none if they can.
    pub tombstones_fault: Option<Fault>,
}

/// What is still to be applied to a secondary.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BacklogStatus {
    /// Operations.
    pub operations: u64,
    /// Their bytes in the log.
    pub bytes: u64,
    /// When the oldest of them was written.
    pub oldest: Option<Timestamp>,
    /// How long ago that was, in seconds: how far the secondary is behind.
    pub oldest_age_seconds: f64,
}

/// One secondary.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SecondaryStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Where it is.
    pub address: String,
    /// Its namespace.
    pub namespace: String,
    /// Its database.
    pub database: String,
    /// The lower number wins.
    pub priority: u32,
    /// What it is doing.
    pub state: SecondaryState,
    /// When this state began.
    pub since: Timestamp,
    /// How often it was connected.
    pub connects: u64,
    /// When the open session began; none while there is none.
    pub connected_since: Option<Timestamp>,
    /// Failed attempts since it was last connected.
    pub attempts: u32,
    /// The latest failure of the connection, also if it is connected again.
    pub last_error: Option<ConnectionFailure>,
    /// How long the latest health check took, in milliseconds.
    pub latency_ms: Option<f64>,
    /// What is still to be applied.
    pub backlog: BacklogStatus,
    /// What was applied.
    pub replicated: Progress,
    /// Rejected operations that wait for their next attempt.
    pub retries: usize,
    /// Operations that were rejected for good.
    pub dead_letters: usize,
    /// Functions of SurrealQL that the module calls and the server does not allow.
    pub denied_functions: Vec<&'static str>,
    /// Tables that are to be resynced.
    pub resync: Vec<ResyncStatus>,
    /// What the secondary's own schema does to rows and cannot be mended, as found
    /// when the session began; each with its remedy.
    pub schema_problems: Vec<String>,
}

/// A table that is to be resynced.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ResyncStatus {
    /// The table; `*` for every one, until they are listed.
    pub table: String,
    /// Why.
    pub reason: String,
    /// Rows scanned so far; after a restart the scan continues there.
    pub scanned: u64,
    /// Rows that the table had when the scan began; none before that.
    pub total: Option<u64>,
    /// When this process began the scan, or continued it; none before that.
    pub started: Option<Timestamp>,
}

impl ResyncStatus {
    /// A request, and its scan if that is under way.
    pub fn new(request: ResyncRequest, scan: Option<ScanProgress>) -> Self {
        Self {
            table: request.table,
            reason: request.reason,
            scanned: request.scanned,
            total: scan.map(|scan| scan.total),
            started: scan.map(|scan| scan.started),
        }
    }
}

impl From<Backlog> for BacklogStatus {
    fn from(backlog: Backlog) -> Self {
        Self {
            operations: backlog.operations,
            bytes: backlog.bytes,
            oldest: backlog.oldest,
            oldest_age_seconds: backlog
                .oldest
                .map_or(0.0, |oldest| milliseconds(oldest.elapsed()) / 1e3),
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

impl SecondaryStatus {
    /// The configuration and the state of a secondary, nothing else yet.
    pub fn of_connection(config: &crate::config::SecondaryConfig, machine: &StateMachine) -> Self {
        Self {
            name: config.name.clone(),
            address: config.address.as_str().to_owned(),
            namespace: config.namespace.clone(),
            database: config.database.clone(),
            priority: config.priority,
            state: machine.state(),
            since: machine.since(),
            connects: machine.generation(),
            connected_since: machine.connected_since(),
            attempts: machine.attempts(),
            last_error: machine.last_error().cloned(),
            latency_ms: machine.latency().map(milliseconds),
            backlog: BacklogStatus::default(),
            replicated: Progress::default(),
            retries: 0,
            dead_letters: 0,
            denied_functions: Vec::new(),
            resync: Vec::new(),
            schema_problems: Vec::new(),
        }
    }
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
