//! One partition of the log: where it ends, and how far each secondary is.

use super::{
    PARTITIONS, QueueError, refresh_horizon, rejected, resync,
    store::{Store, acked_key, log_key, position_of},
    watermark::{Position, Watermark},
};
use fjall::OwnedWriteBatch as WriteBatch;

/// The ends of one partition. What lies between them is in the store.
#[derive(Clone, Debug, Default)]
pub(super) struct Partition {
    tail: Watermark,
    /// The end that was recovered_end when the log was opened.
    recovered_end: Position,
    /// Where this run's positions begin, behind all former ones.
    session_start: Position,
    /// By the secondary's place in the configuration.
    acked: Vec<Watermark>,
    /// Up to here no entry is left in the store.
    truncated_to: Position,
}

impl Partition {
    /// Everything that was ever appended.
    pub(super) fn tail(&self) -> Watermark {
        self.tail
    }

    pub(super) fn set_tail(&mut self, tail: Watermark) {
        self.tail = tail;
    }

    /// Was `position` handed out, but not by what is known of this log? Then
    /// the log has lost its end, or was put back to an older state. Where this
    /// session_start begins nothing was handed out: who is let go is put there.
    pub(super) fn has_lost(&self, position: Position) -> bool {
        let of_a_former_run = position > self.recovered_end && position < self.session_start;
        of_a_former_run || position > self.tail.position
    }

    pub(super) fn raise_tail(&mut self, position: Position) {
        self.tail.position = self.tail.position.max(position);
    }

    /// Everything that a secondary has.
    pub(super) fn acked(&self, secondary: usize) -> Watermark {
        self.acked.get(secondary).copied().unwrap_or(self.tail)
    }

    pub(super) fn set_acked(&mut self, secondary: usize, watermark: Watermark) {
        if let Some(acked) = self.acked.get_mut(secondary) {
            *acked = watermark;
        }
    }

    /// Its entries are gone: what secondaries had yet to see counts as seen,
    /// while they stay at the positions that they have reached.
    pub(super) fn reset_to_tail(&mut self) {
        for acked in &mut self.acked {
            *acked = Watermark {
                position: acked.position,
                ..self.tail
            };
        }
    }

    /// What was recovered_end when the log was opened again, seen from what was known
    /// of it before: no position is handed out again. A log that took its place
    /// goes on where it ended.
    pub(super) fn after(mut self, before: &Self, replaced: bool) -> Self {
        if replaced {
            self.acked.clone_from(&before.acked);
            self.tail = Watermark {
                position: self.tail.position,
                ..before.tail
            };
        }
        self.raise_tail(before.tail.position);
        (self.recovered_end, self.session_start) = (before.recovered_end, before.session_start);
        self
    }

    /// Up to where no entry is left in the store.
    pub(super) fn truncated_to(&self) -> Position {
        self.truncated_to
    }

    pub(super) fn set_truncated_to(&mut self, truncated_to: Position) {
        self.truncated_to = truncated_to;
    }

    /// Operations and bytes that a secondary has not.
    pub(super) fn behind(&self, secondary: usize) -> (u64, u64) {
        let acked = self.acked(secondary);
        (
            self.tail.operations - acked.operations,
            self.tail.bytes - acked.bytes,
        )
    }

    /// Everything that all secondaries have.
    pub(super) fn slowest(&self) -> Watermark {
        self.acked
            .iter()
            .copied()
            .min_by_key(|acked| acked.position)
            .unwrap_or(self.tail)
    }

    /// The same, if one of them had come to `watermark`.
    pub(super) fn slowest_if(&self, secondary: usize, watermark: Watermark) -> Watermark {
        self.acked
            .iter()
            .enumerate()
            .map(|(at, acked)| if at == secondary { watermark } else { *acked })
            .min_by_key(|acked| acked.position)
            .unwrap_or(self.tail)
    }

    /// Bytes that the log holds for the slowest secondary.
    pub(super) fn held_bytes(&self) -> u64 {
        self.tail.bytes - self.slowest().bytes
    }
}

/// Loads all partitions. A secondary that is new begins at the end: what came
/// before it is filled in by its initial sync.
pub(super) fn load(store: &Store, secondaries: &[String]) -> Result<Vec<Partition>, QueueError> {
    // All at once: this is the part of a start that grows with the secondaries.
    let mut batch = store.database.batch();
    remove_unconfigured(store, &mut batch, secondaries)?;
    resync::remove_unconfigured(store, &mut batch, secondaries)?;
    rejected::remove_unconfigured(store, &mut batch, secondaries)?;
    let partitions = (0..PARTITIONS)
        .map(|partition| load_one(store, &mut batch, partition, secondaries))
        .collect::<Result<_, QueueError>>()?;
    batch.commit()?;
    Ok(partitions)
}

fn load_one(
    store: &Store,
    batch: &mut WriteBatch,
    partition: u16,
    secondaries: &[String],
) -> Result<Partition, QueueError> {
    let known: Vec<Option<Watermark>> = secondaries
        .iter()
        .map(|secondary| {
            let stored = store.state.get(acked_key(secondary, partition))?;
            stored
                .map(|bytes| Watermark::from_bytes(&bytes))
                .transpose()
        })
        .collect::<Result<_, QueueError>>()?;
    let last = last_entry(store, partition)?;
    // Without an entry the furthest watermark is the end.
    let mut tail = known
        .iter()
        .flatten()
        .copied()
        .chain(last)
        .max_by_key(|watermark| watermark.position)
        .unwrap_or_default();
    let new = secondaries.iter().zip(&known);
    for (secondary, _) in new.filter(|(_, known)| known.is_none()) {
        let key = acked_key(secondary, partition);
        batch.insert(&store.state, key, tail.to_bytes());
    }
    let acked = known
        .into_iter()
        .map(|watermark| watermark.unwrap_or(tail))
        .collect();
    let recovered_end = tail.position;
    tail.position = recovered_end.max(Position::first_of_now());
    Ok(Partition {
        recovered_end,
        session_start: tail.position,
        tail,
        acked,
        truncated_to: Position::default(),
    })
}

/// Stores how far each secondary is.
pub(super) fn save(
    store: &Store,
    secondaries: &[String],
    partitions: &[Partition],
) -> Result<(), QueueError> {
    let mut batch = store.database.batch();
    for (partition, ends) in (0u16..).zip(partitions) {
        for (secondary, acked) in secondaries.iter().zip(&ends.acked) {
            let key = acked_key(secondary, partition);
            batch.insert(&store.state, key, acked.to_bytes());
        }
    }
    Ok(batch.commit()?)
}

fn last_entry(store: &Store, partition: u16) -> Result<Option<Watermark>, QueueError> {
    let range = log_key(partition, Position(0))..=log_key(partition, Position(u64::MAX));
    let Some(last) = store.log.range(range).next_back() else {
        return Ok(None);
    };
    let (key, value) = last.into_inner()?;
    let mut bytes = position_of(&key)?.0.to_be_bytes().to_vec();
    bytes.extend_from_slice(
        value
            .get(..16)
            .ok_or(QueueError::Damaged("an entry is cut short"))?,
    );
    Watermark::from_bytes(&bytes).map(Some)
}

/// Removes what is known of secondaries that are no longer configured.
fn remove_unconfigured(
    store: &Store,
    batch: &mut WriteBatch,
    secondaries: &[String],
) -> Result<(), QueueError> {
    for prefix in ["acked/", refresh_horizon::PREFIX] {
        for entry in store.state.prefix(prefix) {
            let key = entry.key()?;
            let kept = std::str::from_utf8(&key)
                .ok()
                .and_then(|key| key.strip_prefix(prefix)?.rsplit_once('/'))
                .is_some_and(|(name, _)| secondaries.iter().any(|secondary| secondary == name));
            if !kept {
                batch.remove(&store.state, key);
            }
        }
    }
    Ok(())
}
