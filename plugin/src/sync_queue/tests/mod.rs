//! The log as its users see it: order, acknowledgement, restart, limits, damage.
//!
//! | room | what is in it |
//! | --- | --- |
//! | here | examples, one for each promise |
//! | [`model`] | every promise at once, against a simple model, with kills and restarts |
//! | [`backlog`] | what a long one takes on the disk |
//! | [`damage`] | its files, spoilt in every way |
//! | [`failing`] | its files fail, and it goes on |
//! | [`traces`] | a loss is known until the marks for it are on the disk |
//! | [`entries`] | how an operation is written |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use super::*;
use crate::sync_types::RowImage;
use plugin_api::value::{Object, RecordId, Value};
use std::collections::BTreeSet;
use tempfile::TempDir;

mod backlog;
mod damage;
mod entries;
mod failing;
mod model;
mod traces;

fn config(dir: &TempDir) -> QueueConfig {
    QueueConfig {
        dir: dir.path().join("queue"),
        max_bytes: 1 << 30,
        fsync: Fsync::None,
        tables: None,
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn open(dir: &TempDir, secondaries: &[&str]) -> SyncQueue {
    SyncQueue::open(config(dir), &names(secondaries)).unwrap()
}

fn fact(key: &str, value: i64) -> SyncOperation {
    SyncOperation::upsert(
        "kv_memories",
        RowImage {
            id: RecordId::new("kv_memories", key),
            columns: Object::new()
                .with("user_id", "u")
                .with("key", key)
                .with("value", value),
            embedding: None,
        },
    )
}

fn value_of(operation: &SyncOperation) -> Option<i64> {
    operation.data.first()?.columns.get("value")?.as_int()
}

/// Everything that waits for a secondary, each partition in order.
fn waiting(queue: &SyncQueue, secondary: &str) -> Vec<SyncOperation> {
    (0..PARTITIONS)
        .flat_map(|partition| {
            queue
                .read(secondary, partition, 1_000_000)
                .unwrap()
                .operations
        })
        .map(|(_, operation)| operation)
        .collect()
}

/// Takes everything that waits for a secondary and acknowledges it.
fn take_all(queue: &SyncQueue, secondary: &str) -> Vec<SyncOperation> {
    let taken = waiting(queue, secondary);
    for partition in 0..PARTITIONS {
        let batch = queue.read(secondary, partition, 1_000_000).unwrap();
        queue.ack(secondary, partition, batch.end).unwrap();
    }
    taken
}

fn entries(queue: &SyncQueue) -> usize {
    queue.with_store(|store| Ok(store.log.len()?)).unwrap()
}

#[test]
fn operations_of_one_key_stay_in_order_and_survive_a_restart() {
    let dir = TempDir::new().unwrap();
    {
        let queue = open(&dir, &["a"]);
        for value in 0..100 {
            queue.append(&[fact("k", value)], None).unwrap();
        }
        queue.close();
    }
    let queue = open(&dir, &["a"]);
    let values: Vec<_> = waiting(&queue, "a").iter().filter_map(value_of).collect();
    assert_eq!(values, (0..100).collect::<Vec<_>>());
    assert_eq!(queue.backlog("a").operations, 100);
}

#[test]
fn an_operation_comes_back_as_it_was_appended() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    let mut written = fact("k", 1);
    written.data[0].embedding = Some(vec![0.25; 768]);
    written.retry_count = 2;
    written.last_error = Some("no".to_owned());
    queue.append(std::slice::from_ref(&written), None).unwrap();
    let mut read = waiting(&queue, "a").remove(0);
    assert!(read.id.starts_with(queue.id()), "{}", read.id);
    read.id = String::new();
    assert_eq!(read, written);
}

#[test]
fn an_entry_leaves_only_after_every_secondary_has_it() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a", "b"]);
    queue.append(&[fact("k", 1), fact("l", 2)], None).unwrap();
    assert_eq!(take_all(&queue, "a").len(), 2);
    assert_eq!(queue.backlog("a").operations, 0);
    assert_eq!((entries(&queue), waiting(&queue, "b").len()), (2, 2));
    take_all(&queue, "b");
    assert_eq!(entries(&queue), 0);
    assert_eq!(queue.held.load(Ordering::Relaxed), 0);
}

#[test]
fn positions_are_never_used_twice_across_restarts() {
    let dir = TempDir::new().unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        let queue = open(&dir, &["a"]);
        for _ in 0..3 {
            queue.append(&[fact("k", 0)], None).unwrap();
        }
        for operation in take_all(&queue, "a") {
            assert!(seen.insert(operation.id.clone()), "{} twice", operation.id);
        }
        queue.close();
    }
    assert_eq!(seen.len(), 12);
}

#[test]
fn a_log_that_lost_its_end_knows_it_from_what_a_secondary_has() {
    let dir = TempDir::new().unwrap();
    // What a secondary had applied when the power was cut, a while ago.
    let before = Position(Position::first_of_now().0 - (3600 << 31) + 7);
    let partition = partition_of(&fact("k", 1).key);
    let reached = BTreeMap::from([(partition, before)]);
    {
        let queue = open(&dir, &["a"]);
        assert!(queue.is_ahead_of_log(&reached), "a log that never had it");
        queue.append(&[fact("k", 2)], None).unwrap();
        assert!(queue.is_ahead_of_log(&reached), "also when it has gone on");
        queue.close();
    }
    let queue = open(&dir, &["a"]);
    assert!(
        !queue.is_ahead_of_log(&reached),
        "a log that has later ones"
    );
}

#[test]
fn a_secondary_that_is_no_longer_configured_holds_nothing() {
    let dir = TempDir::new().unwrap();
    {
        let queue = open(&dir, &["a", "gone"]);
        queue.append(&[fact("k", 1)], None).unwrap();
        take_all(&queue, "a");
        queue.close();
    }
    let queue = open(&dir, &["a"]);
    assert_eq!(queue.held.load(Ordering::Relaxed), 0);
    assert_eq!(entries(&queue), 0);
}

#[test]
fn a_secondary_that_is_no_longer_configured_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    {
        // Names of which one begins with the other.
        let queue = open(&dir, &["a", "aa"]);
        for secondary in ["a", "aa"] {
            queue.request_resync(secondary, "events", "test");
            queue.reject(secondary, &fact("k", 1), None).unwrap();
            queue.set_bootstrapped(secondary).unwrap();
        }
        queue.close();
    }
    open(&dir, &["a"]).close();
    let queue = open(&dir, &["a", "aa"]);
    let has = |secondary| {
        let marks = queue.resync_requests(secondary).unwrap().len();
        let refused = queue.count_rejected(secondary).unwrap();
        (marks, refused, queue.is_bootstrapped(secondary).unwrap())
    };
    assert_eq!(has("a"), (1, (0, 1), true));
    // One that knows positions of the log is compared with the primary.
    assert_eq!(has("aa"), (0, (0, 0), false));
}

#[test]
fn an_operation_for_one_secondary_is_passed_over_by_the_others() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a", "b"]);
    let refresh = SyncOperation::refresh(fact("k", 1).key).only_for("b");
    queue.append(&[refresh], None).unwrap();
    assert!(take_all(&queue, "a").is_empty());
    assert_eq!(queue.backlog("a").operations, 0);
    assert_eq!(take_all(&queue, "b").len(), 1);
}

#[test]
fn a_write_that_was_under_way_is_looked_at_again() {
    let dir = TempDir::new().unwrap();
    let known = fact("k", 1).key;
    {
        let queue = open(&dir, &["a"]);
        queue.begin("kv_memories", vec![known.clone()]).unwrap();
        queue.begin("events", Vec::new()).unwrap();
        let ended = queue.begin("entities", Vec::new()).unwrap();
        queue.append(&[fact("l", 1)], Some(&ended)).unwrap();
        let cancelled = queue.begin("code_files", Vec::new()).unwrap();
        queue.cancel(&cancelled);
    }
    let queue = open(&dir, &["a"]);
    let refreshed: Vec<_> = waiting(&queue, "a")
        .into_iter()
        .filter(|operation| operation.data.is_empty())
        .map(|operation| operation.key)
        .collect();
    assert_eq!(refreshed, [known]);
    let marked: Vec<_> = queue.resync_requests("a").unwrap();
    assert_eq!(marked.len(), 1);
    assert_eq!(marked[0].table, "events");
    let left = queue.with_store(intents::open_intents).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_full_log_lets_go_of_the_secondary_that_is_furthest_behind() {
    let dir = TempDir::new().unwrap();
    let config = QueueConfig {
        max_bytes: 20_000,
        ..config(&dir)
    };
    let queue = SyncQueue::open(config, &names(&["fast", "slow"])).unwrap();
    for value in 0..1000 {
        queue
            .append(&[fact(&format!("k{value}"), value)], None)
            .unwrap();
        take_all(&queue, "fast");
    }
    assert!(queue.held.load(Ordering::Relaxed) <= 20_000);
    assert!(queue.resync_requests("fast").unwrap().is_empty());
    assert_eq!(queue.resync_requests("slow").unwrap()[0].table, EVERY_TABLE);
}

#[test]
fn a_backlog_that_is_let_go_is_removed_piece_by_piece_and_does_not_come_back() {
    const ENTRIES: usize = 2_000;
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    let entries = |queue: &SyncQueue| queue.with_store(|store| Ok(store.log.len()?)).unwrap();
    // One key is one partition.
    for value in 0..ENTRIES as i64 {
        queue.append(&[fact("k", value)], None).unwrap();
    }
    let partition = partition_of(&fact("k", 0).key);
    let end = queue.ends()[usize::from(partition)];
    queue.ack("a", partition, end).unwrap();
    assert_eq!(queue.held_bytes(), 0);
    let left = entries(&queue);
    assert!(0 < left && left < ENTRIES, "{left}");

    // What is written meanwhile is none of it, nor after a restart.
    queue.append(&[fact("k", -1)], None).unwrap();
    queue.close();
    let queue = open(&dir, &["a"]);
    for _ in 0..ENTRIES {
        queue.recover().unwrap();
    }
    assert_eq!(entries(&queue), 1);
    let values: Vec<_> = take_all(&queue, "a").iter().map(value_of).collect();
    assert_eq!(values, [Some(-1)]);
    assert_eq!(entries(&queue), 0);
}

#[test]
fn an_operation_larger_than_the_log_is_an_error_and_not_a_loop() {
    let dir = TempDir::new().unwrap();
    let config = QueueConfig {
        max_bytes: 100,
        ..config(&dir)
    };
    let queue = SyncQueue::open(config, &names(&["a"])).unwrap();
    let mut large = fact("k", 1);
    large.data[0].columns.insert("value", "x".repeat(1000));
    let error = queue.append(&[large], None).unwrap_err();
    assert!(matches!(error, QueueError::Full { .. }), "{error}");
}

#[test]
fn two_processes_cannot_have_one_log() {
    let dir = TempDir::new().unwrap();
    let _first = open(&dir, &["a"]);
    let error = SyncQueue::open(config(&dir), &names(&["a"])).err().unwrap();
    assert!(matches!(error, QueueError::Locked(_)), "{error}");
}

#[test]
fn a_damaged_log_is_set_aside_and_everything_marked() {
    let dir = TempDir::new().unwrap();
    let id = {
        let queue = open(&dir, &["a"]);
        queue.append(&[fact("k", 1)], None).unwrap();
        queue.close();
        queue.id().to_owned()
    };
    for entry in std::fs::read_dir(dir.path().join("queue")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::write(path, b"not what was here").unwrap();
        }
    }
    let queue = open(&dir, &["a"]);
    assert_ne!(queue.id(), id);
    assert_eq!(queue.resync_requests("a").unwrap()[0].table, EVERY_TABLE);
    let aside = std::fs::read_dir(dir.path())
        .unwrap()
        .filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_string_lossy().contains("damaged")
        })
        .count();
    assert_eq!(aside, 1);
}

#[test]
fn a_refused_operation_is_retried_then_dead_then_replayed_or_discarded() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    let mut operation = fact("k", 1);
    operation.retry_count = 1;
    operation.last_error = Some("no such index".to_owned());
    queue
        .reject("a", &operation, Some(Timestamp::now()))
        .unwrap();
    assert_eq!(queue.retries("a").unwrap()[0].retry_count, 1);
    queue.retry("a", &operation.key).unwrap();
    assert!(queue.retries("a").unwrap().is_empty());
    let again = take_all(&queue, "a").remove(0);
    assert_eq!((again.retry_count, again.data.len()), (1, 0));
    assert_eq!(again.timestamp, operation.timestamp, "of the write");

    queue.reject("a", &again, None).unwrap();
    let letter = queue.dead_letters("a").unwrap().remove(0);
    assert_eq!(letter.last_error, "no such index");
    assert_eq!(queue.replay("a", &["another".to_owned()]).unwrap(), 0);
    assert_eq!(queue.replay("a", &[letter.id]).unwrap(), 1);
    assert_eq!(take_all(&queue, "a")[0].retry_count, 0);

    queue.reject("a", &again, None).unwrap();
    assert_eq!(queue.discard("a", &[]).unwrap(), 1);
    assert!(queue.dead_letters("a").unwrap().is_empty());
    assert!(waiting(&queue, "a").is_empty());
}

#[test]
fn a_refusal_reaches_the_disk_like_an_operation() {
    let dir = TempDir::new().unwrap();
    let config = QueueConfig {
        fsync: Fsync::Interval(Duration::from_secs(1)),
        ..config(&dir)
    };
    let queue = SyncQueue::open(config, &names(&["a"])).unwrap();
    queue.sync().unwrap();
    assert!(!queue.unsynced.load(Ordering::Relaxed));
    queue.reject("a", &fact("k", 1), None).unwrap();
    assert!(queue.unsynced.load(Ordering::Relaxed));
}

#[test]
fn a_letter_that_waits_for_a_retry_again_is_not_discarded() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    queue.reject("a", &fact("k", 1), None).unwrap();
    let discarded = queue.each_dead("a", &[], |key| {
        // A newer write, refused while the letters are gone through.
        queue.reject("a", &fact("k", 2), Some(Timestamp::now()))?;
        queue.drop_dead("a", key)
    });
    assert_eq!(discarded.unwrap(), 0);
    assert_eq!(queue.count_rejected("a").unwrap(), (1, 0));
}

#[test]
fn a_walk_goes_on_after_a_restart_where_it_was() {
    let dir = TempDir::new().unwrap();
    {
        let queue = open(&dir, &["a"]);
        queue.request_resync("a", "events", "test");
        let mut mark = queue.resync_requests("a").unwrap().remove(0);
        mark.cursor = Some(RecordId::new("events", "m"));
        mark.scanned = 500;
        let refresh = SyncOperation::refresh(Key::of_id(&RecordId::new("events", "m")));
        assert!(queue.append_scan_page("a", &[refresh], &mark).unwrap());
        queue.close();
    }
    let queue = open(&dir, &["a"]);
    let mark = queue.resync_requests("a").unwrap().remove(0);
    assert_eq!(mark.cursor, Some(RecordId::new("events", "m")));
    assert_eq!(mark.scanned, 500);
    queue.clear_resync("a", &mark).unwrap();
    assert!(queue.resync_requests("a").unwrap().is_empty());
}

#[test]
fn a_table_that_is_marked_again_while_it_is_walked_is_walked_again() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    queue.request_resync("a", "events", "test");
    let mut scanned = queue.resync_requests("a").unwrap().remove(0);
    queue.request_resync("a", "events", "emptied");
    scanned.cursor = Some(RecordId::new("events", "m"));
    let refresh = SyncOperation::refresh(Key::of_id(&RecordId::new("events", "m")));
    assert!(!queue.append_scan_page("a", &[refresh], &scanned).unwrap());
    queue.clear_resync("a", &scanned).unwrap();
    let mark = queue.resync_requests("a").unwrap().remove(0);
    assert_eq!((mark.reason.as_str(), mark.cursor), ("emptied", None));
}

#[test]
fn a_retry_is_queued_and_forgotten_in_one_step() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    let mut operation = fact("k", 1);
    operation.retry_count = 1;
    queue
        .reject("a", &operation, Some(Timestamp::now()))
        .unwrap();
    queue.close();
    // Neither half happens where both cannot.
    assert!(queue.retry("a", &operation.key).is_err());
    let queue = open(&dir, &["a"]);
    assert_eq!(queue.retries("a").unwrap().len(), 1);
    assert!(waiting(&queue, "a").is_empty());
}
