//! The partitions as they are stored.

use super::{
    super::store::WriteBatch, ACKED_PREFIX, Acked, OperationLog, PARTITIONS, Partition, Position,
    QueueError, Store, Watermark, acked_key, entry_key, position_of, refresh_horizon,
};

impl OperationLog {
    /// Loads all partitions. A new secondary begins at the end: its initial sync
    /// covers what came before.
    pub(in crate::sync_queue) fn load(
        batch: &mut WriteBatch<'_>,
        secondaries: &[String],
    ) -> Result<Vec<Partition>, QueueError> {
        (0..PARTITIONS)
            .map(|partition| load_one(batch, partition, secondaries))
            .collect()
    }

    /// Stores each secondary's watermarks.
    pub(in crate::sync_queue) fn save(
        store: &Store,
        secondaries: &[String],
        partitions: &[Partition],
    ) -> Result<(), QueueError> {
        let mut batch = WriteBatch::new(store);
        for (partition, recovered) in (0u16..).zip(partitions) {
            for (index, secondary) in secondaries.iter().enumerate() {
                let acked = recovered.acked(index);
                batch.insert_state(acked_key(secondary, partition), acked.to_bytes());
            }
        }
        batch.commit()
    }

    /// Removes the watermarks of secondaries that are no longer configured.
    pub(in crate::sync_queue) fn remove_unconfigured(
        batch: &mut WriteBatch<'_>,
        secondaries: &[String],
    ) -> Result<(), QueueError> {
        for prefix in [ACKED_PREFIX, refresh_horizon::PREFIX] {
            batch.retain_state(prefix, |key| {
                std::str::from_utf8(key)
                    .ok()
                    .and_then(|key| key.strip_prefix(prefix)?.rsplit_once('/'))
                    .is_some_and(|(name, _)| secondaries.iter().any(|secondary| secondary == name))
            })?;
        }
        Ok(())
    }
}

fn load_one(
    batch: &mut WriteBatch<'_>,
    partition: u16,
    secondaries: &[String],
) -> Result<Partition, QueueError> {
    let stored: Vec<Option<Acked>> = secondaries
        .iter()
        .map(|secondary| {
            let stored = batch.store.state.get(acked_key(secondary, partition))?;
            stored.map(|bytes| Acked::from_bytes(&bytes)).transpose()
        })
        .collect::<Result<_, QueueError>>()?;
    let last = last_entry(batch.store, partition)?;
    // Without an entry the furthest watermark is the end.
    let end = stored
        .iter()
        .flatten()
        .map(|acked| acked.watermark)
        .chain(last)
        .max_by_key(|watermark| watermark.position)
        .unwrap_or_default();
    let new = secondaries.iter().zip(&stored);
    for (secondary, _) in new.filter(|(_, stored)| stored.is_none()) {
        batch.insert_state(acked_key(secondary, partition), end.to_bytes());
    }
    let acked = stored
        .into_iter()
        .map(|acked| acked.unwrap_or(Acked::at(end)))
        .collect();
    Ok(Partition::recovered(end, acked))
}

fn last_entry(store: &Store, partition: u16) -> Result<Option<Watermark>, QueueError> {
    let range = entry_key(partition, Position(0))..=entry_key(partition, Position(u64::MAX));
    let Some(last) = store.log.range(range).next_back() else {
        return Ok(None);
    };
    let (key, value) = last.into_inner()?;
    let mut bytes = position_of(&key)?.0.to_be_bytes().to_vec();
    bytes.extend_from_slice(
        value
            .get(..16)
            .ok_or(QueueError::Corrupt("a log entry is truncated"))?,
    );
    Watermark::from_bytes(&bytes).map(Some)
}
