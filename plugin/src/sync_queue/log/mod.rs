//! [`OperationLog`]: the operations that secondaries have yet to apply.
//!
//! | module | contents |
//! | --- | --- |
//! | [`wire`] | how an operation is encoded |
//! | [`watermark`] | positions, and how far a secondary has come |
//! | [`partition`] | one partition in memory: its end, and each secondary's watermark |
//! | [`load`] | the partitions as they are stored |
//! | [`append`] | appending operations |
//! | [`read`] | a secondary's backlog, batch by batch, and its acknowledgements |
//! | [`refresh_horizon`] | up to where a refresh has overtaken the log |
//! | [`truncation`] | removing what every secondary has passed |
//!
//! The log is split into [`PARTITIONS`] by the order key of an operation. All
//! secondaries read the same log, each with a watermark of its own in every
//! partition; an entry is removed when the last of them has passed it.

mod append;
mod load;
mod partition;
mod read;
mod refresh_horizon;
mod truncation;
mod watermark;
pub(super) mod wire;

pub(super) use append::Entries;
pub(super) use partition::Partition;
pub use read::{Backlog, Batch};
use watermark::Acked;
pub use watermark::{Position, Watermark};
pub use wire::WireError;

use super::{
    QueueError,
    store::{Store, StoreHandle},
};
use crate::dedup::Key;
use parking_lot::{Mutex, MutexGuard};
use std::{
    hash::Hasher,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// How many partitions the log has. The number is part of what is stored here
/// and on the secondaries.
pub const PARTITIONS: u16 = 16;

/// The durable, partitioned log.
pub(super) struct OperationLog {
    store: Arc<StoreHandle>,
    secondaries: Arc<[String]>,
    /// Known once the log was open.
    id: OnceLock<String>,
    /// Locked for moments only, never while the disk is waited for.
    partitions: Vec<Mutex<Partition>>,
    /// One for each partition, held from reading its end or a watermark of it until
    /// the commit that moves it. The disk may keep it waiting.
    changes: Vec<Mutex<()>>,
    /// Bytes between the slowest secondary's watermarks and the log's end.
    held: AtomicU64,
}

impl OperationLog {
    pub(super) fn new(store: Arc<StoreHandle>, secondaries: Arc<[String]>) -> Self {
        Self {
            store,
            secondaries,
            id: OnceLock::new(),
            partitions: (0..PARTITIONS).map(|_| Mutex::default()).collect(),
            changes: (0..PARTITIONS).map(|_| Mutex::default()).collect(),
            held: AtomicU64::new(0),
        }
    }

    /// The log's id; `None` while it was never open in this process.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.get().map(String::as_str)
    }

    pub(super) fn held_bytes(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    fn index(&self, secondary: &str) -> Option<usize> {
        self.secondaries.iter().position(|name| name == secondary)
    }

    fn partition(&self, partition: u16) -> &Mutex<Partition> {
        &self.partitions[usize::from(partition)]
    }

    /// Keeps others from moving a partition's end or watermarks.
    fn changing(&self, partition: u16) -> MutexGuard<'_, ()> {
        self.changes[usize::from(partition)].lock()
    }

    /// The secondary's watermark of each partition.
    pub(super) fn acked(&self, secondary: &str) -> Vec<Watermark> {
        let acked = self.acked_and_confirmed(secondary).into_iter();
        acked.map(|acked| acked.watermark).collect()
    }

    /// The position that the secondary has confirmed of each partition.
    pub(super) fn confirmed(&self, secondary: &str) -> Vec<Position> {
        let acked = self.acked_and_confirmed(secondary).into_iter();
        acked.map(|acked| acked.confirmed).collect()
    }

    fn acked_and_confirmed(&self, secondary: &str) -> Vec<Acked> {
        let index = self.index(secondary);
        self.partitions
            .iter()
            .map(|partition| {
                let partition = partition.lock();
                index.map_or_else(Acked::default, |index| partition.acked(index))
            })
            .collect()
    }

    /// Where each partition ends, without what was ever appended to it.
    pub(super) fn end_positions(&self) -> Vec<Position> {
        self.ends().iter().map(|end| end.position).collect()
    }

    pub(super) fn ends(&self) -> Vec<Watermark> {
        self.partitions.iter().map(|it| it.lock().end()).collect()
    }

    pub(super) fn has_passed(&self, secondary: &str, ends: &[Watermark]) -> bool {
        self.acked(secondary)
            .iter()
            .zip(ends)
            .all(|(acked, end)| acked.operations >= end.operations)
    }

    /// Recovered partitions as they continue those of this process, if the log
    /// was open before: whether it is the same log or another one `replaced` it,
    /// its positions go on.
    pub(super) fn continued(&self, recovered: Vec<Partition>, replaced: bool) -> Vec<Partition> {
        if self.id.get().is_none() {
            return recovered;
        }
        let pairs = recovered.into_iter().zip(&self.partitions);
        pairs
            .map(|(recovered, before)| recovered.continuing(&before.lock(), replaced))
            .collect()
    }

    /// Publishes the recovered partitions. False if the log was open before in
    /// this process.
    pub(super) fn install(&self, id: &str, recovered: &[Partition]) -> bool {
        let is_first = self.id.set(id.to_owned()).is_ok();
        let mut held = 0;
        for (current, recovered) in self.partitions.iter().zip(recovered) {
            let mut current = current.lock();
            let end = current.assigned().position;
            current.clone_from(recovered);
            current.raise_end(end);
            held += current.held_bytes();
        }
        self.held.store(held, Ordering::Relaxed);
        is_first
    }

    /// Drops the backlogs: the entries are lost. Secondaries stay at the
    /// positions that they have reached.
    pub(super) fn reset_to_end(&self) {
        for partition in &self.partitions {
            partition.lock().reset_to_end();
        }
    }
}

/// The key of an entry. Sorted like (partition, position).
pub(super) fn entry_key(partition: u16, position: Position) -> [u8; 10] {
    let mut key = [0; 10];
    key[..2].copy_from_slice(&partition.to_be_bytes());
    key[2..].copy_from_slice(&position.0.to_be_bytes());
    key
}

/// The position in the key of an entry.
fn position_of(key: &[u8]) -> Result<Position, QueueError> {
    key.get(2..10)
        .and_then(|bytes| bytes.try_into().ok())
        .map(|bytes| Position(u64::from_be_bytes(bytes)))
        .ok_or(QueueError::Corrupt(
            "the key of a log entry has no position",
        ))
}

/// The key of a secondary's watermark of a partition.
fn acked_key(secondary: &str, partition: u16) -> String {
    format!("{ACKED_PREFIX}{secondary}/{partition}")
}

const ACKED_PREFIX: &str = "acked/";

/// The partition of a key: the same in every version.
pub fn partition_of(key: &Key) -> u16 {
    let mut hash = Fnv::default();
    hash.write(key.as_bytes());
    u16::try_from(hash.finish() % u64::from(PARTITIONS)).unwrap_or(0)
}

/// FNV-1a: short and stable, unlike the standard hasher.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        // The low bits of FNV alone are weak; the high ones depend on every byte.
        self.0 ^ (self.0 >> 32)
    }
}
