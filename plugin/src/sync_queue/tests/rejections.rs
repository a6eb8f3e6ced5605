//! Retries and dead letters, by examples.
//!
//! With many of them, and how long a tick and an opening take: `QUEUE_DEAD_LETTERS=200000
//! cargo test --workspace --lib -- dead_letters_cost --nocapture`.

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
    assert_eq!(retries(&queue, "a").unwrap()[0].retry_count, 1);
    queue.retry("a", &operation.key).unwrap();
    assert!(retries(&queue, "a").unwrap().is_empty());
    let again = take_all(&queue, "a").remove(0);
    assert_eq!((again.retry_count, again.data.len()), (1, 0));
    assert_eq!(again.timestamp, operation.timestamp, "of the write");

    queue.reject("a", &again, None).unwrap();
    let letter = dead_letters(&queue, "a").unwrap().remove(0);
    assert_eq!(letter.last_error, "no such index");
    assert_eq!(queue.replay("a", &["another".to_owned()]).unwrap(), 0);
    assert_eq!(queue.replay("a", &[letter.id]).unwrap(), 1);
    assert_eq!(take_all(&queue, "a")[0].retry_count, 0);

    queue.reject("a", &again, None).unwrap();
    assert_eq!(queue.discard("a", &[]).unwrap(), 1);
    assert!(dead_letters(&queue, "a").unwrap().is_empty());
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
    assert_eq!(queue.count_rejected("a"), rejected(1, 0));
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
    assert_eq!(retries(&queue, "a").unwrap().len(), 1);
    assert!(waiting(&queue, "a").is_empty());
}

/// How many rejections were read from the store while `work` ran.
fn reads<T>(queue: &SyncQueue, work: impl FnOnce() -> T) -> u64 {
    let before = queue.rejections.decoded.load(Ordering::Relaxed);
    work();
    queue.rejections.decoded.load(Ordering::Relaxed) - before
}

#[test]
fn dead_letters_cost_a_tick_and_a_health_check_nothing() {
    let dead = std::env::var("QUEUE_DEAD_LETTERS").map_or(2_000, |text| text.parse().unwrap());
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    for number in 0..dead {
        let letter = fact(&format!("dead{number}"), 0);
        queue.reject("a", &letter, None).unwrap();
    }
    let later = Timestamp::now().after(Duration::from_secs(60));
    queue.reject("a", &fact("later", 0), Some(later)).unwrap();
    let now = Timestamp::now();
    queue.reject("a", &fact("due", 0), Some(now)).unwrap();
    let check = |queue: &SyncQueue| {
        let begin = std::time::Instant::now();
        let counted = reads(queue, || queue.count_rejected("a"));
        assert_eq!(counted, 0);
        assert_eq!(queue.count_rejected("a"), rejected(2, dead));
        let wait = |_| Duration::from_secs(60);
        let mut due = Vec::new();
        let ticked = reads(queue, || {
            due = queue.due_retries("a", Timestamp::now(), wait, 100).unwrap();
        });
        assert_eq!(
            due.iter().map(|it| &it.key).collect::<Vec<_>>(),
            [&fact("due", 0).key]
        );
        assert_eq!(ticked, 1, "only what is due");
        println!(
            "{dead} dead letters: a health check and a tick took {:?}",
            begin.elapsed()
        );
        // A key that was never rejected is not looked up.
        assert_eq!(reads(queue, || queue.resolve("a", &fact("k", 0).key)), 0);
    };
    check(&queue);
    queue.close();
    let begin = std::time::Instant::now();
    let queue = open(&dir, &["a"]);
    println!("opening the queue took {:?}", begin.elapsed());
    check(&queue);
}

#[test]
fn dead_letters_are_listed_in_pages() {
    const PAGE: usize = 7;
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    let mut keys = BTreeSet::new();
    for number in 0..30 {
        let letter = fact(&format!("dead{number}"), 0);
        // Every third one waits for its retry instead.
        let due = (number % 3 == 0).then(Timestamp::now);
        queue.reject("a", &letter, due).unwrap();
        if due.is_none() {
            keys.insert(letter.key.to_string());
        }
    }
    let (mut found, mut after) = (BTreeSet::new(), None::<String>);
    loop {
        let mut page = Vec::new();
        let read = reads(&queue, || {
            page = queue.dead_letters("a", after.as_deref(), PAGE).unwrap();
        });
        assert_eq!(read, page.len() as u64, "no more than is listed");
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        for letter in page {
            assert!(found.insert(letter.key), "twice");
        }
    }
    assert_eq!(found, keys);
    assert_eq!(queue.discard("a", &[]).unwrap(), keys.len());
    assert_eq!(queue.count_rejected("a"), rejected(10, 0));
}
