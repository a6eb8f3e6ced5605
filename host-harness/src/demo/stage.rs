//! The server, the primary and the module; and what the demo asks of all three.

use super::{
    Options, USER,
    measure::{Times, human},
};
use crate::{
    cli::session,
    compare::{Comparison, compare},
    config::HostConfig,
    host::Host,
    output::{bar, say, spinner},
    server::{self, Keeps, SecondaryServer},
    steering::{Replication, Steering},
};
use anyhow::{Context, bail};
use plugin_api::{
    storage::{CallContext, Storage},
    value::{Object, Value},
};
use std::time::{Duration, Instant};
use surreal_storage::{SurrealStorage, Timeouts};

/// The secondary's names, unlike the primary's.
const NAMESPACE: &str = "replica";
const DATABASE: &str = "main";

/// Longest wait without any progress.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often a state is looked at that nobody tells of.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How many writes the lag is measured with.
const LAG_SAMPLES: usize = 20;

/// Everything that the demo plays with.
pub(super) struct Stage {
    host: Host,
    steering: Steering,
    server: SecondaryServer,
    runtime: tokio::runtime::Runtime,
}

impl Stage {
    /// Starts the server, writes the host's configuration, starts the host.
    pub(super) fn set(options: &Options) -> anyhow::Result<Self> {
        let started = Instant::now();
        let server = SecondaryServer::start(Keeps::Directory(options.home.join("secondary")))?;
        say(format_args!(
            "  server   {} (a process of its own, on disk), ready after {}",
            server.url(),
            human(started.elapsed())
        ))?;
        let path = options.home.join("host.yaml");
        std::fs::write(&path, configuration(options, &server))?;
        let config = HostConfig::load(&path).with_context(|| path.display().to_string())?;
        let started = Instant::now();
        let host = session::whole(Host::start(&config)?)?;
        say(format_args!(
            "  primary  {} (in this process)",
            config.primary.url
        ))?;
        for module in host.modules().modules() {
            say(format_args!(
                "  module   {} {} from {}",
                module.info.id,
                module.info.version,
                module.path.display()
            ))?;
        }
        say(format_args!(
            "  host     started in {} from {}",
            human(started.elapsed()),
            path.display()
        ))?;
        let stage = Self {
            steering: Steering::of(&host)?,
            host,
            server,
            runtime: crate::host::database_runtime()?,
        };
        stage.wait("connecting to the server", |state| state.connected)?;
        Ok(stage)
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn server(&mut self) -> &mut SecondaryServer {
        &mut self.server
    }

    /// The secondary itself, around the module.
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

    /// The state of replication.
    pub(super) fn replication(&self) -> anyhow::Result<Replication> {
        Ok(self.steering.replication()?)
    }

    /// Waits until `done`; an error if nothing moves for a minute.
    fn wait(&self, what: &str, done: impl Fn(&Replication) -> bool) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let sign_of_life = spinner(what);
        let mut last = (self.replication()?, Instant::now());
        loop {
            let state = self.replication()?;
            if done(&state) {
                sign_of_life.finish_and_clear();
                return Ok(started.elapsed());
            }
            if state != last.0 {
                last = (state, Instant::now());
            } else if last.1.elapsed() > PATIENCE {
                bail!(
                    "{what}: nothing moved for {}: {:?}",
                    human(PATIENCE),
                    last.0
                );
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until the log has drained.
    pub(super) fn wait_until_copied(&self, what: &str) -> anyhow::Result<Duration> {
        let backlog = self.replication()?.backlog;
        let progress = bar(what, usize::try_from(backlog).unwrap_or(usize::MAX));
        let waited = self.wait(what, |state| {
            progress.set_position(backlog.saturating_sub(state.backlog));
            state.is_caught_up()
        })?;
        progress.finish_and_clear();
        let state = self.replication()?;
        if state.dead_letters > 0 {
            bail!(
                "{} operations ended as dead letters: {:#}",
                state.dead_letters,
                self.steering.get("dead-letters", &[])?
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

    /// From the moment a write returns until its row is on the server.
    pub(super) fn lag(&self) -> anyhow::Result<Times> {
        let secondary = self.secondary()?;
        let context = CallContext::new();
        let sql = "SELECT VALUE value FROM kv_memories WHERE user_id = $user AND key = $key";
        let mut lag = Times::default();
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
                    if asked.elapsed() > PATIENCE {
                        bail!("{key} is not on the server after {}", human(PATIENCE));
                    }
                }
            })?;
        }
        Ok(lag)
    }

    /// Ends the host, then the server.
    pub(super) fn close(self) -> anyhow::Result<()> {
        drop(self.steering);
        session::close(self.host)?;
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
      # Come back quickly: the demo kills the server.
      reconnect_backoff: 1s
      health_check_interval: 2s
      # A server that is built for debugging takes its time over a search.
      query_timeout: 5s
",
        options.modules_dir.display(),
        server.url(),
    )
}
