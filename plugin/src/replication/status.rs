//! The status of replication, put together from its parts.

use super::{Pipeline, Replication};
use crate::{
    build_info::BUILD,
    connection::SecondaryConnectionManager,
    metrics::{Scrape, SecondaryScrape},
    status::{Health, LogStatus, ResyncStatus, SecondaryStatus, Status},
};
use plugin_api::value::Timestamp;
use std::sync::Arc;

impl Replication {
    /// What replication is doing.
    pub fn status(&self) -> Status {
        let settings = &self.config.settings;
        let secondaries: Vec<_> = self
            .connections
            .iter()
            .map(|one| self.status_of(one))
            .collect();
        Status {
            at: Timestamp::now(),
            health: Health::Healthy,
            reasons: Vec::new(),
            version: BUILD.version,
            build: BUILD,
            started_at: self.started_at,
            sync_enabled: settings.sync_enabled,
            merge_reads: settings.merge_reads,
            paused: self
                .pipeline
                .as_ref()
                .is_some_and(|pipeline| pipeline.executor.is_paused()),
            log: LogStatus {
                directory: settings.queue_dir.display().to_string(),
                held_bytes: self
                    .pipeline
                    .as_ref()
                    .map_or(0, |pipeline| pipeline.queue.held_bytes()),
                max_bytes: settings.queue_max_bytes,
                unsettled_writes: self
                    .pipeline
                    .as_ref()
                    .map_or(0, |pipeline| pipeline.queue.unsettled())
                    + self.tombstones.unsettled(),
                fault: self
                    .pipeline
                    .as_ref()
                    .and_then(|pipeline| pipeline.queue.fault()),
                tombstones_fault: self.tombstones.fault(),
            },
            secondaries,
            not_replicated: self.not_replicated.lock().clone(),
        }
        .with_health()
    }

    fn status_of(&self, connection: &SecondaryConnectionManager) -> SecondaryStatus {
        let config = connection.config();
        let session = connection.session();
        let denied_functions = session.map_or(Vec::new(), |it| it.denied_functions.clone());
        let Some(Pipeline { queue, executor }) = &self.pipeline else {
            return SecondaryStatus {
                denied_functions,
                ..SecondaryStatus::of_connection(config, &connection.snapshot())
            };
        };
        let name = connection.name();
        // In the order in which work moves, so that none is missed between two
        // looks: from a resync request to the backlog, from there to the
        // rejected operations, which stay listed while they are retried. The
        // state comes before the backlog: one that is empty means nothing until
        // the session is reconciled.
        //
        // What cannot be read now is reported as a fault of the log.
        let requests = executor.resync_requests(name).unwrap_or_default();
        let snapshot = connection.snapshot();
        let backlog = queue.backlog(name).into();
        let rejected = queue.count_rejected(name);
        let scans = executor.scans(name);
        let resync = requests.into_iter().map(|request| {
            let scan = scans.get(&request.table).copied();
            ResyncStatus::new(request, scan)
        });
        SecondaryStatus {
            backlog,
            replicated: executor.progress(name).unwrap_or_default(),
            retries: rejected.retries,
            dead_letters: rejected.dead_letters,
            denied_functions,
            resync: resync.collect(),
            schema_problems: connection
                .session()
                .map(|session| session.schema.problems.clone())
                .unwrap_or_default(),
            ..SecondaryStatus::of_connection(config, &snapshot)
        }
    }

    /// What the metrics are read from.
    pub fn scrape(&self) -> Scrape {
        let status = self.status();
        let pipeline = self.pipeline.as_ref();
        let log = pipeline.map(|pipeline| pipeline.queue.metrics());
        let log = log.unwrap_or_default();
        let of_secondary = |secondary: &SecondaryStatus| {
            let name = &*secondary.name;
            let replication = pipeline.and_then(|pipeline| pipeline.executor.metrics(name));
            SecondaryScrape {
                replication: replication.unwrap_or_default(),
                reads: self.reads.get(name).cloned().unwrap_or_default(),
                evictions: log.evictions(name),
                status: secondary.clone(),
            }
        };
        Scrape {
            secondaries: status.secondaries.iter().map(of_secondary).collect(),
            writes: Arc::clone(&self.writes),
            log,
            tombstones: self.tombstones.metrics(),
            status,
        }
    }
}
