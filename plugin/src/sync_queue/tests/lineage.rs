//! A log that was copied to another host, or restored to an earlier state.

use super::*;
use crate::sync_queue::lineage::{COPIED, RESTORED};
use parking_lot::Mutex;
use std::path::Path;

/// What a primary keeps of a log.
#[derive(Clone, Default)]
struct Primary {
    epoch: Arc<Mutex<Option<Epoch>>>,
    is_down: Arc<AtomicBool>,
    renamed: Arc<AtomicBool>,
}

impl LogRow for Primary {
    fn set_dirty(&self) -> Result<(), String> {
        Ok(())
    }

    fn is_dirty(&self) -> Result<bool, String> {
        Ok(false)
    }

    fn clear_dirty(&self) -> Result<(), String> {
        Ok(())
    }

    fn epoch(&self) -> Result<Option<Epoch>, String> {
        Ok(*self.epoch.lock())
    }

    fn set_epoch(&self, epoch: Epoch) -> Result<(), String> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err("the primary does not answer".to_owned());
        }
        *self.epoch.lock() = Some(epoch);
        Ok(())
    }

    fn rename(&self) {
        self.renamed.store(true, Ordering::Relaxed);
    }
}

fn open_on(dir: &TempDir, primary: &Primary) -> SyncQueue {
    let secondaries = names(&["a", "b"]);
    SyncQueue::open_with(config(dir), &secondaries, Box::new(primary.clone())).unwrap()
}

fn append(queue: &SyncQueue, keys: std::ops::Range<i64>) {
    for key in keys {
        queue
            .append(&[fact(&format!("k{key}"), key)], None)
            .unwrap();
    }
}

fn restore(dir: &TempDir, from: &Path) {
    std::fs::remove_dir_all(config(dir).dir).unwrap();
    copy(from, &config(dir).dir);
}

/// Why a secondary is to be resynced; the requests are then gone.
fn take_reasons(queue: &SyncQueue, secondary: &str) -> Vec<String> {
    let requests = queue.resync_requests(secondary).unwrap();
    for request in &requests {
        queue.clear_resync(secondary, request).unwrap();
    }
    requests.into_iter().map(|request| request.reason).collect()
}

/// Asserts that no secondary is to be resynced.
fn assert_continues(queue: &SyncQueue) {
    for secondary in ["a", "b"] {
        assert_eq!(take_reasons(queue, secondary), [""; 0]);
    }
}

/// Is everything that waits for a secondary to be read from the primary?
fn is_all_refreshed(queue: &SyncQueue, secondary: &str) -> bool {
    (0..PARTITIONS).all(|partition| {
        let batch = queue.read(secondary, partition, usize::MAX).unwrap();
        batch.operations.is_empty() || batch.refresh_horizon >= batch.end.position
    })
}

#[test]
fn a_log_on_another_primary_begins_anew() {
    let dir = TempDir::new().unwrap();
    let (first, second) = (Primary::default(), Primary::default());
    let queue = open_on(&dir, &first);
    append(&queue, 0..20);
    queue.begin("events", Vec::new());
    queue.reject("a", &fact("k1", 1), None).unwrap();
    queue.set_bootstrapped("a").unwrap();
    let id = queue.id().to_owned();
    queue.close();

    let queue = open_on(&dir, &second);
    assert_ne!(queue.id(), id);
    for secondary in ["a", "b"] {
        assert_eq!(queue.backlog(secondary).operations, 0);
        assert_eq!(take_reasons(&queue, secondary), [COPIED]);
        let rejected = queue.count_rejected(secondary);
        assert_eq!((rejected.retries, rejected.dead_letters), (0, 0));
        assert!(!queue.is_bootstrapped(secondary).unwrap());
    }
    assert!(second.renamed.load(Ordering::Relaxed));
    let mut beside = std::fs::read_dir(dir.path()).unwrap();
    assert!(beside.any(|entry| {
        let name = entry.unwrap().file_name();
        name.to_string_lossy().starts_with("queue.copied-")
    }));
    append(&queue, 0..5);
    let id = queue.id().to_owned();
    queue.close();
    // From now on it is this primary's.
    let queue = open_on(&dir, &second);
    assert_eq!(queue.id(), id);
    assert_eq!(take_all(&queue, "a").len(), 5);
    assert_continues(&queue);
}

#[test]
fn a_log_that_the_primary_has_seen_further_is_resynced_and_read_anew() {
    // The state that is restored is that of a closed log, or of one that was open.
    for was_open in [false, true] {
        let dir = TempDir::new().unwrap();
        let (primary, before) = (Primary::default(), dir.path().join("before"));
        let queue = open_on(&dir, &primary);
        append(&queue, 0..40);
        let id = queue.id().to_owned();
        if was_open {
            copy(&config(&dir).dir, &before);
            append(&queue, 40..50);
            queue.close();
        } else {
            queue.close();
            copy(&config(&dir).dir, &before);
            // Killed.
            append(&open_on(&dir, &primary), 40..50);
        }
        restore(&dir, &before);
        let queue = open_on(&dir, &primary);
        assert_eq!(queue.id(), id);
        for secondary in ["a", "b"] {
            assert_eq!(take_reasons(&queue, secondary), [RESTORED]);
            assert_eq!(queue.backlog(secondary).operations, 40);
            assert!(is_all_refreshed(&queue, secondary));
        }
        queue.close();
        assert_continues(&open_on(&dir, &primary));
    }
}

#[test]
fn a_log_is_known_whenever_it_or_the_primary_failed_between_the_two() {
    let dir = TempDir::new().unwrap();
    let primary = Primary::default();
    let open = || open_on(&dir, &primary);
    drop(open());
    let older = *primary.epoch.lock();
    for is_down in [true, true, false, true] {
        primary.is_down.store(is_down, Ordering::Relaxed);
        let queue = open();
        assert_continues(&queue);
        queue.close();
        // Killed.
        drop(open());
    }
    primary.is_down.store(false, Ordering::Relaxed);
    assert_continues(&open());
    // The primary was restored from a backup, and the log was not.
    *primary.epoch.lock() = older;
    assert_continues(&open());
}

#[test]
fn a_log_without_epochs_is_taken_over() {
    let dir = TempDir::new().unwrap();
    let queue = open_on(&dir, &Primary::default());
    append(&queue, 0..5);
    let id = queue.id().to_owned();
    // As a version leaves it that did not know epochs.
    store_failures::tamper(&queue, |store| {
        store.state.remove("epochs")?;
        store.state.remove("known_to_primary")
    });
    drop(queue);
    let queue = open_on(&dir, &Primary::default());
    assert_eq!(queue.id(), id);
    assert_eq!(queue.backlog("a").operations, 5);
    assert_continues(&queue);
    assert!(queue.kept_of(None).is_some());
}

#[test]
fn a_secondary_that_a_copy_has_claimed_knows_the_log_by_a_new_id() {
    let dir = TempDir::new().unwrap();
    let primary = Primary::default();
    let queue = open_on(&dir, &primary);
    append(&queue, 0..20);
    for secondary in ["a", "b"] {
        queue.set_bootstrapped(secondary).unwrap();
    }
    let foreign = Epoch::draw();
    assert!(queue.kept_of(Some(foreign)).is_none());

    // The log may have been restored, so all are resynced; then one at a time.
    queue.take_new_log_id("a").unwrap();
    assert_eq!(
        (queue.log_id("b").as_str(), queue.id()),
        (queue.id(), queue.id())
    );
    for secondary in ["a", "b"] {
        assert_eq!(take_reasons(&queue, secondary).len(), 1);
        assert_eq!(queue.backlog(secondary).operations, 20);
        assert!(is_all_refreshed(&queue, secondary));
    }
    queue.take_new_log_id("b").unwrap();
    assert_eq!(take_reasons(&queue, "a"), [""; 0]);
    assert_eq!(take_reasons(&queue, "b").len(), 1);

    let ids = [queue.log_id("a"), queue.log_id("b")];
    assert!(ids[0] != ids[1] && !ids.contains(&queue.id().to_owned()));
    queue.close();
    let queue = open_on(&dir, &primary);
    assert_eq!([queue.log_id("a"), queue.log_id("b")], ids);
    assert_continues(&queue);
}

#[test]
fn a_log_that_replaces_a_corrupt_one_keeps_its_epochs_and_ids() {
    let dir = TempDir::new().unwrap();
    let primary = Primary::default();
    let queue = open_on(&dir, &primary);
    append(&queue, 0..5);
    queue.take_new_log_id("a").unwrap();
    let (id, epoch) = (queue.log_id("a"), queue.epoch());
    store_failures::tamper(&queue, |store| {
        store.state.insert("resync/1/a/x", "not one")
    });
    // It is found to be corrupt, and replaced.
    assert!(queue.resync_requests("a").is_err());
    queue.recover().unwrap();
    assert!(std::fs::read_dir(dir.path()).unwrap().count() > 1);
    assert_eq!((queue.log_id("a"), queue.epoch()), (id.clone(), epoch));
    queue.close();
    let queue = open_on(&dir, &primary);
    assert_eq!(queue.log_id("a"), id);
    assert!(queue.kept_of(Some(epoch)).is_some());
}
