//! The record of a loss, in the store or in the flag, is kept until the resync
//! requests for it are durable.

use super::{
    boot_record::{DIRTY_BOOT_ID, current_boot_id},
    store_failures::{Flag, open_with, requested_tables, tamper},
    *,
};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// A flag that calls this when it is set.
struct OnSet<F>(F);

impl<F: Fn() -> Result<(), String> + Send + Sync> LogRow for OnSet<F> {
    fn set_dirty(&self) -> Result<(), String> {
        (self.0)()
    }

    fn is_dirty(&self) -> Result<bool, String> {
        Ok(false)
    }

    fn clear_dirty(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Opens the queue in a process that is killed when it has made resync requests
/// and not written them.
fn killed_before_writing_its_requests(config: QueueConfig) {
    let killed = OnSet(|| panic!("as a process that is killed"));
    let run = || SyncQueue::open_with(config, &names(&["a"]), Box::new(killed));
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
}

fn corrupt(dir: &Path) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::write(path, b"not what was here").unwrap();
        }
    }
}

fn was_set_aside(dir: &TempDir) -> bool {
    let mut entries = std::fs::read_dir(dir.path()).unwrap();
    entries.any(|entry| {
        let name = entry.unwrap().file_name();
        name.to_string_lossy().contains("damaged")
    })
}

#[test]
fn a_machine_that_went_down_is_recorded_until_the_requests_are_written() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    tamper(&queue, |store| {
        store.state.insert(DIRTY_BOOT_ID, "another boot")
    });
    drop(queue);
    for _ in 0..2 {
        killed_before_writing_its_requests(config(&dir));
    }
    let queue = open(&dir, &["a"]);
    assert_eq!(requested_tables(&queue), [EVERY_TABLE]);
    let request = queue.resync_requests("a").unwrap().remove(0);
    queue.clear_resync("a", &request).unwrap();
    drop(queue);
    if current_boot_id().is_some() {
        assert!(
            requested_tables(&open(&dir, &["a"])).is_empty(),
            "once is enough"
        );
    }
}

#[test]
fn a_corrupt_store_is_moved_aside_only_once_the_flag_is_set() {
    let dir = TempDir::new().unwrap();
    drop(open(&dir, &["a"]));
    corrupt(&config(&dir).dir);
    killed_before_writing_its_requests(config(&dir));
    assert!(
        !was_set_aside(&dir),
        "nothing else informs the next process"
    );

    let fails = Arc::new(AtomicBool::new(true));
    let flag = {
        let fails = Arc::clone(&fails);
        OnSet(move || match fails.load(Ordering::Relaxed) {
            true => Err("as a primary that does not answer".to_owned()),
            false => Ok(()),
        })
    };
    let queue = open_with(&dir, flag);
    assert!(!queue.is_available() && !was_set_aside(&dir));
    assert_eq!(requested_tables(&queue), [EVERY_TABLE]);
    fails.store(false, Ordering::Relaxed);
    // The primary is asked only once in a while.
    while queue.recover().is_err() {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(queue.is_available() && was_set_aside(&dir));
    assert_eq!(requested_tables(&queue), [EVERY_TABLE]);
}

#[test]
fn the_flag_is_cleared_once_the_store_that_replaces_a_corrupt_one_has_the_requests() {
    let dir = TempDir::new().unwrap();
    drop(open(&dir, &["a"]));
    corrupt(&config(&dir).dir);
    let flag = Flag::default();
    let queue = open_with(&dir, flag.clone());
    assert!(was_set_aside(&dir) && !flag.is_set_now());
    drop(queue);
    assert_eq!(requested_tables(&open_with(&dir, flag)), [EVERY_TABLE]);
}

#[test]
fn unsynced_writes_of_a_former_run_cause_a_resync_even_if_this_run_syncs_always() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    queue.append(&[fact("k", 1)], None).unwrap();
    tamper(&queue, |store| {
        store.state.insert(DIRTY_BOOT_ID, "another boot")
    });
    drop(queue);
    let sync_always = || QueueConfig {
        fsync: Fsync::Always,
        ..config(&dir)
    };
    let queue = SyncQueue::open(sync_always(), &names(&["a"])).unwrap();
    assert_eq!(requested_tables(&queue), [EVERY_TABLE]);
    let kept = queue
        .store
        .with(|store| Ok(store.state.contains_key(DIRTY_BOOT_ID)?));
    assert!(
        !kept.unwrap(),
        "this run loses nothing if the machine goes down"
    );
}

/// A queue with a filter of these tables; of all for none.
fn filtered(dir: &TempDir, tables: &[&str]) -> QueueConfig {
    QueueConfig {
        tables: (!tables.is_empty()).then(|| names(tables).into_iter().collect()),
        ..config(dir)
    }
}

#[test]
fn a_table_that_is_added_to_the_filter_again_is_resynced() {
    let dir = TempDir::new().unwrap();
    let open = |tables: &[&str]| {
        let queue = SyncQueue::open(filtered(&dir, tables), &names(&["a"])).unwrap();
        let requested = requested_tables(&queue);
        for request in queue.resync_requests("a").unwrap() {
            queue.clear_resync("a", &request).unwrap();
        }
        requested
    };
    let nothing: [&str; 0] = [];
    assert_eq!(open(&["events"]), nothing, "the log is new");
    killed_before_writing_its_requests(filtered(&dir, &["events", "kv_memories"]));
    assert_eq!(open(&["events", "kv_memories"]), ["kv_memories"]);
    assert_eq!(open(&["events", "kv_memories"]), nothing, "once is enough");
    assert_eq!(open(&["entities", "events"]), ["entities"]);
    assert_eq!(open(&["events", "kv_memories"]), ["kv_memories"]);
    assert_eq!(open(&["events", "relationships"]), [EVERY_TABLE]);
    assert_eq!(open(&[]), [EVERY_TABLE]);
    assert_eq!(open(&[]), nothing);

    // Tables beside the host's are requested by their names.
    let open_with = |others: &[&str]| {
        let config = QueueConfig {
            other_tables: names(others).into_iter().collect(),
            ..config(&dir)
        };
        let queue = SyncQueue::open(config, &names(&["a"])).unwrap();
        let requested = requested_tables(&queue);
        for request in queue.resync_requests("a").unwrap() {
            queue.clear_resync("a", &request).unwrap();
        }
        requested
    };
    assert_eq!(open_with(&["notes"]), ["notes"]);
    assert_eq!(open_with(&["notes"]), nothing);
    assert_eq!(open_with(&["mails", "notes"]), ["mails"]);
    assert_eq!(open_with(&[]), nothing);
    assert_eq!(open_with(&["mails"]), ["mails"]);
    assert_eq!(open(&["events"]), nothing, "the filter only shrank");
    assert_eq!(open(&[]), [EVERY_TABLE]);
}

#[test]
fn a_filter_change_that_could_not_be_recorded_causes_a_full_resync() {
    let dir = TempDir::new().unwrap();
    drop(open(&dir, &["a"]));
    let (log, away) = (config(&dir).dir, dir.path().join("away"));
    std::fs::rename(&log, &away).unwrap();
    std::fs::write(&log, "in the way").unwrap();
    let flag = Flag::default();
    let open = |tables: &[&str]| {
        let flag = Box::new(flag.clone());
        SyncQueue::open_with(filtered(&dir, tables), &names(&["a"]), flag).unwrap()
    };
    // Writes to other tables are not recorded now.
    drop(open(&["events"]));
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&away, &log).unwrap();
    assert_eq!(requested_tables(&open(&[])), [EVERY_TABLE]);
    assert!(!flag.is_set_now());
}

#[test]
fn setting_a_flag_that_failed_at_the_start_is_retried() {
    let dir = TempDir::new().unwrap();
    std::fs::write(config(&dir).dir, "in the way").unwrap();
    let asked = Arc::new(AtomicU64::new(0));
    let flag = {
        let asked = Arc::clone(&asked);
        OnSet(move || match asked.fetch_add(1, Ordering::Relaxed) {
            0 => Err("as a primary that does not answer".to_owned()),
            _ => Ok(()),
        })
    };
    let only_events = filtered(&dir, &["events"]);
    let queue = SyncQueue::open_with(only_events, &names(&["a"]), Box::new(flag)).unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    while asked.load(Ordering::Relaxed) == 1 {
        queue.recover().unwrap_err();
        std::thread::sleep(Duration::from_millis(50));
    }
    queue.recover().unwrap_err();
    assert_eq!(asked.load(Ordering::Relaxed), 2, "it is set");
}
