//! The metrics, in Prometheus' text format.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`instruments`] | what the parts of the module measure while they work |
//! | [`catalogue`] | every metric: its name, its meaning, and how it is read |
//!
//! Nothing here is global: instruments belong to one running module, so that it
//! meets neither those of the host nor those of another instance.

mod catalogue;
pub mod instruments;

use crate::status::{SecondaryStatus, Status};
use catalogue::{FORMER, MODULE, Metric, SECONDARY, Value};
use instruments::{LogMetrics, ReadMetrics, ReplicationMetrics, WriteMetrics};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, prometheus_text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, histogram::Histogram},
    registry::Registry,
};
use std::{fmt, sync::Arc};

/// The media type of the format.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// What the metrics are read from.
#[derive(Debug)]
pub struct Scrape {
    /// The status at this time.
    pub status: Status,
    /// The host's writes.
    pub writes: Arc<WriteMetrics>,
    /// The log.
    pub log: Arc<LogMetrics>,
    /// The tombstones.
    pub tombstones: TombstoneMetrics,
    /// Each secondary, the one that wins first.
    pub secondaries: Vec<SecondaryScrape>,
}

/// What is measured of one secondary.
#[derive(Debug)]
pub struct SecondaryScrape {
    /// Its status at this time.
    pub status: SecondaryStatus,
    /// The replication to it.
    pub replication: Arc<ReplicationMetrics>,
    /// The reads from it.
    pub reads: Arc<ReadMetrics>,
    /// How often its backlog was dropped because the log was full.
    pub evictions: u64,
}

/// The tombstones.
#[derive(Debug)]
pub struct TombstoneMetrics {
    /// About how many are stored.
    pub stored: u64,
    /// Deletes that left some.
    pub marks: u64,
    /// Syncs of their store to the disk.
    pub fsync_seconds: Histogram,
}

/// The metrics as text.
///
/// # Errors
/// What the encoder reports; encoding into memory does not fail.
pub fn encode(scrape: Scrape) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for metric in MODULE {
            encode_metric(metric, [(None, self)], &mut encoder)?;
        }
        for metric in SECONDARY.iter().chain(FORMER) {
            let all = self.secondaries.iter();
            let all = all.map(|secondary| (Some(&*secondary.status.name), secondary));
            encode_metric(metric, all, &mut encoder)?;
        }
        Ok(())
    }
}

/// A metric with its samples of each `T`, which may be a secondary of this name.
fn encode_metric<'a, T: 'a>(
    metric: &Metric<T>,
    all: impl IntoIterator<Item = (Option<&'a str>, &'a T)>,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let kind = metric.kind();
    let mut samples = encoder.encode_descriptor(metric.name, metric.help, None, kind)?;
    for (secondary, of) in all {
        let secondary = secondary.map(|name| ("secondary", name));
        metric.read(of, &mut |values, value| {
            let others = metric.labels().iter().copied().zip(values.iter().copied());
            let labels: Vec<(&str, &str)> = secondary.into_iter().chain(others).collect();
            let sample = samples.encode_family(&labels)?;
            match (value, kind) {
                (Value::Whole(count), MetricType::Counter) => {
                    ConstCounter::new(count).encode(sample)
                }
                (Value::Whole(value), _) => ConstGauge::new(value).encode(sample),
                (Value::Real(value), _) => ConstGauge::new(value).encode(sample),
                (Value::Distribution(histogram), _) => histogram.encode(sample),
            }
        })?;
    }
    Ok(())
}

/// A metric for the documentation.
#[cfg(test)]
pub(crate) struct Description {
    /// As it is scraped.
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) unit: &'static str,
    pub(crate) labels: Vec<&'static str>,
    pub(crate) help: &'static str,
    /// Is it the former module's name?
    pub(crate) is_former: bool,
}

/// Every metric, for the documentation.
#[cfg(test)]
pub(crate) fn descriptions() -> Vec<Description> {
    fn of<T>(metric: &Metric<T>, of_secondary: bool, is_former: bool) -> Description {
        let kind = metric.kind();
        let suffix = match kind {
            MetricType::Counter => "_total",
            _ => "",
        };
        let units = ["seconds", "bytes", "operations", "rows", "tables"];
        let in_unit = |unit: &&&str| metric.name.ends_with(*unit);
        let secondary = of_secondary.then_some("secondary");
        Description {
            name: format!("{}{suffix}", metric.name),
            kind: kind.as_str().to_owned(),
            unit: units.iter().find(in_unit).copied().unwrap_or_default(),
            labels: secondary
                .into_iter()
                .chain(metric.labels().iter().copied())
                .collect(),
            help: metric.help,
            is_former,
        }
    }
    let module = MODULE.iter().map(|metric| of(metric, false, false));
    let secondary = SECONDARY.iter().map(|metric| of(metric, true, false));
    let former = FORMER.iter().map(|metric| of(metric, true, true));
    module.chain(secondary).chain(former).collect()
}

#[cfg(test)]
pub(crate) mod tests;
