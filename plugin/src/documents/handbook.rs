//! What `docs/operations.md` says of states, problems and errors. Each match is
//! exhaustive: a new state, problem or call does not compile until it is explained.

use crate::{
    error_policy::{self, Action, Call, Effect, KINDS, Policy},
    secondary_state::SecondaryState,
    status::Problem,
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

/// The problems of a status, each with what an operator does about it.
pub(super) fn problems() -> String {
    let mut table = String::from("| `kind` | means | what to do |\n| --- | --- | --- |\n");
    for problem in Problem::ALL {
        let action = match problem {
            Problem::LogUnavailable => {
                "what the remedy says: the disk under `queue_dir`, or the newer module that wrote it; do not restart the host before ([details](failure-handling.md#the-queue-store-fails))"
            }
            Problem::TombstonesUnavailable => "the same",
            Problem::Stopped => "start the host",
            Problem::Connecting => "wait, up to `connect_timeout`",
            Problem::Reconciling => "wait: seconds",
            Problem::Unreachable => {
                "start the server, or mend the line ([causes](troubleshooting.md#a-secondary-is-not-streaming))"
            }
            Problem::Rejected => {
                "fix what the text names: [the password](#rotating-credentials), rights, version, certificate, address"
            }
            Problem::DeadLetters => "[look at them](#dead-letters)",
            Problem::DeniedFunctions => "[allow the functions](#a-hardened-server)",
            Problem::Schema => "run the statement that the text gives, then `verify`",
            Problem::Resync => "wait: it runs while the secondary is connected",
            Problem::Paused => "`POST /api/db-sync/resume`",
            Problem::LogNearlyFull => {
                "bring the secondary back, or raise `queue_max_bytes` ([sizing](#sizing))"
            }
        };
        let (name, meaning) = (problem.name(), problem.meaning());
        writeln!(table, "| `{name}` | {meaning} | {action} |").unwrap();
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
