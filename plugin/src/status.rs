//! [`Status`]: what replication is doing, for people and for machines.

use crate::{
    secondary_state::{ConnectionFailure, SecondaryState, StateMachine},
    self_healing::Fault,
    sync_executor::{Progress, ScanProgress},
    sync_queue::{Backlog, ResyncRequest},
};
use plugin_api::value::Timestamp;
use serde::Serialize;
use std::time::Duration;

/// Whether replication works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// No problem is known.
    Healthy,
    /// The host works on, but [`Status::reasons`] has problems.
    Degraded,
}

/// A problem, and its remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The secondary that it is about; none for the module as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What fixes it: "no action needed …" or "action required: …".
    pub remedy: String,
}

/// What replication is doing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Whether replication works.
    pub health: Health,
    /// Every problem with its remedy; empty if healthy.
    pub reasons: Vec<Reason>,
    /// The module's version.
    pub version: &'static str,
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
    /// Tables that are to be resynced.
    pub resync: Vec<ResyncStatus>,
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
            attempts: machine.attempts(),
            last_error: machine.last_error().cloned(),
            latency_ms: machine.latency().map(milliseconds),
            backlog: BacklogStatus::default(),
            replicated: Progress::default(),
            retries: 0,
            dead_letters: 0,
            resync: Vec::new(),
        }
    }

    /// The problems of this secondary.
    fn reasons(&self) -> Vec<Reason> {
        let reason = |problem: String, remedy: &str| Reason {
            secondary: Some(self.name.clone()),
            problem,
            remedy: remedy.to_owned(),
        };
        let mut reasons = Vec::new();
        reasons.extend(
            self.state_reason()
                .map(|(problem, remedy)| reason(problem, remedy)),
        );
        if self.dead_letters > 0 {
            reasons.push(reason(
                format!("{} operations were rejected for good", self.dead_letters),
                "action required: GET /api/db-sync/dead-letters, fix the cause, then POST \
                 /api/db-sync/dead-letters/replay or /discard",
            ));
        }
        if !self.resync.is_empty() {
            let tables: Vec<String> = self
                .resync
                .iter()
                .map(|request| format!("{} ({})", request.table, request.reason))
                .collect();
            reasons.push(reason(
                format!(
                    "tables are to be resynced from the primary: {}",
                    tables.join(", ")
                ),
                "no action needed: the resync runs while the secondary is connected",
            ));
        }
        reasons
    }

    /// The problem and the remedy, if the state is one.
    fn state_reason(&self) -> Option<(String, &'static str)> {
        let (error, remedy) = self
            .last_error
            .as_ref()
            .map_or(("", ""), |failure| (&*failure.message, failure.remedy));
        match self.state {
            SecondaryState::Connecting => Some((
                "the secondary is not connected yet".to_owned(),
                "no action needed; still connecting",
            )),
            SecondaryState::Reconciling => Some((
                "the secondary is connected, and its positions are not compared with the log yet"
                    .to_owned(),
                "no action needed; replication starts in a moment",
            )),
            // What is to be resynced, and a pause, are reasons of their own.
            SecondaryState::Backfilling | SecondaryState::Streaming | SecondaryState::Paused => {
                None
            }
            SecondaryState::Unreachable => {
                Some((format!("the secondary cannot be reached: {error}"), remedy))
            }
            SecondaryState::Rejected => Some((
                format!("the secondary rejects the connection: {error}"),
                remedy,
            )),
            SecondaryState::Stopped => Some((
                "the module has shut down".to_owned(),
                "action required: start the module again",
            )),
        }
    }
}

impl LogStatus {
    fn reasons(&self) -> Vec<(String, String)> {
        let directory = &self.directory;
        let mut reasons = Vec::new();
        if let Some(fault) = &self.fault {
            reasons.push((
                format!(
                    "the log cannot be used, so nothing is replicated: {}",
                    fault.problem
                ),
                format!(
                    "{directory}: {}; the log is then reopened automatically, and what was \
                     written meanwhile is replicated",
                    fault.remedy()
                ),
            ));
        }
        if let Some(fault) = &self.tombstones_fault {
            reasons.push((
                format!(
                    "tombstones are not persisted, so deleted rows may reappear after a restart, \
                     and merged reads leave out rows that only secondaries have: {}",
                    fault.problem
                ),
                format!(
                    "{directory}: {}; the store is then reopened automatically",
                    fault.remedy()
                ),
            ));
        }
        if self.held_bytes > self.max_bytes / 10 * 9 {
            reasons.push((
                format!(
                    "the log holds {} of {} bytes; when it is full, the backlog of the secondary \
                     that is furthest behind is evicted and a full resync is scheduled",
                    self.held_bytes, self.max_bytes
                ),
                "no action needed once the secondaries catch up; otherwise raise queue_max_bytes"
                    .to_owned(),
            ));
        }
        reasons
    }
}

impl Status {
    /// Lists the problems, and derives the health from them.
    #[must_use]
    pub fn with_health(mut self) -> Self {
        let mut of_the_module = self.log.reasons();
        if self.paused {
            of_the_module.insert(
                0,
                (
                    "replication is paused".to_owned(),
                    "action required: POST /api/db-sync/resume".to_owned(),
                ),
            );
        }
        let of_the_module = of_the_module.into_iter().map(|(problem, remedy)| Reason {
            secondary: None,
            problem,
            remedy,
        });
        let of_secondaries = self.secondaries.iter().flat_map(SecondaryStatus::reasons);
        self.reasons = of_secondaries.chain(of_the_module).collect();
        self.health = match self.reasons.is_empty() {
            true => Health::Healthy,
            false => Health::Degraded,
        };
        self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::error_policy::{self, Call};
    use plugin_api::error::ErrorKind;

    fn secondary(state: SecondaryState) -> SecondaryStatus {
        let kind = match state {
            SecondaryState::Rejected => ErrorKind::INVALID_INPUT,
            _ => ErrorKind::CONNECTION,
        };
        SecondaryStatus {
            name: "office".to_owned(),
            address: "ws://localhost/".to_owned(),
            namespace: "n".to_owned(),
            database: "d".to_owned(),
            priority: 100,
            state,
            since: Timestamp::default(),
            connects: 1,
            attempts: 0,
            last_error: Some(ConnectionFailure {
                at: Timestamp::default(),
                message: "connection refused".to_owned(),
                remedy: error_policy::of(Call::Connect, kind).remedy,
            }),
            latency_ms: None,
            backlog: BacklogStatus::default(),
            replicated: Progress::default(),
            retries: 0,
            dead_letters: 0,
            resync: Vec::new(),
        }
    }

    fn status(secondary: SecondaryStatus) -> Status {
        Status {
            health: Health::Healthy,
            reasons: Vec::new(),
            version: "1",
            started_at: Timestamp::default(),
            sync_enabled: true,
            merge_reads: true,
            paused: false,
            log: LogStatus {
                directory: "/log".to_owned(),
                held_bytes: 10,
                max_bytes: 100,
                ..LogStatus::default()
            },
            secondaries: vec![secondary],
        }
    }

    /// The problem and the remedy of a status with one reason.
    fn only_reason(status: Status) -> (String, String) {
        let status = status.with_health();
        assert_eq!(status.health, Health::Degraded);
        assert_eq!(status.reasons.len(), 1, "{:?}", status.reasons);
        (
            status.reasons[0].problem.clone(),
            status.reasons[0].remedy.clone(),
        )
    }

    #[test]
    fn neither_a_past_error_nor_a_backlog_is_a_problem() {
        let mut streaming = secondary(SecondaryState::Streaming);
        streaming.backlog.operations = 7;
        let status = status(streaming).with_health();
        assert_eq!(
            (status.health, status.reasons),
            (Health::Healthy, Vec::new())
        );
    }

    #[test]
    fn every_problem_has_its_remedy() {
        for (state, problem, remedy) in [
            (SecondaryState::Connecting, "not connected yet", "no action"),
            (SecondaryState::Reconciling, "not compared", "no action"),
            (
                SecondaryState::Unreachable,
                "connection refused",
                "no action",
            ),
            (
                SecondaryState::Rejected,
                "connection refused",
                "action required",
            ),
            (SecondaryState::Stopped, "shut down", "start the module"),
        ] {
            let reason = only_reason(status(secondary(state)));
            assert!(
                reason.0.contains(problem) && reason.1.contains(remedy),
                "{reason:?}"
            );
        }
        let mut rejected = secondary(SecondaryState::Streaming);
        rejected.dead_letters = 3;
        assert!(only_reason(status(rejected)).0.starts_with("3 operations"));
        let mut requested = secondary(SecondaryState::Streaming);
        requested.resync.push(ResyncStatus {
            table: "events".to_owned(),
            reason: "the log was full".to_owned(),
            ..ResyncStatus::default()
        });
        assert!(
            only_reason(status(requested))
                .0
                .contains("events (the log was full)")
        );
        let mut paused = status(secondary(SecondaryState::Streaming));
        paused.paused = true;
        assert!(only_reason(paused).1.contains("resume"));
        let mut full = status(secondary(SecondaryState::Streaming));
        full.log.held_bytes = 95;
        assert!(only_reason(full).1.contains("queue_max_bytes"));
    }
}
