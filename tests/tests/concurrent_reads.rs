//! Reads from many threads while rows are written, moved, deleted and written
//! again, and a resync goes on: never a row twice, never a version older than
//! the one that was acknowledged when the read began, never a row whose delete
//! was acknowledged, and never a row missing that nobody deletes.
//!
//! The long form: `READS=1000 cargo test --workspace --test
//! concurrent_reads -- --nocapture`: so many reads for each of 16 threads; it
//! ends with a table.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use parking_lot::Mutex;
use plugin_api::abi_stable::std_types::{RString, RVec};
use plugin_api::{
    records::CodeSymbol,
    storage::{CallContext, CodeStorage, FullStorage, Storage},
    value::{Object, Value},
};
use replication_tests::{
    chance,
    proxy::{Proxy, Weather},
    site::{Access, Site, connected, replication},
    wait,
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst},
    thread,
    time::Duration,
};

const READERS: u64 = 16;

/// The user and the project that everything belongs to.
const OWNER: &str = "crowd";

/// The keys of a kind that are written and deleted.
const KEYS: [&str; 4] = ["k0", "k1", "k2", "k3"];

/// A key that only the secondary has, and nobody writes: as long as it is seen,
/// the secondary takes part.
const STRAY: &str = "stray";

/// The number of the stray.
const ONLY: i64 = 1;

/// What is known of one key. Operations on it have numbers that only grow; a
/// row holds the number of the write that made it.
#[derive(Default)]
struct Record {
    /// The latest write that was begun.
    writing: AtomicI64,
    /// The latest delete that was begun.
    deleting: AtomicI64,
    /// The latest write or delete that was acknowledged.
    acked: AtomicI64,
}

/// A row that a read has returned.
struct Seen {
    key: String,
    /// Which row it is: no two are the same.
    row: String,
    /// None where the read does not tell.
    number: Option<i64>,
}

impl Seen {
    fn new(key: &str, number: i64) -> Self {
        Self {
            key: key.to_owned(),
            row: key.to_owned(),
            number: Some(number),
        }
    }

    fn bare(key: &str) -> Self {
        Self {
            number: None,
            ..Self::new(key, 0)
        }
    }
}

/// What a read must not miss.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    /// It may miss any row.
    No,
    /// The key that it was asked for.
    Key,
    /// Every key.
    All,
}

type Ask = fn(&FullStorage, &str) -> Vec<Seen>;

/// One kind of rows: how it is written, deleted and read.
struct Kind {
    write: fn(&dyn Everything, &str, i64),
    /// The number is that of the row.
    delete: fn(&FullStorage, &str, i64),
    reads: &'static [(&'static str, Whole, Ask)],
}

trait Everything: Storage + CodeStorage {}

impl<T: Storage + CodeStorage> Everything for T {}

fn context() -> CallContext {
    CallContext::new()
}

/// Nearest to [`near`] in one of seven versions.
fn embedding(number: i64) -> Vec<f32> {
    vec![1.0, (number % 7) as f32]
}

fn near() -> [f32; 1] {
    [1.0]
}

/// A symbol moves to the other of its two files with each write.
fn file(key: &str, number: i64) -> String {
    format!("{key}-{}.rs", number % 2)
}

fn symbol(key: &str, number: i64) -> CodeSymbol {
    CodeSymbol {
        project_id: OWNER.into(),
        file_path: file(key, number).into(),
        language: "rust".into(),
        symbol_type: "function".into(),
        name: key.into(),
        name_path: key.into(),
        start_line: u32::try_from(number).unwrap(),
        embedding: embedding(number).into(),
        ..CodeSymbol::default()
    }
}

fn chunks_of(number: i64) -> usize {
    1 + usize::try_from(number % 3).unwrap()
}

const KINDS: &[Kind] = &[
    Kind {
        write: |storage, key, number| {
            let written = storage.save_fact(&context(), OWNER, key, &number.into());
            written.unwrap();
        },
        delete: |storage, key, _| storage.delete_fact(&context(), OWNER, key).unwrap(),
        reads: &[
            ("get_fact", Whole::Key, |storage, key| {
                let found = storage.get_fact(&context(), OWNER, key).unwrap();
                let number = found.into_option().and_then(|value| value.as_int());
                number
                    .map(|number| Seen::new(key, number))
                    .into_iter()
                    .collect()
            }),
            ("list_facts", Whole::All, |storage, _| {
                let facts = storage.list_facts(&context(), OWNER).unwrap();
                let facts = facts.iter();
                facts
                    .map(|(key, value)| Seen::new(key, value.as_int().unwrap()))
                    .collect()
            }),
            ("list_fact_keys", Whole::All, |storage, _| {
                let keys = storage.list_fact_keys(&context(), OWNER).unwrap();
                keys.iter().map(|key| Seen::bare(key)).collect()
            }),
        ],
    },
    Kind {
        write: |storage, key, number| {
            storage
                .save_code_symbol(&context(), &symbol(key, number))
                .unwrap();
        },
        delete: |storage, key, number| {
            let deleted = storage.delete_symbols_by_file(&context(), OWNER, &file(key, number));
            deleted.unwrap();
        },
        reads: &[
            ("get_code_symbol", Whole::Key, |storage, key| {
                let found = storage.get_code_symbol(&context(), OWNER, key).unwrap();
                symbols(found.into_option().map(|found| found.record))
            }),
            ("find_symbols_by_name", Whole::All, |storage, _| {
                let found = storage.find_symbols_by_name(&context(), OWNER, "", &[], 1000);
                symbols(found.unwrap().into_iter().map(|found| found.record))
            }),
            (
                "find_symbols_by_file, one of two",
                Whole::No,
                |storage, key| {
                    let found = storage.find_symbols_by_file(&context(), OWNER, &file(key, 0));
                    symbols(found.unwrap().into_iter().map(|found| found.record))
                },
            ),
            (
                "find_symbols_by_file, the other",
                Whole::No,
                |storage, key| {
                    let found = storage.find_symbols_by_file(&context(), OWNER, &file(key, 1));
                    symbols(found.unwrap().into_iter().map(|found| found.record))
                },
            ),
            ("search_symbols_by_similarity", Whole::No, |storage, _| {
                let found =
                    storage.search_symbols_by_similarity(&context(), OWNER, &near(), &[], 2);
                let found = found.unwrap().into_iter();
                symbols(found.map(|found| found.found.record))
            }),
        ],
    },
    Kind {
        write: |storage, key, number| {
            let count = chunks_of(number);
            let texts: Vec<RString> = (0..count).map(|at| format!("{key} {at}").into()).collect();
            let embeddings: Vec<RVec<f32>> = (0..count).map(|_| embedding(number).into()).collect();
            let mark = Object::new().with("number", number);
            let written = storage.save_document_chunks(&context(), key, &texts, &embeddings, &mark);
            written.unwrap();
        },
        delete: |storage, key, _| storage.delete_document(&context(), key).unwrap(),
        reads: &[
            ("search_documents", Whole::All, |storage, _| {
                let found = storage.search_documents(&context(), &near(), 1000).unwrap();
                chunks(found.into_iter().map(|found| found.document))
            }),
            (
                "search_documents, the two nearest",
                Whole::No,
                |storage, _| {
                    let found = storage.search_documents(&context(), &near(), 2).unwrap();
                    chunks(found.into_iter().map(|found| found.document))
                },
            ),
            ("list_document_paths", Whole::All, |storage, _| {
                let paths = storage.list_document_paths(&context()).unwrap();
                paths.iter().map(|path| Seen::bare(path)).collect()
            }),
        ],
    },
];

fn symbols(found: impl IntoIterator<Item = CodeSymbol>) -> Vec<Seen> {
    let seen = |symbol: CodeSymbol| Seen::new(&symbol.name_path, symbol.start_line.into());
    found.into_iter().map(seen).collect()
}

fn chunks(found: impl IntoIterator<Item = plugin_api::records::Document>) -> Vec<Seen> {
    let seen = |chunk: plugin_api::records::Document| Seen {
        key: chunk.source_file.into_option().unwrap().into(),
        row: chunk.file_path.into(),
        number: chunk.metadata.get("number").and_then(Value::as_int),
    };
    found.into_iter().map(seen).collect()
}

/// The records of a kind, by key.
type Records = BTreeMap<&'static str, Record>;

/// What a read that begins now has to see: by key, the latest that was
/// acknowledged.
fn promised(records: &Records) -> BTreeMap<&'static str, i64> {
    let acked = |(key, record): (&&'static str, &Record)| (*key, record.acked.load(SeqCst));
    records.iter().map(acked).collect()
}

/// What is wrong with the rows that a read has returned.
fn faults(
    records: &Records,
    promised: &BTreeMap<&'static str, i64>,
    seen: &[Seen],
    whole: Whole,
    asked_for: &str,
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut rows = BTreeSet::new();
    let mut numbers: BTreeMap<&str, BTreeSet<Option<i64>>> = BTreeMap::new();
    for Seen { key, row, number } in seen {
        if !rows.insert(row) {
            faults.push(format!("twice: {row}"));
        }
        let Some(&promise) = promised.get(key.as_str()) else {
            faults.push(format!("unknown: {key}"));
            continue;
        };
        let newest = number.unwrap_or_else(|| records[key.as_str()].writing.load(SeqCst));
        if newest < promise {
            faults.push(format!("stale or deleted: {key} {newest}, not {promise}"));
        }
        numbers.entry(key).or_default().insert(*number);
    }
    for (key, numbers) in &numbers {
        if numbers.len() > 1 {
            faults.push(format!("in several versions: {key} {numbers:?}"));
        }
    }
    for (&key, &promise) in promised {
        let wanted = whole == Whole::All || (whole == Whole::Key && key == asked_for);
        let excused = promise == 0 || records[key].deleting.load(SeqCst) >= promise;
        if wanted && !excused && !numbers.contains_key(key) {
            faults.push(format!("missing: {key}, {promise}"));
        }
    }
    faults
}

/// Writes the keys of a kind in turn, and deletes every third time, until told
/// to stop. The stray is left alone.
fn work(storage: &FullStorage, kind: &Kind, records: &Records, stop: &AtomicBool) {
    let mut rows: BTreeMap<&str, i64> = BTreeMap::new();
    for (number, key) in (1..).zip(KEYS.iter().cycle()) {
        if stop.load(SeqCst) {
            return;
        }
        let record = &records[key];
        match rows.remove(key) {
            Some(row) if number % 3 == 0 => {
                record.deleting.store(number, SeqCst);
                (kind.delete)(storage, key, row);
            }
            _ => {
                record.writing.store(number, SeqCst);
                (kind.write)(storage, key, number);
                rows.insert(key, number);
            }
        }
        record.acked.store(number, SeqCst);
    }
}

#[test]
fn reads_among_writes_deletes_and_resyncs_see_what_was_acknowledged() {
    let reads = chance::number("READS").unwrap_or(40);
    let site = Site::new();
    let server = site.server("a");
    let proxy = Proxy::start(server.address());
    let host = site.host_with(&site.yaml_for(
        &[Access::new("a", proxy.url())],
        // The secondary is behind in its rows, but never left behind.
        &["query_timeout: 2m", "sync_batch_timeout: 20ms"],
    ));
    connected(&host);
    let secondary = site.database(&server);
    let records: Vec<Records> = KINDS
        .iter()
        .map(|kind| {
            (kind.write)(&secondary, STRAY, ONLY);
            let stray = Record {
                writing: ONLY.into(),
                acked: ONLY.into(),
                ..Record::default()
            };
            let keys = KEYS.iter().map(|key| (*key, Record::default()));
            keys.chain([(STRAY, stray)]).collect()
        })
        .collect();
    proxy.set(Weather::Delayed(Duration::from_millis(2)));

    let stop = AtomicBool::new(false);
    let (done, found) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let mut resyncs = 0;
    thread::scope(|scope| {
        for (kind, records) in KINDS.iter().zip(&records) {
            let (storage, stop) = (host.storage().clone(), &stop);
            scope.spawn(move || work(&storage, kind, records, stop));
        }
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let (storage, records) = (host.storage().clone(), &records);
                let (done, found) = (&done, &found);
                scope.spawn(move || {
                    let every = KINDS.iter().zip(records).flat_map(|(kind, records)| {
                        kind.reads.iter().map(move |read| (records, read))
                    });
                    let every: Vec<_> = every.collect();
                    for read in reader..reader + reads {
                        let nth = usize::try_from(read).unwrap();
                        let (records, (name, whole, ask)) = every[nth % every.len()];
                        let key = KEYS[nth % KEYS.len()];
                        let promised = promised(records);
                        let seen = ask(&storage, key);
                        let faults = faults(records, &promised, &seen, *whole, key);
                        let faults = faults.iter().map(|fault| format!("{name}: {fault}"));
                        found.lock().extend(faults);
                        done.fetch_add(1, SeqCst);
                    }
                })
            })
            .collect();
        let admin = host_harness::admin::AdminClient::local(&host).unwrap();
        loop {
            let tables = json!({"tables": ["kv_memories", "code_symbols", "knowledge_base"]});
            admin.post("resync", &tables).unwrap();
            wait::until(
                "the resync",
                || replication(&host),
                |status| status.resyncs == 0,
            );
            resyncs += 1;
            if readers.iter().all(|reader| reader.is_finished()) {
                break;
            }
        }
        stop.store(true, SeqCst);
    });
    let found = found.into_inner();
    println!(
        "| reads | resyncs meanwhile | writes and deletes | wrong |\n| --- | --- | --- | --- |\n| {} | {resyncs} | {} | {} |",
        done.load(SeqCst),
        records
            .iter()
            .filter_map(|records| records
                .values()
                .map(|record| record.acked.load(SeqCst))
                .max())
            .sum::<i64>(),
        found.len()
    );
    assert_eq!(done.load(SeqCst), READERS * reads);
    assert!(found.is_empty(), "{found:#?}");
}
