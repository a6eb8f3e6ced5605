//! A real SurrealDB server in a process of its own, and databases, for tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::config::{Config, HostContext, SecondaryConfig};
use plugin_api::{
    storage::{CallContext, Storage as _},
    value::{Object, Value},
};
use server_process::{PASSWORD, SecondaryServer, ServerStorage, USER};
use surreal_storage::{Credentials, SurrealStorage, Target, Timeouts};
use tokio::runtime::Handle;

/// A server that keeps its data in memory.
pub(crate) fn start() -> SecondaryServer {
    SecondaryServer::start(ServerStorage::Memory).unwrap()
}

/// A port that nothing listens on yet.
pub(crate) fn down() -> SecondaryServer {
    SecondaryServer::stopped(ServerStorage::Memory).unwrap()
}

/// The server's database as its owner sees it.
pub(crate) fn database(server: &SecondaryServer, runtime: &Handle) -> SurrealStorage {
    let credentials = Credentials {
        username: USER.to_owned(),
        password: PASSWORD.into(),
    };
    open(server.url(), Some(credentials), runtime)
}

/// A primary in memory.
pub(crate) fn primary(runtime: &Handle) -> SurrealStorage {
    let primary = open("mem://".to_owned(), None, runtime);
    primary.initialize_schema(&CallContext::new()).unwrap();
    primary
}

fn open(url: String, credentials: Option<Credentials>, runtime: &Handle) -> SurrealStorage {
    let target = Target {
        url,
        credentials,
        ca_file: None,
        namespace: "memory".to_owned(),
        database: "agents".to_owned(),
    };
    let storage = SurrealStorage::new(target, Timeouts::default(), runtime.clone());
    storage.connect(&CallContext::new()).unwrap();
    storage
}

/// A server as a secondary, for that user.
pub(crate) fn secondary(server: &SecondaryServer, user: &str, password: &str) -> SecondaryConfig {
    let block = Object::new()
        .with("secondary_url", server.url())
        .with("secondary_user", user)
        .with("secondary_pass", password);
    let host = HostContext {
        namespace: "memory",
        database: "agents",
        data_dir: "/nowhere",
    };
    Config::read(&Value::Object(block), host, &|_| None)
        .unwrap()
        .unwrap()
        .secondaries
        .remove(0)
}
