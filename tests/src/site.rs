//! A host with the loaded library and real secondary servers.

use crate::wait;
use host_harness::{
    admin::{AdminClient, ReplicationStatus},
    artifacts,
    compare::{Comparison, compare},
    config::HostConfig,
    host::{Host, database_runtime},
    server::{PASSWORD, SecondaryServer, ServerStorage, USER, target},
};
use plugin_api::{
    error::ErrorKind,
    storage::{CallContext, Storage as _},
    value::{Object, Value},
};
use serde_json::{Value as Json, json};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};
use surreal_storage::{SurrealStorage, Timeouts};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// The namespace and the database of every test.
const NAMESPACE: &str = "memories";
const DATABASE: &str = "agents";

/// How a host connects to a secondary.
#[derive(Clone, Debug)]
pub struct Access {
    /// Its name in the configuration.
    pub name: String,
    /// Its address.
    pub url: String,
    /// The user.
    pub username: String,
    /// The user's password.
    pub password: String,
}

impl Access {
    /// As the server's root user.
    pub fn new(name: &str, url: String) -> Self {
        Self {
            name: name.to_owned(),
            url,
            username: USER.to_owned(),
            password: PASSWORD.to_owned(),
        }
    }
}

/// A directory with a primary, a modules directory and configurations.
pub struct Site {
    home: TempDir,
    runtime: Runtime,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// A new one, with the library that was built with these tests.
    pub fn new() -> Self {
        // Silent, unless RUST_LOG asks for more.
        host_harness::logging::start("off");
        let built = artifacts::build_for_tests().unwrap();
        let library = artifacts::plugin_library().unwrap();
        assert!(library.starts_with(built), "{}", library.display());
        Self::prebuilt()
    }

    /// A new one, with the library that lies beside this program.
    pub fn prebuilt() -> Self {
        let home = TempDir::new().unwrap();
        let modules = home.path().join("modules");
        fs::create_dir(&modules).unwrap();
        let library = artifacts::plugin_library().unwrap();
        fs::copy(&library, modules.join(library.file_name().unwrap())).unwrap();
        Self {
            home,
            runtime: database_runtime().unwrap(),
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.home.path()
    }

    /// The log's directory.
    pub fn queue_dir(&self) -> PathBuf {
        self.path().join("queue")
    }

    /// A server that keeps its data when it is killed.
    pub fn server(&self, name: &str) -> SecondaryServer {
        let directory = self.path().join(format!("server-{name}"));
        SecondaryServer::start(ServerStorage::Directory(directory)).unwrap()
    }

    /// The host's YAML for these secondaries, with more lines for the module's
    /// block. Delays are short, for tests.
    pub fn yaml(&self, secondaries: &[(&str, &SecondaryServer)], more: &[&str]) -> String {
        let secondaries: Vec<_> = secondaries
            .iter()
            .map(|(name, server)| Access::new(name, server.url()))
            .collect();
        self.yaml_for(&secondaries, more)
    }

    /// The same, for secondaries with another URL or user.
    pub fn yaml_for(&self, secondaries: &[Access], more: &[&str]) -> String {
        let mut yaml = format!(
            "primary: {{url: \"surrealkv://{home}/primary\", namespace: {NAMESPACE}, database: {DATABASE}}}\n\
             data_dir: {home}/data\n\
             modules_dir: {home}/modules\n\
             modules:\n  commercial_db-sync-server:\n    enabled: true\n    config:\n\
             \x20     queue_dir: {home}/queue\n\
             \x20     secondary_databases:\n",
            home = self.path().display()
        );
        for (priority, access) in secondaries.iter().enumerate() {
            let Access {
                name,
                url,
                username,
                password,
            } = access;
            let _ = writeln!(
                yaml,
                "        - {{name: {name}, url: \"{url}\", username: {username}, password: {password}, priority: {priority}}}",
            );
        }
        let mut set = |key: &str, value: &str| {
            if !more.iter().any(|line| line.starts_with(&format!("{key}:"))) {
                let _ = writeln!(yaml, "      {key}: {value}");
            }
        };
        set("sync_retry_interval", "50ms");
        set("sync_batch_timeout", "5ms");
        set("health_check_interval", "1s");
        set("reconnect_backoff", "500ms");
        set("operation_timeout", "10s");
        set("primary_request_lifetime", "200ms");
        for line in more {
            let _ = writeln!(yaml, "      {line}");
        }
        yaml
    }

    /// Starts a host.
    pub fn host(&self, secondaries: &[(&str, &SecondaryServer)], more: &[&str]) -> Host {
        self.host_with(&self.yaml(secondaries, more))
    }

    /// Starts a host with this configuration.
    pub fn host_with(&self, yaml: &str) -> Host {
        start(yaml, self.path())
    }

    /// Starts a host without the module.
    pub fn bare_host(&self) -> Host {
        let yaml = self
            .yaml(&[], &[])
            .replace("enabled: true", "enabled: false");
        Host::start(&HostConfig::parse(&yaml, self.path()).unwrap()).unwrap()
    }

    /// The database of a server, as its root user.
    pub fn database(&self, server: &SecondaryServer) -> SurrealStorage {
        let timeouts = Timeouts {
            connect: wait::TIMEOUT,
            operation: wait::TIMEOUT,
        };
        let storage = SurrealStorage::new(
            target(server, NAMESPACE, DATABASE),
            timeouts,
            self.runtime.handle().clone(),
        );
        storage.connect(&CallContext::new()).unwrap();
        storage
    }

    /// Writes the configuration of [`Site::yaml`] to a file, for a host in a
    /// process of its own.
    pub fn config_file(&self, secondaries: &[(&str, &SecondaryServer)], more: &[&str]) -> PathBuf {
        let file = self.path().join("host.yaml");
        fs::write(&file, self.yaml(secondaries, more)).unwrap();
        file
    }

    /// The host of this YAML with its primary on a server.
    pub fn with_primary_on(&self, yaml: &str, server: &SecondaryServer) -> String {
        self.with_primary_at(yaml, &server.url())
    }

    /// The same, for a server with another URL.
    pub fn with_primary_at(&self, yaml: &str, url: &str) -> String {
        let built_in = format!("url: \"surrealkv://{}/primary\"", self.path().display());
        let remote = format!("url: \"{url}\", username: {USER}, password: {PASSWORD}");
        assert!(yaml.contains(&built_in), "{yaml}");
        yaml.replace(&built_in, &remote)
    }

    /// Asserts that a server holds exactly what the host's primary holds.
    pub fn assert_equal(&self, host: &Host, server: &SecondaryServer) -> Comparison {
        let comparison = compare(host.primary(), &self.database(server)).unwrap();
        assert!(comparison.is_equal(), "{comparison:#?}");
        comparison
    }
}

/// Starts the host of a [`Site::config_file`], in a program for this host alone.
pub fn host_of_file(config: &Path) -> Host {
    host_harness::logging::start("off");
    start(
        &fs::read_to_string(config).unwrap(),
        config.parent().unwrap(),
    )
}

/// A host with all its modules.
fn start(yaml: &str, directory: &Path) -> Host {
    let host = Host::start(&HostConfig::parse(yaml, directory).unwrap()).unwrap();
    assert!(host.failures().is_empty(), "{:?}", host.failures());
    assert!(host.refused().is_empty(), "{:?}", host.refused());
    host
}

/// The status of replication.
pub fn replication(host: &Host) -> ReplicationStatus {
    AdminClient::local(host).unwrap().replication().unwrap()
}

/// Waits until every secondary has caught up, and no write is unsettled.
pub fn caught_up(host: &Host) -> ReplicationStatus {
    wait::until(
        "catching up",
        || replication(host),
        |status| status.unsettled == 0 && status.is_caught_up(),
    )
}

/// Waits until every secondary is connected.
pub fn connected(host: &Host) {
    wait::until(
        "connecting",
        || replication(host),
        |status| status.is_connected(),
    );
}

/// Each secondary's part of the status, in the order of the configuration.
pub fn secondaries(host: &Host) -> Vec<Json> {
    let status = AdminClient::local(host)
        .unwrap()
        .get("status", &[])
        .unwrap();
    status["secondaries"].as_array().unwrap().clone()
}

/// The dead letters of all secondaries.
pub fn dead_letters(host: &Host) -> Vec<Json> {
    let listed = AdminClient::local(host)
        .unwrap()
        .get("dead-letters", &[])
        .unwrap();
    listed["dead_letters"].as_array().unwrap().clone()
}

/// Calls an HTTP route of a host's module.
pub fn admin_post(host: &Host, route: &str) {
    AdminClient::local(host)
        .unwrap()
        .post(route, &json!({}))
        .unwrap();
}

/// Waits until there are that many dead letters and nothing else is pending.
pub fn given_up(host: &Host, letters: u64) {
    wait::until(
        "the dead letters",
        || replication(host),
        |status| status.is_caught_up() && status.dead_letters == letters,
    );
}

/// The rows of one statement on a database.
pub fn rows(database: &SurrealStorage, sql: &str) -> Vec<Value> {
    let answer = database
        .query(&CallContext::new(), sql, &Object::new())
        .unwrap();
    match answer.as_array().and_then(<[Value]>::first) {
        Some(Value::Array(rows)) => rows.to_vec(),
        other => panic!("{sql}: {other:?}"),
    }
}

/// Runs statements on a database, again if they conflict with other writes.
pub fn run(database: &SurrealStorage, sql: &str) {
    wait::until(
        sql,
        || database.query(&CallContext::new(), sql, &Object::new()),
        |answer| !matches!(answer, Err(error) if error.kind == ErrorKind::CONFLICT),
    )
    .unwrap();
}
