//! The real SurrealDB server (see [`server_process`]) and its databases.

pub use server_process::{PASSWORD, SecondaryServer, ServerError, ServerStorage, USER};

use secrecy::SecretString;
use surreal_storage::{Credentials, Target};

/// One of a server's databases, opened as the server's root user.
pub fn target(server: &SecondaryServer, namespace: &str, database: &str) -> Target {
    Target {
        url: server.url(),
        credentials: Some(Credentials {
            username: USER.to_owned(),
            password: SecretString::from(PASSWORD),
        }),
        ca_file: None,
        namespace: namespace.to_owned(),
        database: database.to_owned(),
    }
}
