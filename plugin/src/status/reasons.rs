//! [`Reason`]: the problems that a status shows, each with its remedy.
//! [`Problem`]: their kinds, and what each means for the health.

use super::{Health, LogStatus, SecondaryStatus, Status};
use crate::secondary_state::SecondaryState;
use serde::Serialize;

/// `Kind, "name", what the health is, "when, and why it is that";`
macro_rules! problems {
    ($($kind:ident, $name:literal, $health:ident, $meaning:literal;)*) => {
        /// A kind of problem. The table of kinds decides the health: a problem is
        /// [`Health::Unhealthy`] if a promise is not kept while it lasts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        pub enum Problem {
            $(
                #[doc = $meaning]
                #[serde(rename = $name)]
                $kind,
            )*
        }

        impl Problem {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Its name in the status and the metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// What the health is at best while there is such a problem.
            pub const fn health(self) -> Health {
                match self { $(Self::$kind => Health::$health,)* }
            }

            /// When there is one, and what that means.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$kind => $meaning,)* }
            }
        }
    };
}

problems! {
    LogUnavailable, "log_unavailable", Unhealthy,
        "The log cannot be used: nothing is replicated, and what is written is not on disk for the secondaries, only noted for a resync.";
    TombstonesUnavailable, "tombstones_unavailable", Unhealthy,
        "Tombstones cannot be stored: after a restart, deleted rows may reappear in merged reads.";
    Stopped, "stopped", Unhealthy,
        "The module has shut down.";
    Connecting, "connecting", Degraded,
        "A secondary is being connected for the first time; writes wait in the log.";
    Reconciling, "reconciling", Degraded,
        "A secondary's positions are being compared with the log; writes wait in the log.";
    Unreachable, "unreachable", Degraded,
        "A secondary does not answer; writes wait in the log, reads do without it.";
    Rejected, "rejected", Degraded,
        "A secondary rejects the connection; writes wait in the log, reads do without it.";
    DeadLetters, "dead_letters", Degraded,
        "A secondary rejected operations for good; they are kept for an operator.";
    DeniedFunctions, "denied_functions", Degraded,
        "A server denies functions that merged reads need; reads that call them do without it.";
    Schema, "schema", Degraded,
        "A secondary's own schema changes or refuses rows.";
    Resync, "resync", Degraded,
        "Tables of a secondary are to be copied again; until then it lacks rows.";
    Paused, "paused", Degraded,
        "An operator paused replication; writes wait in the log.";
    LogNearlyFull, "log_nearly_full", Degraded,
        "The log holds more than 90 % of queue_max_bytes; when it is full, a backlog is replaced by a resync.";
}

/// A problem, and its remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Its kind.
    pub kind: Problem,
    /// The secondary that it is about; none for the module as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary: Option<String>,
    /// What is wrong.
    pub problem: String,
    /// What fixes it: "no action needed …" or "action required: …".
    pub remedy: String,
}

impl Status {
    /// Lists the problems, and derives the health from them.
    #[must_use]
    pub fn with_health(mut self) -> Self {
        let pause = self.paused.then(|| {
            (
                Problem::Paused,
                "replication is paused".to_owned(),
                "action required: POST /api/db-sync/resume".to_owned(),
            )
        });
        let of_secondaries = self.secondaries.iter().flat_map(SecondaryStatus::reasons);
        let of_the_module = pause.into_iter().chain(self.log.reasons());
        let of_the_module = of_the_module.map(|(kind, problem, remedy)| Reason {
            kind,
            secondary: None,
            problem,
            remedy,
        });
        self.reasons = of_secondaries.chain(of_the_module).collect();
        let worst = self.reasons.iter().map(|reason| reason.kind.health()).max();
        self.health = worst.unwrap_or(Health::Healthy);
        self
    }
}

impl SecondaryStatus {
    /// The problems of this secondary.
    fn reasons(&self) -> Vec<Reason> {
        let reason = |kind: Problem, problem: String, remedy: &str| Reason {
            kind,
            secondary: Some(self.name.clone()),
            problem,
            remedy: remedy.to_owned(),
        };
        let mut reasons = Vec::new();
        reasons.extend(
            self.state_reason()
                .map(|(kind, problem, remedy)| reason(kind, problem, remedy)),
        );
        if self.dead_letters > 0 {
            reasons.push(reason(
                Problem::DeadLetters,
                format!("{} operations were rejected for good", self.dead_letters),
                "action required: GET /api/db-sync/dead-letters, fix the cause, then POST \
                 /api/db-sync/dead-letters/replay or /discard",
            ));
        }
        if !self.denied_functions.is_empty() {
            let functions = self.denied_functions.join(", ");
            reasons.push(reason(
                Problem::DeniedFunctions,
                format!(
                    "the server does not allow the functions {functions}: merged reads and \
                     comparisons that call them do without the secondary; writes are replicated"
                ),
                "action required: allow them on the server, with --allow-funcs or without \
                 --deny-funcs (docs/operations.md)",
            ));
        }
        for problem in &self.schema_problems {
            reasons.push(reason(
                Problem::Schema,
                format!("the secondary's schema: {problem}"),
                "action required: run the statement on the secondary and restart it or the host, \
                 then POST /api/db-sync/verify",
            ));
        }
        if !self.resync.is_empty() {
            let tables: Vec<String> = self
                .resync
                .iter()
                .map(|request| format!("{} ({})", request.table, request.reason))
                .collect();
            reasons.push(reason(
                Problem::Resync,
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
    fn state_reason(&self) -> Option<(Problem, String, &'static str)> {
        let (error, remedy) = self
            .last_error
            .as_ref()
            .map_or(("", ""), |failure| (&*failure.message, failure.remedy));
        match self.state {
            SecondaryState::Connecting => Some((
                Problem::Connecting,
                "the secondary is not connected yet".to_owned(),
                "no action needed; still connecting",
            )),
            SecondaryState::Reconciling => Some((
                Problem::Reconciling,
                "the secondary is connected, and its positions are not compared with the log yet"
                    .to_owned(),
                "no action needed; replication starts once the positions are compared",
            )),
            // What is to be resynced, and a pause, are reasons of their own.
            SecondaryState::Backfilling | SecondaryState::Streaming | SecondaryState::Paused => {
                None
            }
            SecondaryState::Unreachable => Some((
                Problem::Unreachable,
                format!("the secondary cannot be reached: {error}"),
                remedy,
            )),
            SecondaryState::Rejected => Some((
                Problem::Rejected,
                format!("the secondary rejects the connection: {error}"),
                remedy,
            )),
            SecondaryState::Stopped => Some((
                Problem::Stopped,
                "the module has shut down".to_owned(),
                "action required: start the module again",
            )),
        }
    }
}

impl LogStatus {
    /// The problems of the log and of the tombstones, each with its remedy.
    fn reasons(&self) -> Vec<(Problem, String, String)> {
        let directory = &self.directory;
        let mut reasons = Vec::new();
        if let Some(fault) = &self.fault {
            reasons.push((
                Problem::LogUnavailable,
                format!(
                    "the log cannot be used, so nothing is replicated: {}",
                    fault.problem
                ),
                format!(
                    "{directory}: {}; what was written meanwhile is replicated then",
                    fault.remedy()
                ),
            ));
        }
        if let Some(fault) = &self.tombstones_fault {
            reasons.push((
                Problem::TombstonesUnavailable,
                format!(
                    "tombstones are not persisted, so deleted rows may reappear after a restart, \
                     and merged reads leave out rows that only secondaries have: {}",
                    fault.problem
                ),
                format!("{directory}: {}", fault.remedy()),
            ));
        }
        if self.held_bytes > self.max_bytes / 10 * 9 {
            reasons.push((
                Problem::LogNearlyFull,
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
