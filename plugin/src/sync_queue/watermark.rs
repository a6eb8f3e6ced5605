//! Positions in a partition of the log, and how far somebody has come in it.

use super::QueueError;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bits of a position below the time at which the log was opened.
const SEQUENCE_BITS: u32 = 31;

/// A place in one partition of the log. Later places are greater, and no place
/// is ever used twice.
///
/// The high bits start at the second in which the log was opened, the low bits
/// count. So a log that lost its end to a power cut, or was restored from a
/// backup, goes on behind every place that it may have handed out before; a
/// secondary that has applied one of those does not take a new operation for
/// an old one. Fits in 63 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The first place of a log that is opened now.
    pub(super) fn first_of_now() -> Self {
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Self(seconds << SEQUENCE_BITS)
    }

    /// The next place.
    pub(super) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// How far somebody has come in a partition: everything up to `position`. The
/// totals count from the partition's beginning, so the difference of two
/// watermarks is what lies between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// The last place included.
    pub position: Position,
    /// Operations up to there, ever.
    pub operations: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Watermark {
    /// The watermark with one more operation of so many bytes.
    pub(super) const fn advanced(self, position: Position, bytes: u64) -> Self {
        Self {
            position,
            operations: self.operations + 1,
            bytes: self.bytes + bytes,
        }
    }

    /// The same place with totals no smaller than these: an entry of a log that
    /// another one has replaced counted less.
    pub(super) fn counted_from(self, least: Self) -> Self {
        Self {
            position: self.position,
            operations: self.operations.max(least.operations),
            bytes: self.bytes.max(least.bytes),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.position.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.operations.to_be_bytes());
        bytes[16..].copy_from_slice(&self.bytes.to_be_bytes());
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, QueueError> {
        let number = |at: usize| {
            bytes
                .get(at..at + 8)
                .and_then(|bytes| bytes.try_into().ok())
                .map(u64::from_be_bytes)
                .ok_or(QueueError::Damaged("a watermark is cut short"))
        };
        Ok(Self {
            position: Position(number(0)?),
            operations: number(8)?,
            bytes: number(16)?,
        })
    }
}
