//! What a long backlog takes on the disk, compared with what was written.
//!
//! The long form: `QUEUE_BACKLOG=1000000 cargo test --workspace --lib --
//! sync_queue::tests::backlog --nocapture`; it ends with a table.

use super::*;

/// Operations of one append, as a batch of symbols has them.
const BATCH: usize = 100;

/// Different keys.
const KEYS: u64 = 4_000;

/// A code symbol with `bytes` of incompressible text.
fn symbol(rng: &mut fastrand::Rng, number: u64, bytes: usize, embedding: bool) -> SyncOperation {
    let name = format!("{:06}", number % KEYS);
    let text: String = (0..bytes).map(|_| rng.alphanumeric()).collect();
    let now = Timestamp::now();
    SyncOperation::upsert(
        "code_symbols",
        RowImage {
            id: RecordId::new("code_symbols", format!("{:020}", number % KEYS)),
            columns: Object::new()
                .with("project_id", "p")
                .with("file_path", "src/lib.rs")
                .with("language", "rust")
                .with("symbol_type", "function")
                .with("name", name.as_str())
                .with("name_path", name.as_str())
                .with("start_line", 1i64)
                .with("end_line", 9i64)
                .with("start_byte", 0i64)
                .with("end_byte", 99i64)
                .with("source_code", text)
                .with("created_at", now)
                .with("updated_at", now),
            embedding: embedding.then(|| (0..768).map(|_| rng.f32()).collect()),
        },
    )
}

/// A backlog waits in the log's tables and blobs. Beside them fjall keeps its
/// journals, 64 MiB or so however long the backlog is.
#[test]
fn a_backlog_takes_less_than_1_3_times_what_was_written() {
    let operations = std::env::var("QUEUE_BACKLOG").map_or(10_000, |text| text.parse().unwrap());
    println!("| operations | bytes of values | log | ratio |\n| --- | --- | --- | --- |");
    for (text, embedding) in [(252, false), (252, true)] {
        let dir = TempDir::new().unwrap();
        let queue = open(&dir, &["a"]);
        let mut rng = fastrand::Rng::with_seed(1);
        let mut written = 0;
        for first in (0..operations).step_by(BATCH) {
            let batch: Vec<_> = (first..first + BATCH as u64)
                .map(|number| symbol(&mut rng, number, text, embedding))
                .collect();
            written += batch.iter().map(payload).sum::<u64>();
            queue.append(&batch, None).unwrap();
        }
        let log = queue
            .store
            .with(|store| {
                store.log.rotate_memtable_and_wait()?;
                Ok(store.log.disk_space())
            })
            .unwrap();
        println!(
            "| {operations} | {written} | {log} | {:.3} |",
            log as f64 / written as f64
        );
        assert!(log * 10 < written * 13, "{log} bytes for {written}");
        assert_eq!(waiting(&queue, "a").len() as u64, operations);
    }
}

/// The bytes of an operation's values: of texts their length, of anything else
/// eight, of an embedding four for each number.
fn payload(operation: &SyncOperation) -> u64 {
    let row = &operation.data[0];
    let columns = row.columns.iter().map(|(_, value)| match value {
        Value::String(text) => text.len(),
        _ => 8,
    });
    let embedding = row.embedding.as_ref().map_or(0, |floats| 4 * floats.len());
    (columns.sum::<usize>() + embedding) as u64
}
