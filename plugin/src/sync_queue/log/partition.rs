//! [`Partition`]: where one partition of the log ends, and each secondary's
//! watermark in it.

use super::watermark::{Acked, Position, Watermark};

/// The watermarks of one partition. Its entries are in the store.
#[derive(Clone, Debug, Default)]
pub(in crate::sync_queue) struct Partition {
    end: Watermark,
    /// The same with the entries that are committed and not on the disk yet, where
    /// a write waits for the disk.
    assigned: Watermark,
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
            assigned: end,
            acked,
            truncated_to: Position::default(),
        }
    }

    /// Everything that was ever appended, and is as durable as it has to be.
    pub(in crate::sync_queue) fn end(&self) -> Watermark {
        self.end
    }

    /// Where the next entry goes.
    pub(super) fn assigned(&self) -> Watermark {
        self.assigned
    }

    /// Entries up to here are committed.
    pub(super) fn assign(&mut self, assigned: Watermark) {
        self.assigned = assigned;
    }

    /// Entries up to here are durable, and with them all before: readers get them
    /// from now on.
    pub(super) fn publish(&mut self, end: Watermark) {
        if end.position > self.end.position {
            self.end = end;
        }
        self.end_without_entries();
    }

    /// If no entry is on its way to the disk, the end is where the next one goes.
    fn end_without_entries(&mut self) {
        if self.end.operations == self.assigned.operations {
            self.end = self.assigned;
        }
    }

    /// Has no position up to there be assigned again.
    pub(super) fn raise_end(&mut self, position: Position) {
        self.assigned.position = self.assigned.position.max(position);
        self.end_without_entries();
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
            self.assigned = self.end;
        }
        self.raise_end(before.assigned.position);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_that_is_raised_while_entries_are_on_their_way_loses_none_of_them() {
        let mut partition = Partition::recovered(Watermark::default(), Vec::new());
        let first = partition.assigned();
        let second = first.advanced(first.position.next(), 10);
        partition.assign(second);
        let third = second.advanced(second.position.next(), 5);
        partition.assign(third);
        assert_eq!(partition.end(), first, "nothing is durable");

        let raised = Position(third.position.0 + 100);
        partition.raise_end(raised);
        assert_eq!(partition.end(), first);
        // The later one is durable, and with it the one before.
        partition.publish(third);
        let expected = Watermark {
            position: raised,
            ..third
        };
        assert_eq!(partition.end(), expected);
        partition.publish(second);
        assert_eq!(partition.end(), expected);
        assert_eq!(partition.assigned(), expected);
    }
}
