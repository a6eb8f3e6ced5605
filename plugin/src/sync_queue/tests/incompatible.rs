//! A log of a newer version of the module is left as it is.

use crate::self_healing::FORMAT_FILE;

use super::{
    store_failures::{Flag, open_with, requested_tables, tamper},
    *,
};

/// The files of the log, by name.
fn files(dir: &TempDir) -> BTreeMap<PathBuf, u64> {
    let parent = std::fs::read_dir(dir.path()).unwrap();
    let inside = std::fs::read_dir(config(dir).dir).unwrap();
    parent
        .chain(inside)
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.path(), entry.metadata().unwrap().len()))
        .collect()
}

/// Puts an entry of a later format in the place of the only one of this key.
fn write_newer_entry(queue: &SyncQueue, key: &Key) {
    let partition = partition_of(key);
    let at = queue.ends()[usize::from(partition)];
    tamper(queue, |store| {
        let entry = log::entry_key(partition, at.position);
        let mut value = store.log.get(entry)?.unwrap().to_vec();
        value[16] = 9;
        store.log.insert(entry, value)
    });
}

/// What holds for a log that this version cannot use: files and dead letters
/// stay, and a write is only known to the flag.
fn is_left_alone(queue: &SyncQueue, flag: &Flag, dir: &TempDir, before: &BTreeMap<PathBuf, u64>) {
    for _ in 0..3 {
        assert!(queue.recover().is_err());
    }
    let fault = queue.fault().unwrap();
    assert!(fault.problem.contains("newer version"), "{fault:?}");
    let remedy = fault.remedy();
    assert!(
        remedy.contains("install the newer module again") && remedy.contains("queue_dir"),
        "{remedy}"
    );
    assert!(!flag.is_set_now(), "nothing was written yet");
    queue.append(&[fact("k", 2)], None).unwrap_err();
    queue.request_resync_everywhere("kv_memories", "the log could not be written");
    assert!(flag.is_set_now());
    assert_eq!(requested_tables(queue), ["kv_memories"]);
    let after: Vec<_> = files(dir).into_keys().collect();
    assert_eq!(after, before.keys().cloned().collect::<Vec<_>>());
}

#[test]
fn an_entry_of_a_newer_version_is_not_corruption() {
    let dir = TempDir::new().unwrap();
    let flag = Flag::default();
    let queue = open_with(&dir, flag.clone());
    queue.reject("a", &fact("dead", 1), None).unwrap();
    queue.append(&[fact("k", 1)], None).unwrap();
    write_newer_entry(&queue, &fact("k", 1).key);
    let before = files(&dir);
    let read = queue.read("a", partition_of(&fact("k", 1).key), 10);
    assert!(read.is_err() && !queue.is_available());
    is_left_alone(&queue, &flag, &dir, &before);
}

#[test]
fn a_log_of_a_newer_format_is_not_opened_and_what_it_misses_is_resynced_by_the_newer_version() {
    let dir = TempDir::new().unwrap();
    let queue = open(&dir, &["a"]);
    let id = queue.id().to_owned();
    queue.reject("a", &fact("dead", 1), None).unwrap();
    queue.append(&[fact("k", 1)], None).unwrap();
    queue.close();
    let format = config(&dir).dir.join(FORMAT_FILE);
    let ours = std::fs::read(&format).unwrap();
    // What else a newer version has there is unknown to this one.
    std::fs::write(&format, "2 2\n").unwrap();
    std::fs::write(config(&dir).dir.join("log.newer"), "nonsense").unwrap();
    let before = files(&dir);

    let flag = Flag::default();
    let queue = open_with(&dir, flag.clone());
    is_left_alone(&queue, &flag, &dir, &before);
    assert_eq!(files(&dir), before, "not a byte is written");
    drop(queue);

    // The newer version is installed again.
    std::fs::write(&format, ours).unwrap();
    std::fs::remove_file(config(&dir).dir.join("log.newer")).unwrap();
    let queue = open_with(&dir, flag.clone());
    assert_eq!(queue.id(), id);
    assert_eq!(requested_tables(&queue), [EVERY_TABLE]);
    assert_eq!(queue.count_rejected("a"), rejected(0, 1));
    assert!(!flag.is_set_now());
}

#[test]
fn a_log_without_a_recorded_format_is_that_of_the_versions_before() {
    let dir = TempDir::new().unwrap();
    let id = {
        let queue = open(&dir, &["a"]);
        queue.append(&[fact("k", 1)], None).unwrap();
        queue.id().to_owned()
    };
    let format = config(&dir).dir.join(FORMAT_FILE);
    for _ in 0..2 {
        std::fs::remove_file(&format).unwrap();
        let queue = open(&dir, &["a"]);
        assert_eq!(queue.id(), id);
        assert_eq!(waiting(&queue, "a").len(), 1);
        assert!(format.exists());
    }
}
