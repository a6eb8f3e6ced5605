//! What `docs/operations.md` says of states, problems and errors. Each match is
//! exhaustive: a new state or call does not compile until it is explained.

use super::document;
use crate::{
    error_policy::{self, Action, Call, Effect, KINDS, Policy},
    secondary_state::SecondaryState,
    self_healing::Fault,
    status::{LogStatus, Reason, ResyncStatus, Status, fixtures},
};
use std::fmt::Write as _;

/// The states of a secondary.
pub(super) fn states() -> String {
    let mut table = String::from("| state | means | what to do |\n| --- | --- | --- |\n");
    for state in SecondaryState::ALL {
        let (meaning, action) = match state {
            SecondaryState::Connecting => (
                "the first attempt to connect is under way; it takes up to `connect_timeout`",
                "wait",
            ),
            SecondaryState::Reconciling => (
                "connected; its positions are compared with the log, before anything is applied",
                "wait: seconds",
            ),
            SecondaryState::Backfilling => (
                "the log is applied, and tables are being copied from the primary",
                "wait; `resync` in the status has rows and total of each table. It lacks rows until then",
            ),
            SecondaryState::Streaming => ("the log is applied as it grows", "nothing"),
            SecondaryState::Paused => (
                "connected, and nothing is applied: replication was paused, or `sync_enabled` is `false`; writes wait in the log, or are not recorded with `sync_enabled: false`",
                "`host-harness resume`, or the configuration",
            ),
            SecondaryState::Unreachable => (
                "no answer; writes wait in the log, reads do without it; the connection is retried",
                "start the server, or mend the line; nothing else, however long it took",
            ),
            SecondaryState::Rejected => (
                "the server answers and rejects the connection: user or password, rights, version, certificate, a wrong database; writes wait in the log; the connection is retried",
                "fix what `last_error` names",
            ),
            SecondaryState::Stopped => ("the module has shut down", "start the host"),
        };
        writeln!(table, "| `{}` | {meaning} | {action} |", state.name()).unwrap();
    }
    table
}

/// What is done about each error: one line for each policy.
pub(super) fn errors() -> String {
    let mut table = String::from(
        "| what failed | with | may it have happened? | what the module does | what to do |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for call in Call::ALL {
        let mut policies: Vec<(Policy, Vec<&str>)> = Vec::new();
        for kind in KINDS {
            let policy = error_policy::of(call, kind);
            match policies.iter_mut().find(|(other, _)| *other == policy) {
                Some((_, kinds)) => kinds.push(kind.name()),
                None => policies.push((policy, vec![kind.name()])),
            }
        }
        for (policy, kinds) in policies {
            let kinds = match kinds.len() {
                all if all == KINDS.len() => "any error".to_owned(),
                _ => format!("`{}`", kinds.join("`, `")),
            };
            writeln!(
                table,
                "| {} | {kinds} | {} | {} | {} |",
                what(call),
                effect(policy.effect),
                done(policy.action),
                policy.remedy
            )
            .unwrap();
        }
    }
    table
}

fn what(call: Call) -> &'static str {
    match call {
        Call::WritePrimary => "a write of the host on the primary",
        Call::DeletePrimary => "a delete of the host on the primary",
        Call::ReadPrimary => "reading the primary for a refresh or a resync",
        Call::Connect => "connecting to a secondary",
        Call::PrepareSchema => "preparing the tables of a secondary that only serves reads",
        Call::HealthCheck => "a health check of a secondary",
        Call::Apply => "applying a batch to a secondary",
        Call::ApplyAlone => "applying one operation alone, again, while the secondary answers",
        Call::ReadSecondary => "a merged read's part on a secondary",
        Call::UseLog => "reading or writing the log",
    }
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::None => "no",
        Effect::Uncertain => "yes",
    }
}

fn done(action: Action) -> &'static str {
    match action {
        Action::FailCall => "returns the error to the host",
        Action::FailCallUnsettled => {
            "returns the error to the host; the write is *unsettled*: its rows are read again until its request cannot run any more"
        }
        Action::FailCallDeleted => "returns the error to the host; the tombstones stay",
        Action::RetryNow => "repeats it at once, a few times; then sets the operation apart",
        Action::Isolate => {
            "splits the batch until the operation is alone, retries it, after `sync_max_retries` a **dead letter**"
        }
        Action::Reconnect => "opens another session, with backoff (`unreachable`)",
        Action::CheckSecondary => {
            "asks the secondary over another connection: if it does not answer, opens another session; if it does, the batch is split, and an operation that fails alone is set apart"
        }
        Action::AwaitOperator => {
            "tries again with backoff, and says what is to be fixed (`rejected`)"
        }
        Action::Wait => "waits until the primary or the log works again",
        Action::Skip => "goes on without that secondary or step",
        Action::Overlook => "goes on without that secondary, this once",
    }
}

/// A status with every problem that a module can have at once, in this state.
fn status_with_everything_wrong(state: SecondaryState) -> Status {
    let mut secondary = fixtures::secondary(state);
    secondary.dead_letters = 1;
    secondary.denied_functions = vec!["1"];
    secondary.schema_problems = vec!["p".to_owned()];
    secondary.resync = vec![ResyncStatus::default()];
    let mut status = fixtures::status(secondary);
    let fault = Fault::of_the_disk("p");
    status.paused = true;
    status.log = LogStatus {
        held_bytes: 99,
        fault: Some(fault.clone()),
        tombstones_fault: Some(fault),
        ..status.log
    };
    status.with_health()
}

/// The words with which the text of a problem begins, up to what varies.
fn beginning(reason: &Reason) -> &str {
    let text = reason
        .problem
        .trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
    text.split([':', ',', ';', '1', '9', '('])
        .next()
        .unwrap()
        .trim()
}

#[test]
fn the_handbook_explains_every_problem_of_a_status() {
    let (_, handbook) = document("operations.md");
    let reasons: Vec<Reason> = SecondaryState::ALL
        .into_iter()
        .flat_map(|state| status_with_everything_wrong(state).reasons)
        .collect();
    assert!(reasons.len() > 50);
    for reason in &reasons {
        let beginning = beginning(reason);
        assert!(beginning.len() > 10, "{reason:?}");
        assert!(
            handbook.contains(&format!("| … {beginning}"))
                || handbook.contains(&format!("| {beginning}")),
            "docs/operations.md does not explain {beginning:?}"
        );
    }
}
