//! The real server, as a process that a test can stop.

use server_process::{SecondaryServer, ServerStorage};
use std::time::Duration;
use surreal_storage::{Connection, Credentials, Target, Timeouts};

/// Starts a server with an empty database in memory.
pub(crate) fn start() -> SecondaryServer {
    SecondaryServer::start(ServerStorage::Memory).unwrap()
}

/// The database of these tests, for that user.
pub(crate) fn target(server: &SecondaryServer, username: &str, password: &str) -> Target {
    Target {
        url: format!("{}/rpc", server.url()),
        credentials: Some(Credentials {
            username: username.to_owned(),
            password: password.into(),
        }),
        ca_file: None,
        namespace: "test".to_owned(),
        database: "test".to_owned(),
    }
}

/// Opens a connection, giving up after two seconds.
pub(crate) fn open(target: &Target) -> plugin_api::error::StorageResult<Connection> {
    let timeouts = Timeouts {
        connect: Duration::from_secs(2),
        operation: Duration::from_secs(2),
    };
    crate::support::runtime().block_on(Connection::open(target, &timeouts))
}
