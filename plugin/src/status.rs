//! [`Status`]: what replication is doing, for people and for machines.

use crate::{
    connection::{ConnectionFailure, ConnectionState, Phase},
    self_healing::Fault,
    sync_executor::{Progress, ScanProgress},
    sync_queue::{Backlog, ResyncRequest},
};
use plugin_api::value::Timestamp;
use serde::Serialize;
use std::time::Duration;

/// Whether all is well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// Nothing to be done.
    Healthy,
    /// The host works on, and something is behind or needs a person.
    Degraded,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The secondary that it is about; none for the module as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What will mend it, or who.
    pub remedy: String,
}

/// What replication is doing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Whether all is well.
    pub health: Health,
    /// Why not; empty if it is.
    pub reasons: Vec<Reason>,
    /// The module's version.
    pub version: &'static str,
    /// When the module was provisioned.
    pub started_at: Timestamp,
    /// Are writes copied?
    pub sync_enabled: bool,
    /// Are reads merged?
    pub merge_reads: bool,
    /// Was copying paused by hand?
    pub paused: bool,
    /// The log on disk.
    pub log: LogStatus,
    /// Each secondary, the one that wins first.
    pub secondaries: Vec<SecondaryStatus>,
}

/// The log of what is still to be copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogStatus {
    /// Where it lies.
    pub directory: String,
    /// Bytes of operations that it holds because a secondary has yet to get
    /// them, each once.
    pub held_bytes: u64,
    /// How many it may hold.
    pub max_bytes: u64,
    /// Why it cannot be used; none if it can.
    pub fault: Option<Fault>,
    /// Why what is deleted cannot be stored; none if it can.
    pub tombstones_fault: Option<Fault>,
}

/// What is still to be copied to a secondary.
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
    /// How its connection stands.
    pub state: Phase,
    /// Since when.
    pub since: Timestamp,
    /// How often it was connected.
    pub connects: u64,
    /// Failed attempts since it was last connected.
    pub attempts: u32,
    /// The latest failure of the connection, also when it is mended.
    pub last_error: Option<ConnectionFailure>,
    /// How long the latest health check took, in milliseconds.
    pub latency_ms: Option<f64>,
    /// What is still to be copied.
    pub backlog: BacklogStatus,
    /// What was copied.
    pub copied: Progress,
    /// Operations that it refused and that wait for their retry.
    pub retries: usize,
    /// Operations that it refused for good.
    pub dead_letters: usize,
    /// What is marked for resync.
    pub resync: Vec<ResyncStatus>,
}

/// A table that is marked for resync.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ResyncStatus {
    /// The table; `*` for every one, until they are listed.
    pub table: String,
    /// Why.
    pub reason: String,
    /// Rows scanned so far; a restart goes on there.
    pub scanned: u64,
    /// Rows that the table had when the walk began; none before that.
    pub total: Option<u64>,
    /// When the walk began, or went on after a restart; none before that.
    pub started: Option<Timestamp>,
}

impl ResyncStatus {
    /// A mark, and the walk if it is under way.
    pub fn new(mark: ResyncRequest, walk: Option<ScanProgress>) -> Self {
        Self {
            table: mark.table,
            reason: mark.reason,
            scanned: mark.scanned,
            total: walk.map(|walk| walk.total),
            started: walk.map(|walk| walk.started),
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
    /// The parts that the connection tells.
    pub fn of_connection(
        config: &crate::config::SecondaryConfig,
        connection: ConnectionState,
    ) -> Self {
        Self {
            name: config.name.clone(),
            address: config.address.as_str().to_owned(),
            namespace: config.namespace.clone(),
            database: config.database.clone(),
            priority: config.priority,
            state: connection.phase,
            since: connection.since,
            connects: connection.generation,
            attempts: connection.attempts,
            last_error: connection.last_error,
            latency_ms: connection.latency.map(milliseconds),
            backlog: BacklogStatus::default(),
            copied: Progress::default(),
            retries: 0,
            dead_letters: 0,
            resync: Vec::new(),
        }
    }

    /// What is not as it should be with it.
    fn reasons(&self) -> Vec<Reason> {
        let error = self
            .last_error
            .as_ref()
            .map_or("", |failure| &failure.message);
        let connection = match self.state {
            Phase::Connected => None,
            Phase::Connecting => Some((
                "it is not connected yet".to_owned(),
                "itself, in a moment".to_owned(),
            )),
            Phase::Unreachable => Some((
                format!("it cannot be reached: {error}"),
                "itself, as soon as the server answers; nothing is lost until then".to_owned(),
            )),
            Phase::Refused => Some((
                format!("it refuses the connection: {error}"),
                "a person: mend what the error names; it is tried again by itself".to_owned(),
            )),
            Phase::Stopped => Some((
                "the module has shut down".to_owned(),
                "the next start of the module".to_owned(),
            )),
        };
        let dead_letters = (self.dead_letters > 0).then(|| {
            (
                format!("{} operations were refused for good", self.dead_letters),
                "a person: look at dead-letters, then replay or discard them".to_owned(),
            )
        });
        let resync = (!self.resync.is_empty()).then(|| {
            let tables: Vec<String> = self
                .resync
                .iter()
                .map(|mark| format!("{} ({})", mark.table, mark.reason))
                .collect();
            (
                format!(
                    "tables have to be compared with the primary: {}",
                    tables.join(", ")
                ),
                "itself: a resync runs as soon as the secondary is connected".to_owned(),
            )
        });
        [connection, dead_letters, resync]
            .into_iter()
            .flatten()
            .map(|(what, remedy)| Reason {
                secondary: Some(self.name.clone()),
                what,
                remedy,
            })
            .collect()
    }
}

impl Status {
    /// Finds the reasons, and the health from them.
    #[must_use]
    pub fn with_health(mut self) -> Self {
        self.reasons = self
            .secondaries
            .iter()
            .flat_map(SecondaryStatus::reasons)
            .collect();
        if self.paused {
            self.reasons.push(Reason {
                secondary: None,
                what: "copying is paused".to_owned(),
                remedy: "a person: resume".to_owned(),
            });
        }
        let directory = &self.log.directory;
        if let Some(fault) = &self.log.fault {
            self.reasons.push(Reason {
                secondary: None,
                what: format!(
                    "the log cannot be used, so nothing is copied: {}",
                    fault.what
                ),
                remedy: format!(
                    "{directory}: {}; it goes on by itself then, and what was written meanwhile \
                     is copied",
                    fault.remedy()
                ),
            });
        }
        if let Some(fault) = &self.log.tombstones_fault {
            self.reasons.push(Reason {
                secondary: None,
                what: format!(
                    "deletes are not remembered beyond the end of the process, and merged reads \
                     leave out what only secondaries have: {}",
                    fault.what
                ),
                remedy: format!("{directory}: {}; it goes on by itself then", fault.remedy()),
            });
        }
        if self.log.held_bytes > self.log.max_bytes / 10 * 9 {
            self.reasons.push(Reason {
                secondary: None,
                what: format!(
                    "the log holds {} of {} bytes; beyond that, tables are marked for resync",
                    self.log.held_bytes, self.log.max_bytes
                ),
                remedy: "itself, once the secondaries catch up; or a larger queue_max_bytes"
                    .to_owned(),
            });
        }
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

    fn secondary(phase: Phase) -> SecondaryStatus {
        SecondaryStatus {
            name: "office".to_owned(),
            address: "ws://localhost/".to_owned(),
            namespace: "n".to_owned(),
            database: "d".to_owned(),
            priority: 100,
            state: phase,
            since: Timestamp::default(),
            connects: 1,
            attempts: 0,
            last_error: Some(ConnectionFailure {
                at: Timestamp::default(),
                message: "connection refused".to_owned(),
            }),
            latency_ms: None,
            backlog: BacklogStatus::default(),
            copied: Progress::default(),
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

    /// What is wrong and what mends it, of a status with one reason.
    fn only_reason(status: Status) -> (String, String) {
        let status = status.with_health();
        assert_eq!(status.health, Health::Degraded);
        assert_eq!(status.reasons.len(), 1, "{:?}", status.reasons);
        (
            status.reasons[0].what.clone(),
            status.reasons[0].remedy.clone(),
        )
    }

    #[test]
    fn a_mended_error_or_a_backlog_is_no_reason() {
        let mut connected = secondary(Phase::Connected);
        connected.backlog.operations = 7;
        let status = status(connected).with_health();
        assert_eq!(
            (status.health, status.reasons),
            (Health::Healthy, Vec::new())
        );
    }

    #[test]
    fn each_reason_says_what_will_mend_it() {
        for (phase, what, remedy) in [
            (Phase::Connecting, "not connected yet", "itself"),
            (Phase::Unreachable, "connection refused", "itself"),
            (Phase::Refused, "connection refused", "a person"),
            (Phase::Stopped, "shut down", "next start"),
        ] {
            let reason = only_reason(status(secondary(phase)));
            assert!(
                reason.0.contains(what) && reason.1.contains(remedy),
                "{reason:?}"
            );
        }
        let mut refused = secondary(Phase::Connected);
        refused.dead_letters = 3;
        assert!(only_reason(status(refused)).0.starts_with("3 operations"));
        let mut marked = secondary(Phase::Connected);
        marked.resync.push(ResyncStatus {
            table: "events".to_owned(),
            reason: "the log was full".to_owned(),
            ..ResyncStatus::default()
        });
        assert!(
            only_reason(status(marked))
                .0
                .contains("events (the log was full)")
        );
        let mut paused = status(secondary(Phase::Connected));
        paused.paused = true;
        assert!(only_reason(paused).1.contains("resume"));
        let mut full = status(secondary(Phase::Connected));
        full.log.held_bytes = 95;
        assert!(only_reason(full).1.contains("queue_max_bytes"));
    }
}
