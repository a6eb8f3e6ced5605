//! [`Isolation`]: what becomes of changes whose transaction failed, be it a batch of
//! the log or the part of a copied page. They are halved, down to the change that
//! fails by itself; that one is rejected, and the others go on.

use super::batch::Change;
use crate::error_policy::{Action, Call, Failure};
use plugin_api::error::{ErrorKind, StorageError};
use std::time::Duration;

/// How often an operation may fail alone while the secondary answers, before it
/// counts as rejected. One that was rejected before fails once.
const TRIES_ALONE: u32 = 2;

/// The failures of one change that stands alone.
pub(super) struct Isolation {
    operation_timeout: Duration,
    tries_alone: u32,
}

/// What is to be done with changes whose transaction failed.
#[derive(Debug)]
pub(super) enum Next {
    /// They are sent again.
    Repeat,
    /// They are sent in two parts, the first with so many changes.
    Halve(usize),
    /// The only one of them is rejected, for this reason.
    Reject(Failure),
    /// There is none that could be at fault: the session is lost.
    LoseSession(Failure),
    /// All of them wait: something else has to work first.
    Wait(Failure),
}

impl Isolation {
    /// For transactions that may take `operation_timeout`.
    pub(super) fn new(operation_timeout: Duration) -> Self {
        Self {
            operation_timeout,
            tries_alone: 0,
        }
    }

    /// A transaction succeeded.
    pub(super) fn succeeded(&mut self) {
        self.tries_alone = 0;
    }

    /// The transaction of these changes failed. A secondary that did not answer it
    /// has been asked since, and answers.
    pub(super) fn failed(&mut self, failure: Failure, changes: &[Change]) -> Next {
        match (failure.policy.action, changes) {
            (Action::CheckSecondary | Action::Isolate | Action::RetryNow, []) => {
                Next::LoseSession(failure)
            }
            (Action::CheckSecondary, [change]) if self.tries_alone + 1 < tries_of(change) => {
                self.tries_alone += 1;
                Next::Repeat
            }
            (Action::CheckSecondary, [_]) => {
                self.tries_alone = 0;
                Next::Reject(self.gets_nowhere(failure))
            }
            (Action::Isolate | Action::RetryNow, [_]) => Next::Reject(failure),
            (Action::CheckSecondary | Action::Isolate | Action::RetryNow, changes) => {
                Next::Halve(changes.len() / 2)
            }
            (
                Action::Wait
                | Action::Reconnect
                | Action::AwaitOperator
                | Action::FailCall
                | Action::FailCallUnsettled
                | Action::FailCallDeleted
                | Action::Skip
                | Action::Overlook,
                _,
            ) => Next::Wait(failure),
        }
    }

    /// The rejection of an operation that has failed alone, while the secondary
    /// answered.
    fn gets_nowhere(&self, failure: Failure) -> Failure {
        let StorageError { kind, message, .. } = failure.error;
        let timeout = self.operation_timeout;
        let message = match kind {
            ErrorKind::TIMEOUT => format!(
                "not applied within operation_timeout ({timeout:?}) while the server answered: too \
                 large for the line, or too slow on the server; raise operation_timeout or write \
                 it in smaller parts, then replay it ({message})"
            ),
            _ => format!("failed by itself while the server answered: {message}"),
        };
        Failure::of(Call::ApplyAlone, StorageError::new(kind, message))
    }
}

/// How often it may fail alone.
fn tries_of(change: &Change) -> u32 {
    match change.operation.retry_count {
        0 => TRIES_ALONE,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]

    use super::{super::batch::TargetState, *};
    use crate::{dedup::Key, sync_types::SyncOperation};

    fn change(key: &str, retry_count: u32) -> Change {
        let mut operation = SyncOperation::refresh(Key::new("events", [&key.into()]));
        operation.retry_count = retry_count;
        Change::of_present_row(operation, TargetState::Unchanged)
    }

    fn timeout() -> Failure {
        Failure::of(Call::Apply, StorageError::timeout("no answer"))
    }

    fn refusal() -> Failure {
        Failure::of(Call::Apply, StorageError::invalid_input("no such column"))
    }

    #[test]
    fn changes_are_halved_until_the_one_at_fault_stands_alone() {
        let mut isolation = Isolation::new(Duration::from_secs(1));
        let changes = ["a", "b", "c", "d", "e"].map(|key| change(key, 0));
        for failure in [timeout, refusal] {
            for (from, halves) in [(&changes[..], 2), (&changes[..2], 1)] {
                match isolation.failed(failure(), from) {
                    Next::Halve(at) => assert_eq!(at, halves),
                    other => panic!("{other:?}"),
                }
            }
        }
        let Next::Reject(failure) = isolation.failed(refusal(), &changes[..1]) else {
            panic!("a refusal of one change is its rejection");
        };
        assert_eq!(failure.error.message, "no such column");
    }

    #[test]
    fn one_that_gets_no_answer_is_sent_twice_and_once_if_it_was_rejected_before() {
        let mut isolation = Isolation::new(Duration::from_secs(1));
        for _ in 0..2 {
            let alone = [change("a", 0)];
            assert!(matches!(isolation.failed(timeout(), &alone), Next::Repeat));
            let Next::Reject(failure) = isolation.failed(timeout(), &alone) else {
                panic!("the second time it counts as rejected");
            };
            assert!(failure.error.message.contains("operation_timeout (1s)"));
        }
        let again = [change("b", 1)];
        assert!(matches!(
            isolation.failed(timeout(), &again),
            Next::Reject(_)
        ));

        // What succeeds in between does not count against the next.
        let alone = [change("c", 0)];
        assert!(matches!(isolation.failed(timeout(), &alone), Next::Repeat));
        isolation.succeeded();
        assert!(matches!(isolation.failed(timeout(), &alone), Next::Repeat));
    }

    #[test]
    fn without_a_change_nothing_but_the_secondary_is_at_fault() {
        let mut isolation = Isolation::new(Duration::from_secs(1));
        for failure in [timeout(), refusal()] {
            assert!(matches!(
                isolation.failed(failure, &[]),
                Next::LoseSession(_)
            ));
        }
        let log = Failure::of(Call::ReadPrimary, StorageError::timeout("no answer"));
        assert!(matches!(
            isolation.failed(log, &[change("a", 0)]),
            Next::Wait(_)
        ));
    }
}
