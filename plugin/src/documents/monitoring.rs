//! What is under `docs/monitoring` fits the metrics and the handbook.

use super::document;
use crate::metrics;
use plugin_api::value::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What every metric's name begins with.
const PREFIX: &str = "db_sync_";

/// The parts of a rule file.
fn rules() -> Vec<BTreeMap<String, Value>> {
    let (_, text) = document("monitoring/alerts.yml");
    let file: BTreeMap<String, Vec<BTreeMap<String, Value>>> = serde_yaml::from_str(&text).unwrap();
    let groups = file["groups"].iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    rules
        .map(|rule| {
            let rule = rule.as_object().unwrap().iter();
            rule.map(|(name, value)| (name.to_owned(), value.clone()))
                .collect()
        })
        .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// The names of metrics in a query.
fn names(query: &str) -> impl Iterator<Item = &str> {
    query
        .split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.starts_with(PREFIX))
}

/// Panics unless every metric of the query is one that the module exports.
fn check_names(query: &str) {
    let described = metrics::descriptions();
    let mut count = 0;
    for name in names(query) {
        count += 1;
        let is_exported = described.iter().any(|metric| match metric.kind.as_str() {
            "histogram" => ["_bucket", "_sum", "_count"]
                .iter()
                .any(|suffix| name.strip_suffix(suffix) == Some(&metric.name)),
            _ => name == metric.name,
        });
        assert!(is_exported, "there is no metric {name}: {query}");
    }
    assert!(count > 0, "no metric of the module: {query}");
}

/// The queries of a dashboard: of its panels and of its variables.
fn queries(dashboard: &serde_json::Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default());
    let of_panels = targets.map(|target| target["expr"].clone());
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let of_variables = variables
        .filter(|variable| variable["type"] == "query")
        .map(|variable| variable["definition"].clone());
    let all = of_panels.chain(of_variables);
    all.map(|query| query.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_dashboard_and_the_alerts_use_metrics_that_the_module_exports() {
    for rule in rules() {
        check_names(text(&rule["expr"]));
    }
    let (_, text) = document("monitoring/dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
    let all = queries(&dashboard);
    all.iter().for_each(|query| check_names(query));

    // Every panel has a place and an id of its own.
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_i64()).collect();
    assert_eq!(ids.len(), panels.len());
    let places: BTreeSet<_> = panels
        .iter()
        .map(|panel| ["x", "y"].map(|side| panel["gridPos"][side].as_i64()))
        .collect();
    assert_eq!(places.len(), panels.len());
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
    }

    // What the module measures is to be seen; what needs a name is asked for by it.
    let all = all.join("\n");
    let shown: BTreeSet<&str> = names(&all).collect();
    let is_shown = |metric: &&metrics::Description| {
        shown
            .iter()
            .any(|name| *name == metric.name || name.starts_with(&format!("{}_", metric.name)))
    };
    let not_shown: Vec<String> = metrics::descriptions()
        .iter()
        .filter(|metric| !metric.is_former && !is_shown(metric))
        .map(|metric| metric.name.clone())
        .collect();
    // The health and the states have panels; the rest is for alerts and by hand.
    assert_eq!(
        not_shown,
        [
            "db_sync_start_time_seconds",
            "db_sync_healthy",
            "db_sync_paused",
            "db_sync_connects_total",
            "db_sync_connect_attempts",
            "db_sync_backlog_bytes",
        ]
    );
}

#[test]
fn every_alert_says_what_to_do_and_has_its_paragraph_in_the_handbook() {
    let (_, handbook) = document("operations.md");
    let (_, overview) = document("monitoring/README.md");
    let (_, tests) = document("monitoring/alerts.test.yml");
    let section = handbook.split_once("\n## Alerts\n").unwrap().1;
    let section = section.split("\n## ").next().unwrap();
    let described: BTreeSet<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .collect();
    let mut alerts = BTreeSet::new();
    for rule in &rules() {
        let name = text(&rule["alert"]);
        assert!(alerts.insert(name.to_owned()), "{name} is there twice");
        let labels = rule["labels"].as_object().unwrap();
        let severity = text(labels.get("severity").unwrap());
        assert!(["critical", "warning"].contains(&severity), "{name}");
        let annotations = rule["annotations"].as_object().unwrap();
        for needed in ["summary", "description"] {
            assert!(!text(annotations.get(needed).unwrap()).is_empty(), "{name}");
        }
        let anchor = name.to_lowercase();
        let runbook = text(annotations.get("runbook_url").unwrap());
        assert_eq!(runbook, format!("docs/operations.md#{anchor}"));
        assert!(described.contains(name), "operations.md has no ### {name}");
        let link = format!("[`{name}`](../operations.md#{anchor}) | {severity} |");
        assert!(overview.contains(&link), "monitoring/README.md: {link}");
        let fires = format!("alertname=\"{name}\",alertstate=\"firing\"");
        assert!(tests.contains(&fires), "no test has {name} fire");
    }
    let described: BTreeSet<String> = described.into_iter().map(str::to_owned).collect();
    assert_eq!(described, alerts);
}
