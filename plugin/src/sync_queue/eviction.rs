//! Appending when the log is full: the secondary that is furthest behind is
//! evicted.
//!
//! Its backlog is dropped, and a resync of every table is scheduled instead, so
//! that one secondary that is down for long cannot stop the others.

use super::{EVERY_TABLE, QueueError, SyncQueue, log::Entries, store::WriteBatch};
use crate::sync_types::SyncOperation;
use std::time::Instant;

impl SyncQueue {
    /// Appends operations, together with what `add_writes` adds to the batch.
    pub(super) fn append_with(
        &self,
        operations: &[SyncOperation],
        add_writes: impl FnOnce(&mut WriteBatch<'_>),
    ) -> Result<(), QueueError> {
        let began = Instant::now();
        let entries = Entries::of(operations)?;
        let bytes = entries.bytes;
        self.make_room(bytes)?;
        let partitions = entries.partitions();
        self.log.append(entries, |batch| {
            self.page_watches.note(operations);
            add_writes(batch);
        })?;
        self.wakeups.appended(&partitions);
        if !operations.is_empty() {
            let metrics = &self.metrics;
            metrics
                .append_seconds
                .observe(began.elapsed().as_secs_f64());
            metrics.appended.inc_by(operations.len() as u64);
            metrics.appended_bytes.inc_by(bytes);
        }
        Ok(())
    }

    /// Evicts the secondaries that are furthest behind until `wanted` bytes fit.
    fn make_room(&self, wanted: u64) -> Result<(), QueueError> {
        while self.log.held_bytes() + wanted > self.config.max_bytes {
            let full = || QueueError::Full {
                held: self.log.held_bytes(),
                wanted,
            };
            let (backlog, furthest) = self
                .secondaries
                .iter()
                .map(|name| (self.log.backlog_size(name).bytes, name))
                .max()
                .ok_or_else(full)?;
            if backlog == 0 || wanted > self.config.max_bytes {
                return Err(full());
            }
            tracing::warn!(
                secondary = %furthest,
                bytes = backlog,
                "the log reached queue_max_bytes; the backlog of this secondary is evicted and a \
                 full resync is scheduled"
            );
            self.request_resync(furthest, EVERY_TABLE, "the log reached queue_max_bytes");
            self.log.skip_to_end(furthest)?;
            self.metrics.evicted(furthest);
            self.wakeups.recovery.notify_one();
        }
        Ok(())
    }
}
