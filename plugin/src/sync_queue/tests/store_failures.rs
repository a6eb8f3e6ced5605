//! The store fails while it is in use, or cannot be opened.

use super::{
    boot_record::{DIRTY_BOOT_ID, current_boot_id},
    *,
};

/// A flag that outlives the queue, as a row of the primary does.
#[derive(Clone, Default)]
pub(super) struct Flag(Arc<AtomicBool>);

impl Flag {
    pub(super) fn is_set_now(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl LogRow for Flag {
    fn set_dirty(&self) -> Result<(), String> {
        self.0.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn is_dirty(&self) -> Result<bool, String> {
        Ok(self.is_set_now())
    }

    fn clear_dirty(&self) -> Result<(), String> {
        self.0.store(false, Ordering::Relaxed);
        Ok(())
    }
}

/// A flag that cannot be read.
struct Unreadable;

impl LogRow for Unreadable {
    fn set_dirty(&self) -> Result<(), String> {
        Ok(())
    }

    fn is_dirty(&self) -> Result<bool, String> {
        Err("as a primary that does not answer".to_owned())
    }

    fn clear_dirty(&self) -> Result<(), String> {
        Ok(())
    }
}

pub(super) fn open_with(dir: &TempDir, flag: impl LogRow + 'static) -> SyncQueue {
    SyncQueue::open_with(config(dir), &names(&["a"]), Box::new(flag)).unwrap()
}

pub(super) fn requested_tables(queue: &SyncQueue) -> Vec<String> {
    let requests = queue.resync_requests("a").unwrap();
    requests.into_iter().map(|request| request.table).collect()
}

/// Changes the store behind the queue's back.
pub(super) fn tamper(queue: &SyncQueue, change: impl FnOnce(&Store) -> fjall::Result<()>) {
    queue.store.with(|store| Ok(change(store)?)).unwrap();
}

#[test]
fn a_resync_requested_while_the_store_is_unavailable_survives_a_restart() {
    let dir = TempDir::new().unwrap();
    std::fs::write(&config(&dir).dir, "in the way").unwrap();
    let flag = Flag::default();
    let queue = open_with(&dir, flag.clone());
    assert!(!queue.is_available());
    assert!(queue.fault().is_some());
    let error = queue.append(&[fact("k", 1)], None).unwrap_err();
    assert!(matches!(error, QueueError::Unavailable), "{error}");
    assert!(!flag.is_set_now());
    queue.request_resync("a", "kv_memories", "test");
    assert!(flag.is_set_now());
    assert_eq!(requested_tables(&queue), ["kv_memories"]);
    queue.recover().unwrap_err();
    drop(queue);

    // The next process only knows that some table is affected.
    let queue = open_with(&dir, flag.clone());
    assert_eq!(requested_tables(&queue), [EVERY_TABLE]);
    std::fs::remove_file(&config(&dir).dir).unwrap();
    queue.recover().unwrap();
    assert!(queue.is_available());
    assert!(!flag.is_set_now(), "the request is in the store");
    drop(queue);

    let queue = open_with(&dir, flag);
    assert_eq!(requested_tables(&queue), [EVERY_TABLE]);
    queue.append(&[fact("k", 2)], None).unwrap();
    assert_eq!(take_all(&queue, "a").len(), 1);
}

#[test]
fn a_flag_that_cannot_be_read_counts_as_set() {
    let dir = TempDir::new().unwrap();
    assert_eq!(
        requested_tables(&open_with(&dir, Unreadable)),
        [EVERY_TABLE]
    );
}

#[test]
fn corruption_found_while_running_moves_the_store_aside_and_replication_continues() {
    type Corrupt = fn(&Store, [u8; 10]) -> fjall::Result<()>;
    let corruptions: [Corrupt; 3] = [
        |store, key| store.log.insert(key, "nonsense"),
        |store, key| store.log.remove(key),
        |_, _| panic!("as a corrupt file can cause"),
    ];
    for corrupt in corruptions {
        let dir = TempDir::new().unwrap();
        let queue = open(&dir, &["a", "b"]);
        let id = queue.id().to_owned();
        let partition = partition_of(&fact("k", 0).key);
        for value in 0..4 {
            queue.append(&[fact("k", value)], None).unwrap();
        }
        queue.set_bootstrapped("a").unwrap();
        let first = queue.read("a", partition, 2).unwrap();
        let at = queue.ends()[usize::from(partition)];
        let third = log::entry_key(partition, Position(at.position.0 - 1));
        // A panic counts as an error.
        let _ = queue.store.with(|store| Ok(corrupt(store, third)?));
        if queue.is_available() {
            queue.read("b", partition, 10).unwrap_err();
        }
        assert!(!queue.is_available());
        queue.recover().unwrap();

        assert_eq!(
            queue.id(),
            id,
            "the secondaries store positions under this id"
        );
        assert!(
            queue.is_bootstrapped("a").unwrap(),
            "the next session requests no resync"
        );
        for secondary in ["a", "b"] {
            assert_eq!(
                queue.resync_requests(secondary).unwrap()[0].table,
                EVERY_TABLE
            );
            assert!(waiting(&queue, secondary).is_empty());
        }
        // A worker and a writer were active meanwhile.
        queue.append(&[fact("k", 5)], None).unwrap();
        queue.ack("a", partition, first.end).unwrap();
        for secondary in ["a", "b"] {
            assert_eq!(queue.backlog(secondary).operations, 1);
            let taken = take_all(&queue, secondary);
            assert_eq!(taken.iter().filter_map(value_of).collect::<Vec<_>>(), [5]);
        }
        assert_eq!(queue.held_bytes(), 0);
        queue.append(&[fact("k", 6)], None).unwrap();
        drop(queue);
        let queue = open(&dir, &["a", "b"]);
        assert_eq!(queue.id(), id);
        assert_eq!(take_all(&queue, "a").len(), 1);
    }
}

#[test]
fn a_reopened_store_continues_where_it_was() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    let partition = partition_of(&fact("k", 0).key);
    queue.append(&[fact("k", 1), fact("k", 2)], None).unwrap();
    let first = queue.read("a", partition, 1).unwrap();
    let intent = queue.begin("kv_memories", vec![fact("l", 1).key]);
    let full = || fjall::Error::Io(std::io::ErrorKind::StorageFull.into());
    let failed: Result<(), _> = queue.store.with(|_| Err(full().into()));
    failed.unwrap_err();
    assert!(!queue.is_available());
    queue.recover().unwrap();
    assert!(requested_tables(&queue).is_empty());
    queue.ack("a", partition, first.end).unwrap();
    queue.append(&[fact("l", 1)], Some(&intent)).unwrap();
    queue.append(&[fact("k", 3)], None).unwrap();
    let mut values: Vec<_> = take_all(&queue, "a").iter().filter_map(value_of).collect();
    values.sort_unstable();
    assert_eq!(values, [1, 2, 3]);
    assert_eq!(queue.held_bytes(), 0);
}

#[test]
fn a_machine_that_went_down_causes_a_full_resync_unless_everything_was_synced() {
    for (fsync, closed, expected) in [
        (Fsync::None, false, &[EVERY_TABLE][..]),
        (
            Fsync::Interval(Duration::from_secs(1)),
            false,
            &[EVERY_TABLE][..],
        ),
        (Fsync::Always, false, &[][..]),
        (Fsync::None, true, &[][..]),
    ] {
        let dir = TempDir::new().unwrap();
        let config = || QueueConfig {
            fsync,
            ..config(&dir)
        };
        let queue = SyncQueue::open(config(), &names(&["a"])).unwrap();
        queue.append(&[fact("k", 1)], None).unwrap();
        drop(queue);
        let queue = SyncQueue::open(config(), &names(&["a"])).unwrap();
        if current_boot_id().is_some() {
            assert!(
                requested_tables(&queue).is_empty(),
                "only the process ended"
            );
        }
        tamper(&queue, |store| {
            match store.state.contains_key(DIRTY_BOOT_ID)? {
                true => store.state.insert(DIRTY_BOOT_ID, "another boot"),
                false => Ok(()),
            }
        });
        match closed {
            true => queue.close(),
            false => drop(queue),
        }
        let queue = SyncQueue::open(config(), &names(&["a"])).unwrap();
        assert_eq!(
            requested_tables(&queue),
            expected,
            "{fsync:?}, closed: {closed}"
        );
    }
}

#[test]
fn a_write_in_flight_keeps_its_intent_when_the_store_is_moved_aside() {
    let dir = TempDir::new().unwrap();
    let queue = open_with(&dir, Flag::default());
    let key = fact("k", 1).key;
    let _ = queue.begin("kv_memories", vec![key.clone()]);
    // The store is corrupt and replaced, and every table is scanned, before the
    // primary commits the write.
    let _ = queue
        .store
        .with::<()>(|_| Err(QueueError::Corrupt("as a test wants")));
    queue.recover().unwrap();
    for request in queue.resync_requests("a").unwrap() {
        queue.clear_resync("a", &request).unwrap();
    }
    // The process is killed between the commit and the append.
    drop(queue);
    let queue = open_with(&dir, Flag::default());
    let refreshed: Vec<Key> = waiting(&queue, "a").into_iter().map(|it| it.key).collect();
    assert_eq!(refreshed, [key]);
}
