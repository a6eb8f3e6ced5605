#![allow(clippy::unwrap_used)]

use super::{
    fixtures::{secondary, status},
    *,
};
use std::collections::BTreeSet;

/// The problem and the remedy of a status with one reason.
fn only_reason(status: Status) -> (String, String) {
    let status = status.with_health();
    assert_eq!(status.health, status.reasons[0].kind.health());
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

#[test]
fn the_worst_problem_is_the_health() {
    let unreachable = || status(secondary(SecondaryState::Unreachable));
    assert_eq!(unreachable().with_health().health, Health::Degraded);
    let fault = || Some(Fault::of_the_disk("it is full"));
    let (mut log, mut tombstones) = (unreachable(), unreachable());
    log.log.fault = fault();
    tombstones.log.tombstones_fault = fault();
    for status in [log, tombstones] {
        let status = status.with_health();
        assert_eq!(status.health, Health::Unhealthy);
        assert_eq!(status.reasons.len(), 2, "{:?}", status.reasons);
    }
}

#[test]
fn each_kind_of_problem_has_a_name_of_its_own_and_keeps_no_health_healthy() {
    let names: BTreeSet<&str> = Problem::ALL.iter().map(|kind| kind.name()).collect();
    assert_eq!(names.len(), Problem::ALL.len());
    for kind in Problem::ALL {
        assert_ne!(kind.health(), Health::Healthy, "{kind:?}");
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
    for health in Health::ALL {
        assert_eq!(serde_json::to_value(health).unwrap(), health.name());
    }
}
