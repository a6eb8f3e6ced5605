//! The queue as the rest of the module sees it.
//!
//! | module | contents |
//! | --- | --- |
//! | here | the log by examples: order, acknowledgement, restart, limits |
//! | [`rejections`] | retries and dead letters by examples |
//! | [`page_watch`] | pages copied beside the log, against a simple secondary |
//! | [`resyncs`] | resync requests and intents by examples |
//! | [`model`] | all of the above against a simple model, with kills and restarts |
//! | [`backlog`] | what a long backlog takes on the disk |
//! | [`lineage`] | a log that was copied or restored |
//! | [`corruption`] | the store's files, corrupted in every way |
//! | [`settlement`] | writes whose outcome is unknown, by examples |
//! | [`store_failures`] | the store fails while it is in use, and recovers |
//! | [`incompatible`] | a log of a newer version of the module is left as it is |
//! | [`power_cut`] | the machine goes down, and the log's end is missing |
//! | [`slow_disk`] | what does not need the disk goes on while it is slow |
//! | [`unresolved_recovery`] | a loss is known until the resync requests for it are durable |
//! | [`encoding`] | how an operation is encoded |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use super::{log::wire, store::Store, *};
use crate::{
    dedup::Key,
    sync_types::{RowImage, SyncOperation},
};
use model::crash::copy;
use plugin_api::value::{Object, RecordId, Timestamp, Value};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::atomic::AtomicU64,
    time::Duration,
};
use tempfile::TempDir;

mod backlog;
mod corruption;
mod encoding;
mod incompatible;
mod lineage;
mod model;
mod page_watch;
mod power_cut;
mod rejections;
mod resyncs;
mod settlement;
mod slow_disk;
mod store_failures;
mod unresolved_recovery;

fn config(dir: &TempDir) -> QueueConfig {
    QueueConfig {
        dir: dir.path().join("queue"),
        max_bytes: 1 << 30,
        fsync: Fsync::None,
        tables: None,
        other_tables: BTreeSet::new(),
        request_lifetime: Duration::from_secs(60),
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

/// The backlog of a secondary, each partition in order.
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

/// Reads everything that waits for a secondary and acknowledges it.
fn take_all(queue: &SyncQueue, secondary: &str) -> Vec<SyncOperation> {
    let taken = waiting(queue, secondary);
    for partition in 0..PARTITIONS {
        let batch = queue.read(secondary, partition, 1_000_000).unwrap();
        queue.ack(secondary, partition, batch.end).unwrap();
    }
    taken
}

/// All retries of a secondary, whenever they are due.
fn retries(queue: &SyncQueue, secondary: &str) -> Result<Vec<Retry>, QueueError> {
    let in_a_year = Timestamp::now().after(Duration::from_secs(366 * 86_400));
    queue.due_retries(secondary, in_a_year, |_| Duration::ZERO, usize::MAX)
}

/// All dead letters of a secondary.
fn dead_letters(queue: &SyncQueue, secondary: &str) -> Result<Vec<DeadLetter>, QueueError> {
    queue.dead_letters(secondary, None, usize::MAX)
}

const fn rejected(retries: usize, dead_letters: usize) -> RejectedCount {
    RejectedCount {
        retries,
        dead_letters,
    }
}

fn entries(queue: &SyncQueue) -> usize {
    queue.store.with(|store| Ok(store.log.len()?)).unwrap()
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
fn an_entry_is_removed_only_after_every_secondary_has_acknowledged_it() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a", "b"]);
    queue.append(&[fact("k", 1), fact("l", 2)], None).unwrap();
    assert_eq!(take_all(&queue, "a").len(), 2);
    assert_eq!(queue.backlog("a").operations, 0);
    assert_eq!((entries(&queue), waiting(&queue, "b").len()), (2, 2));
    take_all(&queue, "b");
    assert_eq!(entries(&queue), 0);
    assert_eq!(queue.held_bytes(), 0);
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
fn a_log_that_lost_its_end_knows_which_positions_it_has_lost() {
    let dir = TempDir::new().unwrap();
    let partition = usize::from(partition_of(&fact("k", 0).key));
    let reopen = |appended: i64| {
        let queue = open(&dir, &["a"]);
        for value in 0..appended {
            queue.append(&[fact("k", value)], None).unwrap();
        }
        queue
    };
    let queue = reopen(2);
    let (epoch, before) = (queue.epoch(), dir.path().join("before"));
    copy(&config(&dir).dir, &before);
    for value in 0..3 {
        queue.append(&[fact("k", value)], None).unwrap();
    }
    let applied = queue.ends()[partition].position;
    drop(queue);
    std::fs::remove_dir_all(config(&dir).dir).unwrap();
    std::fs::rename(before, config(&dir).dir).unwrap();
    // However far it comes meanwhile, and however often it is opened.
    for appended in [0, 5, 5, 0] {
        let queue = reopen(appended);
        let kept = queue.kept_of(Some(epoch)).unwrap()[partition];
        assert!(kept < applied, "{kept:?} of {applied:?}");
        let end = queue.ends()[partition].position;
        let own = queue.kept_of(Some(queue.epoch())).unwrap()[partition];
        assert!(own >= end, "what it assigns now, it has");
    }
}

#[test]
fn an_evicted_secondary_has_confirmed_what_it_had_before() {
    let dir = TempDir::new().unwrap();
    let config = QueueConfig {
        max_bytes: 2_000,
        ..config(&dir)
    };
    let reopen = || SyncQueue::open(config.clone(), &names(&["a"])).unwrap();
    let queue = reopen();
    let partition = partition_of(&fact("k", 0).key);
    let append = |queue: &SyncQueue| queue.append(&[fact("k", 0)], None).unwrap();
    append(&queue);
    let confirmed = queue.read("a", partition, 1).unwrap().end;
    queue.ack("a", partition, confirmed).unwrap();
    append(&queue);
    let in_flight = queue.read("a", partition, 1).unwrap().end;
    while queue.resync_requests("a").unwrap().is_empty() {
        append(&queue);
    }
    let evicted_to = queue.read("a", partition, 1).unwrap().begin;
    assert!(evicted_to.position > in_flight.position);
    let at = |queue: &SyncQueue| {
        let batch = queue.read("a", partition, 1).unwrap();
        assert_eq!(batch.begin.position, evicted_to.position);
        batch.confirmed
    };
    assert_eq!(at(&queue), confirmed.position);
    // The batch that was being applied at that time.
    queue.ack("a", partition, in_flight).unwrap();
    queue.close();
    let queue = reopen();
    assert_eq!(at(&queue), in_flight.position);
    let next = queue.read("a", partition, 1).unwrap();
    assert_eq!(
        next.operations.len(),
        1,
        "what was appended after the eviction"
    );
    queue.ack("a", partition, next.end).unwrap();
    assert_eq!(
        queue.confirmed("a")[usize::from(partition)],
        next.end.position
    );
}

#[test]
fn a_secondary_that_is_no_longer_configured_holds_no_entries() {
    let dir = TempDir::new().unwrap();
    {
        let queue = open(&dir, &["a", "gone"]);
        queue.append(&[fact("k", 1)], None).unwrap();
        take_all(&queue, "a");
        queue.close();
    }
    let queue = open(&dir, &["a"]);
    assert_eq!(queue.held_bytes(), 0);
    assert_eq!(entries(&queue), 0);
}

#[test]
fn a_secondary_that_is_no_longer_configured_leaves_no_records() {
    let dir = TempDir::new().unwrap();
    {
        // One name is a prefix of the other.
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
        let requests = queue.resync_requests(secondary).unwrap().len();
        (
            requests,
            queue.count_rejected(secondary),
            queue.is_bootstrapped(secondary).unwrap(),
        )
    };
    assert_eq!(has("a"), (1, rejected(0, 1), true));
    // A secondary that has positions of the log gets a full resync.
    assert_eq!(has("aa"), (0, rejected(0, 0), false));
}

#[test]
fn an_operation_for_one_secondary_is_skipped_by_the_others() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a", "b"]);
    let refresh = SyncOperation::refresh(fact("k", 1).key).only_for("b");
    queue.append(&[refresh], None).unwrap();
    assert!(take_all(&queue, "a").is_empty());
    assert_eq!(queue.backlog("a").operations, 0);
    assert_eq!(take_all(&queue, "b").len(), 1);
}

#[test]
fn a_full_log_evicts_the_secondary_that_is_furthest_behind() {
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
    assert!(queue.held_bytes() <= 20_000);
    let metrics = queue.metrics();
    assert!(metrics.evictions("slow") > 0 && metrics.evictions("fast") == 0);
    assert_eq!(metrics.appended.get(), 1000);
    assert!(queue.resync_requests("fast").unwrap().is_empty());
    assert_eq!(queue.resync_requests("slow").unwrap()[0].table, EVERY_TABLE);
}

#[test]
fn an_evicted_backlog_is_removed_in_chunks_and_does_not_come_back() {
    const ENTRIES: usize = 2_000;
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    let entries = |queue: &SyncQueue| queue.store.with(|store| Ok(store.log.len()?)).unwrap();
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

    // What is written meanwhile is kept, also after a restart.
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
fn an_operation_larger_than_the_log_is_rejected_as_full() {
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
fn two_processes_cannot_open_the_same_queue() {
    let dir = TempDir::new().unwrap();
    let _first = open(&dir, &["a"]);
    let error = SyncQueue::open(config(&dir), &names(&["a"])).err().unwrap();
    assert!(matches!(error, QueueError::Locked(_)), "{error}");
}

#[test]
fn a_corrupt_store_is_moved_aside_and_every_table_resynced() {
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
