//! [`Reason`]: the problems that a status shows, each with its remedy.

use super::{Health, LogStatus, SecondaryStatus, Status};
use crate::secondary_state::SecondaryState;
use serde::Serialize;

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

impl Status {
    /// Lists the problems, and derives the health from them.
    #[must_use]
    pub fn with_health(mut self) -> Self {
        let pause = self.paused.then(|| {
            (
                "replication is paused".to_owned(),
                "action required: POST /api/db-sync/resume".to_owned(),
            )
        });
        let of_secondaries = self.secondaries.iter().flat_map(SecondaryStatus::reasons);
        let of_the_module = pause.into_iter().chain(self.log.reasons());
        let of_the_module = of_the_module.map(|(problem, remedy)| Reason {
            secondary: None,
            problem,
            remedy,
        });
        self.reasons = of_secondaries.chain(of_the_module).collect();
        self.health = match self.reasons.is_empty() {
            true => Health::Healthy,
            false => Health::Degraded,
        };
        self
    }
}

impl SecondaryStatus {
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
        if !self.denied_functions.is_empty() {
            let functions = self.denied_functions.join(", ");
            reasons.push(reason(
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
                "no action needed; replication starts once the positions are compared",
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
    /// The problems of the log and of the tombstones, each with its remedy.
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
                    "{directory}: {}; what was written meanwhile is replicated then",
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
                format!("{directory}: {}", fault.remedy()),
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
