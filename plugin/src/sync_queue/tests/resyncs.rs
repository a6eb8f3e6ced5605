//! Resync requests and intents, by examples.

use super::*;

#[test]
fn a_write_that_was_in_progress_at_a_crash_is_refreshed() {
    let dir = TempDir::new().unwrap();
    let known = fact("k", 1).key;
    {
        let queue = open(&dir, &["a"]);
        queue.begin("kv_memories", vec![known.clone()]);
        queue.begin("events", Vec::new());
        let ended = queue.begin("entities", Vec::new());
        queue.append(&[fact("l", 1)], Some(&ended)).unwrap();
        let cancelled = queue.begin("code_files", Vec::new());
        queue.cancel(&cancelled);
    }
    let queue = open(&dir, &["a"]);
    let refreshed: Vec<_> = waiting(&queue, "a")
        .into_iter()
        .filter(|operation| operation.data.is_empty())
        .map(|operation| operation.key)
        .collect();
    assert_eq!(refreshed, [known]);
    let requests: Vec<_> = queue.resync_requests("a").unwrap();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].table, "events");
    let left = queue.store.with(IntentStore::load).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_scan_resumes_after_a_restart_where_it_was() {
    let dir = TempDir::new().unwrap();
    {
        let queue = open(&dir, &["a"]);
        queue.request_resync("a", "events", "test");
        let mut request = queue.resync_requests("a").unwrap().remove(0);
        request.cursor = Some(RecordId::new("events", "m"));
        request.scanned = 500;
        assert!(queue.advance_resync("a", &request).unwrap());
        queue.close();
    }
    let queue = open(&dir, &["a"]);
    let request = queue.resync_requests("a").unwrap().remove(0);
    assert_eq!(request.cursor, Some(RecordId::new("events", "m")));
    assert_eq!(request.scanned, 500);
    queue.clear_resync("a", &request).unwrap();
    assert!(queue.resync_requests("a").unwrap().is_empty());
}

#[test]
fn a_table_that_is_requested_again_during_its_scan_is_scanned_again() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    queue.request_resync("a", "events", "test");
    let mut scanned = queue.resync_requests("a").unwrap().remove(0);
    queue.request_resync("a", "events", "emptied");
    scanned.cursor = Some(RecordId::new("events", "m"));
    assert!(!queue.advance_resync("a", &scanned).unwrap());
    queue.clear_resync("a", &scanned).unwrap();
    let request = queue.resync_requests("a").unwrap().remove(0);
    assert_eq!((request.reason.as_str(), request.cursor), ("emptied", None));
}
