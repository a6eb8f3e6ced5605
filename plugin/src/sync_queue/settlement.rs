//! Writes whose outcome is unknown, until they are settled.
//!
//! A *look* queues a refresh of the keys that such a write may have changed, or a
//! resync of its table if the keys are not known. The first look comes at once.
//! Others follow, and the record of the write ends only with one that comes after
//! its request can no longer run. When that is, is up to
//! [`Unsettled`](crate::unsettled::Unsettled).

use super::{
    EVERY_TABLE, Intent, QueueError, SyncQueue,
    intents::{Extent, IntentStore, Left},
    store::WriteBatch,
};
use crate::{dedup::Key, fail_points, sync_types::SyncOperation, unsettled::Look};
use std::time::Duration;

const INTERRUPTED: &str = "the process ended while a write was in progress";
const SETTLED: &str = "the primary may have committed a write late";

/// Writes in flight.
impl SyncQueue {
    /// Stores the intent to write these order keys; none if the primary
    /// generates the key. If the store cannot take it, a resync of the table is
    /// requested, and the intent is stored once it can.
    pub fn begin(&self, table: &str, keys: Vec<Key>) -> Intent {
        fail_points::pass("before_intent");
        let (intent, stored) = self.intents.begin(table, keys);
        if let Err(error) = stored {
            self.miss(table, &error);
        }
        intent
    }

    /// Ends a write that the primary has committed: appends its operations. If
    /// the log cannot take them, a resync of the table is requested.
    pub fn commit(&self, operations: &[SyncOperation], intent: &Intent) {
        if let Err(error) = self.append(operations, Some(intent)) {
            self.metrics.missed.inc();
            self.miss(intent.table(), &error);
            self.cancel(intent);
        }
    }

    /// Ends a write that certainly changed nothing.
    pub fn cancel(&self, intent: &Intent) {
        self.intents.cancel(intent);
    }

    /// Ends a write that has ended on the primary, and of which is not known what
    /// it changed: it is looked at once.
    pub fn refresh(&self, intent: &Intent, reason: &str) {
        let end = |batch: &mut WriteBatch<'_>| IntentStore::remove(batch, intent);
        if let Err(error) = self.look_at_write(intent, reason, &end) {
            self.metrics.missed.inc();
            self.miss(intent.table(), &error);
        }
        self.intents.end(intent);
    }

    /// Ends a write that may have changed something, or may do so yet: it is
    /// looked at once, and until it is settled.
    pub fn unsettle(&self, intent: &Intent, reason: &str) {
        let unsettled = self
            .intents
            .unsettle(intent, |fill| self.look_at_write(intent, reason, fill));
        if let Err(error) = unsettled {
            self.metrics.missed.inc();
            self.miss(intent.table(), &error);
        }
    }

    /// The log cannot take a write that the primary may have: requests a resync
    /// of its table.
    fn miss(&self, table: &str, error: &QueueError) {
        // Once for all writes while the log is unavailable, not for each of them.
        if self.is_available() {
            tracing::error!(
                %error, %table,
                "the log could not take a write; the table will be resynced on every secondary"
            );
        }
        self.request_resync_everywhere(table, "the log could not take a write");
    }
}

/// Unsettled writes.
impl SyncQueue {
    /// How many keys and tables are unsettled.
    pub fn unsettled(&self) -> usize {
        self.intents.unsettled()
    }

    /// Completes once anything is unsettled.
    pub async fn anything_unsettled(&self) {
        while self.unsettled() == 0 {
            self.intents.added().await;
        }
    }

    /// The time for which the primary had answered when the oldest write began
    /// that is still in flight.
    pub fn oldest_write(&self) -> Option<Duration> {
        self.intents.oldest_write()
    }

    /// Looks at what is due, now that the primary has answered for that much
    /// longer; none if it does not answer.
    ///
    /// # Errors
    /// If the store cannot be written; what is due stays so.
    pub fn settle(&self, answered: Option<Duration>) -> Result<(), QueueError> {
        self.intents.settle(answered, |extents, look, fill| {
            // A scan takes its time; a late commit may show in the last one.
            let due = extents
                .iter()
                .filter(|extent| look == Look::Last || matches!(extent, Extent::Key(_)));
            self.look_at(due, SETTLED, fill)
        })
    }

    /// Takes over what a former process left: its requests may still run.
    pub(super) fn adopt(&self, left: &Left) {
        self.intents.adopt(&left.extents);
        if let Err(error) = self.look_at(left.extents.iter(), INTERRUPTED, &|_| {}) {
            self.miss(EVERY_TABLE, &error);
        }
        for intent in &left.intents {
            self.unsettle(intent, INTERRUPTED);
        }
    }

    fn look_at_write(
        &self,
        intent: &Intent,
        reason: &str,
        fill: &dyn Fn(&mut WriteBatch<'_>),
    ) -> Result<(), QueueError> {
        let keys = intent.keys().iter().cloned().map(Extent::Key);
        let extents: Vec<Extent> = match intent.keys() {
            [] => vec![Extent::Table(intent.table().to_owned())],
            _ => keys.collect(),
        };
        self.look_at(extents.iter(), reason, fill)
    }

    /// Queues refreshes and requests resyncs, and commits what `fill` adds.
    fn look_at<'a>(
        &self,
        extents: impl Iterator<Item = &'a Extent>,
        reason: &str,
        fill: &dyn Fn(&mut WriteBatch<'_>),
    ) -> Result<(), QueueError> {
        let mut refreshes = Vec::new();
        for extent in extents {
            match extent {
                Extent::Key(key) => refreshes.push(SyncOperation::refresh(key.clone())),
                Extent::Table(table) => self.request_resync_everywhere(table, reason),
            }
        }
        self.append_with(&refreshes, |batch| fill(batch))
    }
}
