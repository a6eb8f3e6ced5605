//! Retries and dead letters, by examples.

use super::*;

#[test]
fn a_rejected_operation_is_retried_then_dead_then_replayed_or_discarded() {
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
fn a_rejection_is_synced_to_the_disk_like_an_operation() {
    let dir = TempDir::new().unwrap();
    let config = QueueConfig {
        fsync: Fsync::Interval(Duration::from_secs(1)),
        ..config(&dir)
    };
    let queue = SyncQueue::open(config, &names(&["a"])).unwrap();
    queue.sync().unwrap();
    assert!(!queue.store.has_unsynced());
    queue.reject("a", &fact("k", 1), None).unwrap();
    assert!(queue.store.has_unsynced());
}

#[test]
fn a_dead_letter_that_became_a_retry_again_is_not_discarded() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    queue.reject("a", &fact("k", 1), None).unwrap();
    let discarded = queue.rejections.for_each_dead_letter("a", &[], |key| {
        // A newer write, rejected while the dead letters are iterated.
        queue.reject("a", &fact("k", 2), Some(Timestamp::now()))?;
        queue.rejections.discard("a", key)
    });
    assert_eq!(discarded.unwrap(), 0);
    assert_eq!(queue.count_rejected("a").unwrap(), (1, 0));
}

#[test]
fn a_retry_is_appended_and_its_rejection_removed_in_one_commit() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    let mut operation = fact("k", 1);
    operation.retry_count = 1;
    queue
        .reject("a", &operation, Some(Timestamp::now()))
        .unwrap();
    queue.close();
    // Either both happen or neither.
    assert!(queue.retry("a", &operation.key).is_err());
    let queue = open(&dir, &["a"]);
    assert_eq!(queue.retries("a").unwrap().len(), 1);
    assert!(waiting(&queue, "a").is_empty());
}
