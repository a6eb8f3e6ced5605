//! Comparing the queue with its model.

use super::{
    super::{dead_letters, rejected, retries},
    Step,
    expected::size,
    machine::{ERROR, Machine},
};
use crate::sync_queue::{Batch, PARTITIONS, intents::IntentStore};
use std::collections::BTreeMap;

impl Machine {
    /// Checks that the queue holds what the model holds: everything after a step
    /// that concerns many things; otherwise all counts and, after every second
    /// step, the rest of one secondary in turn.
    pub(super) fn check(&mut self, step: &Step) {
        if matches!(
            step,
            Step::Restart { .. }
                | Step::Kill { .. }
                | Step::ScheduleRefresh { .. }
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
        let entries = self.queue.store.with(|store| Ok(store.log.len()?)).unwrap();
        assert_eq!(entries, self.expected.held().0, "entries held");
        let open = self.queue.store.with(IntentStore::load).unwrap();
        let keys: Vec<_> = open.iter().map(|intent| intent.keys().first()).collect();
        let expected: Vec<_> = self.intents.iter().map(|(_, key)| key.as_ref()).collect();
        assert_eq!(keys, expected, "intents");
    }

    fn check_counts(&self) {
        for name in &self.expected.secondaries {
            for partition in 0..PARTITIONS {
                let behind = self.expected.behind(name, usize::from(partition));
                let is_behind = self.queue.has_backlog(name, partition);
                assert_eq!(is_behind, !behind.is_empty());
            }
            let backlog = self.queue.log.backlog_size(name);
            let sums = (backlog.operations, backlog.bytes);
            assert_eq!(sums, self.expected.backlog(name), "backlog of {name}");
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
        self.check_rejections(name);
        let requests = self.queue.resync_requests(name).unwrap().into_iter();
        let requests: BTreeMap<_, _> = requests.map(|it| (it.table, it.scanned)).collect();
        let expected = self
            .expected
            .requests
            .iter()
            .filter(|((of, _), _)| of == name);
        let expected: BTreeMap<_, _> = expected
            .map(|((_, table), request)| (table.clone(), request.scanned))
            .collect();
        assert_eq!(requests, expected, "resync requests of {name}");
    }

    /// Checks that a secondary reads what the model has, in order, and no more.
    fn check_batch(&mut self, name: &str, partition: usize, batch: Batch) {
        let passed = self.expected.acked[name][partition];
        let mut read = batch.operations.into_iter();
        for entry in &mut self.expected.log[partition][passed..] {
            if !entry.operation.is_for(name) {
                continue;
            }
            let (_, mut operation) = read.next().expect("an operation was lost");
            let id = std::mem::take(&mut operation.id);
            assert_eq!(*entry.id.get_or_insert_with(|| id.clone()), id);
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

    fn check_rejections(&self, name: &str) {
        let retries = retries(&self.queue, name).unwrap().into_iter();
        let mut found: BTreeMap<String, (u32, bool)> = retries
            .map(|retry| (retry.key.to_string(), (retry.retry_count, false)))
            .collect();
        for letter in dead_letters(&self.queue, name).unwrap() {
            assert_eq!(letter.last_error, ERROR);
            let twice = found.insert(letter.key, (letter.retry_count, true));
            assert_eq!(twice, None);
        }
        let expected: BTreeMap<_, _> = self
            .expected
            .rejections
            .iter()
            .filter(|((of, _), _)| of == name)
            .map(|((_, key), rejection)| (key.to_string(), (rejection.retry_count, rejection.dead)))
            .collect();
        assert!(expected.is_empty() || self.queue.may_have_rejected());
        assert_eq!(found, expected, "rejected by {name}");
        let dead = expected.values().filter(|(_, dead)| *dead).count();
        let counts = self.queue.count_rejected(name);
        assert_eq!(counts, rejected(expected.len() - dead, dead));
    }
}
