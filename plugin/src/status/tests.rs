#![allow(clippy::unwrap_used)]

use super::{
    fixtures::{secondary, status},
    *,
};

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
