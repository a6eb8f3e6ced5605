//! A real SurrealDB server in a process of its own, for tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::config::{Config, SecondaryConfig, Surroundings};
use plugin_api::value::{Object, Value};
use server_process::{Keeps, SecondaryServer};

/// A server that keeps its data in memory.
pub(crate) fn start() -> SecondaryServer {
    SecondaryServer::start(Keeps::Memory).unwrap()
}

/// A port with nobody behind it yet.
pub(crate) fn down() -> SecondaryServer {
    SecondaryServer::down(Keeps::Memory).unwrap()
}

/// A server as a secondary, for that user.
pub(crate) fn secondary(server: &SecondaryServer, user: &str, password: &str) -> SecondaryConfig {
    let block = Object::new()
        .with("secondary_url", server.url())
        .with("secondary_user", user)
        .with("secondary_pass", password);
    let surroundings = Surroundings {
        namespace: "memory",
        database: "agents",
        data_dir: "/nowhere",
    };
    Config::read(&Value::Object(block), surroundings, &|_| None)
        .unwrap()
        .unwrap()
        .secondaries
        .remove(0)
}
