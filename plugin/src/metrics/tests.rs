#![allow(clippy::unwrap_used)]

use super::{
    instruments::{BreakerState, ReadOutcome},
    *,
};
use crate::{
    query_merger::read_specs::ReadMethod,
    secondary_state::SecondaryState,
    status::{BacklogStatus, fixtures},
};
use std::collections::{BTreeMap, BTreeSet};

fn secondary(name: &str, state: SecondaryState) -> SecondaryStatus {
    SecondaryStatus {
        name: name.to_owned(),
        connects: 2,
        last_error: None,
        ..fixtures::secondary(state)
    }
}

fn status(secondaries: Vec<SecondaryStatus>) -> Status {
    Status {
        secondaries,
        ..fixtures::status(secondary("office", SecondaryState::Streaming))
    }
}

/// The count and the sum of a histogram.
pub(crate) fn observed(histogram: &Histogram) -> (u64, f64) {
    let mut registry = Registry::default();
    registry.register("h", "h", histogram.clone());
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry).unwrap();
    let value = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap().trim().to_owned()
    };
    (
        value("h_count").parse().unwrap(),
        value("h_sum").parse().unwrap(),
    )
}

/// Everything that is measured, of a module with this status.
fn scrape(status: Status) -> Scrape {
    let of_secondary = |secondary: &SecondaryStatus| SecondaryScrape {
        status: secondary.clone(),
        replication: Arc::default(),
        reads: Arc::default(),
        evictions: 0,
    };
    Scrape {
        secondaries: status.secondaries.iter().map(of_secondary).collect(),
        status,
        writes: Arc::default(),
        log: Arc::default(),
        tombstones: TombstoneMetrics {
            stored: 0,
            marks: 0,
            fsync_seconds: instruments::fsync_histogram(),
        },
    }
}

/// What a scraper makes of an exposition.
#[derive(Default)]
struct Exposition {
    /// By name: whether the help is not empty, and the type.
    families: BTreeMap<String, (bool, String)>,
    /// By name and labels, as written.
    samples: BTreeMap<String, f64>,
}

impl Exposition {
    /// Panics at a line that a scraper would reject, and at a sample of a
    /// metric that was not described before it.
    fn of(measured: Scrape) -> Self {
        let mut scrape = Self::default();
        for line in encode(measured).unwrap().lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                let family = (!help.is_empty(), String::new());
                assert!(scrape.families.insert(name.to_owned(), family).is_none());
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                kind.clone_into(&mut scrape.families.get_mut(name).unwrap().1);
            } else {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                let name = sample.split('{').next().unwrap();
                let is_described = |name: &str| scrape.families.contains_key(name);
                let of_histogram = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|suffix| name.strip_suffix(suffix));
                assert!(
                    is_described(name) || of_histogram.is_some_and(is_described),
                    "{line}"
                );
                let value = value.parse().unwrap();
                let before = scrape.samples.insert(sample.to_owned(), value);
                assert!(before.is_none(), "{line} is there twice");
            }
        }
        scrape
    }
}

#[test]
fn each_metric_has_a_help_and_the_type_of_its_name() {
    let status = status(vec![secondary("office", SecondaryState::Streaming)]);
    let exposition = Exposition::of(scrape(status));
    let described = descriptions();
    let names: BTreeSet<&String> = described.iter().map(|metric| &metric.name).collect();
    assert_eq!(names.len(), described.len(), "a name is there twice");
    assert!(exposition.families.keys().eq(names));
    for metric in described {
        let name = metric.name;
        let (has_help, kind) = &exposition.families[&name];
        assert!(has_help, "{name}");
        assert_eq!(*kind, metric.kind, "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
    }
}

#[test]
fn each_secondary_has_samples_of_its_own() {
    let mut office = secondary("office", SecondaryState::Streaming);
    office.backlog = BacklogStatus {
        operations: 7,
        bytes: 700,
        oldest_age_seconds: 1.5,
        ..BacklogStatus::default()
    };
    office.latency_ms = Some(12.5);
    (office.retries, office.dead_letters) = (3, 4);
    let archive = secondary("archive", SecondaryState::Unreachable);
    let measured = scrape(status(vec![office, archive]));
    let replication = &measured.secondaries[0].replication;
    replication.applied.inc_by(30);
    replication.batch_seconds.observe(0.25);
    let reads = &measured.secondaries[0].reads;
    reads
        .outcome(ReadMethod::get_fact, ReadOutcome::TooSlow)
        .inc();
    reads.set_breaker(BreakerState::Open);
    let samples = Exposition::of(measured).samples;
    for (sample, value) in [
        ("db_sync_healthy", 1.0),
        ("db_sync_paused", 0.0),
        ("db_sync_log_bytes", 10.0),
        ("db_sync_log_max_bytes", 100.0),
        ("db_sync_connected{secondary=\"office\"}", 1.0),
        ("db_sync_connected{secondary=\"archive\"}", 0.0),
        ("db_sync_connects_total{secondary=\"office\"}", 2.0),
        (
            "db_sync_health_check_duration_seconds{secondary=\"office\"}",
            0.0125,
        ),
        ("db_sync_backlog_operations{secondary=\"office\"}", 7.0),
        ("db_sync_backlog_operations{secondary=\"archive\"}", 0.0),
        ("db_sync_backlog_bytes{secondary=\"office\"}", 700.0),
        ("db_sync_lag_seconds{secondary=\"office\"}", 1.5),
        (
            "db_sync_replicated_operations_total{secondary=\"office\"}",
            30.0,
        ),
        (
            "db_sync_batch_duration_seconds_sum{secondary=\"office\"}",
            0.25,
        ),
        (
            "db_sync_batch_duration_seconds_bucket{secondary=\"office\",le=\"0.128\"}",
            0.0,
        ),
        (
            "db_sync_batch_duration_seconds_bucket{secondary=\"office\",le=\"0.256\"}",
            1.0,
        ),
        ("db_sync_retry_queue_operations{secondary=\"office\"}", 3.0),
        ("db_sync_dead_letters{secondary=\"office\"}", 4.0),
        ("db_sync_resync_tables{secondary=\"office\"}", 0.0),
        (
            "db_sync_reads_total{secondary=\"office\",method=\"get_fact\",outcome=\"too_slow\"}",
            1.0,
        ),
        (
            "db_sync_reads_total{secondary=\"archive\",method=\"get_fact\",outcome=\"too_slow\"}",
            0.0,
        ),
        (
            "db_sync_circuit_breaker_state{secondary=\"office\",state=\"open\"}",
            1.0,
        ),
        (
            "db_sync_circuit_breaker_state{secondary=\"office\",state=\"closed\"}",
            0.0,
        ),
    ] {
        assert_eq!(samples.get(sample), Some(&value), "{sample}");
    }
    assert!(
        !samples.contains_key("db_sync_health_check_duration_seconds{secondary=\"archive\"}"),
        "a health check that was never done has no duration"
    );
}

#[test]
fn a_secondary_is_in_one_state() {
    let names: BTreeSet<&str> = SecondaryState::ALL
        .iter()
        .map(|state| state.name())
        .collect();
    assert_eq!(names.len(), SecondaryState::ALL.len());
    for state in SecondaryState::ALL {
        let json = serde_json::to_value(state).unwrap();
        assert_eq!(json, state.name(), "the status has the same name");
        let samples = Exposition::of(scrape(status(vec![secondary("office", state)]))).samples;
        for other in &names {
            let sample =
                format!("db_sync_secondary_state{{secondary=\"office\",state=\"{other}\"}}");
            let expected = f64::from(u8::from(*other == state.name()));
            assert_eq!(samples.get(&sample), Some(&expected), "{sample}");
        }
    }
}

#[test]
fn health_is_one_of_three_and_each_problem_counts_by_its_kind() {
    let mut office = secondary("office", SecondaryState::Unreachable);
    office.dead_letters = 2;
    let archive = secondary("archive", SecondaryState::Unreachable);
    let samples = Exposition::of(scrape(status(vec![office, archive]).with_health())).samples;
    for (sample, value) in [
        ("db_sync_healthy", 0.0),
        ("db_sync_health{status=\"healthy\"}", 0.0),
        ("db_sync_health{status=\"degraded\"}", 1.0),
        ("db_sync_health{status=\"unhealthy\"}", 0.0),
        ("db_sync_problems{problem=\"unreachable\"}", 2.0),
        ("db_sync_problems{problem=\"dead_letters\"}", 1.0),
        ("db_sync_problems{problem=\"log_unavailable\"}", 0.0),
    ] {
        assert_eq!(samples.get(sample), Some(&value), "{sample}");
    }
}
