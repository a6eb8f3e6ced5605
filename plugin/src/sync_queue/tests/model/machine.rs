//! A queue and its model, driven by the same steps.

use super::{
    super::{fact, names},
    Step,
    expected::{Expected, Request, size},
};
use crate::{
    dedup::Key,
    sync_queue::{
        EVERY_TABLE, Epoch, Fsync, Intent, PARTITIONS, Position, QueueConfig, QueueError,
        ResyncRequest, SyncQueue, Watermark,
    },
    sync_types::{RowImage, SyncOperation},
};
use plugin_api::value::{Object, RecordId};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;

const TABLES: &[&str] = &["events", "kv_memories", EVERY_TABLE];

/// The secondaries that may be configured.
pub(super) const SECONDARIES: &[&str] = &["a", "b", "c"];

/// A batch that was read and can be acknowledged.
pub(super) struct Reading {
    secondary: String,
    partition: usize,
    /// Where the secondary has to be for it.
    confirmed: Position,
    end: Watermark,
    /// How many entries of the partition come before its end.
    passed: usize,
}

pub(super) struct Machine {
    pub(super) dir: TempDir,
    pub(super) runs: usize,
    pub(super) max_bytes: u64,
    pub(super) fsync: Fsync,
    pub(super) queue: SyncQueue,
    pub(super) expected: Expected,
    pub(super) readings: Vec<Reading>,
    /// What the secondaries have: of which epoch, and up to where.
    reached: BTreeMap<(String, usize), (Epoch, Position)>,
    pub(super) intents: Vec<(Intent, Option<Key>)>,
    /// Requests as they were when they were looked up.
    pub(super) requests: Vec<(String, ResyncRequest, Request)>,
    pub(super) writes: i64,
    pub(super) turn: usize,
}

/// In memory where possible: the model is about order, not disks.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        TempDir::new_in(memory).unwrap()
    } else {
        TempDir::new().unwrap()
    }
}

pub(super) fn home(dir: &TempDir, run: usize) -> PathBuf {
    dir.path().join(run.to_string())
}

pub(super) fn open(
    dir: PathBuf,
    max_bytes: u64,
    fsync: Fsync,
    secondaries: &[String],
) -> SyncQueue {
    let config = QueueConfig {
        dir,
        max_bytes,
        fsync,
        tables: None,
        other_tables: std::collections::BTreeSet::new(),
        request_lifetime: Duration::from_secs(60),
    };
    SyncQueue::open(config, secondaries).unwrap()
}

/// Chooses an index; `None` if there is none.
pub(super) fn choose<T>(among: &[T], which: usize) -> Option<usize> {
    (!among.is_empty()).then(|| which % among.len())
}

/// A write of one of a few keys: facts, an event, a document.
pub(super) fn write(key: u8, value: i64) -> SyncOperation {
    let row = |table: &str, key: &str| RowImage {
        id: RecordId::new(table, key),
        columns: Object::new().with("file_path", key).with("value", value),
        embedding: None,
    };
    match key % 6 {
        4 => SyncOperation::upsert("events", row("events", "e")),
        5 => SyncOperation::replace_document(
            crate::sync_types::document_key("d"),
            vec![row("knowledge_base", "d")],
        ),
        key => fact(&format!("k{key}"), value),
    }
}

impl Machine {
    pub(super) fn new(max_bytes: u64, fsync: Fsync) -> Self {
        let dir = scratch();
        let secondaries = names(&["a", "b"]);
        let mut expected = Expected::new(max_bytes);
        expected.configure(secondaries.clone());
        Self {
            queue: open(home(&dir, 0), max_bytes, fsync, &secondaries),
            dir,
            runs: 0,
            max_bytes,
            fsync,
            expected,
            readings: Vec::new(),
            reached: BTreeMap::new(),
            intents: Vec::new(),
            requests: Vec::new(),
            writes: 0,
            turn: 0,
        }
    }

    pub(super) fn name(&self, which: usize) -> String {
        let names = &self.expected.secondaries;
        names[which % names.len()].clone()
    }

    pub(super) fn write(&mut self, key: u8) -> SyncOperation {
        self.writes += 1;
        write(key, self.writes)
    }

    /// True if the queue's own refresh of a key certainly fits, whenever it is
    /// made: the encoded length of a timestamp depends on the time.
    pub(super) fn surely_fits(&self, secondary: &str, key: &Key) -> bool {
        let mut largest = SyncOperation::refresh(key.clone()).only_for(secondary);
        largest.timestamp.nanos = 999_999_999;
        largest.last_error = Some(ERROR.to_owned());
        self.expected.fits(size(&largest))
    }

    pub(super) fn run(&mut self, step: &Step) {
        match step {
            Step::Append { keys, with_intent } => self.append(keys, *with_intent),
            Step::AppendFor { secondary, key } => {
                let name = self.name(*secondary);
                let operation = self.write(*key).only_for(&name);
                let accepted = self.expected.append(std::slice::from_ref(&operation));
                assert_accepted(self.queue.append(&[operation], None), accepted);
            }
            Step::Begin { key } => {
                let key = key.map(|key| write(key, 0).key);
                let known = key.clone().into_iter().collect();
                let intent = self.queue.begin("events", known);
                self.intents.push((intent, key));
            }
            Step::Commit { which, key } => {
                if let Some(at) = choose(&self.intents, *which) {
                    let operation = self.write(*key);
                    let accepted = self.expected.append(std::slice::from_ref(&operation));
                    let intent = &self.intents[at].0;
                    assert_accepted(self.queue.append(&[operation], Some(intent)), accepted);
                    if accepted {
                        self.intents.remove(at);
                    }
                }
            }
            Step::Cancel { which } => {
                if let Some(at) = choose(&self.intents, *which) {
                    self.queue.cancel(&self.intents.remove(at).0);
                }
            }
            Step::ScheduleRefresh { which } => {
                if let Some(at) = choose(&self.intents, *which)
                    && self.all_intents_fit()
                {
                    let (intent, key) = self.intents.remove(at);
                    self.queue.refresh(&intent, "test");
                    self.expect_refresh(key);
                }
            }
            Step::Read {
                secondary,
                partition,
                limit,
                ack,
            } => self.read(*secondary, *partition, *limit, *ack),
            Step::AckLate { which } => {
                if let Some(at) = choose(&self.readings, *which) {
                    let reading = self.readings.remove(at);
                    self.ack(&reading);
                }
            }
            Step::Restart { secondaries } => self.restart(*secondaries),
            Step::Kill { appending, cut } => self.kill(*appending, *cut),
            rejection @ (Step::Reject { .. }
            | Step::Retry { .. }
            | Step::Resolve { .. }
            | Step::Replay { .. }
            | Step::Discard { .. }) => self.run_rejection(rejection),
            Step::RequestResync { secondary, table } => {
                let (name, table) = (self.name(*secondary), TABLES[table % TABLES.len()]);
                self.queue.request_resync(&name, table, "test");
                self.expected.request_resync(&name, table);
            }
            Step::LookUpRequests => self.look_up_requests(),
            Step::ScanPage { which, rows } => self.scan_page(*which, u64::from(*rows)),
            Step::ClearResync { which } => {
                if let Some(at) = choose(&self.requests, *which) {
                    let (name, request, seen) = self.requests.remove(at);
                    self.queue.clear_resync(&name, &request).unwrap();
                    let place = (name, request.table);
                    if self
                        .expected
                        .requests
                        .get(&place)
                        .map(|request| request.made)
                        == Some(seen.made)
                    {
                        self.expected.requests.remove(&place);
                    }
                }
            }
        }
    }

    fn append(&mut self, keys: &[u8], with_intent: bool) {
        let operations: Vec<_> = keys.iter().map(|key| self.write(*key)).collect();
        let accepted = self.expected.append(&operations);
        let intent = with_intent.then(|| {
            let keys = operations.iter().map(|operation| operation.key.clone());
            self.queue.begin("events", keys.collect())
        });
        assert_accepted(self.queue.append(&operations, intent.as_ref()), accepted);
        if let Some(intent) = intent.filter(|_| !accepted) {
            self.queue.cancel(&intent);
        }
    }

    fn read(&mut self, secondary: usize, partition: usize, limit: usize, ack: bool) {
        let name = self.name(secondary);
        let backlogs: Vec<u16> = (0..PARTITIONS)
            .filter(|at| self.queue.has_backlog(&name, *at))
            .collect();
        let Some(at) = choose(&backlogs, partition) else {
            return;
        };
        let (number, partition) = (backlogs[at], usize::from(backlogs[at]));
        let batch = self.queue.read(&name, number, limit).unwrap();
        let behind = self.expected.behind(&name, partition);
        let mut passed = self.expected.acked[&name][partition];
        let mut read = Vec::new();
        for entry in behind {
            passed += 1;
            if entry.operation.is_for(&name) {
                read.push(&entry.operation);
                if read.len() == limit {
                    break;
                }
            }
        }
        let read_operations = batch.operations.into_iter().map(|(_, operation)| {
            let id = String::new();
            SyncOperation { id, ..operation }
        });
        let read_operations: Vec<_> = read_operations.collect();
        assert_eq!(
            read_operations.iter().collect::<Vec<_>>(),
            read,
            "{name} reads"
        );
        let reading = Reading {
            secondary: name,
            partition,
            confirmed: batch.confirmed,
            end: batch.end,
            passed,
        };
        if ack {
            self.ack(&reading);
        } else {
            self.readings.push(reading);
        }
    }

    fn ack(&mut self, reading: &Reading) {
        let Reading {
            secondary,
            partition,
            confirmed,
            end,
            passed,
        } = reading;
        let reached = self.session(secondary, *partition);
        assert!(*confirmed <= *reached, "{secondary} would refuse the batch");
        *reached = end.position.max(*reached);
        let number = u16::try_from(*partition).unwrap();
        self.queue.ack(secondary, number, *end).unwrap();
        let acked = &mut self.expected.acked.get_mut(secondary).unwrap()[*partition];
        *acked = (*acked).max(*passed);
    }

    /// The position of a secondary that is connected: it was compared with the
    /// log when the session began, and claimed.
    fn session(&mut self, secondary: &str, partition: usize) -> &mut Position {
        let confirmed = self.queue.confirmed(secondary)[partition];
        let epoch = self.queue.epoch();
        let place = (secondary.to_owned(), partition);
        let (claimed, reached) = self.reached.entry(place).or_insert((epoch, confirmed));
        let kept = self.queue.kept_of(Some(*claimed));
        let kept = kept.expect("an epoch of this log")[partition];
        assert!(*reached <= kept, "{secondary} is ahead of the log");
        *claimed = epoch;
        *reached = confirmed.max(*reached);
        reached
    }

    fn look_up_requests(&mut self) {
        self.requests.clear();
        for name in &self.expected.secondaries {
            for request in self.queue.resync_requests(name).unwrap() {
                let seen = self.expected.requests[&(name.clone(), request.table.clone())].clone();
                self.requests.push((name.clone(), request, seen));
            }
        }
    }

    fn scan_page(&mut self, which: usize, rows: u64) {
        let Some(at) = choose(&self.requests, which) else {
            return;
        };
        let (name, request, seen) = self.requests[at].clone();
        let mut request = request;
        request.scanned += rows;
        request.cursor = Some(RecordId::new("events", request.scanned.to_string()));
        let scanned = self.queue.advance_resync(&name, &request);
        let place = (name, request.table.clone());
        let known = self.expected.requests.get_mut(&place);
        let current = known.filter(|known| known.made == seen.made);
        assert_eq!(scanned.unwrap(), current.is_some(), "the scan goes on");
        if let Some(current) = current {
            current.scanned = request.scanned;
            self.requests[at].1 = request;
        }
    }

    /// True if the refreshes of all intents certainly fit.
    pub(super) fn all_intents_fit(&self) -> bool {
        let mut keys = self.intents.iter().filter_map(|(_, key)| key.as_ref());
        self.max_bytes == UNLIMITED
            || self.intents.len() <= 1 && keys.all(|key| self.surely_fits("a", key))
    }

    pub(super) fn expect_refresh(&mut self, key: Option<Key>) {
        match key {
            Some(key) => self.expected.append_refresh(SyncOperation::refresh(key)),
            None => {
                for name in self.expected.secondaries.clone() {
                    self.expected.request_resync(&name, "events");
                }
            }
        }
    }
}

pub(super) const ERROR: &str = "no such index";

/// A log that is never full.
pub(super) const UNLIMITED: u64 = 1 << 30;

fn assert_accepted(appended: Result<(), QueueError>, accepted: bool) {
    match appended {
        Ok(()) => assert!(accepted, "the log accepted what does not fit"),
        Err(QueueError::Full { .. }) => assert!(!accepted, "the log rejected what fits"),
        Err(error) => panic!("{error}"),
    }
}
