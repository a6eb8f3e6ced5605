//! `resync_cost [ROWS…]`: what a resync costs per row, for tables of these sizes, and how
//! it compares to a bulk load of the same rows that is written by hand. Prints a
//! table. `cargo xtask bench resync` builds it optimised and runs it.
//!
//! The resync is measured from the moment when its secondary is in the state
//! `backfilling` to the last acknowledged row, all empty tables included. What
//! precedes it, the host's start and the connection, does not depend on the rows and
//! is shown by itself. The bulk load is measured without its connections and schema.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "figures for people; whatever fails ends it"
)]

use host_harness::{admin::AdminClient, server::SecondaryServer};
use plugin_api::{
    storage::{CallContext, Storage as _},
    value::{Object, RecordId, Timestamp, Value},
};
use replication_tests::site::{Site, replication};
use std::{
    thread,
    time::{Duration, Instant},
};

/// Connections of the bulk load.
const CONNECTIONS: usize = 4;

/// Rows of one INSERT of the bulk load.
const INSERT: usize = 500;

/// From one look at the status to the next.
const POLL: Duration = Duration::from_millis(10);

const SIZES: &[usize] = &[10_000, 100_000];

/// Facts as a host writes them.
fn facts(count: usize) -> Vec<Value> {
    let mut random = fastrand::Rng::with_seed(1);
    let now = Timestamp::now();
    (0..count)
        .map(|number| {
            let id: String = (0..20).map(|_| random.alphanumeric()).collect();
            let value = Object::new()
                .with("text", "a fact of the length that facts have, more or less")
                .with("number", i64::try_from(number).unwrap());
            Object::new()
                .with("id", RecordId::new("kv_memories", id.to_lowercase()))
                .with("user_id", format!("user {}", number % 100))
                .with("key", format!("key {number}"))
                .with("value", value)
                .with("created_at", now)
                .with("updated_at", now)
                .into()
        })
        .collect()
}

/// Loads the rows as someone would who has nothing but a client.
fn bulk_load(site: &Site, server: &SecondaryServer, rows: &[Value]) -> Duration {
    let connections: Vec<_> = (0..CONNECTIONS).map(|_| site.database(server)).collect();
    let context = CallContext::new();
    connections[0].initialize_schema(&context).unwrap();
    let inserts: Vec<&[Value]> = rows.chunks(INSERT).collect();
    let began = Instant::now();
    thread::scope(|scope| {
        for (at, connection) in connections.iter().enumerate() {
            let inserts = inserts.iter().skip(at).step_by(CONNECTIONS);
            scope.spawn(move || {
                for insert in inserts {
                    let rows: Value = insert.iter().cloned().collect();
                    let sql = "INSERT INTO kv_memories $rows RETURN NONE";
                    let parameters = Object::new().with("rows", rows);
                    connection
                        .query(&CallContext::new(), sql, &parameters)
                        .unwrap();
                }
            });
        }
    });
    began.elapsed()
}

/// How long a resync took.
struct Resync {
    /// From the host's start to the beginning of the resync.
    start: Duration,
    /// From there to the last row.
    copy: Duration,
    /// A comparison of the table afterwards.
    verify: Duration,
}

/// Has a new secondary filled by the module, from a primary with these rows.
fn resync(site: &Site, rows: &[Value]) -> Resync {
    let name = rows.len().to_string();
    let primary = site.server(&format!("primary-{name}"));
    bulk_load(site, &primary, rows);
    let server = site.server(&format!("secondary-{name}"));
    let yaml = site.with_primary_on(
        &site.yaml(&[("a", &server)], &["operation_timeout: 30s"]),
        &primary,
    );
    let yaml = yaml.replace("/queue\n", &format!("/queue-{name}\n"));
    let began = Instant::now();
    let host = site.host_with(&yaml);
    while !replication(&host).is_connected() {
        thread::sleep(POLL);
    }
    let start = began.elapsed();
    while !replication(&host).is_caught_up() {
        thread::sleep(POLL);
    }
    let copy = began.elapsed() - start;
    let count = "SELECT VALUE count FROM (SELECT count() FROM kv_memories GROUP ALL)";
    let copied = replication_tests::site::rows(&site.database(&server), count);
    assert_eq!(copied, [i64::try_from(rows.len()).unwrap().into()]);
    let began = Instant::now();
    let body = serde_json::json!({"tables": ["kv_memories"]});
    let report = AdminClient::local(&host).unwrap().post("verify", &body);
    let verify = began.elapsed();
    assert_eq!(report.unwrap()["equal"], true);
    host.shutdown().unwrap();
    Resync {
        start,
        copy,
        verify,
    }
}

fn main() {
    let mut sizes: Vec<usize> = std::env::args()
        .skip(1)
        .map(|rows| rows.parse().unwrap())
        .collect();
    if sizes.is_empty() {
        sizes = SIZES.to_vec();
    }
    println!(
        "| rows | start | resync | µs per row | bulk load | µs per row | rate of the bulk load | verify | µs per row |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for size in sizes {
        let site = Site::prebuilt();
        let rows = facts(size);
        let Resync {
            start,
            copy,
            verify,
        } = resync(&site, &rows);
        let server = site.server("bulk");
        let loaded = bulk_load(&site, &server, &rows);
        let per_row = |took: Duration| took.as_secs_f64() * 1e6 / size as f64;
        println!(
            "| {size} | {:.1} s | {:.2} s | {:.0} | {:.2} s | {:.0} | {:.2} | {:.2} s | {:.0} |",
            start.as_secs_f64(),
            copy.as_secs_f64(),
            per_row(copy),
            loaded.as_secs_f64(),
            per_row(loaded),
            loaded.as_secs_f64() / copy.as_secs_f64(),
            verify.as_secs_f64(),
            per_row(verify)
        );
    }
}
