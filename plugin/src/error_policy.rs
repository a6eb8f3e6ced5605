//! What is done about an error: one table for the whole module.
//!
//! [`of`] maps a [`Call`] (what was being done, on which side) and an
//! [`ErrorKind`] to a [`Policy`]: whether the call may have taken effect all
//! the same, what the module does next, and what an operator has to do. Nothing
//! else in the module decides by the kind of an error whether to retry,
//! reconnect or give up. What an error of a store on disk means for its files
//! is the [`Severity`](crate::self_healing::Severity) of that store.

use plugin_api::error::{ErrorKind, StorageError};

/// What was being done when the error came, and on which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// A write of the host, on the primary.
    WritePrimary,
    /// A delete of the host, on the primary.
    DeletePrimary,
    /// Reading the primary's present rows for a batch.
    ReadPrimary,
    /// Opening a session of a secondary.
    Connect,
    /// Preparing a secondary's tables where it only serves reads.
    PrepareSchema,
    /// A health check of a secondary.
    HealthCheck,
    /// Applying a batch to a secondary.
    Apply,
    /// Applying one operation alone, again and again, to a secondary that
    /// answers everything else.
    ApplyAlone,
    /// A merged read's part on a secondary.
    ReadSecondary,
    /// Reading or writing the log.
    UseLog,
}

impl Call {
    /// Every call.
    pub const ALL: [Self; 10] = [
        Self::WritePrimary,
        Self::DeletePrimary,
        Self::ReadPrimary,
        Self::Connect,
        Self::PrepareSchema,
        Self::HealthCheck,
        Self::Apply,
        Self::ApplyAlone,
        Self::ReadSecondary,
        Self::UseLog,
    ];
}

/// May the call have taken effect despite the error?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Certainly not.
    None,
    /// It may have been committed, or may be yet.
    Uncertain,
}

/// What the module does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Returns the error to the caller, and leaves everything as if the call had
    /// not been made.
    FailCall,
    /// Returns the error to the caller. What the call may have changed, or may
    /// change yet, is unsettled until its request cannot run any more.
    FailCallUnsettled,
    /// Returns the error to the caller. The rows that it was to delete are
    /// certainly not there: their tombstones stay.
    FailCallDeleted,
    /// Repeats the call at once, a few times; after that as [`Self::Isolate`].
    RetryNow,
    /// Splits the batch until the operation that fails is alone, defers that
    /// one, and makes it a dead letter after `sync_max_retries`.
    Isolate,
    /// Closes the session, if there is one, and opens another with backoff.
    Reconnect,
    /// Replaces the worker's connection, and asks the secondary over that of the
    /// session. If it does not answer, or has lost its position, as
    /// [`Self::Reconnect`]. If it answers, the batch is at fault: it is split, and
    /// an operation that fails alone again is as [`Self::Isolate`] says.
    CheckSecondary,
    /// Opens the session again with backoff, and reports that an operator has
    /// to fix something first.
    AwaitOperator,
    /// Stops until the source (the primary or the log) works again.
    Wait,
    /// Goes on without that secondary or step.
    Skip,
    /// The same, this once: it says nothing about the secondary.
    Overlook,
}

/// What an error means, and what is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// May the call have taken effect despite the error?
    pub effect: Effect,
    /// What the module does next.
    pub action: Action,
    /// What an operator has to do.
    pub remedy: &'static str,
}

impl Policy {
    const fn new(effect: Effect, action: Action, remedy: &'static str) -> Self {
        Self {
            effect,
            action,
            remedy,
        }
    }
}

/// The policy for an error of this kind in that call.
pub const fn of(call: Call, kind: ErrorKind) -> Policy {
    use ErrorKind as Kind;
    match (call, kind) {
        // The kinds that say for certain that the primary has not written, and
        // will not: it rejected the request, or rolled its transaction back. All
        // others are uncertain, those of a newer contract included, and `Closed`:
        // a storage may be closed between two steps of a call.
        (
            Call::WritePrimary | Call::DeletePrimary,
            Kind::INVALID_INPUT | Kind::CONFLICT | Kind::UNSUPPORTED,
        )
        | (Call::WritePrimary, Kind::NOT_FOUND) => Policy::new(
            Effect::None,
            Action::FailCall,
            "the primary rejected the call; nothing was changed",
        ),
        (Call::DeletePrimary, Kind::NOT_FOUND) => Policy::new(
            Effect::None,
            Action::FailCallDeleted,
            "the primary does not have the rows; merged reads leave out the secondaries' copies",
        ),
        (Call::WritePrimary | Call::DeletePrimary, _) => Policy::new(
            Effect::Uncertain,
            Action::FailCallUnsettled,
            "check the primary; if it commits the call all the same, that is noticed automatically",
        ),

        (Call::ReadPrimary, Kind::CONNECTION | Kind::TIMEOUT | Kind::CLOSED) => Policy::new(
            Effect::None,
            Action::Wait,
            "check the primary; replication continues automatically once it answers",
        ),
        (Call::ReadPrimary, _) => Policy::new(
            Effect::None,
            Action::Isolate,
            "fix what the error names on the primary, then replay the dead letters, if any",
        ),

        (Call::Connect, Kind::INVALID_INPUT | Kind::NOT_FOUND | Kind::UNSUPPORTED) => Policy::new(
            Effect::None,
            Action::AwaitOperator,
            "action required: fix what the error names (credentials, version, permissions); the \
             connection is retried automatically",
        ),
        (Call::Connect, _) => Policy::new(
            Effect::None,
            Action::Reconnect,
            "no action needed once the server answers: the connection is retried automatically, \
             and writes wait in the log until then",
        ),

        (Call::PrepareSchema, Kind::CONNECTION | Kind::TIMEOUT) => Policy::new(
            Effect::Uncertain,
            Action::Reconnect,
            "no action needed: the connection is retried automatically",
        ),
        (Call::PrepareSchema, _) => Policy::new(
            Effect::None,
            Action::Skip,
            "no action needed: the secondary only serves reads, its tables stay as they are",
        ),

        (Call::HealthCheck, _) => Policy::new(
            Effect::None,
            Action::Reconnect,
            "no action needed once the server answers: the connection is retried automatically, \
             and writes wait in the log until then",
        ),

        (Call::Apply, Kind::CONNECTION | Kind::TIMEOUT) => Policy::new(
            Effect::Uncertain,
            Action::CheckSecondary,
            "no action needed: the batch is sent again once the secondary is connected",
        ),
        // A namespace or table that has vanished, which a new session creates; or
        // what an operation makes the secondary look for.
        (Call::Apply, Kind::CLOSED | Kind::NOT_FOUND) => Policy::new(
            Effect::None,
            Action::CheckSecondary,
            "no action needed: the batch is sent again once the secondary is connected",
        ),
        (Call::Apply, Kind::CONFLICT) => Policy::new(
            Effect::None,
            Action::RetryNow,
            "if it goes on, find out what else writes to the secondary",
        ),
        (Call::Apply, Kind::INTERNAL) => {
            Policy::new(Effect::Uncertain, Action::Isolate, FIX_AND_REPLAY)
        }
        (Call::Apply, _) => Policy::new(Effect::None, Action::Isolate, FIX_AND_REPLAY),

        (Call::ApplyAlone, Kind::TIMEOUT) => Policy::new(
            Effect::Uncertain,
            Action::Isolate,
            "raise operation_timeout, or have the host write it in smaller parts; then POST \
             /api/db-sync/dead-letters/replay",
        ),
        (Call::ApplyAlone, _) => Policy::new(Effect::Uncertain, Action::Isolate, FIX_AND_REPLAY),

        (Call::ReadSecondary, Kind::CONNECTION) => Policy::new(
            Effect::None,
            Action::Reconnect,
            "no action needed: reads do without the secondary until it is connected",
        ),
        // Before its time was over: it was the caller's, or the server's own.
        (Call::ReadSecondary, Kind::TIMEOUT) => Policy::new(
            Effect::None,
            Action::Overlook,
            "no action needed: reads wait for the secondary up to query_timeout",
        ),
        (Call::ReadSecondary, _) => Policy::new(
            Effect::None,
            Action::Skip,
            "check the secondary; reads do without it until it answers",
        ),

        (Call::UseLog, _) => Policy::new(
            Effect::Uncertain,
            Action::Wait,
            "see log.fault in the status; the log is reopened automatically",
        ),
    }
}

const FIX_AND_REPLAY: &str = "fix what the error names on the secondary, then POST \
                              /api/db-sync/dead-letters/replay for the dead letters, if any";

/// An error with what is done about it.
#[derive(Debug)]
pub struct Failure {
    /// What happened.
    pub error: StorageError,
    /// What is done about it.
    pub policy: Policy,
}

impl Failure {
    /// What an error means that came in that call.
    pub fn of(call: Call, error: StorageError) -> Self {
        Self {
            policy: of(call, error.kind),
            error,
        }
    }
}

/// Every kind of error that has a name.
#[cfg(test)]
pub(crate) const KINDS: [ErrorKind; 8] = [
    ErrorKind::INTERNAL,
    ErrorKind::NOT_FOUND,
    ErrorKind::INVALID_INPUT,
    ErrorKind::CONNECTION,
    ErrorKind::TIMEOUT,
    ErrorKind::CONFLICT,
    ErrorKind::UNSUPPORTED,
    ErrorKind::CLOSED,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_of_every_call_has_its_action() {
        use Action::*;
        #[rustfmt::skip]
        let table = [
            // Internal, NotFound, InvalidInput, Connection, Timeout, Conflict, Unsupported, Closed
            (Call::WritePrimary, [
                FailCallUnsettled, FailCall, FailCall, FailCallUnsettled,
                FailCallUnsettled, FailCall, FailCall, FailCallUnsettled,
            ]),
            (Call::DeletePrimary, [
                FailCallUnsettled, FailCallDeleted, FailCall, FailCallUnsettled,
                FailCallUnsettled, FailCall, FailCall, FailCallUnsettled,
            ]),
            (Call::ReadPrimary, [Isolate, Isolate, Isolate, Wait, Wait, Isolate, Isolate, Wait]),
            (Call::Connect, [
                Reconnect, AwaitOperator, AwaitOperator, Reconnect,
                Reconnect, Reconnect, AwaitOperator, Reconnect,
            ]),
            (Call::PrepareSchema, [Skip, Skip, Skip, Reconnect, Reconnect, Skip, Skip, Skip]),
            (Call::HealthCheck, [Reconnect; 8]),
            (Call::Apply, [
                Isolate, CheckSecondary, Isolate, CheckSecondary,
                CheckSecondary, RetryNow, Isolate, CheckSecondary,
            ]),
            (Call::ApplyAlone, [Isolate; 8]),
            (Call::ReadSecondary, [Skip, Skip, Skip, Reconnect, Overlook, Skip, Skip, Skip]),
            (Call::UseLog, [Wait; 8]),
        ];
        assert_eq!(table.map(|(call, _)| call), Call::ALL);
        for (call, actions) in table {
            for (kind, action) in KINDS.into_iter().zip(actions) {
                let policy = of(call, kind);
                assert_eq!(policy.action, action, "{call:?} {kind:?}");
                assert!(!policy.remedy.is_empty(), "{call:?} {kind:?}");
            }
        }
    }

    #[test]
    fn only_four_kinds_of_error_are_certain_to_leave_the_primary_as_it_was() {
        for call in [Call::WritePrimary, Call::DeletePrimary] {
            // Also those that a newer contract may have.
            let certain = (0..=u8::MAX)
                .map(ErrorKind::from_code)
                .filter(|kind| of(call, *kind).effect == Effect::None);
            assert_eq!(
                certain.collect::<Vec<_>>(),
                [
                    ErrorKind::NOT_FOUND,
                    ErrorKind::INVALID_INPUT,
                    ErrorKind::CONFLICT,
                    ErrorKind::UNSUPPORTED,
                ]
            );
        }
    }

    #[test]
    fn only_calls_that_write_can_have_an_uncertain_effect() {
        for call in [
            Call::ReadPrimary,
            Call::Connect,
            Call::HealthCheck,
            Call::ReadSecondary,
        ] {
            for kind in KINDS {
                assert_eq!(of(call, kind).effect, Effect::None, "{call:?} {kind:?}");
            }
        }
    }
}
