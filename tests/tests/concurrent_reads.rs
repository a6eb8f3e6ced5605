//! Reads from many threads while rows are written, moved, deleted and written
//! again, and a resync runs. A read never returns a row twice, a version older
//! than the one that was acknowledged when the read began, or a row whose delete
//! was acknowledged; and it never misses a row that is not being deleted.
//!
//! The long form, with so many reads for each of 16 threads, ends with a table:
//! `READS=1000 cargo test --workspace --test concurrent_reads -- --nocapture`.

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
    proxy::{Network, Proxy},
    random,
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

/// A key that only the secondary has and that is never written: as long as reads
/// return it, the secondary takes part.
const SECONDARY_ONLY: &str = "secondary-only";

/// The number of that row.
const SECONDARY_ONLY_NUMBER: i64 = 1;

/// The operations on one key. Their numbers increase; a row holds the number of
/// the write that created it.
#[derive(Default)]
struct Record {
    /// The latest write that has begun.
    writing: AtomicI64,
    /// The latest delete that has begun.
    deleting: AtomicI64,
    /// The latest write or delete that was acknowledged.
    acked: AtomicI64,
}

/// A row that a read returned.
struct ReturnedRow {
    key: String,
    /// Which row it is: no two are the same.
    row: String,
    /// None where the read does not return it.
    number: Option<i64>,
}

impl ReturnedRow {
    fn new(key: &str, number: i64) -> Self {
        Self {
            key: key.to_owned(),
            row: key.to_owned(),
            number: Some(number),
        }
    }

    fn without_number(key: &str) -> Self {
        Self {
            number: None,
            ..Self::new(key, 0)
        }
    }
}

/// Which keys a read must return.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coverage {
    /// None: it may miss any row.
    None,
    /// The key that it looks up.
    Key,
    /// Every key.
    All,
}

type Read = fn(&FullStorage, &str) -> Vec<ReturnedRow>;

/// One kind of rows: how it is written, deleted and read.
struct Kind {
    write: fn(&dyn AllMethods, &str, i64),
    /// The number is that of the row.
    delete: fn(&FullStorage, &str, i64),
    reads: &'static [(&'static str, Coverage, Read)],
}

trait AllMethods: Storage + CodeStorage {}

impl<T: Storage + CodeStorage> AllMethods for T {}

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
            ("get_fact", Coverage::Key, |storage, key| {
                let found = storage.get_fact(&context(), OWNER, key).unwrap();
                let number = found.into_option().and_then(|value| value.as_int());
                number
                    .map(|number| ReturnedRow::new(key, number))
                    .into_iter()
                    .collect()
            }),
            ("list_facts", Coverage::All, |storage, _| {
                let facts = storage.list_facts(&context(), OWNER).unwrap();
                let facts = facts.iter();
                facts
                    .map(|(key, value)| ReturnedRow::new(key, value.as_int().unwrap()))
                    .collect()
            }),
            ("list_fact_keys", Coverage::All, |storage, _| {
                let keys = storage.list_fact_keys(&context(), OWNER).unwrap();
                keys.iter()
                    .map(|key| ReturnedRow::without_number(key))
                    .collect()
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
            ("get_code_symbol", Coverage::Key, |storage, key| {
                let found = storage.get_code_symbol(&context(), OWNER, key).unwrap();
                symbols(found.into_option().map(|found| found.record))
            }),
            ("find_symbols_by_name", Coverage::All, |storage, _| {
                let found = storage.find_symbols_by_name(&context(), OWNER, "", &[], 1000);
                symbols(found.unwrap().into_iter().map(|found| found.record))
            }),
            (
                "find_symbols_by_file, one of two",
                Coverage::None,
                |storage, key| {
                    let found = storage.find_symbols_by_file(&context(), OWNER, &file(key, 0));
                    symbols(found.unwrap().into_iter().map(|found| found.record))
                },
            ),
            (
                "find_symbols_by_file, the other",
                Coverage::None,
                |storage, key| {
                    let found = storage.find_symbols_by_file(&context(), OWNER, &file(key, 1));
                    symbols(found.unwrap().into_iter().map(|found| found.record))
                },
            ),
            (
                "search_symbols_by_similarity",
                Coverage::None,
                |storage, _| {
                    let found =
                        storage.search_symbols_by_similarity(&context(), OWNER, &near(), &[], 2);
                    let found = found.unwrap().into_iter();
                    symbols(found.map(|found| found.found.record))
                },
            ),
        ],
    },
    Kind {
        write: |storage, key, number| {
            let count = chunks_of(number);
            let texts: Vec<RString> = (0..count).map(|at| format!("{key} {at}").into()).collect();
            let embeddings: Vec<RVec<f32>> = (0..count).map(|_| embedding(number).into()).collect();
            let metadata = Object::new().with("number", number);
            let written =
                storage.save_document_chunks(&context(), key, &texts, &embeddings, &metadata);
            written.unwrap();
        },
        delete: |storage, key, _| storage.delete_document(&context(), key).unwrap(),
        reads: &[
            ("search_documents", Coverage::All, |storage, _| {
                let found = storage.search_documents(&context(), &near(), 1000).unwrap();
                chunks(found.into_iter().map(|found| found.document))
            }),
            (
                "search_documents, the two nearest",
                Coverage::None,
                |storage, _| {
                    let found = storage.search_documents(&context(), &near(), 2).unwrap();
                    chunks(found.into_iter().map(|found| found.document))
                },
            ),
            ("list_document_paths", Coverage::All, |storage, _| {
                let paths = storage.list_document_paths(&context()).unwrap();
                paths
                    .iter()
                    .map(|path| ReturnedRow::without_number(path))
                    .collect()
            }),
        ],
    },
];

fn symbols(found: impl IntoIterator<Item = CodeSymbol>) -> Vec<ReturnedRow> {
    let row = |symbol: CodeSymbol| ReturnedRow::new(&symbol.name_path, symbol.start_line.into());
    found.into_iter().map(row).collect()
}

fn chunks(found: impl IntoIterator<Item = plugin_api::records::Document>) -> Vec<ReturnedRow> {
    let row = |chunk: plugin_api::records::Document| ReturnedRow {
        key: chunk.source_file.into_option().unwrap().into(),
        row: chunk.file_path.into(),
        number: chunk.metadata.get("number").and_then(Value::as_int),
    };
    found.into_iter().map(row).collect()
}

/// The records of a kind, by key.
type Records = BTreeMap<&'static str, Record>;

/// The number of the latest acknowledged operation of each key: what a read that
/// begins now must respect.
fn acknowledged(records: &Records) -> BTreeMap<&'static str, i64> {
    let acked = |(key, record): (&&'static str, &Record)| (*key, record.acked.load(SeqCst));
    records.iter().map(acked).collect()
}

/// What is wrong with the rows that a read returned.
fn faults(
    records: &Records,
    acknowledged: &BTreeMap<&'static str, i64>,
    returned: &[ReturnedRow],
    coverage: Coverage,
    looked_up: &str,
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut rows = BTreeSet::new();
    let mut numbers: BTreeMap<&str, BTreeSet<Option<i64>>> = BTreeMap::new();
    for ReturnedRow { key, row, number } in returned {
        if !rows.insert(row) {
            faults.push(format!("twice: {row}"));
        }
        let Some(&expected) = acknowledged.get(key.as_str()) else {
            faults.push(format!("unknown: {key}"));
            continue;
        };
        let newest = number.unwrap_or_else(|| records[key.as_str()].writing.load(SeqCst));
        if newest < expected {
            faults.push(format!("stale or deleted: {key} {newest}, not {expected}"));
        }
        numbers.entry(key).or_default().insert(*number);
    }
    for (key, numbers) in &numbers {
        if numbers.len() > 1 {
            faults.push(format!("in several versions: {key} {numbers:?}"));
        }
    }
    for (&key, &expected) in acknowledged {
        let wanted = coverage == Coverage::All || (coverage == Coverage::Key && key == looked_up);
        let may_be_missing = expected == 0 || records[key].deleting.load(SeqCst) >= expected;
        if wanted && !may_be_missing && !numbers.contains_key(key) {
            faults.push(format!("missing: {key}, {expected}"));
        }
    }
    faults
}

/// Writes the keys of a kind in turn, and deletes every third time, until `stop`.
fn write_and_delete(storage: &FullStorage, kind: &Kind, records: &Records, stop: &AtomicBool) {
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
fn reads_during_writes_deletes_and_a_resync_respect_what_was_acknowledged() {
    let reads = random::number("READS").unwrap_or(40);
    let site = Site::new();
    let server = site.server("a");
    let proxy = Proxy::start(server.address());
    let host = site.host_with(&site.yaml_for(
        &[Access::new("a", proxy.url())],
        // The secondary lags in its rows, but its responses never time out.
        &["query_timeout: 2m", "sync_batch_timeout: 20ms"],
    ));
    connected(&host);
    let secondary = site.database(&server);
    let records: Vec<Records> = KINDS
        .iter()
        .map(|kind| {
            (kind.write)(&secondary, SECONDARY_ONLY, SECONDARY_ONLY_NUMBER);
            let secondary_only = Record {
                writing: SECONDARY_ONLY_NUMBER.into(),
                acked: SECONDARY_ONLY_NUMBER.into(),
                ..Record::default()
            };
            let keys = KEYS.iter().map(|key| (*key, Record::default()));
            keys.chain([(SECONDARY_ONLY, secondary_only)]).collect()
        })
        .collect();
    proxy.set(Network::Delayed(Duration::from_millis(2)));

    let stop = AtomicBool::new(false);
    let (done, found) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    let mut resyncs = 0;
    thread::scope(|scope| {
        for (kind, records) in KINDS.iter().zip(&records) {
            let (storage, stop) = (host.storage().clone(), &stop);
            scope.spawn(move || write_and_delete(&storage, kind, records, stop));
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
                        let (records, (name, coverage, read_rows)) = every[nth % every.len()];
                        let key = KEYS[nth % KEYS.len()];
                        let acknowledged = acknowledged(records);
                        let rows = read_rows(&storage, key);
                        let faults = faults(records, &acknowledged, &rows, *coverage, key);
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
