use super::*;
use crate::error_policy::Call;
use SecondaryState::*;

fn gone() -> StorageError {
    StorageError::connection("the server went away")
}

fn denied() -> StorageError {
    StorageError::invalid_input("wrong password")
}

/// The state after each of the events.
fn states(machine: &mut StateMachine, events: &[Event<'_>]) -> Vec<SecondaryState> {
    let step = |event: &Event<'_>| {
        machine.apply(*event);
        machine.state()
    };
    events.iter().map(step).collect()
}

fn connected(generation: u64) -> Event<'static> {
    Event::Connected { generation }
}

fn reconciled(generation: u64, resync_pending: bool) -> Event<'static> {
    Event::Reconciled {
        generation,
        resync_pending,
    }
}

fn observed(generation: u64, pending: bool) -> Event<'static> {
    Event::ResyncObserved {
        generation,
        pending,
    }
}

#[test]
fn a_new_secondary_is_connected_reconciled_backfilled_and_then_streams() {
    let mut machine = StateMachine::new(true);
    assert_eq!(machine.state(), Connecting);
    let events = [connected(1), reconciled(1, true), observed(1, false)];
    assert_eq!(
        states(&mut machine, &events),
        [Reconciling, Backfilling, Streaming]
    );
    assert_eq!(states(&mut machine, &[observed(1, true)]), [Backfilling]);
}

#[test]
fn every_session_has_to_be_reconciled_anew() {
    let mut machine = StateMachine::new(true);
    let failure = Failure::of(Call::HealthCheck, gone());
    let lost = Event::Lost {
        generation: 1,
        failure: &failure,
    };
    let events = [connected(1), reconciled(1, false), lost, connected(2)];
    assert_eq!(
        states(&mut machine, &events),
        [Reconciling, Streaming, Unreachable, Reconciling]
    );
    assert_eq!(machine.reconciled_generation(), None);
}

#[test]
fn events_of_another_session_change_nothing() {
    let mut machine = StateMachine::new(true);
    states(&mut machine, &[connected(1), connected(2)]);
    let failure = Failure::of(Call::HealthCheck, gone());
    let lost = Event::Lost {
        generation: 1,
        failure: &failure,
    };
    for late in [lost, reconciled(1, false), observed(1, false)] {
        assert_eq!(machine.apply(late), Applied::Ignored, "{late:?}");
    }
    assert_eq!(machine.state(), Reconciling);
}

#[test]
fn requests_that_were_read_before_the_positions_were_compared_prove_nothing() {
    let mut machine = StateMachine::new(true);
    machine.apply(connected(1));
    assert_eq!(machine.apply(observed(1, false)), Applied::Ignored);
    assert_eq!(machine.state(), Reconciling);
}

#[test]
fn a_failed_attempt_is_unreachable_or_rejected_by_its_error() {
    let mut machine = StateMachine::new(true);
    let (gone, denied) = (gone(), denied());
    let events = [
        Event::ConnectFailed(&gone),
        Event::ConnectFailed(&denied),
        Event::ConnectFailed(&denied),
    ];
    assert_eq!(
        states(&mut machine, &events),
        [Unreachable, Rejected, Rejected]
    );
    assert_eq!(machine.attempts(), 3);
    let failure = machine.last_error().cloned();
    assert!(failure.is_some_and(|failure| failure.remedy.contains("action required")));
}

#[test]
fn a_session_that_is_lost_is_unreachable_whatever_the_error() {
    let mut machine = StateMachine::new(true);
    let failure = Failure::of(
        Call::Apply,
        StorageError::not_found("the namespace vanished"),
    );
    let lost = Event::Lost {
        generation: 1,
        failure: &failure,
    };
    assert_eq!(states(&mut machine, &[connected(1)]), [Reconciling]);
    assert!(!machine.has_lost(1));
    assert_eq!(states(&mut machine, &[lost]), [Unreachable]);
    let remedy = machine.last_error().map(|error| error.remedy);
    assert_eq!(remedy, Some(failure.policy.remedy), "that of what failed");
    assert!(machine.has_lost(1));
    states(&mut machine, &[connected(2)]);
    assert!(machine.has_lost(1) && !machine.has_lost(2));
    states(&mut machine, &[Event::ShutDown]);
    assert!(!machine.has_lost(2), "what it is at is finished");
}

#[test]
fn pausing_keeps_what_is_known_about_the_session() {
    let mut machine = StateMachine::new(true);
    let events = [
        Event::Pause,
        connected(1),
        Event::Resume,
        reconciled(1, true),
        Event::Pause,
        observed(1, false),
        Event::Resume,
    ];
    assert_eq!(
        states(&mut machine, &events),
        [
            Connecting,
            Paused,
            Reconciling,
            Backfilling,
            Paused,
            Paused,
            Streaming
        ]
    );
}

#[test]
fn a_secondary_that_nothing_is_replicated_to_is_paused_while_connected() {
    let mut machine = StateMachine::new(false);
    assert_eq!(machine.state(), Connecting);
    assert_eq!(states(&mut machine, &[connected(1)]), [Paused]);
}

#[test]
fn nothing_starts_a_stopped_one_again() {
    let mut machine = StateMachine::new(true);
    states(&mut machine, &[connected(1), Event::ShutDown]);
    assert_eq!(machine.state(), Stopped);
    let error = gone();
    for late in [
        connected(2),
        Event::ConnectFailed(&error),
        Event::Resume,
        Event::ShutDown,
    ] {
        assert_eq!(machine.apply(late), Applied::Ignored, "{late:?}");
    }
}

#[test]
fn a_transition_names_both_states_and_the_reason() {
    let mut machine = StateMachine::new(true);
    let error = gone();
    assert_eq!(
        machine.apply(Event::ConnectFailed(&error)),
        Applied::Noted(Some(Transition {
            from: Connecting,
            to: Unreachable,
            reason: "the server went away".to_owned(),
        }))
    );
    let again = machine.apply(Event::ConnectFailed(&error));
    assert_eq!(again, Applied::Noted(None), "the same state is no change");
}

#[test]
fn a_state_has_the_same_name_everywhere() {
    for state in SecondaryState::ALL {
        let json = serde_json::to_value(state).unwrap_or_default();
        assert_eq!(json, state.name());
    }
}
