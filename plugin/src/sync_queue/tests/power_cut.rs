//! The machine goes down: what the disk did not have yet is missing, and the rest
//! of the log is kept.

use super::{
    boot_record::DIRTY_BOOT_ID,
    store::commit_marker::{FILE as COMMIT_MARKER, SYNC_AFTER_COMMITS},
    store_failures::{requested_tables, tamper},
    *,
};

/// The commit marker as if `more` commits had been recorded that the disk lost.
fn record_lost_commits(dir: &TempDir, more: u64) {
    let path = config(dir).dir.join(COMMIT_MARKER);
    let bytes = std::fs::read(&path).unwrap();
    let recorded = u64::from_be_bytes(bytes[..8].try_into().unwrap()) + more;
    let bytes = [recorded.to_be_bytes(), (!recorded).to_be_bytes()].concat();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_log_that_lost_its_end_to_a_power_cut_is_kept_and_every_table_resynced() {
    let dir = TempDir::new().unwrap();
    let id = {
        let queue = open(&dir, &["a"]);
        queue.reject("a", &fact("dead", 1), None).unwrap();
        queue.append(&[fact("k", 1)], None).unwrap();
        tamper(&queue, |store| {
            store.state.insert(DIRTY_BOOT_ID, "another boot")
        });
        queue.id().to_owned()
    };
    record_lost_commits(&dir, 3);
    let queue = open(&dir, &["a"]);
    assert_eq!(queue.id(), id, "it was not moved aside");
    assert_eq!(requested_tables(&queue), [EVERY_TABLE]);
    assert_eq!(queue.count_rejected("a"), rejected(0, 1));
    assert_eq!(dead_letters(&queue, "a").unwrap().len(), 1);
}

#[test]
fn a_log_that_lost_its_end_without_a_power_cut_is_corrupt() {
    let dir = TempDir::new().unwrap();
    let id = {
        let queue = open(&dir, &["a"]);
        queue.append(&[fact("k", 1)], None).unwrap();
        queue.id().to_owned()
    };
    record_lost_commits(&dir, 3);
    let queue = open(&dir, &["a"]);
    assert_ne!(queue.id(), id);
    assert_eq!(requested_tables(&queue), [EVERY_TABLE]);
}

#[test]
fn the_commit_marker_on_the_disk_is_never_far_behind() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    let progress = || {
        queue
            .store
            .with(|store| Ok(store.commit_marker.progress()))
            .unwrap()
    };
    let (first, _) = progress();
    for _ in 0..SYNC_AFTER_COMMITS + 10 {
        tamper(&queue, |store| store.state.insert("test", "test"));
    }
    let (recorded, synced) = progress();
    assert!(recorded >= first + SYNC_AFTER_COMMITS);
    assert!(
        recorded - synced < SYNC_AFTER_COMMITS,
        "{recorded}, {synced}"
    );
}
