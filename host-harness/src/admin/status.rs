//! [`ReplicationStatus`]: the module's status, all secondaries taken together.

use serde::Deserialize;
use serde_json::Value as Json;

/// What a secondary is doing.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum SecondaryState {
    /// The first attempt to connect is under way.
    Connecting,
    /// Connected; its replication positions are being compared with the log.
    Reconciling,
    /// Writes are applied, and tables are being scanned for a resync.
    Backfilling,
    /// Writes are applied, and nothing else is to be done.
    Streaming,
    /// Connected, and nothing is applied: an operator paused replication, or
    /// `sync_enabled` is false.
    Paused,
    /// The connection is lost; the module reconnects by itself.
    Unreachable,
    /// The server rejects the connection; an operator has to fix the cause.
    Rejected,
    /// The module has shut down.
    Stopped,
}

impl SecondaryState {
    /// Is there a connection to the secondary?
    pub fn is_connected(self) -> bool {
        match self {
            Self::Reconciling | Self::Backfilling | Self::Streaming | Self::Paused => true,
            Self::Connecting | Self::Unreachable | Self::Rejected | Self::Stopped => false,
        }
    }
}

/// What the module's status says of all secondaries together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReplicationStatus {
    /// The state of each secondary.
    pub states: Vec<SecondaryState>,
    /// Has an operator paused replication?
    pub paused: bool,
    /// Operations that wait for the secondary that is furthest behind.
    pub backlog: u64,
    /// Operations that were applied to the secondaries.
    pub replicated: u64,
    /// Rejected operations that wait for their next attempt.
    pub retries: u64,
    /// Operations that were rejected for good.
    pub dead_letters: u64,
    /// Tables that are being resynced, or wait for it.
    pub resyncs: usize,
    /// Rows that resyncs have scanned.
    pub scanned: u64,
    /// Rows that they have yet to scan.
    pub to_scan: u64,
    /// Writes whose outcome on the primary is unknown.
    pub unsettled: u64,
}

impl ReplicationStatus {
    /// Reads the answer of the `status` route.
    ///
    /// # Errors
    /// It is not a status.
    pub fn read(status: &Json) -> Result<Self, serde_json::Error> {
        let Status {
            paused,
            log,
            secondaries: all,
        } = Status::deserialize(status)?;
        let sum = |part: fn(&Secondary) -> u64| all.iter().map(part).sum();
        Ok(Self {
            states: all.iter().map(|secondary| secondary.state).collect(),
            paused,
            backlog: all
                .iter()
                .map(|secondary| secondary.backlog.operations)
                .max()
                .unwrap_or(0),
            replicated: sum(|secondary| secondary.replicated.applied),
            retries: sum(|secondary| secondary.retries),
            dead_letters: sum(|secondary| secondary.dead_letters),
            resyncs: all.iter().map(|secondary| secondary.resync.len()).sum(),
            scanned: sum(|secondary| secondary.resync.iter().map(|table| table.scanned).sum()),
            to_scan: sum(|secondary| secondary.resync.iter().map(Resync::to_scan).sum()),
            unsettled: log.unsettled_writes,
        })
    }

    /// Is every secondary connected?
    pub fn is_connected(&self) -> bool {
        self.states.iter().all(|state| state.is_connected())
    }

    /// Is the first attempt to connect to a secondary still under way?
    pub fn is_connecting(&self) -> bool {
        self.states.contains(&SecondaryState::Connecting)
    }

    /// Does every secondary have everything, but for dead letters?
    pub fn is_caught_up(&self) -> bool {
        self.states
            .iter()
            .all(|state| *state == SecondaryState::Streaming)
            && !self.has_pending_work()
    }

    /// Is a secondary disconnected or paused, so that it does not catch up now?
    pub fn is_stalled(&self) -> bool {
        self.states
            .iter()
            .any(|state| !state.is_connected() || *state == SecondaryState::Paused)
    }

    /// Is anything left to be replicated, retried or resynced?
    pub fn has_pending_work(&self) -> bool {
        self.backlog > 0 || self.retries > 0 || self.resyncs > 0
    }
}

#[derive(Deserialize)]
struct Status {
    paused: bool,
    #[serde(default)]
    log: Log,
    secondaries: Vec<Secondary>,
}

#[derive(Default, Deserialize)]
struct Log {
    /// Not in the status of an older module.
    #[serde(default)]
    unsettled_writes: u64,
}

#[derive(Deserialize)]
struct Secondary {
    state: SecondaryState,
    backlog: Backlog,
    replicated: Replicated,
    retries: u64,
    dead_letters: u64,
    resync: Vec<Resync>,
}

#[derive(Deserialize)]
struct Backlog {
    operations: u64,
}

#[derive(Deserialize)]
struct Replicated {
    applied: u64,
}

#[derive(Deserialize)]
struct Resync {
    scanned: u64,
    /// None until the scan has begun.
    total: Option<u64>,
}

impl Resync {
    fn to_scan(&self) -> u64 {
        self.total.unwrap_or(0).saturating_sub(self.scanned)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    fn secondary(state: &str, backlog: u64, resync: &Json) -> Json {
        json!({
            "state": state, "backlog": {"operations": backlog, "bytes": 9},
            "replicated": {"applied": 4, "rate": 0.5},
            "retries": 0, "dead_letters": 1, "resync": resync
        })
    }

    #[test]
    fn the_status_of_several_secondaries_is_read_as_one() {
        let log = json!({"unsettled_writes": 2});
        let status = json!({"health": "healthy", "paused": false, "log": log, "secondaries": [
            secondary("streaming", 3, &json!([])),
            secondary("connecting", 5, &json!([
                {"table": "events", "scanned": 7, "total": 20},
                {"table": "*", "scanned": 0, "total": null}
            ])),
        ]});
        let read = ReplicationStatus::read(&status).unwrap();
        let expected = ReplicationStatus {
            states: vec![SecondaryState::Streaming, SecondaryState::Connecting],
            paused: false,
            backlog: 5,
            replicated: 8,
            retries: 0,
            dead_letters: 2,
            resyncs: 2,
            scanned: 7,
            to_scan: 13,
            unsettled: 2,
        };
        assert_eq!(read, expected);
        assert!(!read.is_connected() && read.is_connecting());
        assert!(!read.is_caught_up());
        assert!(ReplicationStatus::read(&json!({})).is_err());
    }

    #[test]
    fn a_disconnected_or_paused_secondary_stalls() {
        for (state, expected) in [
            ("connecting", true),
            ("reconciling", false),
            ("backfilling", false),
            ("streaming", false),
            ("paused", true),
            ("unreachable", true),
            ("rejected", true),
            ("stopped", true),
        ] {
            let secondaries = [
                secondary("streaming", 0, &json!([])),
                secondary(state, 0, &json!([])),
            ];
            let status = json!({"paused": false, "secondaries": secondaries});
            let status = ReplicationStatus::read(&status).unwrap();
            assert_eq!(status.is_stalled(), expected, "{state}");
        }
    }

    #[test]
    fn only_a_streaming_secondary_with_nothing_to_do_is_caught_up() {
        let is_caught_up = |state: &str, backlog: u64, resync: Json| {
            let secondaries = [secondary(state, backlog, &resync)];
            let status = json!({"paused": false, "secondaries": secondaries});
            ReplicationStatus::read(&status).unwrap().is_caught_up()
        };
        assert!(is_caught_up("streaming", 0, json!([])));
        assert!(!is_caught_up("streaming", 1, json!([])));
        let waiting = json!([{"table": "events", "scanned": 0, "total": null}]);
        assert!(!is_caught_up("streaming", 0, waiting));
        for state in [
            "connecting",
            "reconciling",
            "backfilling",
            "paused",
            "unreachable",
            "rejected",
            "stopped",
        ] {
            assert!(!is_caught_up(state, 0, json!([])), "{state}");
        }
    }
}
