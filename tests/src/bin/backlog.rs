//! `backlog CONFIG ROW_BYTES EMBEDDING`: a host for the tests that measure what a
//! backlog costs. It reads commands from its input and answers each with a line:
//!
//! | command | what it does | answer |
//! | --- | --- | --- |
//! | `write N` | writes N code symbols, the same thousand again and again | the bytes that were stored |
//! | `drain` | waits until every secondary has caught up | how many operations were replicated |

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed test panics"
)]

use host_harness::host::Host;
use plugin_api::{
    records::CodeSymbol,
    storage::{CallContext, CodeStorage as _},
    value::Value,
};
use replication_tests::{
    site::{host_of_file, replication},
    wait,
};
use std::{
    io::{self, BufRead},
    path::Path,
    time::Instant,
};

/// Symbols of one call.
const BATCH: u64 = 100;

/// Different symbols: with more, the test would measure the primary's size.
const SYMBOLS: u64 = 1_000;

/// What is written.
struct Rows {
    row_bytes: usize,
    with_embedding: bool,
    written: u64,
    random: fastrand::Rng,
}

impl Rows {
    /// A symbol whose values have that many bytes and cannot be compressed.
    fn next(&mut self) -> (Vec<String>, Vec<f32>) {
        let number = self.written % SYMBOLS;
        self.written += 1;
        let name = format!("{number:06}");
        // The name stands in two columns, the file's in one.
        let known = 2 * name.len() + FILE.len();
        let text = (known..self.row_bytes).map(|_| self.random.alphanumeric());
        let texts = vec![name, text.collect()];
        let embedding = match self.with_embedding {
            true => (0..768).map(|_| self.random.f32()).collect(),
            false => Vec::new(),
        };
        (texts, embedding)
    }
}

const FILE: &str = "src/lib.rs";

/// Writes that many symbols and returns the bytes that the primary stored.
fn write(host: &Host, rows: &mut Rows, operations: u64) -> u64 {
    let mut bytes = 0;
    for first in (0..operations).step_by(usize::try_from(BATCH).unwrap()) {
        let batch: Vec<_> = (first..operations.min(first + BATCH))
            .map(|_| rows.next())
            .collect();
        let symbols: Vec<_> = batch
            .iter()
            .map(|(texts, embedding)| CodeSymbol {
                project_id: "p".into(),
                file_path: FILE.into(),
                name: texts[0].as_str().into(),
                name_path: texts[0].as_str().into(),
                source_code: Some(texts[1].as_str().into()).into(),
                embedding: embedding.as_slice().into(),
                ..CodeSymbol::default()
            })
            .collect();
        let receipt = host
            .storage()
            .save_code_symbols(&CallContext::new(), &symbols)
            .unwrap();
        let columns = receipt.rows.iter().flat_map(|row| row.columns.iter());
        bytes += columns
            .filter(|(name, _)| *name != "embedding")
            .map(|(_, value)| payload(value))
            .sum::<usize>();
        bytes += batch
            .iter()
            .map(|(_, embedding)| 4 * embedding.len())
            .sum::<usize>();
    }
    bytes as u64
}

/// The bytes of a value: the length of a text, the contents of an object, eight
/// for anything else.
fn payload(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Object(object) => object
            .iter()
            .map(|(name, value)| name.len() + payload(value))
            .sum(),
        Value::None | Value::Null => 0,
        _ => 8,
    }
}

/// Waits until the backlog is empty, for as long as it shrinks.
fn drain(host: &Host) -> u64 {
    let (mut least, mut shrunk) = (u64::MAX, Instant::now());
    loop {
        let status = replication(host);
        if status.is_caught_up() {
            return status.replicated;
        }
        let left = status.backlog + status.retries;
        if left < least {
            (least, shrunk) = (left, Instant::now());
        }
        assert!(
            shrunk.elapsed() < wait::TIMEOUT,
            "it does not drain: {status:?}"
        );
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, config, row_bytes, with_embedding] = arguments.as_slice() else {
        // Only tests start this program.
        std::process::exit(2);
    };
    let host = host_of_file(Path::new(config));
    let mut rows = Rows {
        row_bytes: row_bytes.parse().unwrap(),
        with_embedding: with_embedding.parse().unwrap(),
        written: 0,
        random: fastrand::Rng::with_seed(1),
    };
    for command in io::stdin().lock().lines() {
        let command = command.unwrap();
        let answer = match command.split_once(' ') {
            Some(("write", number)) => write(&host, &mut rows, number.parse().unwrap()),
            None if command == "drain" => drain(&host),
            _ => panic!("{command:?} is no command"),
        };
        println!("{answer}");
    }
    host.shutdown().unwrap();
}
