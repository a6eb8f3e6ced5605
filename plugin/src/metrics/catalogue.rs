//! Every metric: its name, what it means, and how it is read when it is scraped.
//!
//! What follows from the status is read there, so nothing is counted twice; the
//! rest is read from the instruments. Names follow the conventions of Prometheus:
//! base units, `_total` for counters, which the encoder adds. A name and its
//! labels are what dashboards and alerts rest on: a change of one goes into the
//! changelog.

use super::{
    Scrape, SecondaryScrape,
    instruments::{BreakerState, ReadOutcome, WriteKind},
};
use crate::{
    build_info::{BUILD, BuildInfo},
    query_merger::read_specs::ReadMethod,
    secondary_state::SecondaryState,
    status::{Health, Problem},
};
use plugin_api::value::Timestamp;
use prometheus_client::metrics::{MetricType, histogram::Histogram};
use std::fmt;

/// A metric with a sample of every `T`, or several.
pub(super) struct Metric<T> {
    /// Without the `_total` of a counter.
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) sample: Sample<T>,
}

/// How a metric is read from a `T`.
pub(super) enum Sample<T> {
    Counter(fn(&T) -> u64),
    Gauge(fn(&T) -> u64),
    /// There may be none.
    Seconds(fn(&T) -> Option<f64>),
    Histogram(fn(&T) -> &Histogram),
    /// One for each combination of values of further labels.
    Each(MetricType, &'static [&'static str], ReadEach<T>),
}
use Sample::{Counter, Each, Gauge, Seconds};

/// Gives each sample, with the values of the labels, to the second argument.
pub(super) type ReadEach<T> = fn(&T, &mut Put<'_>) -> fmt::Result;
pub(super) type Put<'a> = dyn FnMut(&[&str], Value<'_>) -> fmt::Result + 'a;

/// The value of a sample.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Whole(u64),
    Real(f64),
    Distribution(&'a Histogram),
}

impl<T> Metric<T> {
    pub(super) fn kind(&self) -> MetricType {
        match self.sample {
            Sample::Counter(_) => MetricType::Counter,
            Sample::Gauge(_) | Sample::Seconds(_) => MetricType::Gauge,
            Sample::Histogram(_) => MetricType::Histogram,
            Sample::Each(kind, ..) => kind,
        }
    }

    /// The labels beside the secondary's.
    pub(super) fn labels(&self) -> &'static [&'static str] {
        match self.sample {
            Sample::Each(_, labels, _) => labels,
            _ => &[],
        }
    }

    /// Gives every sample of `of`, with the values of the labels, to `put`.
    pub(super) fn read(&self, of: &T, put: &mut Put<'_>) -> fmt::Result {
        match self.sample {
            Sample::Counter(value) | Sample::Gauge(value) => put(&[], Value::Whole(value(of))),
            Sample::Seconds(value) => match value(of) {
                Some(value) => put(&[], Value::Real(value)),
                None => Ok(()),
            },
            Sample::Histogram(value) => put(&[], Value::Distribution(value(of))),
            Sample::Each(_, _, read) => read(of, put),
        }
    }
}

/// 1 for what is the case, 0 for what is not.
fn flag(is: bool) -> Value<'static> {
    Value::Whole(u64::from(is))
}

/// A time as Prometheus has it: seconds since 1970.
#[allow(clippy::cast_precision_loss, reason = "exact for 285 million years")]
fn unix_seconds(time: Timestamp) -> f64 {
    time.seconds as f64 + f64::from(time.nanos) / 1e9
}

/// Metrics of the module as a whole.
pub(super) const MODULE: &[Metric<Scrape>] = &[
    Metric {
        name: "db_sync_build_info",
        help: "1, with what the library was built from: the versions of the module, of its contract with the host and of the SurrealDB client, the commit, the platform and the profile.",
        sample: Each(
            MetricType::Gauge,
            &[
                "version",
                "commit",
                "contract",
                "surrealdb_client",
                "target",
                "profile",
            ],
            |_, put| {
                let BuildInfo {
                    version,
                    commit,
                    contract,
                    surrealdb_client,
                    target,
                    profile,
                } = BUILD;
                let labels = [version, commit, contract, surrealdb_client, target, profile];
                put(&labels, flag(true))
            },
        ),
    },
    Metric {
        name: "db_sync_start_time_seconds",
        help: "When the module was provisioned, in seconds since 1970; counters begin there.",
        sample: Seconds(|scrape| Some(unix_seconds(scrape.status.started_at))),
    },
    Metric {
        name: "db_sync_healthy",
        help: "1 if replication is healthy, 0 if it is degraded or unhealthy.",
        sample: Gauge(|scrape| u64::from(scrape.status.health == Health::Healthy)),
    },
    Metric {
        name: "db_sync_health",
        help: "1 for what the health is (healthy, degraded, unhealthy), 0 for the others.",
        sample: Each(MetricType::Gauge, &["status"], |scrape, put| {
            Health::ALL
                .iter()
                .try_for_each(|health| put(&[health.name()], flag(scrape.status.health == *health)))
        }),
    },
    Metric {
        name: "db_sync_problems",
        help: "Problems that the status lists, by kind.",
        sample: Each(MetricType::Gauge, &["problem"], |scrape, put| {
            Problem::ALL.iter().try_for_each(|kind| {
                let of_kind = scrape.status.reasons.iter();
                let count = of_kind.filter(|reason| reason.kind == *kind).count();
                put(&[kind.name()], Value::Whole(count as u64))
            })
        }),
    },
    Metric {
        name: "db_sync_paused",
        help: "1 while replication is paused by an operator.",
        sample: Gauge(|scrape| u64::from(scrape.status.paused)),
    },
    Metric {
        name: "db_sync_log_available",
        help: "1 while the log can be used, 0 while writes are only noted for a resync.",
        sample: Gauge(|scrape| u64::from(scrape.status.log.fault.is_none())),
    },
    Metric {
        name: "db_sync_log_bytes",
        help: "Bytes of operations in the log.",
        sample: Gauge(|scrape| scrape.status.log.held_bytes),
    },
    Metric {
        name: "db_sync_log_max_bytes",
        help: "Bytes of operations that the log may hold.",
        sample: Gauge(|scrape| scrape.status.log.max_bytes),
    },
    Metric {
        name: "db_sync_log_append_duration_seconds",
        help: "Durations of appends to the log, until they are as durable as queue_fsync asks for.",
        sample: Sample::Histogram(|scrape| &scrape.log.append_seconds),
    },
    Metric {
        name: "db_sync_log_appended_operations",
        help: "Operations appended to the log.",
        sample: Counter(|scrape| scrape.log.appended.get()),
    },
    Metric {
        name: "db_sync_log_appended_bytes",
        help: "Bytes of operations appended to the log.",
        sample: Counter(|scrape| scrape.log.appended_bytes.get()),
    },
    Metric {
        name: "db_sync_log_missed_writes",
        help: "Writes that the log could not take; their tables are resynced instead.",
        sample: Counter(|scrape| scrape.log.missed.get()),
    },
    Metric {
        name: "db_sync_fsync_duration_seconds",
        help: "Durations of syncs to the disk, of the log and of the tombstones.",
        sample: Each(MetricType::Histogram, &["store"], |scrape, put| {
            put(&["log"], Value::Distribution(&scrape.log.fsync_seconds))?;
            put(
                &["tombstones"],
                Value::Distribution(&scrape.tombstones.fsync_seconds),
            )
        }),
    },
    Metric {
        name: "db_sync_unsettled_writes",
        help: "Writes and deletes whose outcome on the primary is unknown, by key or table.",
        sample: Gauge(|scrape| scrape.status.log.unsettled_writes as u64),
    },
    Metric {
        name: "db_sync_tombstones_available",
        help: "1 while tombstones can be stored, 0 while they are kept in memory only.",
        sample: Gauge(|scrape| u64::from(scrape.status.log.tombstones_fault.is_none())),
    },
    Metric {
        name: "db_sync_tombstones",
        help: "About how many tombstones are stored, as the store estimates it without counting.",
        sample: Gauge(|scrape| scrape.tombstones.stored),
    },
    Metric {
        name: "db_sync_tombstone_marks",
        help: "Deletes that left tombstones.",
        sample: Counter(|scrape| scrape.tombstones.marks),
    },
    Metric {
        name: "db_sync_primary_write_duration_seconds",
        help: "The time that the primary took for the host's writes.",
        sample: Each(MetricType::Histogram, &["kind"], |scrape, put| {
            WriteKind::ALL.iter().try_for_each(|kind| {
                let primary = scrape.writes.primary(*kind);
                put(&[kind.name()], Value::Distribution(primary))
            })
        }),
    },
    Metric {
        name: "db_sync_write_overhead_seconds",
        help: "The time that the module added to the host's writes: locks, the log, tombstones.",
        sample: Each(MetricType::Histogram, &["kind"], |scrape, put| {
            WriteKind::ALL.iter().try_for_each(|kind| {
                let overhead = scrape.writes.overhead(*kind);
                put(&[kind.name()], Value::Distribution(overhead))
            })
        }),
    },
];

/// Metrics of each secondary.
pub(super) const SECONDARY: &[Metric<SecondaryScrape>] = &[
    Metric {
        name: "db_sync_secondary_state",
        help: "1 for the state that the secondary is in, 0 for the others.",
        sample: Each(MetricType::Gauge, &["state"], |secondary, put| {
            SecondaryState::ALL
                .iter()
                .try_for_each(|state| put(&[state.name()], flag(secondary.status.state == *state)))
        }),
    },
    Metric {
        name: "db_sync_connected",
        help: "1 while the secondary is connected.",
        sample: Gauge(|secondary| u64::from(secondary.status.state.is_connected())),
    },
    Metric {
        name: "db_sync_connects",
        help: "Connections opened to the secondary; reconnects are all but the first.",
        sample: Counter(|secondary| secondary.status.connects),
    },
    Metric {
        name: "db_sync_connect_attempts",
        help: "Failed attempts to connect since the secondary was last connected.",
        sample: Gauge(|secondary| u64::from(secondary.status.attempts)),
    },
    Metric {
        name: "db_sync_session_age_seconds",
        help: "How long the session has been open.",
        sample: Seconds(|secondary| {
            let since = secondary.status.connected_since?;
            Some(since.elapsed().as_secs_f64())
        }),
    },
    Metric {
        name: "db_sync_health_check_duration_seconds",
        help: "Duration of the latest health check.",
        sample: Seconds(|secondary| secondary.status.latency_ms.map(|ms| ms / 1e3)),
    },
    Metric {
        name: "db_sync_backlog_operations",
        help: "Operations in the log that are not replicated yet.",
        sample: Gauge(|secondary| secondary.status.backlog.operations),
    },
    Metric {
        name: "db_sync_backlog_bytes",
        help: "Bytes of the operations that are not replicated yet.",
        sample: Gauge(|secondary| secondary.status.backlog.bytes),
    },
    Metric {
        name: "db_sync_lag_seconds",
        help: "Age of the oldest operation that is not replicated yet.",
        sample: Seconds(|secondary| Some(secondary.status.backlog.oldest_age_seconds)),
    },
    Metric {
        name: "db_sync_end_to_end_lag_seconds",
        help: "From a write until the secondary has committed it, by operation of the log.",
        sample: Sample::Histogram(|secondary| &secondary.replication.lag_seconds),
    },
    Metric {
        name: "db_sync_replicated_operations",
        help: "Operations replicated since the module was provisioned, rows of resyncs included.",
        sample: Counter(|secondary| secondary.replication.applied.get()),
    },
    Metric {
        name: "db_sync_batch_duration_seconds",
        help: "Durations of the batches on the secondary: apply latency.",
        sample: Sample::Histogram(|secondary| &secondary.replication.batch_seconds),
    },
    Metric {
        name: "db_sync_batch_operations",
        help: "Operations of the transactions on the secondary.",
        sample: Sample::Histogram(|secondary| &secondary.replication.batch_operations),
    },
    Metric {
        name: "db_sync_batch_bytes",
        help: "About the bytes of the transactions on the secondary.",
        sample: Sample::Histogram(|secondary| &secondary.replication.batch_bytes),
    },
    Metric {
        name: "db_sync_conflicts",
        help: "Transactions in conflict with others, or with a row of the same key; repeated at once.",
        sample: Counter(|secondary| secondary.replication.conflicts.get()),
    },
    Metric {
        name: "db_sync_rejected_operations",
        help: "Rejections by the secondary; an operation counts each time.",
        sample: Counter(|secondary| secondary.replication.rejected.get()),
    },
    Metric {
        name: "db_sync_retried_operations",
        help: "Retries of rejected operations.",
        sample: Counter(|secondary| secondary.replication.retried.get()),
    },
    Metric {
        name: "db_sync_retry_queue_operations",
        help: "Rejected operations that wait for a retry.",
        sample: Gauge(|secondary| secondary.status.retries as u64),
    },
    Metric {
        name: "db_sync_dead_letters",
        help: "Rejected operations that are not retried any more.",
        sample: Gauge(|secondary| secondary.status.dead_letters as u64),
    },
    Metric {
        name: "db_sync_dead_lettered_operations",
        help: "Operations that became dead letters.",
        sample: Counter(|secondary| secondary.replication.dead_lettered.get()),
    },
    Metric {
        name: "db_sync_evictions",
        help: "How often the log was full and this backlog was dropped, to be resynced.",
        sample: Counter(|secondary| secondary.evictions),
    },
    Metric {
        name: "db_sync_resync_tables",
        help: "Tables with a resync request.",
        sample: Gauge(|secondary| secondary.status.resync.len() as u64),
    },
    Metric {
        name: "db_sync_resync_rows",
        help: "Rows that resyncs have read from the primary and copied.",
        sample: Counter(|secondary| secondary.replication.resync_rows.get()),
    },
    Metric {
        name: "db_sync_resync_duration_seconds",
        help: "Durations of resyncs, by table, from the first page that this process read.",
        sample: Sample::Histogram(|secondary| &secondary.replication.resync_seconds),
    },
    Metric {
        name: "db_sync_reads",
        help: "Merged reads by method, and by what became of the secondary's part.",
        sample: Each(
            MetricType::Counter,
            &["method", "outcome"],
            |secondary, put| {
                ReadMethod::ALL.iter().try_for_each(|method| {
                    ReadOutcome::ALL.iter().try_for_each(|outcome| {
                        let count = secondary.reads.outcome(*method, *outcome).get();
                        put(&[method.name(), outcome.name()], Value::Whole(count))
                    })
                })
            },
        ),
    },
    Metric {
        name: "db_sync_read_answer_duration_seconds",
        help: "Durations of the secondary's answers to reads; a read may ask several questions.",
        sample: Sample::Histogram(|secondary| &secondary.reads.answer_seconds),
    },
    Metric {
        name: "db_sync_circuit_breaker_state",
        help: "1 for what the circuit breaker of merged reads is (closed, failing, open), 0 for the others.",
        sample: Each(MetricType::Gauge, &["state"], |secondary, put| {
            BreakerState::ALL.iter().try_for_each(|state| {
                put(&[state.name()], flag(secondary.reads.is_breaker(*state)))
            })
        }),
    },
];

/// The names of the former module, of each secondary, for dashboards that use
/// them. New ones should not.
pub(super) const FORMER: &[Metric<SecondaryScrape>] = &[
    Metric {
        name: "dbsync_queue_size",
        help: "The former name of db_sync_backlog_operations.",
        sample: Gauge(|secondary| secondary.status.backlog.operations),
    },
    Metric {
        name: "dbsync_operations",
        help: "Operations by result: success for those replicated, failure for rejections.",
        sample: Each(MetricType::Counter, &["result"], |secondary, put| {
            let replication = &secondary.replication;
            put(&["success"], Value::Whole(replication.applied.get()))?;
            put(&["failure"], Value::Whole(replication.rejected.get()))
        }),
    },
    Metric {
        name: "dbsync_latency_seconds",
        help: "The former name of db_sync_batch_duration_seconds.",
        sample: Sample::Histogram(|secondary| &secondary.replication.batch_seconds),
    },
    Metric {
        name: "dbsync_secondary_connected",
        help: "The former name of db_sync_connected.",
        sample: Gauge(|secondary| u64::from(secondary.status.state.is_connected())),
    },
];
