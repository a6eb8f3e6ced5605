//! [`Position`] and [`Watermark`]: places in a partition of the log. [`Acked`]: a
//! secondary's.

use super::super::QueueError;

/// The position of an operation in one partition of the log: its number there.
/// Later positions are greater. Fits in 63 bits.
///
/// A log that has lost its end assigns the same positions again, in another
/// [`Epoch`](crate::sync_queue::Epoch).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
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

/// How far one secondary has come in a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::sync_queue) struct Acked {
    /// Where it reads on.
    pub(in crate::sync_queue) watermark: Watermark,
    /// The position that it has confirmed: that of the watermark, or an earlier
    /// one if its backlog was evicted since.
    pub(in crate::sync_queue) confirmed: Position,
}

impl Acked {
    /// Everything up to there was confirmed.
    pub(in crate::sync_queue) const fn at(watermark: Watermark) -> Self {
        Self {
            watermark,
            confirmed: watermark.position,
        }
    }

    /// The watermark; after it the confirmed position, if that is an earlier one.
    pub(in crate::sync_queue) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.watermark.to_bytes().to_vec();
        if self.confirmed != self.watermark.position {
            bytes.extend(self.confirmed.0.to_be_bytes());
        }
        bytes
    }

    pub(in crate::sync_queue) fn from_bytes(bytes: &[u8]) -> Result<Self, QueueError> {
        let watermark = Watermark::from_bytes(bytes)?;
        let confirmed = match bytes.get(24..) {
            None | Some([]) => watermark.position,
            Some(rest) => rest
                .try_into()
                .map(|bytes| Position(u64::from_be_bytes(bytes)))
                .map_err(|_| QueueError::Corrupt("a watermark is truncated"))?,
        };
        Ok(Self {
            watermark,
            confirmed,
        })
    }
}
