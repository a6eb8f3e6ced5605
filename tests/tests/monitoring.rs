//! What a monitoring system gets of a host: the metrics and the health, through the
//! loaded library; and the alert rules and the dashboard of `docs/monitoring`.
//!
//! Prometheus' own tool checks the format, the rules and their unit tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{admin::AdminClient, host::Host};
use plugin_api::{
    module::{HttpEndpointProvider, HttpRequest},
    storage::{CallContext, Storage as _},
    value::{Object, Value},
};
use prometheus_parse::{Sample, Scrape, Value as Measured};
use replication_tests::{
    promtool,
    site::{Site, admin_post, caught_up, connected, given_up, run, secondaries},
    wait,
};
use serde_json::{Value as Json, json};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// A GET of a route of the loaded module: the HTTP status and the body.
fn get(host: &Host, path: &str) -> (u16, String) {
    let mut modules = host.modules().modules().iter();
    let endpoints = modules.find_map(|module| module.http_endpoints()).unwrap();
    let response = endpoints
        .handle(&HttpRequest {
            method: "GET".into(),
            path: path.into(),
            query: Vec::new().into(),
            body: Vec::new().into(),
        })
        .unwrap();
    let body = String::from_utf8(response.body.to_vec()).unwrap();
    (response.status, body)
}

fn metrics(host: &Host) -> String {
    let (status, text) = get(host, "/api/db-sync/metrics");
    assert_eq!(status, 200);
    text
}

/// What a scrape has read.
struct Readings(Vec<Sample>);

impl Readings {
    fn of(text: &str) -> Self {
        let lines = text.lines().map(|line| Ok(line.to_owned()));
        Self(Scrape::parse(lines).unwrap().samples)
    }

    /// The value of the only sample of this name with these labels.
    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &Sample, (label, value): &(&str, &str)| {
            sample.labels.get(label) == Some(*value)
        };
        let mut found = self.0.iter().filter(|sample| {
            sample.metric == name && labels.iter().all(|label| has(sample, label))
        });
        let (sample, another) = (found.next(), found.next());
        assert!(another.is_none(), "several {name}{labels:?}");
        match sample.map(|sample| &sample.value) {
            Some(Measured::Counter(value) | Measured::Gauge(value) | Measured::Untyped(value)) => {
                *value
            }
            other => panic!("{name}{labels:?}: {other:?}"),
        }
    }

    /// The same of the only secondary.
    fn of_office(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let all = [&[("secondary", "office")], labels].concat();
        self.value(name, &all)
    }

    /// How many values a histogram of the secondary has.
    fn observed(&self, name: &str) -> f64 {
        self.of_office(&format!("{name}_count"), &[])
    }

    /// How many reads by a method had this outcome.
    fn reads(&self, method: &str, outcome: &str) -> f64 {
        let labels = [("method", method), ("outcome", outcome)];
        self.of_office("db_sync_reads_total", &labels)
    }
}

fn save(host: &Host, key: &str, value: &str) {
    let value = Value::from(value);
    host.storage()
        .save_fact(&CallContext::new(), "ada", key, &value)
        .unwrap();
}

#[test]
fn metrics_tell_what_a_host_and_its_secondary_did() {
    const ACCEPTS: &str = "DEFINE FIELD OVERWRITE value ON kv_memories TYPE any";
    let site = Site::new();
    let mut server = site.server("office");
    let settings = ["sync_max_retries: 1", "queue_fsync: always"];
    let host = site.host(&[("office", &server)], &settings);
    caught_up(&host);
    let at_first = Readings::of(&metrics(&host));
    let (context, storage) = (CallContext::new(), host.storage());

    // Twenty writes, a raw one, a delete; reads that the primary answers alone, that
    // are merged, and that find the secondary gone.
    for number in 0..20 {
        save(&host, &format!("row {number}"), "a value");
    }
    storage
        .query(
            &context,
            "UPDATE kv_memories SET value = 'raw' WHERE key = 'row 1'",
            &Object::new(),
        )
        .unwrap();
    storage.delete_fact(&context, "ada", "row 0").unwrap();
    caught_up(&host);
    storage.get_fact(&context, "ada", "row 2").unwrap();
    storage.list_facts(&context, "ada").unwrap();
    storage.list_facts(&context, "ada").unwrap();

    // A row that the secondary rejects: once, in its retry, and for good.
    let secondary = site.database(&server);
    run(&secondary, &format!("{ACCEPTS} ASSERT $value != 'poison'"));
    save(&host, "poison", "poison");
    given_up(&host, 1);
    let text = metrics(&host);
    let poisoned = Readings::of(&text);
    run(&secondary, ACCEPTS);
    admin_post(&host, "dead-letters/replay");
    given_up(&host, 0);

    // A resync of a table.
    let tables = json!({"tables": ["kv_memories"]});
    AdminClient::local(&host)
        .unwrap()
        .post("resync", &tables)
        .unwrap();
    caught_up(&host);

    // The server goes, and comes back.
    server.kill();
    wait::until(
        "the loss of the secondary",
        || secondaries(&host)[0]["state"].clone(),
        |state| *state == "unreachable",
    );
    save(&host, "row 3", "written during the outage");
    storage.list_facts(&context, "ada").unwrap();
    let gone = Readings::of(&metrics(&host));
    server.restart().unwrap();
    caught_up(&host);
    let now = Readings::of(&metrics(&host));

    let write = |name: &str, kind: &str| {
        let (before, after) = (
            at_first.value(name, &[("kind", kind)]),
            now.value(name, &[("kind", kind)]),
        );
        after - before
    };
    for (kind, writes) in [("write", 22.0), ("query", 1.0), ("delete", 1.0)] {
        for name in [
            "db_sync_write_overhead_seconds",
            "db_sync_primary_write_duration_seconds",
        ] {
            assert_eq!(
                write(&format!("{name}_count"), kind),
                writes,
                "{name} {kind}"
            );
            assert!(write(&format!("{name}_sum"), kind) > 0.0, "{name} {kind}");
        }
    }
    // The rows that were written, and what was refreshed and replayed.
    let appended = now.value("db_sync_log_appended_operations_total", &[]);
    assert!(appended >= 24.0, "{appended}");
    assert!(now.value("db_sync_log_append_duration_seconds_count", &[]) >= 23.0);
    assert!(now.value("db_sync_log_appended_bytes_total", &[]) > appended);
    assert_eq!(now.value("db_sync_log_missed_writes_total", &[]), 0.0);
    // Two for each write: its intent, and its operations.
    assert!(now.value("db_sync_fsync_duration_seconds_count", &[("store", "log")]) >= 44.0);
    assert!(
        now.value(
            "db_sync_fsync_duration_seconds_count",
            &[("store", "tombstones")]
        ) >= 1.0
    );
    assert_eq!(now.value("db_sync_tombstone_marks_total", &[]), 1.0);
    assert!(now.value("db_sync_tombstones", &[]) >= 1.0);

    let lag = now.observed("db_sync_end_to_end_lag_seconds");
    assert!(lag >= 22.0, "{lag}");
    for name in [
        "db_sync_batch_duration_seconds",
        "db_sync_batch_operations",
        "db_sync_batch_bytes",
    ] {
        assert!(now.observed(name) >= 1.0, "{name}");
    }
    let outage = now.of_office("db_sync_end_to_end_lag_seconds_sum", &[]);
    assert!(outage > at_first.of_office("db_sync_end_to_end_lag_seconds_sum", &[]));
    assert_eq!(
        poisoned.of_office("db_sync_rejected_operations_total", &[]),
        2.0
    );
    assert_eq!(
        poisoned.of_office("db_sync_retried_operations_total", &[]),
        1.0
    );
    assert_eq!(
        poisoned.of_office("db_sync_dead_lettered_operations_total", &[]),
        1.0
    );
    assert_eq!(poisoned.of_office("db_sync_dead_letters", &[]), 1.0);
    assert_eq!(
        poisoned.value("db_sync_problems", &[("problem", "dead_letters")]),
        1.0
    );
    assert_eq!(now.of_office("db_sync_dead_letters", &[]), 0.0);

    let resync = |readings: &Readings| {
        let rows = readings.of_office("db_sync_resync_rows_total", &[]);
        (rows, readings.observed("db_sync_resync_duration_seconds"))
    };
    let ((rows, scans), (rows_before, scans_before)) = (resync(&now), resync(&poisoned));
    assert_eq!(rows - rows_before, 20.0, "the rows of the table");
    assert_eq!(scans - scans_before, 1.0);

    assert_eq!(gone.of_office("db_sync_connected", &[]), 0.0);
    assert_eq!(gone.of_office("db_sync_backlog_operations", &[]), 1.0);
    assert_eq!(gone.value("db_sync_health", &[("status", "degraded")]), 1.0);
    assert_eq!(
        gone.of_office("db_sync_secondary_state", &[("state", "unreachable")]),
        1.0
    );
    let has_age = |readings: &Readings| {
        let mut names = readings.0.iter().map(|sample| &*sample.metric);
        names.any(|name| name == "db_sync_session_age_seconds")
    };
    assert!(has_age(&now) && !has_age(&gone));
    assert_eq!(now.of_office("db_sync_connects_total", &[]), 2.0);
    assert_eq!(now.value("db_sync_health", &[("status", "healthy")]), 1.0);

    assert_eq!(now.reads("get_fact", "not_needed"), 1.0);
    assert_eq!(now.reads("list_facts", "merged"), 2.0);
    assert_eq!(now.reads("list_facts", "not_connected"), 1.0);
    assert!(now.observed("db_sync_read_answer_duration_seconds") >= 2.0);
    assert_eq!(
        now.of_office("db_sync_circuit_breaker_state", &[("state", "open")]),
        0.0
    );

    // The former module's names say the same.
    let applied = now.of_office("db_sync_replicated_operations_total", &[]);
    let success = [("result", "success")];
    assert_eq!(now.of_office("dbsync_operations_total", &success), applied);
    assert_eq!(
        now.of_office("dbsync_operations_total", &[("result", "failure")]),
        2.0
    );
    assert_eq!(gone.of_office("dbsync_queue_size", &[]), 1.0);
    assert_eq!(now.of_office("dbsync_secondary_connected", &[]), 1.0);
    let batches = now.observed("db_sync_batch_duration_seconds");
    assert_eq!(now.observed("dbsync_latency_seconds"), batches);

    for secret in [host_harness::server::PASSWORD, "poison"] {
        assert!(!text.contains(secret), "{secret} is in the metrics");
    }
    host.shutdown().unwrap();
    let found = promtool::run(site.path(), &["check", "metrics"], &text);
    // It also says what is bad style, and exits with success.
    assert_eq!(found.unwrap_or_default(), "");
}

/// The answer of the health route: the HTTP status, the health, and the kinds of
/// problems.
fn health(host: &Host) -> (u16, String, BTreeSet<String>) {
    let (status, body) = get(host, "/health/db-sync");
    assert_eq!(get(host, "/api/db-sync/health").0, status);
    let body: Json = serde_json::from_str(&body).unwrap();
    let kinds = body["reasons"].as_array().unwrap().iter();
    let kinds = kinds.map(|reason| reason["kind"].as_str().unwrap().to_owned());
    (
        status,
        body["status"].as_str().unwrap().to_owned(),
        kinds.collect(),
    )
}

fn wait_for_health(host: &Host, status: u16, wanted: &str, kinds: &[&str]) {
    let kinds: BTreeSet<String> = kinds.iter().map(|&kind| kind.to_owned()).collect();
    let wanted = (status, wanted.to_owned(), kinds);
    wait::until("the health", || health(host), |health| *health == wanted);
}

#[test]
fn health_is_503_while_a_promise_is_not_kept_and_200_while_a_secondary_is_down() {
    let site = Site::new();
    let mut server = site.server("office");
    let yaml = site.yaml(&[("office", &server)], &[]);

    // Neither store can be opened, then both can.
    fs::write(site.queue_dir(), "in the way").unwrap();
    let host = site.host_with(&yaml);
    connected(&host);
    let both = ["log_unavailable", "tombstones_unavailable"];
    let (status, health_now, kinds) = health(&host);
    assert_eq!((status, &*health_now), (503, "unhealthy"));
    assert!(both.iter().all(|kind| kinds.contains(*kind)), "{kinds:?}");
    save(&host, "while the log is away", "a value");
    let readings = Readings::of(&metrics(&host));
    assert_eq!(readings.value("db_sync_log_available", &[]), 0.0);
    assert_eq!(readings.value("db_sync_log_missed_writes_total", &[]), 1.0);
    assert_eq!(
        readings.value("db_sync_health", &[("status", "unhealthy")]),
        1.0
    );
    fs::remove_file(site.queue_dir()).unwrap();
    wait_for_health(&host, 200, "healthy", &[]);

    // A secondary that is down is no broken promise.
    server.kill();
    wait_for_health(&host, 200, "degraded", &["unreachable"]);
    server.restart().unwrap();
    wait_for_health(&host, 200, "healthy", &[]);
    host.shutdown().unwrap();

    // The tombstones alone.
    let tombstones = site.queue_dir().join("deleted");
    fs::remove_dir_all(&tombstones).unwrap();
    fs::write(&tombstones, "in the way").unwrap();
    let host = site.host_with(&yaml);
    wait_for_health(&host, 503, "unhealthy", &["tombstones_unavailable"]);
    fs::remove_file(&tombstones).unwrap();
    wait_for_health(&host, 200, "healthy", &[]);
    host.shutdown().unwrap();
}

fn monitoring() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring")
}

#[test]
fn prometheus_accepts_the_alert_rules_and_they_fire_when_they_should() {
    let _ = promtool::run(&monitoring(), &["check", "rules", "alerts.yml"], "");
    let _ = promtool::run(&monitoring(), &["test", "rules", "alerts.test.yml"], "");
}

#[test]
fn prometheus_understands_every_query_of_the_dashboard() {
    let dashboard = fs::read_to_string(monitoring().join("dashboard.json")).unwrap();
    let dashboard: Json = serde_json::from_str(&dashboard).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    // As rules, which is what promtool checks; Grafana fills in its variables.
    let mut rules = String::from("groups:\n  - name: dashboard\n    rules:\n");
    let mut queries = 0;
    for target in targets {
        let query = target["expr"].as_str().unwrap();
        let query = query
            .replace("$__rate_interval", "5m")
            .replace("$__range", "1h")
            .replace("$instance", ".*")
            .replace("$secondary", ".*");
        assert!(!query.contains('$'), "{query}");
        queries += 1;
        writeln!(
            rules,
            "      - record: query_{queries}\n        expr: {}",
            json!(query)
        )
        .unwrap();
    }
    assert!(queries > 40, "{queries}");
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("queries.yml"), rules).unwrap();
    let said = promtool::run(directory.path(), &["check", "rules", "queries.yml"], "");
    if let Some(said) = said {
        assert!(
            said.contains(&format!("SUCCESS: {queries} rules found")),
            "{said}"
        );
    }
}
