//! Writes whose outcome is unknown, by examples.

use super::*;
use std::slice;

/// As in [`config`].
const LIFETIME: Duration = Duration::from_secs(60);

fn refreshed(queue: &SyncQueue) -> Vec<Key> {
    let taken = take_all(queue, "a");
    assert!(taken.iter().all(|operation| operation.data.is_empty()));
    taken.into_iter().map(|operation| operation.key).collect()
}

fn requested(queue: &SyncQueue) -> Vec<String> {
    let requests = queue.resync_requests("a").unwrap();
    for request in &requests {
        queue.clear_resync("a", request).unwrap();
    }
    requests.into_iter().map(|request| request.table).collect()
}

/// How many records of unsettled writes the store holds.
fn records(queue: &SyncQueue) -> usize {
    let count = |store: &Store| Ok(store.state.prefix("unsettled/").count());
    queue.store.with(count).unwrap()
}

#[test]
fn an_uncertain_write_is_refreshed_at_once_and_after_its_request_cannot_live_on() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    let key = fact("k", 1).key;
    let intent = queue.begin("kv_memories", vec![key.clone()]);
    queue.unsettle(&intent, "test");
    assert_eq!(refreshed(&queue), slice::from_ref(&key), "at once");
    assert_eq!((queue.unsettled(), records(&queue)), (1, 1));
    assert!(queue.store.with(IntentStore::load).unwrap().is_empty());

    queue.settle(Some(LIFETIME / 2)).unwrap();
    assert_eq!(refreshed(&queue), slice::from_ref(&key), "in between");
    queue.settle(None).unwrap();
    queue.settle(Some(LIFETIME)).unwrap();
    assert_eq!(
        refreshed(&queue),
        slice::from_ref(&key),
        "the primary was silent"
    );
    assert_eq!((queue.unsettled(), records(&queue)), (1, 1));
    queue.settle(Some(LIFETIME)).unwrap();
    assert_eq!(refreshed(&queue), [key]);
    assert_eq!((queue.unsettled(), records(&queue)), (0, 0));
    queue.settle(Some(LIFETIME)).unwrap();
    assert!(refreshed(&queue).is_empty());
}

#[test]
fn the_table_of_an_uncertain_write_without_a_key_is_scanned_again_in_the_end() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    let intent = queue.begin("events", Vec::new());
    queue.unsettle(&intent, "test");
    assert_eq!(requested(&queue), ["events"]);
    queue.settle(Some(LIFETIME / 2)).unwrap();
    assert!(requested(&queue).is_empty());
    queue.settle(Some(LIFETIME)).unwrap();
    assert_eq!(requested(&queue), ["events"]);
    assert_eq!((queue.unsettled(), records(&queue)), (0, 0));
}

#[test]
fn an_interrupted_write_stays_unsettled_over_further_restarts() {
    let dir = TempDir::new().unwrap();
    let key = fact("k", 1).key;
    {
        let queue = open(&dir, &["a"]);
        queue.begin("kv_memories", vec![key.clone()]);
        queue.begin("events", Vec::new());
    }
    for _ in 0..3 {
        let queue = open(&dir, &["a"]);
        assert_eq!(refreshed(&queue), slice::from_ref(&key));
        assert_eq!(requested(&queue), ["events"]);
        assert_eq!((queue.unsettled(), records(&queue)), (2, 2));
    }
    let queue = open(&dir, &["a"]);
    queue.settle(Some(2 * LIFETIME)).unwrap();
    drop(queue);
    let queue = open(&dir, &["a"]);
    assert_eq!((queue.unsettled(), records(&queue)), (0, 0));
}

#[test]
fn uncertain_writes_of_one_key_are_one_record() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    for _ in 0..100 {
        let intent = queue.begin("kv_memories", vec![fact("k", 1).key]);
        queue.unsettle(&intent, "test");
    }
    assert_eq!((queue.unsettled(), records(&queue)), (1, 1));
    // The last of them counts.
    queue.settle(Some(LIFETIME)).unwrap();
    let intent = queue.begin("kv_memories", vec![fact("k", 1).key]);
    queue.unsettle(&intent, "test");
    queue.settle(Some(LIFETIME)).unwrap();
    assert_eq!(queue.unsettled(), 1);
}

#[test]
fn too_many_unsettled_keys_are_replaced_by_their_table() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    let key = |number: i64| Key::new("kv_memories", [&Value::from(number)]);
    let other = Key::new("code_projects", [&Value::from("p")]);
    let all = [
        ("code_projects", vec![other.clone()]),
        ("kv_memories", (0..9_000).map(key).collect()),
        ("kv_memories", (9_000..18_000).map(key).collect()),
    ];
    for (table, keys) in all {
        let intent = queue.begin(table, keys);
        queue.unsettle(&intent, "test");
    }
    assert_eq!((queue.unsettled(), records(&queue)), (2, 2));
    assert_eq!(refreshed(&queue).len(), 18_001);
    queue.settle(Some(2 * LIFETIME)).unwrap();
    assert_eq!(refreshed(&queue), [other]);
    assert_eq!(requested(&queue), ["kv_memories"]);
}

#[test]
fn the_last_look_waits_for_a_write_that_began_before() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    let late = queue.begin("kv_memories", vec![fact("k", 1).key]);
    let newer = queue.begin("kv_memories", vec![fact("k", 2).key]);
    queue.unsettle(&late, "test");
    queue.settle(Some(2 * LIFETIME)).unwrap();
    assert_eq!(queue.unsettled(), 1);
    refreshed(&queue);
    // Committed before the late one, and appended after it.
    queue.commit(&[fact("k", 2)], &newer);
    queue.settle(Some(LIFETIME)).unwrap();
    assert_eq!(queue.unsettled(), 0);
    let values: Vec<_> = take_all(&queue, "a").iter().map(value_of).collect();
    assert_eq!(values, [Some(2), None], "the refresh is last");
}

#[test]
fn an_unsettled_write_is_kept_while_the_store_cannot_be_written() {
    let dir = TempDir::new().unwrap();
    let queue = store_failures::open_with(&dir, store_failures::Flag::default());
    let key = fact("k", 1).key;
    let fail = || {
        let full = fjall::Error::Io(std::io::ErrorKind::StorageFull.into());
        let failed: Result<(), _> = queue.store.with(|_| Err(full.into()));
        failed.unwrap_err();
        let taken = queue
            .store
            .recover(|_| Err::<Store, _>(QueueError::Unavailable), |store| store);
        taken.unwrap_err();
    };
    fail();
    let intent = queue.begin("kv_memories", vec![key.clone()]);
    queue.unsettle(&intent, "test");
    assert_eq!(queue.unsettled(), 1);
    queue.settle(Some(2 * LIFETIME)).unwrap_err();
    assert_eq!(queue.unsettled(), 1, "the last look was not possible");
    queue.recover().unwrap();
    assert_eq!(records(&queue), 1);
    drop(queue);
    let queue = open(&dir, &["a"]);
    assert_eq!(queue.unsettled(), 1);
    assert_eq!(refreshed(&queue), slice::from_ref(&key));
}
