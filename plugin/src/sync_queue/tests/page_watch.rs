//! Pages that are copied beside the log, against a simple secondary: writes, appends,
//! batches, copies and requests that run late, in any order. No key of the
//! secondary ever returns to an older state, and in the end it has the newest.

use super::*;
use crate::sync_queue::PageWatch;
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use std::{cell::Cell, sync::Arc};

/// Few, so that they meet often; in more than one partition.
const KEYS: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The primary commits a write of a key. Its append may come later, and the key is
    /// locked until then.
    Commit(usize),
    /// The oldest of these writes is appended.
    Append,
    /// A refresh is appended that only another secondary is to apply.
    ForAnother(usize),
    /// A page begins: it is watched, but not read.
    Begin,
    /// The page reads the primary's state of a key.
    Read(usize),
    /// The page copies what it may into a key's partition. The request runs now, runs
    /// now and is not answered, or runs late.
    Copy(usize, Delivery),
    /// A batch of a key's partition is applied, in one of the same ways.
    Batch(usize, Delivery),
    /// A request that was late runs.
    Late(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Delivery {
    Answered,
    Unanswered,
    Late,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS;
    let delivery = || {
        prop_oneof![
            3 => Just(Delivery::Answered),
            1 => Just(Delivery::Unanswered),
            1 => Just(Delivery::Late),
        ]
    };
    prop_oneof![
        4 => key().prop_map(Step::Commit),
        3 => Just(Step::Append),
        1 => key().prop_map(Step::ForAnother),
        2 => Just(Step::Begin),
        5 => key().prop_map(Step::Read),
        5 => (key(), delivery()).prop_map(|(key, how)| Step::Copy(key, how)),
        4 => (key(), delivery()).prop_map(|(key, how)| Step::Batch(key, how)),
        3 => (0..4usize).prop_map(Step::Late),
    ]
}

/// A request as the secondary gets it.
#[derive(Clone)]
struct Request {
    partition: u16,
    kind: Kind,
    states: Vec<(usize, i64)>,
}

#[derive(Clone, Copy)]
enum Kind {
    Batch { from: Position, to: Position },
    Copy { at: Position, copies: u64 },
}

/// What a secondary does with requests: the checks of the statements.
#[derive(Default)]
struct Simple {
    states: [i64; KEYS],
    reached: BTreeMap<u16, (Position, u64)>,
}

impl Simple {
    /// Runs a request. Returns where the partition was.
    fn run(&mut self, request: &Request) -> (Position, u64) {
        let reached = self.reached.entry(request.partition).or_default();
        let before = *reached;
        match request.kind {
            Kind::Batch { from, to } if reached.0 >= from && reached.0 < to => reached.0 = to,
            Kind::Copy { at, copies } if before == (at, copies) => reached.1 += 1,
            _ => return before,
        }
        for &(key, state) in &request.states {
            assert!(
                self.states[key] <= state,
                "key {key} returned from {} to {state}",
                self.states[key]
            );
            self.states[key] = state;
        }
        before
    }
}

struct Page {
    watch: PageWatch,
    read: BTreeMap<usize, i64>,
}

struct World {
    queue: Arc<SyncQueue>,
    primary: [i64; KEYS],
    /// Writes that are committed and not appended; their keys are locked.
    committed: Vec<(usize, i64)>,
    page: Option<Page>,
    secondary: Simple,
    late: Vec<Request>,
}

fn key(key: usize) -> String {
    format!("k{key}")
}

fn number(key: &Key) -> usize {
    let (_, values) = key.parts();
    values[1].as_str().unwrap()[1..].parse().unwrap()
}

fn partition(number: usize) -> u16 {
    partition_of(&fact(&key(number), 0).key)
}

impl World {
    fn new(queue: Arc<SyncQueue>) -> Self {
        let mut secondary = Simple::default();
        // As after the first reconciliation.
        for (partition, acked) in (0..).zip(queue.acked("a")) {
            secondary.reached.insert(partition, (acked.position, 0));
        }
        Self {
            queue,
            primary: [0; KEYS],
            committed: Vec::new(),
            page: None,
            secondary,
            late: Vec::new(),
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Commit(key) => {
                if self.committed.iter().all(|(locked, _)| *locked != key) {
                    self.primary[key] += 1;
                    self.committed.push((key, self.primary[key]));
                }
            }
            Step::Append if !self.committed.is_empty() => {
                let (written, state) = self.committed.remove(0);
                self.queue
                    .append(&[fact(&key(written), state)], None)
                    .unwrap();
            }
            Step::Append => {}
            Step::ForAnother(written) => {
                let refresh = SyncOperation::refresh(fact(&key(written), 0).key).only_for("b");
                self.queue.append(&[refresh], None).unwrap();
            }
            Step::Begin => {
                self.page = Some(Page {
                    watch: PageWatch::begin(&self.queue, "a"),
                    read: BTreeMap::new(),
                });
            }
            Step::Read(key) => {
                if let Some(page) = &mut self.page {
                    page.read.entry(key).or_insert(self.primary[key]);
                }
            }
            Step::Copy(key, delivery) => self.copy(partition(key), delivery),
            Step::Batch(key, delivery) => self.batch(partition(key), delivery),
            Step::Late(at) if !self.late.is_empty() => {
                let request = self.late.remove(at % self.late.len());
                self.secondary.run(&request);
            }
            Step::Late(_) => {}
        }
    }

    /// Sends a request. None if it is not answered.
    fn send(&mut self, request: Request, delivery: Delivery) -> Option<(Position, u64)> {
        if delivery == Delivery::Late {
            self.late.push(request);
            return None;
        }
        let reached = self.secondary.run(&request);
        (delivery == Delivery::Answered).then_some(reached)
    }

    fn batch(&mut self, partition: u16, delivery: Delivery) {
        let batch = self.queue.read("a", partition, 2).unwrap();
        let states = batch
            .operations
            .iter()
            .filter_map(|(_, operation)| Some((number(&operation.key), value_of(operation)?)));
        let request = Request {
            partition,
            kind: Kind::Batch {
                from: batch.begin.position,
                to: batch.end.position,
            },
            // Of several states of a key only the last is written.
            states: states.collect::<BTreeMap<_, _>>().into_iter().collect(),
        };
        if self.send(request, delivery).is_some() {
            self.queue.ack("a", partition, batch.end).unwrap();
        }
    }

    fn copy(&mut self, partition: u16, delivery: Delivery) {
        let Some(page) = &self.page else { return };
        if !page.watch.is_reached(partition) {
            return;
        }
        let states = page.read.iter().map(|(key, state)| (*key, *state));
        let states = states.filter(|(number, _)| {
            let written = page.watch.is_written(&fact(&key(*number), 0).key);
            self::partition(*number) == partition && !written
        });
        let acked = self.queue.acked("a")[usize::from(partition)].position;
        let mut request = Request {
            partition,
            kind: Kind::Copy {
                at: acked,
                copies: 0,
            },
            states: states.collect(),
        };
        // As the copier does: it learns from the answers where the partition is.
        while let Some((at, copies)) = self.send(request.clone(), delivery) {
            let Kind::Copy {
                at: asked,
                copies: known,
            } = request.kind
            else {
                return;
            };
            if (at, copies) == (asked, known)
                || at != asked && self.queue.has_backlog("a", partition)
            {
                return;
            }
            request.kind = Kind::Copy { at, copies };
        }
    }

    /// Everything is appended, applied and copied.
    fn finish(&mut self) {
        while !self.committed.is_empty() {
            self.run(Step::Append);
        }
        for key in 0..KEYS {
            while self.queue.has_backlog("a", partition(key)) {
                self.run(Step::Batch(key, Delivery::Answered));
            }
        }
        self.run(Step::Begin);
        (0..KEYS).for_each(|key| self.run(Step::Read(key)));
        (0..KEYS).for_each(|key| self.run(Step::Copy(key, Delivery::Answered)));
        while !self.late.is_empty() {
            self.run(Step::Late(0));
        }
        assert_eq!(self.secondary.states, self.primary);
    }
}

#[test]
fn a_copied_page_never_replaces_a_newer_state_nor_is_followed_by_an_older_one() {
    let cases = std::env::var("PAGE_CASES").map_or(300, |cases| cases.parse().unwrap());
    let left = Cell::new(None);
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&prop::collection::vec(step(), 1..60), |steps| {
            // What has passed leaves everything applied, and can be used again.
            let (dir, queue) = left.take().unwrap_or_else(|| {
                let dir = TempDir::new().unwrap();
                let queue = Arc::new(open(&dir, &["a", "b"]));
                (dir, queue)
            });
            let mut world = World::new(Arc::clone(&queue));
            for step in steps {
                world.run(step);
            }
            world.finish();
            drop(world);
            left.set(Some((dir, queue)));
            Ok(())
        })
        .unwrap();
}

#[test]
fn a_watch_forgets_keys_that_its_page_does_not_have() {
    let dir = TempDir::new().unwrap();
    let queue = Arc::new(open(&dir, &["a"]));
    let watch = PageWatch::begin(&queue, "a");
    let keys = [0, 1, 2].map(|number| fact(&key(number), 1));
    queue.append(&keys[..2], None).unwrap();
    watch.limit_to([keys[1].key.clone(), keys[2].key.clone()]);
    queue
        .append(&[keys[0].clone(), keys[2].clone()], None)
        .unwrap();
    let written = keys.each_ref().map(|it| watch.is_written(&it.key));
    assert_eq!(written, [false, true, true]);
}
