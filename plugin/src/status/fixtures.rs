//! Statuses for tests.

use super::*;
use crate::{
    build_info::BUILD,
    error_policy::{self, Call},
};
use plugin_api::error::ErrorKind;

/// A secondary in this state, with nothing to do.
pub(crate) fn secondary(state: SecondaryState) -> SecondaryStatus {
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
        connected_since: None,
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
        denied_functions: Vec::new(),
        resync: Vec::new(),
        schema_problems: Vec::new(),
    }
}

/// The status of a module with this secondary.
pub(crate) fn status(secondary: SecondaryStatus) -> Status {
    Status {
        at: Timestamp::default(),
        health: Health::Healthy,
        reasons: Vec::new(),
        version: "1",
        build: BUILD,
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
        not_replicated: Vec::new(),
    }
}
