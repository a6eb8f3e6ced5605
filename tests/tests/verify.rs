//! Comparing the secondaries with the primary while the host writes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{admin::AdminClient, host::Host};
use plugin_api::{
    storage::{CallContext, Storage as _},
    value::Value,
};
use replication_tests::site::{Site, admin_post, caught_up, run};
use serde_json::{Value as Json, json};
use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

fn save(host: &Host, key: &str, value: i64) {
    host.storage()
        .save_fact(&CallContext::new(), "verify", key, &Value::from(value))
        .unwrap();
}

/// Compares the facts without repairing them. Returns the table's report.
fn compare(host: &Host) -> (Json, Json) {
    let body = json!({"tables": ["kv_memories"], "repair": false});
    let report = AdminClient::local(host).unwrap().post("verify", &body);
    let report = report.unwrap();
    (report["equal"].clone(), report["tables"][0].clone())
}

/// Ends the writing, also if the test fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn counts(table: &Json) -> [u64; 4] {
    ["rows", "missing", "different", "in_flight"].map(|name| table[name].as_u64().unwrap())
}

#[test]
fn rows_on_their_way_are_told_apart_from_rows_that_differ() {
    let site = Site::new();
    let server = site.server("office");
    let host = site.host(&[("office", &server)], &[]);
    for number in 0..40 {
        save(&host, &format!("row {number}"), 0);
    }
    caught_up(&host);

    // Writes that wait while replication is paused.
    admin_post(&host, "pause");
    for key in ["row 1", "row 2", "new"] {
        save(&host, key, 1);
    }
    let (equal, table) = compare(&host);
    assert_eq!(counts(&table), [41, 0, 0, 3], "{table}");
    assert_eq!(equal, false, "not everything could be compared");
    assert_eq!(table["examples"], json!([]));
    admin_post(&host, "resume");
    caught_up(&host);
    let (equal, table) = compare(&host);
    assert_eq!(
        (equal, counts(&table)),
        (json!(true), [41, 0, 0, 0]),
        "{table}"
    );

    // While the host writes the same rows again and again, no row that is on its way
    // is taken for a difference, and one that does differ is found all the same.
    let secondary = site.database(&server);
    run(
        &secondary,
        "UPDATE kv_memories SET value = 99 WHERE key = 'row 39'",
    );
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _done = Done(&is_done);
        scope.spawn(|| {
            for round in 1.. {
                for number in 0..30 {
                    save(&host, &format!("row {number}"), round);
                }
                if is_done.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        for _ in 0..5 {
            let (equal, table) = compare(&host);
            let [rows, missing, different, _] = counts(&table);
            assert_eq!((rows, missing, different), (41, 0, 1), "{table}");
            assert_eq!(equal, false);
            let key = table["examples"][0]["key"].as_str().unwrap();
            assert!(key.contains("row 39"), "{table}");
        }
    });
    caught_up(&host);
    AdminClient::local(&host)
        .unwrap()
        .post("verify", &json!({}))
        .unwrap();
    site.assert_equal(&host, &server);
    host.shutdown().unwrap();
}

#[test]
fn of_a_large_table_the_rows_that_differ_are_found_wherever_they_are() {
    const ROWS: usize = 6_000;
    let site = Site::new();
    let (primary, server) = (site.server("primary"), site.server("office"));
    let database = site.database(&primary);
    database.initialize_schema(&CallContext::new()).unwrap();
    let fill = format!(
        "FOR $n IN 0..{ROWS} {{ CREATE type::record('kv_memories', $n) \
         SET user_id = 'verify', key = <string> $n, value = $n; }}"
    );
    run(&database, &fill);
    let yaml = site.with_primary_on(&site.yaml(&[("office", &server)], &[]), &primary);
    let host = site.host_with(&yaml);
    caught_up(&host);
    let (equal, table) = compare(&host);
    assert_eq!(
        (equal, counts(&table)),
        (json!(true), [ROWS as u64, 0, 0, 0]),
        "{table}"
    );

    // At both ends, beside each other, and where ranges meet.
    let secondary = site.database(&server);
    let damage = "\
        UPDATE [kv_memories:0, kv_memories:499, kv_memories:500, kv_memories:2500] SET value = -1;
        DELETE [kv_memories:2501, kv_memories:5999];
        FOR $n IN [-1, 2499.5, 7000] { CREATE type::record('kv_memories', $n) \
            SET user_id = 'verify', key = 'only ' + <string> $n; };";
    run(&secondary, damage);
    let (equal, table) = compare(&host);
    assert_eq!(
        (equal, counts(&table)),
        (json!(false), [ROWS as u64, 2, 4, 0]),
        "{table}"
    );
    assert_eq!(table["only_on_secondary"], 3, "{table}");
    let examples = table["examples"].as_array().unwrap().iter();
    let mut ids: Vec<&str> = examples.map(|row| row["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(
        ids,
        [
            "kv_memories:0",
            "kv_memories:2500",
            "kv_memories:2501",
            "kv_memories:499",
            "kv_memories:500",
            "kv_memories:5999"
        ]
    );
}
