//! [`PageWatch`]: which keys are written while a page of a table is copied.
//!
//! A resync copies rows beside the log. Such a copy must not replace a newer state,
//! nor be followed by an older one. So a watch begins before the page is read:
//!
//! - It notes where each partition ends, the page's **low position**. What stands
//!   before it is in what the page reads. The copy waits until the secondary has
//!   passed it, so nothing older follows.
//! - From then on it notes the key of every operation that is appended. Those rows are
//!   left out of the copy: the operation carries a state that is as new, and is
//!   applied in its place in the log.
//!
//! An operation is noted under the locks of its partitions, before it can be read.
//! So it stands before the low position, or is noted, or both.

use super::{SyncQueue, log::Watermark};
use crate::{dedup::Key, sync_types::SyncOperation};
use parking_lot::{Mutex, RwLock};
use std::{collections::HashSet, sync::Arc};

/// The watches of all pages that are being copied.
#[derive(Default)]
pub(super) struct PageWatches(RwLock<Vec<Arc<Watched>>>);

impl PageWatches {
    /// Notes operations that are being appended. Called under the locks of their
    /// partitions.
    pub(super) fn note(&self, operations: &[SyncOperation]) {
        for watched in &*self.0.read() {
            watched.note(operations);
        }
    }
}

/// What is known of a page.
struct Watched {
    secondary: String,
    keys: Mutex<WatchedKeys>,
}

#[derive(Default)]
struct WatchedKeys {
    /// The page's keys; none until they are known.
    page: Option<HashSet<Key>>,
    /// Those of them that were written; all that were written while the page's
    /// are not known.
    written: HashSet<Key>,
}

impl Watched {
    fn note(&self, operations: &[SyncOperation]) {
        // An operation for another secondary brings nothing to this one.
        let ours = operations
            .iter()
            .filter(|operation| operation.is_for(&self.secondary));
        let WatchedKeys { page, written } = &mut *self.keys.lock();
        for SyncOperation { key, .. } in ours {
            if page.as_ref().is_none_or(|page| page.contains(key)) {
                written.insert(key.clone());
            }
        }
    }
}

/// The watch over a page; it ends when this is dropped.
pub struct PageWatch {
    queue: Arc<SyncQueue>,
    watched: Arc<Watched>,
    /// The low position: where each partition ended when the watch began.
    low: Vec<Watermark>,
}

impl PageWatch {
    /// Begins to watch a page for a secondary. The page must be read after this.
    pub fn begin(queue: &Arc<SyncQueue>, secondary: &str) -> Self {
        let watched = Arc::new(Watched {
            secondary: secondary.to_owned(),
            keys: Mutex::default(),
        });
        queue.page_watches.0.write().push(Arc::clone(&watched));
        Self {
            // After the watch has begun, so that no operation is in neither.
            low: queue.ends(),
            queue: Arc::clone(queue),
            watched,
        }
    }

    /// The page has been read, and has these keys: others need not be noted.
    pub fn limit_to(&self, keys: impl IntoIterator<Item = Key>) {
        let page: HashSet<Key> = keys.into_iter().collect();
        let mut keys = self.watched.keys.lock();
        keys.written.retain(|key| page.contains(key));
        keys.page = Some(page);
    }

    /// Has the secondary passed the page's low position in this partition?
    pub fn is_reached(&self, partition: u16) -> bool {
        let low = self.low[usize::from(partition)];
        let acked = self.queue.acked(&self.watched.secondary);
        acked[usize::from(partition)].operations >= low.operations
    }

    /// Was the key written since the watch began?
    pub fn is_written(&self, key: &Key) -> bool {
        self.watched.keys.lock().written.contains(key)
    }
}

impl Drop for PageWatch {
    fn drop(&mut self) {
        let mut watches = self.queue.page_watches.0.write();
        watches.retain(|watched| !Arc::ptr_eq(watched, &self.watched));
    }
}
