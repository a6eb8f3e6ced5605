//! The store's files, corrupted in every way: nothing that it held is lost without
//! a resync of every table.
//!
//! The long form: `FAULT_LOG_DAMAGE=10000 cargo test --workspace --lib --
//! sync_queue::tests::corruption --nocapture`.

use super::*;
use std::path::Path;

/// The files of a store, to be written repeatedly. The trailing zeros of journals
/// are not kept.
struct Files(Vec<(PathBuf, Vec<u8>, u64)>);

impl Files {
    fn read(dir: &Path) -> Self {
        let mut files = Vec::new();
        let mut dirs = vec![dir.to_owned()];
        while let Some(next) = dirs.pop() {
            for entry in std::fs::read_dir(&next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                    continue;
                }
                let mut bytes = std::fs::read(&path).unwrap();
                let length = bytes.len() as u64;
                bytes.truncate(
                    bytes
                        .iter()
                        .rposition(|byte| *byte != 0)
                        .map_or(0, |at| at + 1),
                );
                files.push((path.strip_prefix(dir).unwrap().to_owned(), bytes, length));
            }
        }
        files.sort();
        Self(files)
    }

    /// Writes them to `dir`, one of them corrupted. Returns how.
    fn write_corrupted(&self, dir: &Path, rng: &mut fastrand::Rng) -> String {
        let corrupted = rng.usize(..self.0.len());
        let mut how = String::new();
        for (at, (path, bytes, length)) in self.0.iter().enumerate() {
            let mut bytes = bytes.clone();
            let mut length = *length;
            let mut keep = true;
            if at == corrupted {
                how = format!("{}: ", path.display());
                how += &corrupt(&mut bytes, &mut length, &mut keep, rng);
            }
            let path = dir.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if keep {
                std::fs::write(&path, bytes).unwrap();
                let file = std::fs::File::options().write(true).open(&path).unwrap();
                file.set_len(length).unwrap();
            }
        }
        how
    }
}

fn corrupt(
    bytes: &mut Vec<u8>,
    length: &mut u64,
    keep: &mut bool,
    rng: &mut fastrand::Rng,
) -> String {
    let kind = if bytes.is_empty() { 0 } else { rng.u8(0..6) };
    let at = rng.usize(..bytes.len().max(1));
    match kind {
        0 => {
            *keep = false;
            "removed".to_owned()
        }
        1 => {
            bytes.truncate(at);
            *length = at as u64;
            format!("cut to {at}")
        }
        2 => {
            let bit = rng.u8(0..8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        3 => {
            let end = bytes.len().min(at + 4);
            bytes[at..end].fill(0xf7);
            format!("{at}..{end} overwritten with a count of billions")
        }
        _ => {
            let end = bytes.len().min(at + rng.usize(1..600));
            let filling = rng.bool();
            for byte in &mut bytes[at..end] {
                *byte = if filling { rng.u8(..) } else { 0 };
            }
            format!("{at}..{end} overwritten")
        }
    }
}

/// What the queue held when it was closed or dropped.
#[derive(Default)]
struct Held {
    /// The values that wait, by partition, in order.
    waiting: BTreeMap<u16, Vec<i64>>,
    requested: Vec<String>,
    intents: Vec<Key>,
    retries: usize,
    dead_letters: usize,
}

fn make(dir: &TempDir, rng: &mut fastrand::Rng) -> Held {
    let queue = open(dir, &["a"]);
    let mut held = Held::default();
    let mut number = 0;
    for round in 0..rng.i64(1..4) {
        for _ in 0..rng.i64(1..40) {
            number += 1;
            let mut write = fact(&format!("k{}", rng.u8(0..20)), number);
            if rng.u8(0..4) == 0 {
                write.data[0].columns.insert("text", "x".repeat(3000));
            }
            let intent = queue.begin("kv_memories", vec![write.key.clone()]);
            let partition = partition_of(&write.key);
            queue.append(&[write], Some(&intent)).unwrap();
            held.waiting.entry(partition).or_default().push(number);
        }
        for partition in 0..PARTITIONS {
            if rng.bool() {
                let limit = rng.usize(1..6);
                let batch = queue.read("a", partition, limit).unwrap();
                queue.ack("a", partition, batch.end).unwrap();
                let waiting = held.waiting.entry(partition).or_default();
                waiting.drain(..batch.operations.len());
            }
        }
        if rng.bool() {
            let table = format!("table{round}");
            queue.request_resync("a", &table, "test");
            held.requested.push(table);
        }
        if rng.bool() {
            let mut rejected = fact(&format!("rejected{round}"), 0);
            rejected.retry_count = 1;
            let due = rng.bool().then(Timestamp::now);
            queue.reject("a", &rejected, due).unwrap();
            match due {
                Some(_) => held.retries += 1,
                None => held.dead_letters += 1,
            }
        }
        if rng.bool() {
            let flush = |store: &Store| {
                store.log.rotate_memtable_and_wait()?;
                store.state.rotate_memtable_and_wait()?;
                Ok(store.rejected.rotate_memtable_and_wait()?)
            };
            queue.store.with(flush).unwrap();
        }
    }
    if rng.bool() {
        let key = fact("in progress", 0).key;
        queue.begin("kv_memories", vec![key.clone()]);
        held.intents.push(key);
    }
    if rng.bool() {
        queue.close();
    }
    held
}

/// The backlog of each partition; `None` if it cannot be read.
fn read_all(queue: &SyncQueue) -> Option<Vec<(u16, Vec<SyncOperation>)>> {
    let read = |partition| {
        let batch = queue.read("a", partition, 1_000_000).ok()?;
        let operations = batch.operations.into_iter().map(|(_, operation)| operation);
        Some((partition, operations.collect()))
    };
    (0..PARTITIONS).map(read).collect()
}

fn check(queue: &SyncQueue, held: &Held, how: &str) -> bool {
    let mut attempts = 0;
    let (read, requests, retried, letters) = loop {
        attempts += 1;
        assert!(
            attempts < 6,
            "it never becomes available: {how}, {:?}",
            queue.fault()
        );
        let all = (
            read_all(queue),
            queue.resync_requests("a").ok(),
            retries(queue, "a").ok(),
            dead_letters(queue, "a").ok(),
        );
        match all {
            (Some(read), Some(requests), Some(retried), Some(letters)) if queue.is_available() => {
                break (read, requests, retried, letters);
            }
            _ => {
                queue.recover().unwrap();
            }
        }
    };
    if requests.iter().any(|it| it.table == EVERY_TABLE) {
        // New writes are accepted.
        queue.append(&[fact("new", 1)], None).unwrap();
        return false;
    }
    for table in &held.requested {
        assert!(
            requests.iter().any(|it| it.table == *table),
            "{table}: {how}"
        );
    }
    assert_eq!(retried.len(), held.retries, "{how}");
    assert_eq!(letters.len(), held.dead_letters, "{how}");
    for key in &held.intents {
        let is_refresh = |operation: &SyncOperation| operation.key == *key;
        assert!(
            read.iter()
                .any(|(_, operations)| operations.iter().any(is_refresh)),
            "{key}: {how}"
        );
    }
    for (partition, operations) in read {
        let values: Vec<i64> = operations.iter().filter_map(value_of).collect();
        let waiting = held.waiting.get(&partition).cloned().unwrap_or_default();
        assert!(
            values.ends_with(&waiting),
            "{values:?}, not {waiting:?}: {how}"
        );
    }
    true
}

#[test]
fn no_loss_in_a_corrupt_store_goes_unnoticed() {
    let number = |variable| std::env::var(variable).ok()?.parse::<u64>().ok();
    let seed = number("FAULT_SEED").unwrap_or_else(|| fastrand::u64(..));
    let mut rng = fastrand::Rng::with_seed(seed);
    let cases = number("FAULT_LOG_DAMAGE").unwrap_or(200);
    let (mut intact, mut case) = (0, 0);
    while case < cases {
        let origin = TempDir::new().unwrap();
        let held = make(&origin, &mut rng);
        let files = Files::read(&config(&origin).dir);
        for _ in 0..25.min(cases - case) {
            case += 1;
            let dir = TempDir::new().unwrap();
            let how = files.write_corrupted(&config(&dir).dir, &mut rng);
            let how = format!("FAULT_SEED={seed}, case {case}, {how}");
            let queue = open(&dir, &["a"]);
            intact += u64::from(check(&queue, &held, &how));
        }
    }
    // Otherwise intact stores would not be covered.
    assert!(intact > 0 && intact < cases, "{intact} of {cases}");
}
