//! A log and its model, side by side.

use super::super::super::{
    Batch, EVERY_TABLE, Fsync, Intent, PARTITIONS, QueueConfig, QueueError, ResyncRequest,
    SyncQueue, Watermark, commit_marker::FILE as REACHED, intents::open_intents,
};
use super::super::{fact, names};
use super::{
    Step, crash,
    expected::{Expected, Mark, Refused, size},
};
use crate::{
    dedup::Key,
    sync_types::{RowImage, SyncOperation},
};
use plugin_api::value::{Object, RecordId, Timestamp};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const TABLES: &[&str] = &["events", "kv_memories", EVERY_TABLE];

/// Everybody who may be configured.
const SECONDARIES: &[&str] = &["a", "b", "c"];

/// Something that was read and can be acknowledged.
struct Reading {
    secondary: String,
    partition: usize,
    end: Watermark,
    /// How many entries of the partition it ends behind.
    passed: usize,
}

pub(super) struct Machine {
    dir: TempDir,
    runs: usize,
    max_bytes: u64,
    queue: SyncQueue,
    expected: Expected,
    readings: Vec<Reading>,
    intents: Vec<(Intent, Option<Key>)>,
    /// Marks as they were when they were looked up.
    marks: Vec<(String, ResyncRequest, Mark)>,
    writes: i64,
    turn: usize,
}

/// In memory where that can be had: these files are about order, not disks.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        TempDir::new_in(memory).unwrap()
    } else {
        TempDir::new().unwrap()
    }
}

fn home(dir: &TempDir, run: usize) -> PathBuf {
    dir.path().join(run.to_string())
}

fn open(dir: PathBuf, max_bytes: u64, secondaries: &[String]) -> SyncQueue {
    let config = QueueConfig {
        dir,
        max_bytes,
        fsync: Fsync::None,
        tables: None,
    };
    SyncQueue::open(config, secondaries).unwrap()
}

/// One of the things there are; none of none.
fn choose<T>(among: &[T], which: usize) -> Option<usize> {
    (!among.is_empty()).then(|| which % among.len())
}

/// A write of one of a few keys: facts, an event, a document.
fn write(key: u8, value: i64) -> SyncOperation {
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
    pub(super) fn new(max_bytes: u64) -> Self {
        let dir = scratch();
        let secondaries = names(&["a", "b"]);
        let mut expected = Expected::new(max_bytes);
        expected.configure(secondaries.clone());
        Self {
            queue: open(home(&dir, 0), max_bytes, &secondaries),
            dir,
            runs: 0,
            max_bytes,
            expected,
            readings: Vec::new(),
            intents: Vec::new(),
            marks: Vec::new(),
            writes: 0,
            turn: 0,
        }
    }

    fn name(&self, which: usize) -> String {
        let names = &self.expected.secondaries;
        names[which % names.len()].clone()
    }

    fn write(&mut self, key: u8) -> SyncOperation {
        self.writes += 1;
        write(key, self.writes)
    }

    fn refreshes(keys: &[u8], secondary: &str) -> Vec<SyncOperation> {
        keys.iter()
            .map(|key| SyncOperation::refresh(write(*key, 0).key).only_for(secondary))
            .collect()
    }

    /// Is it sure that the log's own refresh of a key fits, whenever it is
    /// made? How many bytes a time takes depends on the time.
    fn surely_fits(&self, secondary: &str, key: &Key) -> bool {
        let mut largest = SyncOperation::refresh(key.clone()).only_for(secondary);
        largest.timestamp.nanos = 999_999_999;
        largest.last_error = Some(ERROR.to_owned());
        self.expected.fits(size(&largest))
    }

    pub(super) fn run(&mut self, step: &Step) {
        match step {
            Step::Append { keys, announced } => self.append(keys, *announced),
            Step::AppendFor { secondary, key } => {
                let name = self.name(*secondary);
                let operation = self.write(*key).only_for(&name);
                let taken = self.expected.append(std::slice::from_ref(&operation));
                assert_taken(self.queue.append(&[operation], None), taken);
            }
            Step::Begin { key } => {
                let key = key.map(|key| write(key, 0).key);
                let known = key.clone().into_iter().collect();
                let intent = self.queue.begin("events", known).unwrap();
                self.intents.push((intent, key));
            }
            Step::Commit { which, key } => {
                if let Some(at) = choose(&self.intents, *which) {
                    let operation = self.write(*key);
                    let taken = self.expected.append(std::slice::from_ref(&operation));
                    let intent = &self.intents[at].0;
                    assert_taken(self.queue.append(&[operation], Some(intent)), taken);
                    if taken {
                        self.intents.remove(at);
                    }
                }
            }
            Step::Cancel { which } => {
                if let Some(at) = choose(&self.intents, *which) {
                    self.queue.cancel(&self.intents.remove(at).0);
                }
            }
            Step::LookAgain { which } => {
                if let Some(at) = choose(&self.intents, *which)
                    && self.all_intents_fit()
                {
                    let (intent, key) = self.intents.remove(at);
                    self.queue.schedule_refresh(&intent, "test").unwrap();
                    self.expect_look_again(key);
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
            Step::RaiseTail { partition, by } => {
                let tail = self.queue.partitions[usize::from(*partition)].lock().tail();
                let raised = super::super::super::Position(tail.position.0 + by);
                self.queue.raise_tail(*partition, raised);
            }
            Step::Restart { secondaries } => self.restart(*secondaries),
            Step::Kill { appending, cut } => self.kill(*appending, *cut),
            refusal @ (Step::Refuse { .. }
            | Step::Retry { .. }
            | Step::Settle { .. }
            | Step::Replay { .. }
            | Step::Discard { .. }) => self.refusal(refusal),
            Step::Mark { secondary, table } => {
                let (name, table) = (self.name(*secondary), TABLES[table % TABLES.len()]);
                self.queue.request_resync(&name, table, "test");
                self.expected.mark(&name, table);
            }
            Step::LookUpMarks => self.look_up_marks(),
            Step::Walk { which, keys } => self.walk(*which, keys),
            Step::Clear { which } => {
                if let Some(at) = choose(&self.marks, *which) {
                    let (name, mark, seen) = self.marks.remove(at);
                    self.queue.clear_resync(&name, &mark).unwrap();
                    let place = (name, mark.table);
                    if self.expected.marks.get(&place).map(|mark| mark.made) == Some(seen.made) {
                        self.expected.marks.remove(&place);
                    }
                }
            }
        }
    }

    fn append(&mut self, keys: &[u8], announced: bool) {
        let operations: Vec<_> = keys.iter().map(|key| self.write(*key)).collect();
        let taken = self.expected.append(&operations);
        let intent = announced.then(|| {
            let keys = operations.iter().map(|operation| operation.key.clone());
            self.queue.begin("events", keys.collect()).unwrap()
        });
        assert_taken(self.queue.append(&operations, intent.as_ref()), taken);
        if let Some(intent) = intent.filter(|_| !taken) {
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
        let found = batch.operations.into_iter().map(|(_, operation)| {
            let id = String::new();
            SyncOperation { id, ..operation }
        });
        let found: Vec<_> = found.collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), read, "{name} reads");
        let reading = Reading {
            secondary: name,
            partition,
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
            end,
            passed,
        } = reading;
        let number = u16::try_from(*partition).unwrap();
        self.queue.ack(secondary, number, *end).unwrap();
        let acked = &mut self.expected.acked.get_mut(secondary).unwrap()[*partition];
        *acked = (*acked).max(*passed);
    }

    fn refusal(&mut self, step: &Step) {
        match step {
            Step::Refuse {
                secondary,
                key,
                retry_count,
                dead,
            } => {
                let name = self.name(*secondary);
                let mut operation = write(*key, 0);
                operation.retry_count = *retry_count;
                operation.last_error = Some(ERROR.to_owned());
                let due = (!dead).then(Timestamp::now);
                self.queue.reject(&name, &operation, due).unwrap();
                let refused = Refused {
                    retry_count: *retry_count,
                    last_error: ERROR.to_owned(),
                    timestamp: operation.timestamp,
                    dead: *dead,
                };
                self.expected.refused.insert((name, operation.key), refused);
            }
            Step::Retry { secondary, key } => {
                let (name, key) = (self.name(*secondary), write(*key, 0).key);
                if self.surely_fits(&name, &key) {
                    self.queue.retry(&name, &key).unwrap();
                    self.expected.retry(&name, &key);
                }
            }
            Step::Settle { secondary, key } => {
                let (name, key) = (self.name(*secondary), write(*key, 0).key);
                self.queue.resolve(&name, &key).unwrap();
                self.expected.refused.remove(&(name, key));
            }
            Step::Replay { secondary, which } | Step::Discard { secondary, which } => {
                let name = self.name(*secondary);
                let dead = self.expected.dead(&name);
                let chosen = match which.and_then(|which| choose(&dead, which)) {
                    Some(at) => vec![dead[at].clone()],
                    None => dead,
                };
                let letters = self.queue.dead_letters(&name).unwrap();
                let id = |key: &Key| {
                    let shown = key.to_string();
                    let mut letters = letters.iter();
                    letters
                        .find(|letter| letter.key == shown)
                        .unwrap()
                        .id
                        .clone()
                };
                let ids: Vec<String> = match which {
                    Some(_) => chosen.iter().map(id).collect(),
                    None => Vec::new(),
                };
                if matches!(step, Step::Discard { .. }) {
                    assert_eq!(self.queue.discard(&name, &ids).unwrap(), chosen.len());
                    for key in chosen {
                        self.expected.refused.remove(&(name.clone(), key));
                    }
                } else if chosen.iter().all(|key| self.surely_fits(&name, key))
                    && (chosen.len() <= 1 || self.max_bytes == UNLIMITED)
                {
                    assert_eq!(self.queue.replay(&name, &ids).unwrap(), chosen.len());
                    for key in chosen {
                        self.expected.retry(&name, &key);
                    }
                }
            }
            _ => unreachable!(),
        }
    }

    fn look_up_marks(&mut self) {
        self.marks.clear();
        for name in &self.expected.secondaries {
            for mark in self.queue.resync_requests(name).unwrap() {
                let seen = self.expected.marks[&(name.clone(), mark.table.clone())].clone();
                self.marks.push((name.clone(), mark, seen));
            }
        }
    }

    fn walk(&mut self, which: usize, keys: &[u8]) {
        let Some(at) = choose(&self.marks, which) else {
            return;
        };
        let (name, mark, seen) = self.marks[at].clone();
        let mut mark = mark;
        mark.scanned += keys.len() as u64;
        mark.cursor = Some(RecordId::new("events", mark.scanned.to_string()));
        let refreshes = Self::refreshes(keys, &name);
        let taken = self.expected.append(&refreshes);
        let scanned = self.queue.append_scan_page(&name, &refreshes, &mark);
        if !taken {
            assert_taken(scanned.map(drop), false);
            return;
        }
        let place = (name, mark.table.clone());
        let known = self.expected.marks.get_mut(&place);
        let current = known.filter(|known| known.made == seen.made);
        assert_eq!(scanned.unwrap(), current.is_some(), "the walk goes on");
        if let Some(current) = current {
            current.scanned = mark.scanned;
            self.marks[at].1 = mark;
        }
    }

    /// Is it sure that all intents' refreshes fit?
    fn all_intents_fit(&self) -> bool {
        let mut keys = self.intents.iter().filter_map(|(_, key)| key.as_ref());
        self.max_bytes == UNLIMITED
            || self.intents.len() <= 1 && keys.all(|key| self.surely_fits("a", key))
    }

    fn expect_look_again(&mut self, key: Option<Key>) {
        match key {
            Some(key) => self.expected.append_refresh(SyncOperation::refresh(key)),
            None => {
                for name in self.expected.secondaries.clone() {
                    self.expected.mark(&name, "events");
                }
            }
        }
    }

    fn restart(&mut self, secondaries: u8) {
        let chosen: Vec<&str> = (0..SECONDARIES.len())
            .filter(|at| (secondaries >> at) & 1 == 1)
            .map(|at| SECONDARIES[at])
            .collect();
        self.settle_intents_that_may_not_fit();
        self.queue.close();
        let late = self.queue.append(&[write(0, 0)], None);
        assert!(matches!(late, Err(QueueError::Closed)), "{late:?}");
        self.expected.configure(names(&chosen));
        self.reopen();
    }

    /// The files as they are now are all that the next process gets.
    fn kill(&mut self, appending: Option<u8>, cut: u64) {
        self.settle_intents_that_may_not_fit();
        let here = home(&self.dir, self.runs);
        let half_written = appending.map(|key| self.write(key)).filter(|operation| {
            // Otherwise somebody is let go first, which is a write of its own.
            self.expected.fits(size(operation))
        });
        let before = half_written.as_ref().map(|operation| {
            let (_, before) = crash::journal(&here);
            let noted = std::fs::read(here.join(REACHED)).unwrap();
            self.queue
                .append(std::slice::from_ref(operation), None)
                .unwrap();
            (before, noted)
        });
        self.runs += 1;
        let next = home(&self.dir, self.runs);
        crash::copy(&here, &next);
        if let Some((before, noted)) = before {
            // What is not written is not noted either.
            std::fs::write(next.join(REACHED), noted).unwrap();
            let (journal, after) = crash::journal(&next);
            let written = cut % (after - before);
            let written = if crash::LENGTHS.contains(&written) {
                crash::LENGTHS.end
            } else {
                written
            };
            crash::unwrite(&journal, before + written..after);
        }
        self.reopen();
    }

    fn settle_intents_that_may_not_fit(&mut self) {
        if !self.all_intents_fit() {
            for (intent, _) in self.intents.drain(..) {
                self.queue.cancel(&intent);
            }
        }
    }

    fn reopen(&mut self) {
        let (secondaries, dir) = (&self.expected.secondaries, home(&self.dir, self.runs));
        // The former process is gone before the next one opens the log.
        let id = self.queue.id().to_owned();
        self.queue.close();
        self.queue = open(dir, self.max_bytes, secondaries);
        assert_eq!(self.queue.id(), id, "the log was set aside");
        self.readings.clear();
        self.marks.clear();
        for (_, key) in std::mem::take(&mut self.intents) {
            self.expect_look_again(key);
        }
    }

    /// Does the log hold what the model holds? Where a step is about many
    /// things, everything is looked at; else all counts, and after each other
    /// step the rest of one secondary, each in its turn.
    pub(super) fn check(&mut self, step: &Step) {
        if matches!(
            step,
            Step::Restart { .. }
                | Step::Kill { .. }
                | Step::LookAgain { .. }
                | Step::Retry { .. }
                | Step::Replay { .. }
        ) {
            return self.check_everything();
        }
        self.turn += 1;
        if self.turn.is_multiple_of(2) {
            let name = self.name(self.turn / 2);
            self.check_secondary(&name);
        }
        self.check_counts();
    }

    pub(super) fn check_everything(&mut self) {
        for name in self.expected.secondaries.clone() {
            self.check_secondary(&name);
        }
        self.check_counts();
        let entries = self.queue.with_store(|store| Ok(store.log.len()?)).unwrap();
        assert_eq!(entries, self.expected.held().0, "entries held");
        let open = self.queue.with_store(open_intents).unwrap();
        let keys: Vec<_> = open.iter().map(|intent| intent.keys().first()).collect();
        let expected: Vec<_> = self.intents.iter().map(|(_, key)| key.as_ref()).collect();
        assert_eq!(keys, expected, "announced writes");
    }

    fn check_counts(&self) {
        for name in &self.expected.secondaries {
            for partition in 0..PARTITIONS {
                let behind = self.expected.behind(name, usize::from(partition));
                let is_behind = self.queue.has_backlog(name, partition);
                assert_eq!(is_behind, !behind.is_empty());
            }
            let backlog = self.queue.backlog_sums(name);
            let sums = (backlog.operations, backlog.bytes);
            assert_eq!(sums, self.expected.backlog(name), "backlog of {name}");
            let acked = (0..).zip(self.queue.acked(name));
            let reached = acked.map(|(partition, acked)| (partition, acked.position));
            let is_ahead = self.queue.is_ahead_of_log(&reached.collect());
            assert!(!is_ahead, "{name} is ahead of the log");
        }
        let held = self.queue.held_bytes();
        assert_eq!(held, self.expected.held().1, "bytes held");
    }

    fn check_secondary(&mut self, name: &str) {
        let mut oldest = None;
        for partition in 0..PARTITIONS {
            if self.queue.has_backlog(name, partition) {
                let batch = self.queue.read(name, partition, usize::MAX).unwrap();
                let first = batch.operations.first();
                let first = first.map(|(_, operation)| operation.timestamp);
                oldest = [oldest, first].into_iter().flatten().min();
                self.check_batch(name, usize::from(partition), batch);
            }
        }
        assert_eq!(self.queue.backlog(name).oldest, oldest, "oldest of {name}");
        self.check_refused(name);
        let marks = self.queue.resync_requests(name).unwrap().into_iter();
        let marks: BTreeMap<_, _> = marks.map(|mark| (mark.table, mark.scanned)).collect();
        let expected = self.expected.marks.iter().filter(|((of, _), _)| of == name);
        let expected: BTreeMap<_, _> = expected
            .map(|((_, table), mark)| (table.clone(), mark.scanned))
            .collect();
        assert_eq!(marks, expected, "marks of {name}");
    }

    /// What a secondary reads in a partition, in order, and nothing else.
    fn check_batch(&mut self, name: &str, partition: usize, batch: Batch) {
        let passed = self.expected.acked[name][partition];
        let mut read = batch.operations.into_iter();
        for entry in &mut self.expected.log[partition][passed..] {
            if !entry.operation.is_for(name) {
                continue;
            }
            let (_, mut operation) = read.next().expect("an operation was lost");
            let place = std::mem::take(&mut operation.id);
            assert_eq!(*entry.place.get_or_insert_with(|| place.clone()), place);
            if entry.timestamp.is_none() {
                entry.timestamp = Some(operation.timestamp);
                entry.operation.timestamp = operation.timestamp;
                entry.bytes = size(&operation);
            }
            assert_eq!(operation, entry.operation);
        }
        assert!(read.next().is_none(), "{name} reads more than there is");
        let (operations, bytes) = self.expected.log[partition][passed..]
            .iter()
            .fold((0, 0), |(operations, bytes), entry| {
                (operations + 1, bytes + entry.bytes)
            });
        assert_eq!(batch.end.operations - batch.begin.operations, operations);
        assert_eq!(batch.end.bytes - batch.begin.bytes, bytes);
    }

    fn check_refused(&self, name: &str) {
        let retries = self.queue.retries(name).unwrap().into_iter();
        let mut found: BTreeMap<String, (u32, bool)> = retries
            .map(|retry| (retry.key.to_string(), (retry.retry_count, false)))
            .collect();
        for letter in self.queue.dead_letters(name).unwrap() {
            assert_eq!(letter.last_error, ERROR);
            let twice = found.insert(letter.key, (letter.retry_count, true));
            assert_eq!(twice, None);
        }
        let expected: BTreeMap<_, _> = self
            .expected
            .refused
            .iter()
            .filter(|((of, _), _)| of == name)
            .map(|((_, key), refused)| (key.to_string(), (refused.retry_count, refused.dead)))
            .collect();
        assert!(expected.is_empty() || self.queue.may_have_rejected());
        assert_eq!(found, expected, "refused by {name}");
        let dead = expected.values().filter(|(_, dead)| *dead).count();
        let counts = self.queue.count_rejected(name).unwrap();
        assert_eq!(counts, (expected.len() - dead, dead));
    }
}

const ERROR: &str = "no such index";

/// A log that is never full.
pub(super) const UNLIMITED: u64 = 1 << 30;

fn assert_taken(appended: Result<(), QueueError>, taken: bool) {
    match appended {
        Ok(()) => assert!(taken, "the log took what does not fit"),
        Err(QueueError::Full { .. }) => assert!(!taken, "the log refused what fits"),
        Err(error) => panic!("{error}"),
    }
}
