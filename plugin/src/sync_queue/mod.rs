//! [`SyncQueue`]: the durable log of what has yet to reach the secondaries.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`store`] | the files: keyspaces and their keys |
//! | [`wire`] | how an operation is written |
//! | [`watermark`] | positions, and how far somebody has come |
//! | [`commit_marker`] | how much must be in them |
//! | [`recovery`] | opening them, also when they are damaged, and again when they fail |
//! | [`table_filter`] | which tables it hears of, and heard of before |
//! | [`dirty_flag`] | a trace outside of them that they miss something |
//! | [`append`] | adding to it, and what happens when it is full |
//! | [`reading`] | what waits for a secondary, and that it has it |
//! | [`refresh_horizon`] | up to where a refresh has overtaken it |
//! | [`truncation`] | removing what every secondary has passed |
//! | [`partition`] | one partition: its end, and each secondary's watermark |
//! | [`intents`] | writes under way, so that a killed process leaves a trace |
//! | [`rejected`] | operations that wait for their retry, and dead letters |
//! | [`resync`] | tables that have to be scanned |
//!
//! The log is split into [`PARTITIONS`] by the order key of an operation. All
//! secondaries read the same log, each with a watermark of its own in every
//! partition; an entry is removed when the last of them has passed it.

mod append;
mod boot_id;
mod commit_marker;
mod dirty_flag;
mod intents;
mod partition;
mod reading;
mod recovery;
mod refresh_horizon;
mod rejected;
mod resync;
mod store;
mod table_filter;
mod truncation;
mod watermark;
mod wire;

pub use dirty_flag::{DirtyFlag, NoFlag};
pub use intents::Intent;
pub use rejected::{DeadLetter, Retry};
pub use resync::{EVERY_TABLE, ResyncRequest};
pub use watermark::{Position, Watermark};
pub use wire::WireError;

use crate::{
    dedup::Key,
    self_healing::{self, Fault, SelfHealingStore, Severity, StoreError},
    sync_types::SyncOperation,
};
use parking_lot::Mutex;
use partition::Partition;
use plugin_api::value::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::Hasher,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use store::Store;
use tokio::sync::Notify;

/// How many partitions the log has. The number is part of what is stored here
/// and on the secondaries.
pub const PARTITIONS: u16 = 16;

/// When what was appended reaches the disk itself. A crash of the process
/// loses nothing either way; this is about power cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// When the system sees fit.
    None,
    /// After each such span of time.
    Interval(Duration),
    /// Before the write returns.
    Always,
}

/// Where the log lies and how large it may become.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Its directory; created if missing, readable by its owner only.
    pub dir: PathBuf,
    /// Bytes of operations that it may hold.
    pub max_bytes: u64,
    /// When it reaches the disk.
    pub fsync: Fsync,
    /// The names of the tables whose writes it is told; none for all. A name
    /// that is no table's stands for several.
    pub tables: Option<BTreeSet<String>>,
}

/// Why the log cannot do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// Another process has it open.
    #[error("queue_dir {} is in use by another process; stop it, or give this host its own queue_dir", .0.display())]
    Locked(PathBuf),
    /// Its directory cannot be made or opened.
    #[error("queue_dir {} cannot be used: {source}; check its owner and permissions", .dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The operations do not fit within `queue_max_bytes`.
    #[error("the log holds {held} bytes and {wanted} more do not fit within queue_max_bytes")]
    Full {
        /// Bytes that are in it.
        held: u64,
        /// Bytes that were to be added.
        wanted: u64,
    },
    /// An entry cannot be read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Something in it makes no sense.
    #[error("the log is damaged: {0}")]
    Damaged(&'static str),
    /// The disk, or the database on it.
    #[error("the log cannot be read or written: {0}")]
    Storage(#[from] fjall::Error),
    /// It has failed, and is not open again yet.
    #[error("the log is unavailable; status says why")]
    Unavailable,
    /// It was closed.
    #[error("the log is closed")]
    Closed,
}

impl StoreError for QueueError {
    fn severity(&self) -> Option<Severity> {
        match self {
            Self::Storage(error) => self_healing::severity(error),
            Self::Directory { .. } => Some(Severity::Environment),
            Self::Wire(_) | Self::Damaged(_) => Some(Severity::Damaged),
            Self::Locked(_) | Self::Full { .. } | Self::Unavailable | Self::Closed => None,
        }
    }

    fn unavailable() -> Self {
        Self::Unavailable
    }

    fn closed() -> Self {
        Self::Closed
    }

    fn panicked() -> Self {
        Self::Damaged("working with it panicked")
    }
}

/// What waits for one secondary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Backlog {
    /// Operations.
    pub operations: u64,
    /// Their bytes in the log.
    pub bytes: u64,
    /// When the oldest of them was written.
    pub oldest: Option<Timestamp>,
}

/// A piece of one partition, in order.
#[derive(Debug)]
pub struct Batch {
    /// The operations that are meant for the reader, each with its place.
    pub operations: Vec<(Watermark, SyncOperation)>,
    /// How far the reader had come.
    pub begin: Watermark,
    /// How far one has come with them.
    pub end: Watermark,
    /// Up to here the reader may have newer states than the log.
    pub refreshed: Position,
}

/// The durable, partitioned log. All methods may be called from any thread.
pub struct SyncQueue {
    /// Known once the log was open.
    id: OnceLock<String>,
    config: QueueConfig,
    files: SelfHealingStore<Store>,
    partitions: Vec<Mutex<Partition>>,
    secondaries: Vec<String>,
    /// Bytes between the slowest secondary's watermarks and the log's end.
    held: AtomicU64,
    unsynced: AtomicBool,
    /// False while no secondary has refused anything: then nobody has to look.
    rejected_somewhere: AtomicBool,
    /// Locked for noting a refusal, and for dropping one after a look at it.
    rejecting: Mutex<()>,
    next_intent: AtomicU64,
    /// Told about every append, and whatever else workers wait for.
    changed: Arc<Notify>,
    /// What had to be marked for resync while nothing could be written. Locked
    /// for every change of a mark.
    unwritten_requests: Mutex<BTreeMap<(String, String), ResyncRequest>>,
    dirty_flag: dirty_flag::Known,
    /// Does the log still say what it was before it was opened? It does until
    /// the marks for that are on the disk.
    has_unresolved_recovery: AtomicBool,
}

/// Which partition a key belongs to: the same in every version.
pub fn partition_of(key: &Key) -> u16 {
    let mut hash = Fnv::default();
    hash.write(key.as_bytes());
    u16::try_from(hash.finish() % u64::from(PARTITIONS)).unwrap_or(0)
}

/// FNV-1a: short, and fixed for all time, which the standard hasher is not.
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
        // The low bits of FNV alone are weak; the high ones know every byte.
        self.0 ^ (self.0 >> 32)
    }
}

impl SyncQueue {
    /// Opens the log for these secondaries, without a [`DirtyFlag`].
    ///
    /// # Errors
    /// As [`SyncQueue::open_with`].
    pub fn open(config: QueueConfig, secondaries: &[String]) -> Result<Self, QueueError> {
        Self::open_with(config, secondaries, Box::new(NoFlag))
    }

    /// Opens the log for these secondaries. What a secondary that is no longer
    /// among them had not yet applied is let go, with its marks and what it
    /// refused.
    ///
    /// A log that is damaged is set aside under another name and a new one
    /// begun, with every table marked for resync. One that cannot be opened now
    /// is unavailable until [`SyncQueue::recover`] has opened it.
    ///
    /// # Errors
    /// [`QueueError::Locked`].
    pub fn open_with(
        config: QueueConfig,
        secondaries: &[String],
        dirty_flag: Box<dyn DirtyFlag>,
    ) -> Result<Self, QueueError> {
        let queue = Self {
            id: OnceLock::new(),
            partitions: recovery::no_partitions(),
            config,
            files: SelfHealingStore::unopened(),
            secondaries: secondaries.to_vec(),
            held: AtomicU64::new(0),
            unsynced: AtomicBool::new(false),
            next_intent: AtomicU64::new(1),
            changed: Arc::new(Notify::new()),
            rejected_somewhere: AtomicBool::new(false),
            rejecting: Mutex::default(),
            unwritten_requests: Mutex::default(),
            dirty_flag: dirty_flag::Known::new(dirty_flag),
            has_unresolved_recovery: AtomicBool::new(false),
        };
        if queue.dirty_flag.was_set() {
            queue.mark_everything("the log misses what was written before this start");
        }
        match queue.recover() {
            Err(QueueError::Storage(fjall::Error::Locked)) => {
                Err(QueueError::Locked(queue.config.dir))
            }
            // It is told, and tried again.
            Ok(()) | Err(_) => Ok(queue),
        }
    }

    /// The name under which the secondaries keep this log's positions.
    pub fn id(&self) -> &str {
        self.id.get().map_or("", String::as_str)
    }

    /// Why the log cannot be used; none if it can.
    pub fn fault(&self) -> Option<Fault> {
        self.files.fault()
    }

    /// Can the log be used, as far as anybody knows?
    pub fn is_available(&self) -> bool {
        self.files.works()
    }

    fn index(&self, secondary: &str) -> Option<usize> {
        self.secondaries.iter().position(|name| name == secondary)
    }

    fn with_store<T>(
        &self,
        call: impl FnOnce(&Store) -> Result<T, QueueError>,
    ) -> Result<T, QueueError> {
        self.files.with(|store| {
            let result = call(store);
            store.note_reached();
            result
        })
    }

    /// Bytes of operations that it holds: those that some secondary has yet to
    /// pass, each once. This is what `max_bytes` limits.
    pub fn held_bytes(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// A future that is ready when there is something to look at: an append, or
    /// [`SyncQueue::wake`]. Ask for it before looking, so that nothing falls in
    /// between.
    pub fn woken(&self) -> impl Future<Output = ()> + use<> {
        Arc::clone(&self.changed).notified_owned()
    }

    /// Wakes everybody who waits for the log.
    pub fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// Does a secondary know positions that this log knows nothing of?
    pub fn is_ahead_of_log(&self, reached: &BTreeMap<u16, Position>) -> bool {
        reached.iter().any(|(partition, position)| {
            self.partitions
                .get(usize::from(*partition))
                .is_some_and(|partition| partition.lock().has_lost(*position))
        })
    }

    /// The secondary's watermark of each partition.
    pub fn acked(&self, secondary: &str) -> Vec<Watermark> {
        let index = self.index(secondary);
        self.partitions
            .iter()
            .map(|partition| {
                let partition = partition.lock();
                index.map_or_else(Watermark::default, |index| partition.acked(index))
            })
            .collect()
    }

    /// Where each partition ends now.
    pub fn ends(&self) -> Vec<Watermark> {
        self.partitions.iter().map(|it| it.lock().tail()).collect()
    }

    /// Has a secondary passed all operations up to these ends?
    pub fn has_passed(&self, secondary: &str, ends: &[Watermark]) -> bool {
        self.acked(secondary)
            .iter()
            .zip(ends)
            .all(|(acked, end)| acked.operations >= end.operations)
    }

    /// Lets the next position of a partition lie behind `position`, which a
    /// secondary says that it has applied.
    pub fn raise_tail(&self, partition: u16, position: Position) {
        self.partitions[usize::from(partition)]
            .lock()
            .raise_tail(position);
    }

    /// Brings what was appended to the disk, if `queue_fsync` asks for it and
    /// there is anything new.
    ///
    /// # Errors
    /// What the disk says. What it was to take may be gone, so every table is
    /// marked then.
    pub fn sync(&self) -> Result<(), QueueError> {
        if self.config.fsync == Fsync::None || !self.unsynced.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let synced = self.with_store(Store::sync);
        if let Err(QueueError::Storage(fjall::Error::Io(_))) = &synced {
            self.mark_everything("the log could not be brought to the disk");
        }
        synced
    }

    /// How often [`SyncQueue::sync`] should be called, if at all.
    pub fn sync_interval(&self) -> Option<Duration> {
        match self.config.fsync {
            Fsync::Interval(interval) => Some(interval),
            Fsync::None | Fsync::Always => None,
        }
    }

    /// Closes the log. Whatever is in it stays for the next start.
    pub fn close(&self) {
        self.settle_marks();
        let closed = self.with_store(|store| {
            store.sync()?;
            // From here on nothing can be lost by the machine going down.
            if !self.has_unresolved_recovery.load(Ordering::Acquire) {
                store.state.remove(recovery::DIRTY_BOOT_ID)?;
            }
            store.sync()
        });
        if let Err(error) = closed {
            tracing::warn!(%error, "the end of the log may not be on the disk yet");
        }
        self.files.close();
        self.wake();
    }
}

#[cfg(test)]
mod tests;
