//! [`Epochs`]: the log's epochs, the fencing tokens by which secondaries and the
//! primary tell it from a copy.
//!
//! Each opening of the log draws an [`Epoch`]. A session claims the positions on
//! its secondary for it, and from then on the secondary accepts no batch of
//! another one. An epoch that is found there, or in the primary, and that is not
//! among those that the log has recorded, is that of a copy of the log, or of a
//! later state of it.
//!
//! With each epoch the log records where its partitions ended when it was drawn.
//! A position beyond that, of an earlier epoch, is one that the log has lost.

use super::{
    PARTITIONS, Position, QueueError,
    store::{Store, WriteBatch},
};
use parking_lot::Mutex;

/// Where the epochs are stored: the latest last.
const KEY: &str = "epochs";

/// How many epochs are kept. A secondary that was away for longer counts as
/// claimed by another log, and is resynced.
const KEPT: usize = 256;

/// Bytes of a stored epoch: itself, and an end for each partition.
const BYTES: usize = 8 + 8 * PARTITIONS as usize;

/// A fencing token: a random number that stands for one opening of a log. Fits in
/// 63 bits, and is not 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    pub(super) fn draw() -> Self {
        Self(fastrand::u64(1..=i64::MAX.unsigned_abs()))
    }

    /// The epoch as databases keep it.
    pub fn to_int(self) -> i64 {
        self.0.cast_signed()
    }

    /// The epoch that a database keeps as this number; `None` for 0 and below.
    pub fn from_int(number: i64) -> Option<Self> {
        u64::try_from(number)
            .ok()
            .filter(|number| *number > 0)
            .map(Self)
    }
}

/// An epoch, and where each partition ended when it was drawn.
#[derive(Clone, Debug)]
struct Begun {
    epoch: Epoch,
    ends: Vec<Position>,
}

/// The log's epochs.
pub(super) struct Epochs {
    current: Epoch,
    /// In the order in which they were drawn.
    begun: Mutex<Vec<Begun>>,
}

impl Epochs {
    /// With a new one, which [`Epochs::load_and_begin`] has yet to record.
    pub(super) fn new() -> Self {
        Self {
            current: Epoch::draw(),
            begun: Mutex::default(),
        }
    }

    /// The epoch of this opening.
    pub(super) fn current(&self) -> Epoch {
        self.current
    }

    /// True if the log has had this epoch, as far as the store says.
    pub(super) fn is_recorded(store: &Store, epoch: Epoch) -> Result<bool, QueueError> {
        Ok(load(store)?.iter().any(|begun| begun.epoch == epoch))
    }

    /// Loads the epochs of a store that this process has not used before, and adds
    /// the current one.
    pub(super) fn load_and_begin(
        &self,
        batch: &mut WriteBatch<'_>,
        ends: Vec<Position>,
    ) -> Result<(), QueueError> {
        let mut known = self.begun.lock();
        *known = load(batch.store)?;
        let epoch = self.current;
        known.push(Begun { epoch, ends });
        store(batch, &known);
        Ok(())
    }

    /// Adds those in memory to a store that is opened again; it may have replaced a
    /// corrupt one.
    pub(super) fn save(&self, batch: &mut WriteBatch<'_>) {
        store(batch, &self.begun.lock());
    }

    /// Adds an epoch that follows the current one.
    pub(super) fn add(&self, batch: &mut WriteBatch<'_>, epoch: Epoch, ends: Vec<Position>) {
        let mut known = self.begun.lock();
        known.push(Begun { epoch, ends });
        store(batch, &known);
    }

    /// Up to where the log still has what it assigned in an epoch, by partition.
    /// `None` if the epoch is not one of the log's. Positions without an epoch are
    /// those of a version that did not know them, so they are older than all.
    pub(super) fn kept_of(&self, epoch: Option<Epoch>) -> Option<Vec<Position>> {
        let known = self.begun.lock();
        let later = match epoch {
            None => 0,
            Some(epoch) => 1 + known.iter().rposition(|begun| begun.epoch == epoch)?,
        };
        let mut kept = vec![Position(u64::MAX); usize::from(PARTITIONS)];
        for begun in &known[later..] {
            for (kept, end) in kept.iter_mut().zip(&begun.ends) {
                *kept = (*kept).min(*end);
            }
        }
        Some(kept)
    }
}

fn load(store: &Store) -> Result<Vec<Begun>, QueueError> {
    const TRUNCATED: QueueError = QueueError::Corrupt("the log's epochs are truncated");
    let Some(bytes) = store.state.get(KEY)? else {
        return Ok(Vec::new());
    };
    if !bytes.len().is_multiple_of(BYTES) {
        return Err(TRUNCATED);
    }
    let begun = bytes.chunks_exact(BYTES).map(|record| {
        let mut numbers = record
            .chunks_exact(8)
            .filter_map(|number| number.try_into().ok())
            .map(u64::from_be_bytes);
        Some(Begun {
            epoch: Epoch(numbers.next()?),
            ends: numbers.map(Position).collect(),
        })
    });
    begun.collect::<Option<_>>().ok_or(TRUNCATED)
}

fn store(batch: &mut WriteBatch<'_>, known: &[Begun]) {
    let mut bytes = Vec::with_capacity(BYTES * KEPT);
    for begun in &known[known.len().saturating_sub(KEPT)..] {
        bytes.extend(begun.epoch.0.to_be_bytes());
        for end in &begun.ends {
            bytes.extend(end.0.to_be_bytes());
        }
    }
    batch.insert_state(KEY, bytes);
}
