//! The [`Status`] as metrics in Prometheus' text format.
//!
//! The status is read when it is scraped, so nothing is counted twice; only
//! durations of which all are of interest are collected, in a histogram. Names
//! follow the conventions of Prometheus: base units, `_total` for counters.

use crate::{
    secondary_state::SecondaryState,
    status::{Health, SecondaryStatus, Status},
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, prometheus_text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, histogram::Histogram},
    registry::Registry,
};
use std::{collections::BTreeMap, fmt};

/// The media type of the format.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The metrics of `status`, and how long the batches of each secondary took.
///
/// # Errors
/// What the encoder reports; encoding into memory does not fail.
pub fn encode(
    status: Status,
    batch_seconds: BTreeMap<String, Histogram>,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(StatusCollector {
        status,
        batch_seconds,
    }));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

/// A metric with a sample of every `T`; durations may be missing.
struct Metric<T> {
    /// Without the `_total` of a counter, which the encoder adds.
    name: &'static str,
    help: &'static str,
    sample: Sample<T>,
}

/// How a metric is read from a `T`.
enum Sample<T> {
    Counter(fn(&T) -> u64),
    Gauge(fn(&T) -> u64),
    Seconds(fn(&T) -> Option<f64>),
}
use Sample::{Counter, Gauge, Seconds};

const MODULE: &[Metric<Status>] = &[
    Metric {
        name: "db_sync_healthy",
        help: "1 if replication is healthy, 0 if it is degraded.",
        sample: Gauge(|status| u64::from(status.health == Health::Healthy)),
    },
    Metric {
        name: "db_sync_paused",
        help: "1 while replication is paused by an operator.",
        sample: Gauge(|status| u64::from(status.paused)),
    },
    Metric {
        name: "db_sync_log_bytes",
        help: "Bytes of operations in the log.",
        sample: Gauge(|status| status.log.held_bytes),
    },
    Metric {
        name: "db_sync_log_max_bytes",
        help: "Bytes of operations that the log may hold.",
        sample: Gauge(|status| status.log.max_bytes),
    },
    Metric {
        name: "db_sync_unsettled_writes",
        help: "Writes and deletes whose outcome on the primary is unknown, by key or table.",
        sample: Gauge(|status| status.log.unsettled_writes as u64),
    },
];

const SECONDARY: &[Metric<SecondaryStatus>] = &[
    Metric {
        name: "db_sync_connected",
        help: "1 while the secondary is connected.",
        sample: Gauge(|secondary| u64::from(secondary.state.is_connected())),
    },
    Metric {
        name: "db_sync_connects",
        help: "Connections opened to the secondary.",
        sample: Counter(|secondary| secondary.connects),
    },
    Metric {
        name: "db_sync_health_check_duration_seconds",
        help: "Duration of the latest health check.",
        sample: Seconds(|secondary| secondary.latency_ms.map(|ms| ms / 1e3)),
    },
    Metric {
        name: "db_sync_backlog_operations",
        help: "Operations in the log that are not replicated yet.",
        sample: Gauge(|secondary| secondary.backlog.operations),
    },
    Metric {
        name: "db_sync_backlog_bytes",
        help: "Bytes of the operations that are not replicated yet.",
        sample: Gauge(|secondary| secondary.backlog.bytes),
    },
    Metric {
        name: "db_sync_lag_seconds",
        help: "Age of the oldest operation that is not replicated yet.",
        sample: Seconds(|secondary| Some(secondary.backlog.oldest_age_seconds)),
    },
    Metric {
        name: "db_sync_replicated_operations",
        help: "Operations replicated since the module was provisioned.",
        sample: Counter(|secondary| secondary.replicated.applied),
    },
    Metric {
        name: "db_sync_retry_queue_operations",
        help: "Rejected operations that wait for a retry.",
        sample: Gauge(|secondary| secondary.retries as u64),
    },
    Metric {
        name: "db_sync_dead_letters",
        help: "Rejected operations that are not retried any more.",
        sample: Gauge(|secondary| secondary.dead_letters as u64),
    },
    Metric {
        name: "db_sync_resync_tables",
        help: "Tables with a resync request.",
        sample: Gauge(|secondary| secondary.resync.len() as u64),
    },
];

const BATCH_NAME: &str = "db_sync_batch_duration_seconds";
const BATCH_HELP: &str = "Durations of the batches on the secondary.";

const STATE_NAME: &str = "db_sync_secondary_state";
const STATE_HELP: &str = "1 for the state that the secondary is in, 0 for the others.";

impl<T> Metric<T> {
    fn kind(&self) -> MetricType {
        match self.sample {
            Counter(_) => MetricType::Counter,
            Gauge(_) | Seconds(_) => MetricType::Gauge,
        }
    }

    /// Opens the metric: writes its help and type.
    fn describe<'a>(
        &'a self,
        encoder: &'a mut DescriptorEncoder<'_>,
    ) -> Result<MetricEncoder<'a>, fmt::Error> {
        encoder.encode_descriptor(self.name, self.help, None, self.kind())
    }

    fn encode_sample(&self, encoder: MetricEncoder<'_>, of: &T) -> fmt::Result {
        match self.sample {
            Counter(value) => ConstCounter::new(value(of)).encode(encoder),
            Gauge(value) => ConstGauge::new(value(of)).encode(encoder),
            Seconds(value) => match value(of) {
                Some(value) => ConstGauge::new(value).encode(encoder),
                None => Ok(()),
            },
        }
    }
}

/// Each metric for the documentation: its name, type, labels and help.
#[cfg(test)]
pub(crate) fn descriptions() -> Vec<[String; 4]> {
    fn of<T>(metric: &Metric<T>, labels: &str) -> [String; 4] {
        let kind = metric.kind();
        let suffix = match kind {
            MetricType::Counter => "_total",
            _ => "",
        };
        let name = format!("{}{suffix}", metric.name);
        [
            name,
            kind.as_str().into(),
            labels.into(),
            metric.help.into(),
        ]
    }
    let batch = [BATCH_NAME, "histogram", "secondary", BATCH_HELP];
    let state = [STATE_NAME, "gauge", "secondary, state", STATE_HELP];
    let module = MODULE.iter().map(|metric| of(metric, ""));
    let secondary = SECONDARY.iter().map(|metric| of(metric, "secondary"));
    let rest = [batch, state].map(|of| of.map(str::to_owned));
    module.chain(secondary).chain(rest).collect()
}

/// Encodes one status.
#[derive(Debug)]
struct StatusCollector {
    status: Status,
    batch_seconds: BTreeMap<String, Histogram>,
}

impl Collector for StatusCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self {
            status,
            batch_seconds,
        } = self;
        for metric in MODULE {
            let samples = metric.describe(&mut encoder)?;
            metric.encode_sample(samples, status)?;
        }
        for metric in SECONDARY {
            let mut samples = metric.describe(&mut encoder)?;
            for secondary in &status.secondaries {
                let labels = [("secondary", secondary.name.as_str())];
                metric.encode_sample(samples.encode_family(&labels)?, secondary)?;
            }
        }
        let mut batches =
            encoder.encode_descriptor(BATCH_NAME, BATCH_HELP, None, MetricType::Histogram)?;
        for (secondary, histogram) in batch_seconds {
            let labels = [("secondary", secondary.as_str())];
            histogram.encode(batches.encode_family(&labels)?)?;
        }
        let mut states =
            encoder.encode_descriptor(STATE_NAME, STATE_HELP, None, MetricType::Gauge)?;
        for secondary in &status.secondaries {
            for state in SecondaryState::ALL {
                let labels = [
                    ("secondary", secondary.name.as_str()),
                    ("state", state.name()),
                ];
                let is_in_state = ConstGauge::new(u64::from(secondary.state == state));
                is_in_state.encode(states.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
