//! [`Partition`]: where one partition of the log ends, and each secondary's
//! watermark in it.

use super::watermark::{Acked, Position, Watermark};

/// The watermarks of one partition. Its entries are in the store.
#[derive(Clone, Debug, Default)]
pub(in crate::sync_queue) struct Partition {
    end: Watermark,
    /// By the secondary's index in the configuration.
    acked: Vec<Acked>,
    /// Up to here no entry is left in the store.
    truncated_to: Position,
}

impl Partition {
    /// A partition as the store has it.
    pub(super) fn recovered(end: Watermark, acked: Vec<Acked>) -> Self {
        Self {
            end,
            acked,
            truncated_to: Position::default(),
        }
    }

    /// Everything that was ever appended.
    pub(in crate::sync_queue) fn end(&self) -> Watermark {
        self.end
    }

    pub(super) fn set_end(&mut self, end: Watermark) {
        self.end = end;
    }

    /// Has no position up to there be assigned again.
    pub(super) fn raise_end(&mut self, position: Position) {
        self.end.position = self.end.position.max(position);
    }

    /// How far a secondary has come.
    pub(super) fn acked(&self, secondary: usize) -> Acked {
        let at_end = || Acked::at(self.end);
        self.acked.get(secondary).copied().unwrap_or_else(at_end)
    }

    pub(super) fn set_acked(&mut self, secondary: usize, at: Acked) {
        if let Some(acked) = self.acked.get_mut(secondary) {
            *acked = at;
        }
    }

    fn watermarks(&self) -> impl Iterator<Item = Watermark> {
        self.acked.iter().map(|acked| acked.watermark)
    }

    /// Its entries are lost: every backlog counts as passed, while secondaries
    /// stay at the positions that they have reached.
    pub(super) fn reset_to_end(&mut self) {
        for acked in &mut self.acked {
            acked.watermark = Watermark {
                position: acked.watermark.position,
                ..self.end
            };
        }
    }

    /// A partition that was recovered when the log was reopened, as it continues
    /// what was known of it `before`: no position is assigned again. A log that
    /// has replaced it goes on where it ended.
    pub(super) fn continuing(mut self, before: &Self, replaced: bool) -> Self {
        if replaced {
            self.acked.clone_from(&before.acked);
            self.end = Watermark {
                position: self.end.position,
                ..before.end
            };
        }
        self.raise_end(before.end.position);
        self
    }

    /// Up to where no entry is left in the store.
    pub(super) fn truncated_to(&self) -> Position {
        self.truncated_to
    }

    pub(super) fn set_truncated_to(&mut self, truncated_to: Position) {
        self.truncated_to = truncated_to;
    }

    /// Operations and bytes that a secondary has yet to pass.
    pub(super) fn backlog(&self, secondary: usize) -> (u64, u64) {
        let acked = self.acked(secondary).watermark;
        (
            self.end.operations - acked.operations,
            self.end.bytes - acked.bytes,
        )
    }

    /// Everything that all secondaries have.
    pub(super) fn slowest(&self) -> Watermark {
        self.watermarks()
            .min_by_key(|acked| acked.position)
            .unwrap_or(self.end)
    }

    /// The same, if one of them had come to `watermark`.
    pub(super) fn slowest_if(&self, secondary: usize, watermark: Watermark) -> Watermark {
        self.watermarks()
            .enumerate()
            .map(|(at, acked)| if at == secondary { watermark } else { acked })
            .min_by_key(|acked| acked.position)
            .unwrap_or(self.end)
    }

    /// Bytes that the log holds for the slowest secondary.
    pub(super) fn held_bytes(&self) -> u64 {
        self.end.bytes - self.slowest().bytes
    }
}
