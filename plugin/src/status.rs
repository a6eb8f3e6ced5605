//! [`Status`]: what replication is doing, for people and for machines.

use crate::connection::{ConnectionState, Failure, Phase};
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
    pub mended_by: String,
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
    /// Bytes of operations that it holds for the secondary farthest behind.
    pub held_bytes: u64,
    /// How many it may hold.
    pub max_bytes: u64,
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

/// The work on a secondary.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CopyStatus {
    /// Operations copied since the module was provisioned.
    pub operations: u64,
    /// Operations a second over the last ten seconds.
    pub rate_per_second: f64,
    /// How long the latest batch took on the secondary, in milliseconds.
    pub batch_latency_ms: Option<f64>,
}

/// A table that is walked and compared with the primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResyncStatus {
    /// The table; `*` for every one.
    pub table: String,
    /// Why.
    pub reason: String,
    /// Rows walked so far.
    pub walked: u64,
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
    pub last_error: Option<Failure>,
    /// How long the latest health check took, in milliseconds.
    pub latency_ms: Option<f64>,
    /// What is still to be copied.
    pub backlog: BacklogStatus,
    /// What was copied.
    pub copied: CopyStatus,
    /// Operations that it refused and that wait for their retry.
    pub retries: u64,
    /// Operations that it refused for good.
    pub dead_letters: u64,
    /// What is marked for resync.
    pub resync: Vec<ResyncStatus>,
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
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
            copied: CopyStatus::default(),
            retries: 0,
            dead_letters: 0,
            resync: Vec::new(),
        }
    }

    /// What is not as it should be with it.
    fn reasons(&self) -> Vec<Reason> {
        let error = self.last_error.as_ref().map_or("", |failure| &failure.message);
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
                format!("tables have to be compared with the primary: {}", tables.join(", ")),
                "itself: a resync runs as soon as the secondary is connected".to_owned(),
            )
        });
        [connection, dead_letters, resync]
            .into_iter()
            .flatten()
            .map(|(what, mended_by)| Reason {
                secondary: Some(self.name.clone()),
                what,
                mended_by,
            })
            .collect()
    }
}

impl Status {
    /// Finds the reasons, and the health from them.
    #[must_use]
    pub fn judged(mut self) -> Self {
        self.reasons = self.secondaries.iter().flat_map(SecondaryStatus::reasons).collect();
        if self.paused {
            self.reasons.push(Reason {
                secondary: None,
                what: "copying is paused".to_owned(),
                mended_by: "a person: resume".to_owned(),
            });
        }
        if self.log.held_bytes > self.log.max_bytes / 10 * 9 {
            self.reasons.push(Reason {
                secondary: None,
                what: format!(
                    "the log holds {} of {} bytes; beyond that, tables are marked for resync",
                    self.log.held_bytes, self.log.max_bytes
                ),
                mended_by: "itself, once the secondaries catch up; or a larger queue_max_bytes"
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
