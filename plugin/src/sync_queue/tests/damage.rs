//! The log's files, damaged in every way: nothing that it held is lost without
//! every table being marked.
//!
//! The long form: `FAULT_LOG_DAMAGE=10000 cargo test --workspace --lib --
//! sync_queue::tests::damage --nocapture`.

use super::{super::*, *};
use std::{collections::BTreeMap, path::Path};

/// The files of a log, to be written again and again. Journals end in megabytes
/// of nothing, which are not kept.
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

    /// Writes them to `dir`, one of them spoilt. Says how.
    fn write_spoilt(&self, dir: &Path, chance: &mut fastrand::Rng) -> String {
        let spoilt = chance.usize(..self.0.len());
        let mut how = String::new();
        for (at, (path, bytes, length)) in self.0.iter().enumerate() {
            let mut bytes = bytes.clone();
            let mut length = *length;
            let mut keep = true;
            if at == spoilt {
                how = format!("{}: ", path.display());
                how += &spoil(&mut bytes, &mut length, &mut keep, chance);
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

fn spoil(
    bytes: &mut Vec<u8>,
    length: &mut u64,
    keep: &mut bool,
    chance: &mut fastrand::Rng,
) -> String {
    let kind = if bytes.is_empty() { 0 } else { chance.u8(0..6) };
    let at = chance.usize(..bytes.len().max(1));
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
            let bit = chance.u8(0..8);
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} flipped")
        }
        3 => {
            let end = bytes.len().min(at + 4);
            bytes[at..end].fill(0xf7);
            format!("{at}..{end} made a count of billions")
        }
        _ => {
            let end = bytes.len().min(at + chance.usize(1..600));
            let filling = chance.bool();
            for byte in &mut bytes[at..end] {
                *byte = if filling { chance.u8(..) } else { 0 };
            }
            format!("{at}..{end} overwritten")
        }
    }
}

/// What a log held when it was left.
#[derive(Default)]
struct Held {
    /// The values that wait, by partition, in order.
    waiting: BTreeMap<u16, Vec<i64>>,
    marked: Vec<String>,
    intents: Vec<Key>,
    retries: usize,
    dead_letters: usize,
}

fn make(dir: &TempDir, chance: &mut fastrand::Rng) -> Held {
    let queue = open(dir, &["a"]);
    let mut held = Held::default();
    let mut number = 0;
    for round in 0..chance.i64(1..4) {
        for _ in 0..chance.i64(1..40) {
            number += 1;
            let mut write = fact(&format!("k{}", chance.u8(0..20)), number);
            if chance.u8(0..4) == 0 {
                write.data[0].columns.insert("text", "x".repeat(3000));
            }
            let intent = queue.begin("kv_memories", vec![write.key.clone()]).unwrap();
            let partition = partition_of(&write.key);
            queue.append(&[write], Some(&intent)).unwrap();
            held.waiting.entry(partition).or_default().push(number);
        }
        for partition in 0..PARTITIONS {
            if chance.bool() {
                let limit = chance.usize(1..6);
                let batch = queue.read("a", partition, limit).unwrap();
                queue.ack("a", partition, batch.end).unwrap();
                let waiting = held.waiting.entry(partition).or_default();
                waiting.drain(..batch.operations.len());
            }
        }
        if chance.bool() {
            let table = format!("table{round}");
            queue.request_resync("a", &table, "test");
            held.marked.push(table);
        }
        if chance.bool() {
            let mut refused = fact(&format!("refused{round}"), 0);
            refused.retry_count = 1;
            let due = chance.bool().then(Timestamp::now);
            queue.reject("a", &refused, due).unwrap();
            match due {
                Some(_) => held.retries += 1,
                None => held.dead_letters += 1,
            }
        }
        if chance.bool() {
            let flush = |store: &Store| {
                store.log.rotate_memtable_and_wait()?;
                store.state.rotate_memtable_and_wait()?;
                Ok(store.refused.rotate_memtable_and_wait()?)
            };
            queue.with_store(flush).unwrap();
        }
    }
    if chance.bool() {
        let key = fact("under way", 0).key;
        queue.begin("kv_memories", vec![key.clone()]).unwrap();
        held.intents.push(key);
    }
    if chance.bool() {
        queue.close();
    }
    held
}

/// What the log says that waits; none if it cannot be read.
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
    let (read, marks, retries, dead_letters) = loop {
        attempts += 1;
        assert!(
            attempts < 6,
            "it never comes to rest: {how}, {:?}",
            queue.fault()
        );
        let all = (
            read_all(queue),
            queue.resync_requests("a").ok(),
            queue.retries("a").ok(),
            queue.dead_letters("a").ok(),
        );
        match all {
            (Some(read), Some(marks), Some(retries), Some(letters)) if queue.is_available() => {
                break (read, marks, retries, letters);
            }
            _ => queue.recover().unwrap(),
        }
    };
    if marks.iter().any(|mark| mark.table == EVERY_TABLE) {
        // It takes new writes all the same.
        queue.append(&[fact("new", 1)], None).unwrap();
        return false;
    }
    for table in &held.marked {
        assert!(
            marks.iter().any(|mark| mark.table == *table),
            "{table}: {how}"
        );
    }
    assert_eq!(retries.len(), held.retries, "{how}");
    assert_eq!(dead_letters.len(), held.dead_letters, "{how}");
    for key in &held.intents {
        let looked_at = |operation: &SyncOperation| operation.key == *key;
        assert!(
            read.iter()
                .any(|(_, operations)| operations.iter().any(looked_at)),
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
fn a_damaged_log_loses_nothing_unnoticed() {
    let number = |variable| std::env::var(variable).ok()?.parse::<u64>().ok();
    let seed = number("FAULT_SEED").unwrap_or_else(|| fastrand::u64(..));
    let mut chance = fastrand::Rng::with_seed(seed);
    let cases = number("FAULT_LOG_DAMAGE").unwrap_or(200);
    let (mut whole, mut case) = (0, 0);
    while case < cases {
        let origin = TempDir::new().unwrap();
        let held = make(&origin, &mut chance);
        let files = Files::read(&config(&origin).dir);
        for _ in 0..25.min(cases - case) {
            case += 1;
            let dir = TempDir::new().unwrap();
            let how = files.write_spoilt(&config(&dir).dir, &mut chance);
            let how = format!("FAULT_SEED={seed}, case {case}, {how}");
            let queue = open(&dir, &["a"]);
            whole += u64::from(check(&queue, &held, &how));
        }
    }
    // Else this would say nothing of what is read from a log that is whole.
    assert!(whole > 0 && whole < cases, "{whole} of {cases}");
}
