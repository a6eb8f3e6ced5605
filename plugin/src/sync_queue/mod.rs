//! [`SyncQueue`]: the durable log of what has yet to reach the secondaries.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`store`] | the files: keyspaces and their keys |
//! | [`wire`] | how an operation is written |
//! | [`watermark`] | positions, and how far somebody has come |
//! | [`reached`] | how much must be in them |
//! | [`opening`] | opening them, also when they are damaged, and again when they fail |
//! | [`dirty_flag`] | a trace outside of them that they miss something |
//! | [`append`] | adding to it, and what happens when it is full |
//! | [`partition`] | one partition: its end, and each secondary's watermark |
//! | [`intents`] | writes under way, so that a killed process leaves a trace |
//! | [`refused`] | operations that wait for their retry, and dead letters |
//! | [`resync`] | tables that have to be walked |
//!
//! The log is split into [`PARTITIONS`] by the order key of an operation. All
//! secondaries read the same log, each with a watermark of its own in every
//! partition; an entry is removed when the last of them has passed it.

mod append;
mod boot;
mod dirty_flag;
mod intents;
mod opening;
mod partition;
mod reached;
mod refused;
mod resync;
mod store;
mod watermark;
mod wire;

pub use dirty_flag::{DirtyFlag, NoFlag};
pub use intents::Intent;
pub use refused::{DeadLetter, Retry};
pub use resync::{EVERY_TABLE, ResyncMark};
pub use watermark::{Position, Watermark};
pub use wire::WireError;

use crate::{
    dedup::Key,
    durable::{self, Durable, Failure, Severity, Trouble},
    sync_types::SyncOperation,
};
use parking_lot::Mutex;
use partition::Partition;
use plugin_api::value::Timestamp;
use std::{
    collections::BTreeMap,
    hash::Hasher,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use store::{Store, acked_key, log_key};
use tokio::sync::Notify;

/// How many partitions the log has. The number is part of what is stored here
/// and on the secondaries.
pub const PARTITIONS: u16 = 16;

/// Bytes of operations that one read returns at most.
const READ_BYTES: u64 = 8 << 20;

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

impl Failure for QueueError {
    fn severity(&self) -> Option<Severity> {
        match self {
            Self::Storage(error) => durable::severity(error),
            Self::Directory { .. } => Some(Severity::Hindered),
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
}

/// The durable, partitioned log. All methods may be called from any thread.
pub struct SyncQueue {
    /// Known once the log was open.
    id: OnceLock<String>,
    config: QueueConfig,
    files: Durable<Store>,
    partitions: Vec<Mutex<Partition>>,
    secondaries: Vec<String>,
    /// Bytes between the slowest secondary's watermarks and the log's end.
    held: AtomicU64,
    unsynced: AtomicBool,
    /// False while no secondary has refused anything: then nobody has to look.
    refused_somewhere: AtomicBool,
    next_intent: AtomicU64,
    /// Told about every append, and whatever else workers wait for.
    changed: Arc<Notify>,
    /// What had to be marked for resync while nothing could be written. Locked
    /// for every change of a mark.
    unwritten_marks: Mutex<BTreeMap<(String, String), ResyncMark>>,
    dirty_flag: dirty_flag::Known,
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
    /// among them had not yet applied is let go.
    ///
    /// A log that is damaged is set aside under another name and a new one
    /// begun, with every table marked for resync. One that cannot be opened now
    /// is unavailable until [`SyncQueue::mend`] has opened it.
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
            partitions: opening::no_partitions(),
            config,
            files: Durable::unopened(),
            secondaries: secondaries.to_vec(),
            held: AtomicU64::new(0),
            unsynced: AtomicBool::new(false),
            next_intent: AtomicU64::new(1),
            changed: Arc::new(Notify::new()),
            refused_somewhere: AtomicBool::new(false),
            unwritten_marks: Mutex::default(),
            dirty_flag: dirty_flag::Known::new(dirty_flag),
        };
        if queue.dirty_flag.was_set() {
            queue.mark_everything("the log could not take what was written before the last end");
        }
        match queue.mend() {
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
    pub fn trouble(&self) -> Option<Trouble> {
        self.files.trouble()
    }

    /// Can the log be used, as far as anybody knows?
    pub fn is_available(&self) -> bool {
        self.files.works()
    }

    /// The secondaries that read this log.
    pub fn secondaries(&self) -> &[String] {
        &self.secondaries
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

    /// How many operations wait for a secondary.
    pub fn backlog_operations(&self, secondary: &str) -> u64 {
        self.backlog_sums(secondary).operations
    }

    fn backlog_sums(&self, secondary: &str) -> Backlog {
        let Some(index) = self.index(secondary) else {
            return Backlog::default();
        };
        let mut sum = Backlog::default();
        for partition in &self.partitions {
            let (operations, bytes) = partition.lock().behind(index);
            sum.operations += operations;
            sum.bytes += bytes;
        }
        sum
    }

    /// What waits for a secondary.
    pub fn backlog(&self, secondary: &str) -> Backlog {
        let oldest = (0..PARTITIONS)
            .filter(|&partition| self.has_backlog(secondary, partition))
            .filter_map(|partition| self.read(secondary, partition, 1).ok())
            .filter_map(|batch| Some(batch.operations.first()?.1.timestamp))
            .min();
        Backlog {
            oldest,
            ..self.backlog_sums(secondary)
        }
    }

    /// Is there anything in the partition that the secondary has not passed?
    pub fn has_backlog(&self, secondary: &str, partition: u16) -> bool {
        self.index(secondary).is_some_and(|index| {
            self.partitions[usize::from(partition)]
                .lock()
                .behind(index)
                .0
                > 0
        })
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

    /// The next operations of a partition for a secondary, in order, at most
    /// `limit` of them.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn read(&self, secondary: &str, partition: u16, limit: usize) -> Result<Batch, QueueError> {
        let Some(index) = self.index(secondary) else {
            return Err(QueueError::Damaged("an unknown secondary reads the log"));
        };
        let (from, tail) = {
            let partition = self.partitions[usize::from(partition)].lock();
            (partition.acked(index), partition.tail())
        };
        let mut batch = Batch {
            operations: Vec::new(),
            begin: from,
            end: from,
        };
        if from.position >= tail.position {
            return Ok(batch);
        }
        self.with_store(|store| {
            let range =
                log_key(partition, from.position.next())..=log_key(partition, tail.position);
            for entry in store.log.range(range) {
                let (key, value) = entry.into_inner()?;
                let position = store::position_of(&key)?;
                let (totals, bytes) = value
                    .split_at_checked(16)
                    .ok_or(QueueError::Damaged("an entry is cut short"))?;
                let mut watermark = position.0.to_be_bytes().to_vec();
                watermark.extend_from_slice(totals);
                let end = Watermark::from_bytes(&watermark)?;
                if end.operations != batch.end.operations + 1 {
                    return self.missing(index, partition, from);
                }
                let mut operation = wire::decode(bytes)?;
                batch.end = end;
                if operation.is_for(secondary) {
                    operation.id = format!("{}-{partition}-{}", self.id(), position.0);
                    batch.operations.push((batch.end, operation));
                }
                let read = batch.end.bytes - from.bytes;
                if batch.operations.len() >= limit || read >= READ_BYTES {
                    return Ok(());
                }
            }
            if batch.end.operations != tail.operations {
                return self.missing(index, partition, from);
            }
            // A partition whose end was let go has a tail without an entry.
            batch.end = tail;
            Ok(())
        })?;
        Ok(batch)
    }

    /// Entries behind `from` are not there. Somebody else may have moved the
    /// reader on meanwhile, and removed them; otherwise they are lost.
    fn missing(&self, index: usize, partition: u16, from: Watermark) -> Result<(), QueueError> {
        match self.partitions[usize::from(partition)].lock().acked(index) == from {
            true => Err(QueueError::Damaged("entries of it are missing")),
            false => Ok(()),
        }
    }

    /// Notes that a secondary has everything of a partition up to `end`, and
    /// removes what no secondary needs any more.
    ///
    /// # Errors
    /// If the log cannot be written; the secondary then sees the operations
    /// again, which changes nothing there.
    pub fn ack(&self, secondary: &str, partition: u16, end: Watermark) -> Result<(), QueueError> {
        let Some(index) = self.index(secondary) else {
            return Ok(());
        };
        self.with_store(|store| {
            let mut guard = self.partitions[usize::from(partition)].lock();
            if end.position <= guard.acked(index).position {
                return Ok(());
            }
            let end = end.counted_from(guard.acked(index));
            let before = guard.slowest();
            let after = guard.slowest_if(index, end);
            let mut batch = store.database.batch();
            batch.insert(
                &store.state,
                acked_key(secondary, partition),
                end.to_bytes(),
            );
            if after.position > before.position {
                let range =
                    log_key(partition, before.position.next())..=log_key(partition, after.position);
                for entry in store.log.range(range) {
                    batch.remove(&store.log, entry.key()?);
                }
            }
            batch.commit()?;
            guard.set_acked(index, end);
            self.held
                .fetch_sub(after.bytes - before.bytes, Ordering::Relaxed);
            Ok(())
        })
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
            store.state.remove(opening::OPEN_SINCE)?;
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
