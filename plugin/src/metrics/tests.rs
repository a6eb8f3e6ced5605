#![allow(clippy::unwrap_used)]

use super::*;
use crate::status::{BacklogStatus, fixtures};
use std::collections::BTreeSet;

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

/// What a scraper makes of an exposition.
#[derive(Default)]
struct Scrape {
    /// By name: whether the help is not empty, and the type.
    families: BTreeMap<String, (bool, String)>,
    /// By name and labels, as written.
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    /// Panics at a line that a scraper would reject, and at a sample of a
    /// metric that was not described before it.
    fn of(status: Status) -> Self {
        let mut scrape = Self::default();
        let histogram = Histogram::new([0.1, 1.0]);
        histogram.observe(0.25);
        let batch_seconds = BTreeMap::from([("office".to_owned(), histogram)]);
        for line in encode(status, batch_seconds).unwrap().lines() {
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
    let scrape = Scrape::of(status(vec![secondary("office", SecondaryState::Streaming)]));
    let expected: BTreeSet<String> = descriptions().into_iter().map(|[name, ..]| name).collect();
    assert!(scrape.families.keys().eq(&expected), "{expected:?}");
    for (name, (has_help, kind)) in &scrape.families {
        assert!(has_help, "{name}");
        let expected = match name.as_str() {
            BATCH_NAME => "histogram",
            name if name.ends_with("_total") => "counter",
            _ => "gauge",
        };
        assert_eq!(kind, expected, "{name}");
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
    office.replicated.applied = 30;
    (office.retries, office.dead_letters) = (3, 4);
    let archive = secondary("archive", SecondaryState::Unreachable);
    let samples = Scrape::of(status(vec![office, archive])).samples;
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
            "db_sync_batch_duration_seconds_bucket{secondary=\"office\",le=\"0.1\"}",
            0.0,
        ),
        (
            "db_sync_batch_duration_seconds_bucket{secondary=\"office\",le=\"1\"}",
            1.0,
        ),
        ("db_sync_retry_queue_operations{secondary=\"office\"}", 3.0),
        ("db_sync_dead_letters{secondary=\"office\"}", 4.0),
        ("db_sync_resync_tables{secondary=\"office\"}", 0.0),
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
        let samples = Scrape::of(status(vec![secondary("office", state)])).samples;
        for other in &names {
            let sample =
                format!("db_sync_secondary_state{{secondary=\"office\",state=\"{other}\"}}");
            let expected = f64::from(u8::from(*other == state.name()));
            assert_eq!(samples.get(&sample), Some(&expected), "{sample}");
        }
    }
}
