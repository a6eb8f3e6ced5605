//! The model: lists, counts and maps of what the queue has to hold.

use crate::sync_queue::{EVERY_TABLE, PARTITIONS, log::wire, partition_of};
use crate::{dedup::Key, sync_types::SyncOperation};
use plugin_api::value::Timestamp;
use std::collections::BTreeMap;

/// One operation in the log.
pub(super) struct Entry {
    pub(super) operation: SyncOperation,
    pub(super) bytes: u64,
    /// Its timestamp and id, if the queue assigns them; known once it was read.
    pub(super) timestamp: Option<Timestamp>,
    pub(super) id: Option<String>,
}

/// A rejected operation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rejection {
    pub(super) retry_count: u32,
    pub(super) last_error: String,
    pub(super) timestamp: Timestamp,
    pub(super) dead: bool,
}

/// A resync request. A new request has a new number.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) made: usize,
    pub(super) scanned: u64,
}

pub(super) struct Expected {
    pub(super) max_bytes: u64,
    pub(super) secondaries: Vec<String>,
    /// Everything that was ever appended.
    pub(super) log: Vec<Vec<Entry>>,
    /// How many entries of each partition a secondary has passed.
    pub(super) acked: BTreeMap<String, Vec<usize>>,
    pub(super) rejections: BTreeMap<(String, Key), Rejection>,
    pub(super) requests: BTreeMap<(String, String), Request>,
    made: usize,
}

impl Expected {
    pub(super) fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            secondaries: Vec::new(),
            log: (0..PARTITIONS).map(|_| Vec::new()).collect(),
            acked: BTreeMap::new(),
            rejections: BTreeMap::new(),
            requests: BTreeMap::new(),
            made: 0,
        }
    }

    /// The queue is opened for these secondaries. A new one begins at the end;
    /// one that is no longer configured leaves nothing.
    pub(super) fn configure(&mut self, secondaries: Vec<String>) {
        let ends: Vec<usize> = self.log.iter().map(Vec::len).collect();
        self.acked.retain(|name, _| secondaries.contains(name));
        self.rejections
            .retain(|(name, _), _| secondaries.contains(name));
        self.requests
            .retain(|(name, _), _| secondaries.contains(name));
        for name in &secondaries {
            self.acked
                .entry(name.clone())
                .or_insert_with(|| ends.clone());
        }
        self.secondaries = secondaries;
    }

    /// Entries of a partition that a secondary has not passed.
    pub(super) fn behind(&self, secondary: &str, partition: usize) -> &[Entry] {
        &self.log[partition][self.acked[secondary][partition]..]
    }

    /// Operations and bytes that wait for a secondary.
    pub(super) fn backlog(&self, secondary: &str) -> (u64, u64) {
        (0..self.log.len())
            .flat_map(|partition| self.behind(secondary, partition))
            .fold((0, 0), |(operations, bytes), entry| {
                (operations + 1, bytes + entry.bytes)
            })
    }

    /// The entries that the log has to hold, and their bytes.
    pub(super) fn held(&self) -> (usize, u64) {
        let (mut entries, mut bytes) = (0, 0);
        for (partition, log) in self.log.iter().enumerate() {
            let slowest = self.acked.values().map(|acked| acked[partition]).min();
            for entry in &log[slowest.unwrap_or(log.len())..] {
                entries += 1;
                bytes += entry.bytes;
            }
        }
        (entries, bytes)
    }

    pub(super) fn fits(&self, wanted: u64) -> bool {
        self.held().1 + wanted <= self.max_bytes
    }

    pub(super) fn request_resync(&mut self, secondary: &str, table: &str) {
        self.made += 1;
        let (made, scanned) = (self.made, 0);
        self.requests.insert(
            (secondary.to_owned(), table.to_owned()),
            Request { made, scanned },
        );
    }

    /// True if the operations are accepted. The secondary that is furthest behind
    /// is evicted until they fit.
    pub(super) fn append(&mut self, operations: &[SyncOperation]) -> bool {
        let sizes: Vec<u64> = operations.iter().map(size).collect();
        let wanted = sizes.iter().sum();
        if wanted > self.max_bytes {
            return self.fits(wanted);
        }
        while !self.fits(wanted) {
            let names = self.secondaries.iter();
            let furthest = names.max_by_key(|name| (self.backlog(name).1, name.as_str()));
            let furthest = furthest.unwrap().clone();
            self.request_resync(&furthest, EVERY_TABLE);
            let ends = self.log.iter().map(Vec::len).collect();
            self.acked.insert(furthest, ends);
        }
        for (operation, bytes) in operations.iter().zip(sizes) {
            self.push(operation.clone(), bytes, Some(operation.timestamp));
        }
        true
    }

    /// The queue appends a refresh of its own.
    pub(super) fn append_refresh(&mut self, refresh: SyncOperation) {
        let bytes = size(&refresh);
        self.push(refresh, bytes, None);
    }

    fn push(&mut self, operation: SyncOperation, bytes: u64, timestamp: Option<Timestamp>) {
        let partition = usize::from(partition_of(&operation.key));
        self.log[partition].push(Entry {
            operation,
            bytes,
            timestamp,
            id: None,
        });
    }

    /// Appends the refresh of a rejected key, if it is rejected.
    pub(super) fn retry(&mut self, secondary: &str, key: &Key) {
        let Some(rejected) = self.rejections.remove(&(secondary.to_owned(), key.clone())) else {
            return;
        };
        let mut refresh = SyncOperation::refresh(key.clone()).only_for(secondary);
        if !rejected.dead {
            refresh.retry_count = rejected.retry_count;
            refresh.last_error = Some(rejected.last_error);
        }
        // As old as the write.
        refresh.timestamp = rejected.timestamp;
        let bytes = size(&refresh);
        self.push(refresh, bytes, Some(rejected.timestamp));
    }

    /// The dead letters of a secondary.
    pub(super) fn dead(&self, secondary: &str) -> Vec<Key> {
        self.rejections
            .iter()
            .filter(|((name, _), rejected)| name == secondary && rejected.dead)
            .map(|((_, key), _)| key.clone())
            .collect()
    }
}

/// The bytes of an operation in the log.
pub(super) fn size(operation: &SyncOperation) -> u64 {
    wire::encode(operation).unwrap().len() as u64
}
