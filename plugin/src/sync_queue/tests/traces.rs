//! What the log, or the flag, says of a loss is there until the marks are on
//! the disk.

use super::{
    super::*,
    failing::{Flag, marked, open_with, tamper},
    *,
};
use crate::sync_queue::recovery::DIRTY_BOOT_ID;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

/// A flag that does this when it is to be set.
struct OnSet<F>(F);

impl<F: Fn() -> Result<(), String> + Send + Sync> DirtyFlag for OnSet<F> {
    fn set(&self) -> Result<(), String> {
        (self.0)()
    }

    fn is_set(&self) -> Result<bool, String> {
        Ok(false)
    }

    fn clear(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Opens the log in a process that is killed when it has made marks and not
/// written them.
fn killed_before_its_marks(config: QueueConfig) {
    let killed = OnSet(|| panic!("as a process that is killed"));
    let run = || SyncQueue::open_with(config, &names(&["a"]), Box::new(killed));
    assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
}

fn spoil(dir: &Path) {
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
fn a_machine_that_went_down_is_remembered_until_the_marks_are_written() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    tamper(&queue, |store| {
        store.state.insert(DIRTY_BOOT_ID, "another boot")
    });
    drop(queue);
    for _ in 0..2 {
        killed_before_its_marks(config(&dir));
    }
    let queue = open(&dir, &["a"]);
    assert_eq!(marked(&queue), [EVERY_TABLE]);
    let mark = queue.resync_requests("a").unwrap().remove(0);
    queue.clear_resync("a", &mark).unwrap();
    drop(queue);
    if boot_id::current().is_some() {
        assert!(marked(&open(&dir, &["a"])).is_empty(), "once is enough");
    }
}

#[test]
fn a_damaged_log_is_set_aside_only_when_the_flag_is_up() {
    let dir = TempDir::new().unwrap();
    drop(open(&dir, &["a"]));
    spoil(&config(&dir).dir);
    killed_before_its_marks(config(&dir));
    assert!(!was_set_aside(&dir), "nothing else tells the next process");

    let refuses = Arc::new(AtomicBool::new(true));
    let flag = {
        let refuses = Arc::clone(&refuses);
        OnSet(move || match refuses.load(Ordering::Relaxed) {
            true => Err("as a primary that does not answer".to_owned()),
            false => Ok(()),
        })
    };
    let queue = open_with(&dir, flag);
    assert!(!queue.is_available() && !was_set_aside(&dir));
    assert_eq!(marked(&queue), [EVERY_TABLE]);
    refuses.store(false, Ordering::Relaxed);
    // The primary is not asked all the time.
    while queue.recover().is_err() {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(queue.is_available() && was_set_aside(&dir));
    assert_eq!(marked(&queue), [EVERY_TABLE]);
}

#[test]
fn the_flag_stays_up_until_the_log_that_replaces_a_damaged_one_has_the_marks() {
    let dir = TempDir::new().unwrap();
    drop(open(&dir, &["a"]));
    spoil(&config(&dir).dir);
    let flag = Flag::default();
    let queue = open_with(&dir, flag.clone());
    assert!(was_set_aside(&dir) && !flag.is_up());
    drop(queue);
    assert_eq!(marked(&open_with(&dir, flag)), [EVERY_TABLE]);
}

#[test]
fn what_was_written_without_forcing_it_to_the_disk_is_missed_with_it() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    queue.append(&[fact("k", 1)], None).unwrap();
    tamper(&queue, |store| {
        store.state.insert(DIRTY_BOOT_ID, "another boot")
    });
    drop(queue);
    let careful = || QueueConfig {
        fsync: Fsync::Always,
        ..config(&dir)
    };
    let queue = SyncQueue::open(careful(), &names(&["a"])).unwrap();
    assert_eq!(marked(&queue), [EVERY_TABLE]);
    let kept = queue.with_store(|store| Ok(store.state.contains_key(DIRTY_BOOT_ID)?));
    assert!(!kept.unwrap(), "this run loses nothing with the machine");
}

/// A log that hears of these tables; of all for none.
fn hears_of(dir: &TempDir, tables: &[&str]) -> QueueConfig {
    QueueConfig {
        tables: (!tables.is_empty()).then(|| names(tables).into_iter().collect()),
        ..config(dir)
    }
}

#[test]
fn a_table_that_the_log_hears_of_again_is_marked() {
    let dir = TempDir::new().unwrap();
    let open = |tables: &[&str]| {
        let queue = SyncQueue::open(hears_of(&dir, tables), &names(&["a"])).unwrap();
        let marked = marked(&queue);
        for mark in queue.resync_requests("a").unwrap() {
            queue.clear_resync("a", &mark).unwrap();
        }
        marked
    };
    let nothing: [&str; 0] = [];
    assert_eq!(open(&["events"]), nothing, "it is new");
    killed_before_its_marks(hears_of(&dir, &["events", "kv_memories"]));
    assert_eq!(open(&["events", "kv_memories"]), ["kv_memories"]);
    assert_eq!(open(&["events", "kv_memories"]), nothing, "once is enough");
    assert_eq!(open(&["entities", "events"]), ["entities"]);
    assert_eq!(open(&["events", "kv_memories"]), ["kv_memories"]);
    assert_eq!(open(&["events", "relationships"]), [EVERY_TABLE]);
    assert_eq!(open(&[]), [EVERY_TABLE]);
    assert_eq!(open(&[]), nothing);
    assert_eq!(open(&["events"]), nothing, "it hears of less");
    assert_eq!(open(&[]), [EVERY_TABLE]);
}

#[test]
fn what_a_log_misses_that_cannot_be_told_of_fewer_tables_is_compared() {
    let dir = TempDir::new().unwrap();
    drop(open(&dir, &["a"]));
    let (log, away) = (config(&dir).dir, dir.path().join("away"));
    std::fs::rename(&log, &away).unwrap();
    std::fs::write(&log, "in the way").unwrap();
    let flag = Flag::default();
    let open = |tables: &[&str]| {
        let flag = Box::new(flag.clone());
        SyncQueue::open_with(hears_of(&dir, tables), &names(&["a"]), flag).unwrap()
    };
    // What is written to other tables is nobody's business now.
    drop(open(&["events"]));
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&away, &log).unwrap();
    assert_eq!(marked(&open(&[])), [EVERY_TABLE]);
    assert!(!flag.is_up());
}

#[test]
fn a_flag_that_cannot_be_set_at_the_start_is_set_later() {
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
    let only_events = hears_of(&dir, &["events"]);
    let queue = SyncQueue::open_with(only_events, &names(&["a"]), Box::new(flag)).unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    while asked.load(Ordering::Relaxed) == 1 {
        queue.recover().unwrap_err();
        std::thread::sleep(Duration::from_millis(50));
    }
    queue.recover().unwrap_err();
    assert_eq!(asked.load(Ordering::Relaxed), 2, "it is up");
}
