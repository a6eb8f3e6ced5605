//! [`Deployment`]: the secondary, and a host with its primary and the module.

use super::{
    Options, USER,
    timings::{Timings, human},
};
use crate::{
    admin::{AdminClient, ReplicationStatus},
    compare::{Comparison, compare},
    config::HostConfig,
    host::Host,
    output::{bar, say, spinner},
    server::{self, SecondaryServer, ServerStorage},
};
use anyhow::{Context, bail};
use plugin_api::{
    storage::{CallContext, Storage},
    value::{Object, Value},
};
use std::time::{Duration, Instant};
use surreal_storage::{SurrealStorage, Timeouts};

/// The secondary's namespace and database; the primary has others.
const NAMESPACE: &str = "replica";
const DATABASE: &str = "main";

/// The demo gives up if replication makes no progress for so long.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the status is polled.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How many writes the lag is measured with.
const LAG_SAMPLES: usize = 20;

/// What the demo runs on.
pub(super) struct Deployment {
    host: Host,
    admin: AdminClient,
    server: SecondaryServer,
    runtime: tokio::runtime::Runtime,
}

impl Deployment {
    /// Starts the server, writes the host's configuration, starts the host.
    pub(super) fn start(options: &Options) -> anyhow::Result<Self> {
        let started = Instant::now();
        let server =
            SecondaryServer::start(ServerStorage::Directory(options.home.join("secondary")))?;
        say(format_args!(
            "  secondary  {} (a process of its own, on disk), ready after {}",
            server.url(),
            human(started.elapsed())
        ))?;
        let path = options.home.join("host.yaml");
        std::fs::write(&path, configuration(options, &server))?;
        let config = HostConfig::load(&path).with_context(|| path.display().to_string())?;
        let started = Instant::now();
        let host = Host::start_with_all_modules(&config)?;
        say(format_args!(
            "  primary    {} (in this process)",
            config.primary.url
        ))?;
        for module in host.modules().modules() {
            say(format_args!(
                "  module     {} {} from {}",
                module.info.id,
                module.info.version,
                module.path.display()
            ))?;
        }
        say(format_args!(
            "  host       started in {} from {}",
            human(started.elapsed()),
            path.display()
        ))?;
        let deployment = Self {
            admin: AdminClient::local(&host)?,
            host,
            server,
            runtime: crate::host::database_runtime()?,
        };
        deployment.wait(
            "connecting to the secondary",
            ReplicationStatus::is_connected,
        )?;
        Ok(deployment)
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn server(&mut self) -> &mut SecondaryServer {
        &mut self.server
    }

    /// The secondary, over a connection of the demo's own.
    pub(super) fn secondary(&self) -> anyhow::Result<SurrealStorage> {
        let timeouts = Timeouts {
            connect: Duration::from_secs(10),
            operation: Duration::from_secs(60),
        };
        let target = server::target(&self.server, NAMESPACE, DATABASE);
        let storage = SurrealStorage::new(target, timeouts, self.runtime.handle().clone());
        storage.connect(&CallContext::new())?;
        Ok(storage)
    }

    /// What the module says of replication.
    pub(super) fn replication(&self) -> anyhow::Result<ReplicationStatus> {
        Ok(self.admin.replication()?)
    }

    /// Waits until `done`; an error if the status stays the same for
    /// [`STALL_TIMEOUT`].
    fn wait(
        &self,
        what: &str,
        done: impl Fn(&ReplicationStatus) -> bool,
    ) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let spinner = spinner(what);
        let mut last = (self.replication()?, Instant::now());
        loop {
            let status = self.replication()?;
            if done(&status) {
                spinner.finish_and_clear();
                return Ok(started.elapsed());
            }
            if status != last.0 {
                last = (status, Instant::now());
            } else if last.1.elapsed() > STALL_TIMEOUT {
                bail!(
                    "{what}: no progress for {}: {:?}",
                    human(STALL_TIMEOUT),
                    last.0
                );
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Waits until the secondary has every write. A dead letter is an error.
    pub(super) fn wait_until_caught_up(&self, what: &str) -> anyhow::Result<Duration> {
        let backlog = self.replication()?.backlog;
        let progress = bar(what, usize::try_from(backlog).unwrap_or(usize::MAX));
        let waited = self.wait(what, |status| {
            progress.set_position(backlog.saturating_sub(status.backlog));
            status.is_caught_up()
        })?;
        progress.finish_and_clear();
        let status = self.replication()?;
        if status.dead_letters > 0 {
            bail!(
                "{} operations became dead letters: {:#}",
                status.dead_letters,
                self.admin.get("dead-letters", &[])?
            );
        }
        Ok(waited)
    }

    /// Both databases, row by row.
    pub(super) fn compare(&self) -> anyhow::Result<Comparison> {
        let progress = spinner("comparing row by row");
        let comparison = compare(self.host.primary(), &self.secondary()?)?;
        progress.finish_and_clear();
        Ok(comparison)
    }

    /// How long after a write returns its row is on the secondary.
    pub(super) fn lag(&self) -> anyhow::Result<Timings> {
        let secondary = self.secondary()?;
        let context = CallContext::new();
        let sql = "SELECT VALUE value FROM kv_memories WHERE user_id = $user AND key = $key";
        let mut lag = Timings::default();
        for sample in 0..LAG_SAMPLES {
            let key = format!("lag/{sample}");
            self.host
                .storage()
                .save_fact(&context, USER, &key, &Value::from(true))?;
            let parameters = Object::new().with("user", USER).with("key", key.as_str());
            lag.time(|| -> anyhow::Result<()> {
                let asked = Instant::now();
                loop {
                    let answer = secondary.query(&context, sql, &parameters)?;
                    if !answer.first_rows().is_empty() {
                        return Ok(());
                    }
                    if asked.elapsed() > STALL_TIMEOUT {
                        bail!(
                            "{key} is not on the secondary after {}",
                            human(STALL_TIMEOUT)
                        );
                    }
                }
            })?;
        }
        Ok(lag)
    }

    /// Stops the host, then the secondary.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        drop(self.admin);
        self.host.shutdown()?;
        self.runtime.shutdown_timeout(Duration::from_secs(5));
        Ok(())
    }
}

/// The host's configuration, as a person would write it.
fn configuration(options: &Options, server: &SecondaryServer) -> String {
    format!(
        "primary:
  url: surrealkv://primary
  namespace: remembrances
  database: main
data_dir: data
modules_dir: {}
modules:
  commercial_db-sync-server:
    enabled: true
    config:
      secondary_url: {}
      secondary_user: root
      secondary_pass: root
      secondary_namespace: {NAMESPACE}
      secondary_database: {DATABASE}
      # Reconnect quickly: the demo kills the secondary.
      reconnect_backoff: 1s
      health_check_interval: 2s
      # A debug build of the server searches slowly.
      query_timeout: 5s
",
        options.modules_dir.display(),
        server.url(),
    )
}
