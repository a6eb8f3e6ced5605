//! [`Position`] and [`Watermark`]: places in a partition of the log.

use super::super::QueueError;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bits of a position below the time at which the log was opened.
const SEQUENCE_BITS: u32 = 31;

/// The position of an operation in one partition of the log. Later positions are
/// greater, and no position is ever used twice.
///
/// The high bits start at the second in which the log was opened, the low bits
/// count. So a log that lost its tail to a power cut, or was restored from a
/// backup, continues after every position that it may have assigned before; a
/// secondary that has applied one of those does not mistake a new operation for
/// an old one. Fits in 63 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The first position of a log that is opened now.
    pub(in crate::sync_queue) fn first_of_now() -> Self {
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Self(seconds << SEQUENCE_BITS)
    }

    /// The next position.
    pub(in crate::sync_queue) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// How far a reader has come in a partition: everything up to `position`. The
/// totals count from the partition's beginning, so the difference of two
/// watermarks is what lies between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    /// The last position included.
    pub position: Position,
    /// Operations up to there, ever.
    pub operations: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Watermark {
    /// The watermark with one more operation of so many bytes.
    pub(in crate::sync_queue) const fn advanced(self, position: Position, bytes: u64) -> Self {
        Self {
            position,
            operations: self.operations + 1,
            bytes: self.bytes + bytes,
        }
    }

    /// The same position with totals no smaller than these: entries of a log that
    /// was replaced by another one had smaller totals.
    pub(in crate::sync_queue) fn counted_from(self, least: Self) -> Self {
        Self {
            position: self.position,
            operations: self.operations.max(least.operations),
            bytes: self.bytes.max(least.bytes),
        }
    }

    pub(in crate::sync_queue) fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.position.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.operations.to_be_bytes());
        bytes[16..].copy_from_slice(&self.bytes.to_be_bytes());
        bytes
    }

    pub(in crate::sync_queue) fn from_bytes(bytes: &[u8]) -> Result<Self, QueueError> {
        let number = |at: usize| {
            bytes
                .get(at..at + 8)
                .and_then(|bytes| bytes.try_into().ok())
                .map(u64::from_be_bytes)
                .ok_or(QueueError::Corrupt("a watermark is truncated"))
        };
        Ok(Self {
            position: Position(number(0)?),
            operations: number(8)?,
            bytes: number(16)?,
        })
    }
}
