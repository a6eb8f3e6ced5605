//! The status as numbers, in Prometheus' text format.

use crate::status::{Health, SecondaryStatus, Status};
use std::fmt::Write as _;

/// The media type of the format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A number that every `T` has, or some.
struct Metric<T> {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    value: fn(&T) -> Option<f64>,
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
const fn count(number: u64) -> f64 {
    number as f64
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

const OF_THE_MODULE: &[Metric<Status>] = &[
    Metric {
        name: "db_sync_healthy",
        kind: "gauge",
        help: "1 if nothing is behind and nothing needs a person.",
        value: |status| Some(flag(status.health == Health::Healthy)),
    },
    Metric {
        name: "db_sync_paused",
        kind: "gauge",
        help: "1 while copying is paused by hand.",
        value: |status| Some(flag(status.paused)),
    },
    Metric {
        name: "db_sync_log_bytes",
        kind: "gauge",
        help: "Bytes of operations in the log.",
        value: |status| Some(count(status.log.held_bytes)),
    },
    Metric {
        name: "db_sync_log_max_bytes",
        kind: "gauge",
        help: "Bytes of operations that the log may hold.",
        value: |status| Some(count(status.log.max_bytes)),
    },
];

const OF_EACH_SECONDARY: &[Metric<SecondaryStatus>] = &[
    Metric {
        name: "db_sync_connected",
        kind: "gauge",
        help: "1 while the secondary is connected.",
        value: |of| Some(flag(of.state.is_connected())),
    },
    Metric {
        name: "db_sync_connects_total",
        kind: "counter",
        help: "How often the secondary was connected.",
        value: |of| Some(count(of.connects)),
    },
    Metric {
        name: "db_sync_health_check_seconds",
        kind: "gauge",
        help: "How long the latest health check took.",
        value: |of| of.latency_ms.map(|ms| ms / 1e3),
    },
    Metric {
        name: "db_sync_backlog_operations",
        kind: "gauge",
        help: "Operations still to be copied.",
        value: |of| Some(count(of.backlog.operations)),
    },
    Metric {
        name: "db_sync_backlog_bytes",
        kind: "gauge",
        help: "Bytes still to be copied.",
        value: |of| Some(count(of.backlog.bytes)),
    },
    Metric {
        name: "db_sync_lag_seconds",
        kind: "gauge",
        help: "Age of the oldest operation still to be copied.",
        value: |of| Some(of.backlog.oldest_age_seconds),
    },
    Metric {
        name: "db_sync_copied_operations_total",
        kind: "counter",
        help: "Operations copied since the module was provisioned.",
        value: |of| Some(count(of.replicated.applied)),
    },
    Metric {
        name: "db_sync_batch_seconds",
        kind: "gauge",
        help: "How long the latest batch took on the secondary.",
        value: |of| Some(of.replicated.batch_latency_ms / 1e3),
    },
    Metric {
        name: "db_sync_retries",
        kind: "gauge",
        help: "Refused operations that wait for their retry.",
        value: |of| Some(count(of.retries as u64)),
    },
    Metric {
        name: "db_sync_dead_letters",
        kind: "gauge",
        help: "Operations refused for good.",
        value: |of| Some(count(of.dead_letters as u64)),
    },
    Metric {
        name: "db_sync_resync_tables",
        kind: "gauge",
        help: "Tables marked for resync.",
        value: |of| Some(count(of.resync.len() as u64)),
    },
];

/// The metrics of `status`.
pub fn text(status: &Status) -> String {
    let mut text = String::new();
    for metric in OF_THE_MODULE {
        head(&mut text, metric);
        if let Some(value) = (metric.value)(status) {
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(text, "{} {value}", metric.name);
        }
    }
    for metric in OF_EACH_SECONDARY {
        head(&mut text, metric);
        for secondary in &status.secondaries {
            if let Some(value) = (metric.value)(secondary) {
                // A name is made of letters, digits, `_`, `-` and `.`: no escapes.
                let name = &secondary.name;
                let _ = writeln!(text, "{}{{secondary=\"{name}\"}} {value}", metric.name);
            }
        }
    }
    text
}

fn head<T>(text: &mut String, metric: &Metric<T>) {
    let Metric {
        name, kind, help, ..
    } = metric;
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}
