//! The queue against a simple model: any steps in any order, kills and restarts
//! among them, and after each step the queue holds what the model holds.
//!
//! The long form: `QUEUE_CASES=1000000 cargo test --workspace --lib --
//! sync_queue::tests::model --nocapture`.

mod checks;
pub(super) mod crash;
mod expected;
mod machine;
mod rejections;
mod restart;

use crate::sync_queue::Fsync;
use machine::Machine;
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestError, TestRunner},
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

/// What CI tries.
const CASES: u32 = 10_000;

/// Threads that share the cases.
const THREADS: u32 = 2;

/// What happens to the queue. Numbers choose among what exists at the time.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Appends writes of these keys, with an intent or without.
    Append {
        keys: Vec<u8>,
        with_intent: bool,
    },
    /// Appends an operation for one secondary alone.
    AppendFor {
        secondary: usize,
        key: u8,
    },
    /// Stores an intent and leaves it.
    Begin {
        key: Option<u8>,
    },
    /// Ends an intent: with the operation, with nothing, with a refresh.
    Commit {
        which: usize,
        key: u8,
    },
    Cancel {
        which: usize,
    },
    ScheduleRefresh {
        which: usize,
    },
    /// Reads a partition that has something, and acknowledges it or not.
    Read {
        secondary: usize,
        partition: usize,
        limit: usize,
        ack: bool,
    },
    /// Acknowledges a batch that was read some time ago.
    AckLate {
        which: usize,
    },
    /// A secondary rejects a key: it is retried, or dead.
    Reject {
        secondary: usize,
        key: u8,
        retry_count: u32,
        dead: bool,
    },
    Retry {
        secondary: usize,
        key: u8,
    },
    Resolve {
        secondary: usize,
        key: u8,
    },
    /// All dead letters, or one of them.
    Replay {
        secondary: usize,
        which: Option<usize>,
    },
    Discard {
        secondary: usize,
        which: Option<usize>,
    },
    RequestResync {
        secondary: usize,
        table: usize,
    },
    /// A page of a scan was copied, by the request as it was last looked up.
    ScanPage {
        which: usize,
        rows: u8,
    },
    /// Ends a scan.
    ClearResync {
        which: usize,
    },
    /// Looks up the requests that later scans use.
    LookUpRequests,
    /// The process closes the queue, and the next one has these secondaries.
    Restart {
        secondaries: u8,
    },
    /// The process is killed, idle or during an append.
    Kill {
        appending: Option<u8>,
        cut: u64,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let some = 0..100usize;
    let secondary = 0..100usize;
    let key = any::<u8>;
    let keys = |most: usize| proptest::collection::vec(any::<u8>(), 1..=most);
    prop_oneof![
        20 => (keys(5), any::<bool>())
            .prop_map(|(keys, with_intent)| Step::Append { keys, with_intent }),
        3 => (secondary.clone(), key())
            .prop_map(|(secondary, key)| Step::AppendFor { secondary, key }),
        4 => proptest::option::of(key()).prop_map(|key| Step::Begin { key }),
        2 => (some.clone(), key()).prop_map(|(which, key)| Step::Commit { which, key }),
        2 => some.clone().prop_map(|which| Step::Cancel { which }),
        2 => some.clone().prop_map(|which| Step::ScheduleRefresh { which }),
        20 => (secondary.clone(), some.clone(), 1..6usize, any::<bool>()).prop_map(
            |(secondary, partition, limit, ack)| Step::Read { secondary, partition, limit, ack }
        ),
        5 => some.clone().prop_map(|which| Step::AckLate { which }),
        8 => (secondary.clone(), key(), 0..4u32, any::<bool>()).prop_map(
            |(secondary, key, retry_count, dead)| Step::Reject {
                secondary, key, retry_count, dead
            }
        ),
        4 => (secondary.clone(), key()).prop_map(|(secondary, key)| Step::Retry { secondary, key }),
        3 => (secondary.clone(), key())
            .prop_map(|(secondary, key)| Step::Resolve { secondary, key }),
        3 => (secondary.clone(), proptest::option::of(some.clone()))
            .prop_map(|(secondary, which)| Step::Replay { secondary, which }),
        2 => (secondary.clone(), proptest::option::of(some.clone()))
            .prop_map(|(secondary, which)| Step::Discard { secondary, which }),
        4 => (secondary, some.clone())
            .prop_map(|(secondary, table)| Step::RequestResync { secondary, table }),
        5 => (some.clone(), 1..=3u8).prop_map(|(which, rows)| Step::ScanPage { which, rows }),
        3 => some.prop_map(|which| Step::ClearResync { which }),
        4 => Just(Step::LookUpRequests),
        2 => (1..8u8).prop_map(|secondaries| Step::Restart { secondaries }),
        3 => (proptest::option::of(key()), any::<u64>())
            .prop_map(|(appending, cut)| Step::Kill { appending, cut }),
    ]
}

/// A log without a limit in practice, or one that is full after a few writes.
fn any_limit() -> impl Strategy<Value = u64> {
    prop_oneof![2 => Just(machine::UNLIMITED), 1 => 400..3_000u64]
}

/// With `always`, entries are read only once they are durable.
fn any_fsync() -> impl Strategy<Value = Fsync> {
    prop_oneof![2 => Just(Fsync::None), 1 => Just(Fsync::Always)]
}

fn hold(max_bytes: u64, fsync: Fsync, steps: &[Step]) -> Result<(), TestCaseError> {
    let run = AssertUnwindSafe(|| {
        let mut machine = Machine::new(max_bytes, fsync);
        for step in steps {
            machine.run(step);
            machine.check(step);
        }
        machine.check_everything();
    });
    catch_unwind(run).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        TestCaseError::fail(text.unwrap_or_else(|| "it panicked".to_owned()))
    })
}

#[test]
fn the_queue_holds_what_its_model_holds() {
    let cases = std::env::var("QUEUE_CASES").map_or(CASES, |cases| cases.parse().unwrap());
    let share = move || {
        let config = Config {
            cases: cases.div_ceil(THREADS),
            failure_persistence: None,
            ..Config::default()
        };
        let steps = proptest::collection::vec(any_step(), 1..16);
        let outcome = TestRunner::new(config).run(
            &(any_limit(), any_fsync(), steps),
            |(limit, fsync, steps)| hold(limit, fsync, &steps),
        );
        match outcome {
            Ok(()) => {}
            Err(TestError::Fail(why, (limit, fsync, steps))) => {
                panic!("{why}\nwith max_bytes {limit}, fsync {fsync:?} after {steps:#?}")
            }
            Err(TestError::Abort(why)) => panic!("{why}"),
        }
    };
    let threads: Vec<_> = (0..THREADS).map(|_| thread::spawn(share)).collect();
    for thread in threads {
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}
