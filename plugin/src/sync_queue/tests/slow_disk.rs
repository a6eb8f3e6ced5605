//! The disk answers late: what does not need it goes on.
//!
//! `cargo test --workspace --lib -- --ignored appends_with_fsync --nocapture` measures
//! how many appends there are in a second if each waits for the disk.

use super::{store_failures::open_with, *};
use std::{sync::mpsc, thread};
use tokio::runtime::Builder;

/// How long a test waits for what has to happen at once.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn a_slow_disk_does_not_stall_the_runtime() {
    const WORKERS: usize = 2;
    let dir = TempDir::new().unwrap();
    let queue = Arc::new(open(&dir, &["a"]));
    let runtime = Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_time()
        .build()
        .unwrap();
    // Each worker has a task that waits for the disk.
    let (entered, all_entered) = mpsc::channel();
    let release = Arc::new(parking_lot::Mutex::new(()));
    let held = release.lock();
    for _ in 0..WORKERS {
        let (queue, entered, release) = (Arc::clone(&queue), entered.clone(), Arc::clone(&release));
        runtime.spawn(async move {
            queue.store.with(|_| {
                entered.send(()).unwrap();
                drop(release.lock());
                Ok(())
            })
        });
        all_entered.recv_timeout(PATIENCE).unwrap();
    }
    let (fired, timer) = mpsc::channel();
    runtime.spawn(async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        fired.send(()).unwrap();
    });
    let in_time = timer.recv_timeout(PATIENCE);
    drop(held);
    in_time.expect("timers fire while the disk is waited for");
}

/// A flag in a primary that does not answer.
struct Silent {
    asked: mpsc::SyncSender<()>,
    answers: Arc<parking_lot::Mutex<()>>,
}

impl LogRow for Silent {
    fn set_dirty(&self) -> Result<(), String> {
        self.asked.send(()).unwrap();
        drop(self.answers.lock());
        Ok(())
    }

    fn is_dirty(&self) -> Result<bool, String> {
        Ok(false)
    }

    fn clear_dirty(&self) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn a_primary_that_is_silent_while_the_flag_is_set_blocks_no_reader_of_the_requests() {
    let dir = TempDir::new().unwrap();
    std::fs::write(&config(&dir).dir, "in the way").unwrap();
    let answers = Arc::new(parking_lot::Mutex::new(()));
    let (asked, is_asked) = mpsc::sync_channel(1);
    let flag = Silent {
        asked,
        answers: Arc::clone(&answers),
    };
    let queue = Arc::new(open_with(&dir, flag));
    let held = answers.lock();
    let requesting = thread::spawn({
        let queue = Arc::clone(&queue);
        move || queue.request_resync("a", "events", "test")
    });
    is_asked.recv_timeout(PATIENCE).unwrap();
    let (answer, answered) = mpsc::channel();
    thread::spawn({
        let queue = Arc::clone(&queue);
        move || answer.send(queue.resync_requests("a").unwrap())
    });
    let requests = answered.recv_timeout(PATIENCE);
    drop(held);
    requesting.join().unwrap();
    let requests = requests.expect("the status shows the requests meanwhile");
    assert_eq!(requests[0].table, "events");
}

fn syncing_always(dir: &TempDir) -> SyncQueue {
    let config = QueueConfig {
        fsync: Fsync::Always,
        ..config(dir)
    };
    SyncQueue::open(config, &names(&["a"])).unwrap()
}

/// Calls this before each fsync of the queue.
fn before_sync(queue: &SyncQueue, call: impl Fn() + Send + Sync + 'static) {
    assert!(queue.store.before_sync.set(Box::new(call)).is_ok());
}

#[test]
fn writers_share_an_fsync_and_keep_the_order_of_each_key() {
    const THREADS: i64 = 8;
    const EACH: i64 = 20;
    let dir = TempDir::new().unwrap();
    let queue = syncing_always(&dir);
    let syncs = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&syncs);
    before_sync(&queue, move || {
        counted.fetch_add(1, Ordering::Relaxed);
        // As a disk does. All others are at their next append by then.
        thread::sleep(Duration::from_millis(5));
    });
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let queue = &queue;
            scope.spawn(move || {
                for value in 0..EACH {
                    let operation = fact(&format!("k{thread}"), value);
                    queue.append(&[operation], None).unwrap();
                }
            });
        }
    });
    let syncs = syncs.load(Ordering::Relaxed);
    // One by one would be all of them, and without waiting fewer than each has.
    let all = (THREADS * EACH) as u64;
    assert!((EACH as u64..all / 2).contains(&syncs), "{syncs} for {all}");
    let mut found: BTreeMap<Key, Vec<i64>> = BTreeMap::new();
    for operation in take_all(&queue, "a") {
        let values = found.entry(operation.key.clone()).or_default();
        values.push(value_of(&operation).unwrap());
    }
    assert_eq!(found.len() as i64, THREADS);
    let in_order: Vec<i64> = (0..EACH).collect();
    assert!(
        found.values().all(|values| *values == in_order),
        "{found:?}"
    );
    assert_eq!(queue.held_bytes(), 0);
}

#[test]
fn an_append_that_waits_for_the_disk_holds_up_no_reader_and_is_not_read() {
    let dir = TempDir::new().unwrap();
    let queue = Arc::new(syncing_always(&dir));
    queue.append(&[fact("k", 1)], None).unwrap();
    let release = Arc::new(parking_lot::Mutex::new(()));
    let (entered, is_syncing) = mpsc::channel();
    let entered = parking_lot::Mutex::new(entered);
    before_sync(&queue, {
        let release = Arc::clone(&release);
        move || {
            // The receiver is gone once the test needs no more of them.
            let _ = entered.lock().send(());
            drop(release.lock());
        }
    });
    let held = release.lock();
    let append = |value| {
        let queue = Arc::clone(&queue);
        thread::spawn(move || queue.append(&[fact("k", value)], None))
    };
    let second = append(2);
    is_syncing.recv_timeout(PATIENCE).unwrap();
    // Joins in behind it, on the same key.
    let third = append(3);
    let partition = partition_of(&fact("k", 0).key);
    let (answer, answered) = mpsc::channel();
    thread::spawn({
        let queue = Arc::clone(&queue);
        move || {
            let batch = queue.read("a", partition, 10).unwrap();
            let values: Vec<_> = batch.operations.iter().map(|it| value_of(&it.1)).collect();
            queue.ack("a", partition, batch.end).unwrap();
            answer.send((values, queue.backlog("a").operations))
        }
    });
    let read = answered.recv_timeout(PATIENCE);
    drop(held);
    second.join().unwrap().unwrap();
    third.join().unwrap().unwrap();
    let read = read.expect("readers and acknowledgements go on");
    assert_eq!(
        read,
        (vec![Some(1)], 0),
        "what is not on the disk is not read"
    );
    let rest: Vec<_> = take_all(&queue, "a").iter().map(value_of).collect();
    assert_eq!(rest, [Some(2), Some(3)]);
}

#[test]
fn an_fsync_that_fails_fails_every_write_that_waited_for_it() {
    let dir = TempDir::new().unwrap();
    let queue = syncing_always(&dir);
    before_sync(&queue, || panic!("as a disk that fails"));
    let failed = thread::scope(|scope| {
        let append = |value| queue.append(&[fact(&format!("k{value}"), value)], None);
        let threads: Vec<_> = (0..4)
            .map(|value| scope.spawn(move || append(value)))
            .collect();
        let results = threads.into_iter().map(|it| it.join().unwrap());
        results.filter(Result::is_err).count()
    });
    assert_eq!(failed, 4);
    assert!(!queue.is_available());
}

#[test]
#[ignore = "a measurement"]
fn appends_with_fsync_by_threads() {
    for threads in [1, 8] {
        let dir = TempDir::new().unwrap();
        let queue = syncing_always(&dir);
        let begin = std::time::Instant::now();
        let appended: i64 = thread::scope(|scope| {
            let append = |thread: i64| {
                let queue = &queue;
                move || {
                    let mut count = 0;
                    while begin.elapsed() < Duration::from_secs(3) {
                        let key = format!("k{thread}/{count}");
                        queue.append(&[fact(&key, count)], None).unwrap();
                        count += 1;
                    }
                    count
                }
            };
            let threads: Vec<_> = (0..threads).map(|it| scope.spawn(append(it))).collect();
            threads.into_iter().map(|it| it.join().unwrap()).sum()
        });
        println!("{threads} threads: {} appends/s", appended / 3);
    }
}
