//! [`Connection`]: one open client of the SDK.
//!
//! While a server is unreachable, the SDK neither answers nor fails: a call
//! hangs, stays queued, and runs after the reconnect. So everything here runs
//! under a timeout. A caller that gets an error of kind `Timeout` or `Connection`
//! drops the connection, and with it the queued calls, and opens a new one, which
//! fails at once while the server is unreachable.

use crate::{
    errors,
    retry::while_in_conflict,
    target::{Address, Credentials, Target, Timeouts},
    tls, value,
};
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    value::{Object, Value},
};
use secrecy::ExposeSecret as _;
use std::{
    fmt,
    fs::File,
    future::IntoFuture,
    io::Read as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use surrealdb::{
    Surreal,
    engine::any::{self, Any},
    opt::{Config, WebsocketConfig, auth},
    types::Variables,
};
use tokio::sync::Mutex;

/// An open connection, signed in and at its namespace and database. Clones
/// share it; it closes when the last one is dropped.
///
/// An embedded database runs on the thread that polls the call, and needs a
/// stack of 10 MiB there.
#[derive(Clone)]
pub struct Connection {
    client: Arc<Surreal<Any>>,
    address: Address,
    /// None if what was signed in stays so.
    expiring: Option<Arc<ExpiringSession>>,
}

/// A session that ends after a while (`DURATION FOR SESSION` of the user), and
/// then has to be signed in again.
struct ExpiringSession {
    target: Target,
    signed_in: Mutex<Instant>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connection")
            .field(&self.address.as_str())
            .finish()
    }
}

impl Connection {
    /// Connects, signs in and selects the namespace and the database, which are
    /// created if they are missing and the user has the right to.
    ///
    /// Tries to sign in as a user of the root, of the namespace and of the
    /// database, in this order.
    ///
    /// # Errors
    /// `Connection` for an unreachable server, `Timeout` for one that does not
    /// answer within `timeouts.connect`, `InvalidInput` for a wrong address,
    /// wrong credentials, or a user without the right to use the database,
    /// `Unsupported` for a database or a server of SurrealDB 2.x.
    pub async fn open(target: &Target, timeouts: &Timeouts) -> StorageResult<Self> {
        let address = target.address()?;
        let doing = format!("connecting to {}", address.as_str());
        if let Some(directory) = address.directory() {
            check_directory(directory)?;
        }
        let opening = async {
            let client = any::connect((address.as_str(), configuration(target, &address)?))
                .await
                .map_err(|error| unreachable_server(&error))?;
            enter(&client, target).await?;
            let mut connection = Self {
                client: Arc::new(client),
                address: address.clone(),
                expiring: None,
            };
            if connection.check_database(target).await? {
                connection.expiring = Some(Arc::new(ExpiringSession {
                    target: target.clone(),
                    signed_in: Mutex::new(Instant::now()),
                }));
            }
            Ok(connection)
        };
        within(timeouts.connect, opening)
            .await
            .map_err(|error: StorageError| error.context(doing))
    }

    /// Is this the same client as `other`?
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.client, &other.client)
    }

    /// The address that it is connected to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Runs SurrealQL with bound parameters; gives one value for each statement.
    ///
    /// Statements are separate transactions unless the text says `BEGIN`; a
    /// block `{ … }` is one statement.
    ///
    /// # Errors
    /// Those of the first statement that failed by itself, for all of them:
    /// `Conflict` with another transaction or with a key that a unique index has
    /// already, `InvalidInput` for text or values that the database rejects,
    /// `Timeout`, `Connection` also for a session that has expired and cannot be
    /// renewed, `NotFound` for a table that does not exist.
    pub async fn query(
        &self,
        sql: &str,
        parameters: Object,
        timeout: Duration,
    ) -> StorageResult<Vec<Value>> {
        let parameters = value::to_parameters(parameters)?;
        let began = Instant::now();
        within(timeout, async {
            let Some(session) = &self.expiring else {
                return self
                    .run(sql, parameters)
                    .await
                    .map_err(|error| errors::storage_error(&error));
            };
            match self.run(sql, parameters.clone()).await {
                // Nothing was done: the server checks this first.
                Err(error) if errors::is_expired(&error) => {
                    self.sign_in_again(session, began).await?;
                    self.run(sql, parameters).await
                }
                answer => answer,
            }
            .map_err(|error| errors::storage_error(&error))
        })
        .await
    }

    async fn run(&self, sql: &str, parameters: Variables) -> surrealdb::Result<Vec<Value>> {
        let mut results = self.client.query(sql).bind(parameters).await?;
        let mut values = Vec::with_capacity(results.num_statements());
        let mut follow_up = None;
        // Taken results are gone, and a statement may have none (KILL).
        for index in 0.. {
            if results.num_statements() == 0 {
                break;
            }
            match results.take::<surrealdb::types::Value>(index) {
                Ok(value) => values.push(value::from_database(value)),
                Err(error) if errors::is_follow_up(&error) => {
                    follow_up.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        match follow_up {
            Some(error) => Err(error),
            None => Ok(values),
        }
    }

    /// Signs in again, unless another call has done so since `began`.
    async fn sign_in_again(&self, session: &ExpiringSession, began: Instant) -> StorageResult<()> {
        let mut signed_in = session.signed_in.lock().await;
        if *signed_in > began {
            return Ok(());
        }
        let renewed = enter(&self.client, &session.target).await;
        renewed.map_err(session_ended)?;
        *signed_in = Instant::now();
        Ok(())
    }

    /// Checks that the server answers.
    ///
    /// # Errors
    /// `Timeout` or `Connection` if it does not.
    pub async fn ping(&self, timeout: Duration) -> StorageResult<()> {
        within(timeout, async {
            self.client
                .health()
                .await
                .map_err(|error| errors::storage_error(&error))
        })
        .await
    }

    /// Closes the connection and waits until an embedded database on disk can
    /// be opened again, by this process or another. Other clones of the
    /// connection, if there are any, keep it open.
    ///
    /// # Errors
    /// `Timeout` if the database is still in use after that.
    pub async fn close(self, timeout: Duration) -> StorageResult<()> {
        let Self {
            client, address, ..
        } = self;
        let (Ok(client), Some(directory)) = (Arc::try_unwrap(client), address.directory()) else {
            return Ok(());
        };
        drop(client);
        // The SDK flushes and closes the database in the background, without a
        // notification; the lock on its directory is released at the end.
        let lock = directory.join("LOCK");
        within(timeout, async {
            while File::open(&lock).is_ok_and(|file| file.try_lock().is_err()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        })
        .await
    }

    /// Selecting a missing database does not fail for a user who lacks the right
    /// to create it; only the first query does. True if the session expires.
    async fn check_database(&self, target: &Target) -> StorageResult<bool> {
        let result = self
            .client
            .query("INFO FOR DB; RETURN $session.exp != NONE;")
            .await
            .and_then(surrealdb::IndexedResults::check)
            .and_then(|mut results| results.take::<Option<bool>>(1));
        match result.map_err(|error| errors::storage_error(&error)) {
            Err(error) if error.kind == ErrorKind::NOT_FOUND => {
                Err(StorageError::invalid_input(format!(
                    "the database {} in the namespace {} does not exist and this user may not create it ({}); define it, or give the user the role OWNER",
                    target.database, target.namespace, error.message
                )))
            }
            Err(error) if target.credentials.is_none() && error.kind == ErrorKind::CONNECTION => {
                Err(StorageError::invalid_input(format!(
                    "the database requires a user ({}); set username and password",
                    error.message
                )))
            }
            Err(error) => Err(error.context(format!(
                "the namespace {} and database {}",
                target.namespace, target.database
            ))),
            Ok(expires) => Ok(expires == Some(true)),
        }
    }
}

/// A session that cannot be renewed is a connection that is lost, whatever the
/// reason: the call that noticed it is not at fault.
fn session_ended(error: StorageError) -> StorageError {
    StorageError::connection(format!(
        "the session has expired and was not renewed: {}",
        error.message
    ))
}

/// Signs in and selects the database. Clients that create the same one at the same
/// time are in conflict.
async fn enter(client: &Surreal<Any>, target: &Target) -> StorageResult<()> {
    while_in_conflict(|| async {
        if let Some(credentials) = &target.credentials {
            sign_in(client, target, credentials).await?;
        }
        select_database(client, target).await
    })
    .await
}

async fn select_database(client: &Surreal<Any>, target: &Target) -> StorageResult<()> {
    client
        .use_ns(target.namespace.as_str())
        .use_db(target.database.as_str())
        .await
        .map(drop)
        .map_err(|error| errors::storage_error(&error))
}

/// Runs `call` for at most `timeout`.
pub(crate) async fn within<T>(
    timeout: Duration,
    call: impl IntoFuture<Output = StorageResult<T>>,
) -> StorageResult<T> {
    match tokio::time::timeout(timeout, call).await {
        Ok(result) => result,
        Err(_) => Err(StorageError::timeout(format!(
            "the database did not answer within {timeout:?}"
        ))),
    }
}

/// The largest message, in bytes: a server's default limit. The SDK's default of
/// half that is less than a document of 3,000 chunks with embeddings.
pub const MESSAGE_BYTES: usize = 128 << 20;

fn configuration(target: &Target, address: &Address) -> StorageResult<Config> {
    let config = Config::new()
        .websocket(WebsocketConfig::new().max_message_size(MESSAGE_BYTES))
        .map_err(|error| errors::storage_error(&error))?;
    Ok(match address.is_encrypted() {
        true => config.rustls(tls::client_config(target.ca_file.as_deref())?),
        false => config,
    })
}

/// A connection that could not be opened is a `Connection` error, whatever the
/// SDK calls it; only for an incompatible version or a wrong address a retry
/// would not help.
fn unreachable_server(error: &surrealdb::Error) -> StorageError {
    let error = errors::storage_error(error);
    let unsupported = |what: &str| {
        let message = format!("{}: {what}{UPGRADE}", error.message);
        StorageError::new(ErrorKind::UNSUPPORTED, message)
    };
    match errors::wrong_address(&error.message) {
        // The formats of messages that 2.x offers do not include the one of 3.x.
        _ if error.message.contains("Server sent no subprotocol") => {
            unsupported("the server is a SurrealDB 2.x, or no SurrealDB; ")
        }
        _ if error.message.contains("does not match the range") => unsupported(""),
        Some(hint) => StorageError::invalid_input(format!("{}; {hint}", error.message)),
        None if error.kind == ErrorKind::INTERNAL => StorageError::connection(error.message),
        None => error,
    }
}

/// The way from a database of 2.x to one that can be opened.
const UPGRADE: &str = "this build needs SurrealDB 3.x. To move a database of 2.x: export it with \
    the 2.x program (surreal export), convert the export (host-harness upgrade-export OLD.surql > \
    NEW.surql), and import that with a 3.x server (surreal import)";

/// Looks into the directory of a database before the engine does, which would
/// leave files in a directory that it cannot read.
///
/// # Errors
/// `Unsupported` for a database of 2.x, or of another engine.
fn check_directory(directory: &Path) -> StorageResult<()> {
    let unsupported = |what: &str| {
        Err(StorageError::new(
            ErrorKind::UNSUPPORTED,
            format!("{} {what}; {UPGRADE}", directory.display()),
        ))
    };
    if directory.is_file() {
        return Err(StorageError::invalid_input(format!(
            "{} is a file; surrealkv:// takes a directory",
            directory.display()
        )));
    }
    if directory.join("CURRENT").is_file() {
        return unsupported("holds a RocksDB database, which this build cannot open");
    }
    if directory.join("clog").is_dir() || has_old_manifest(&directory.join("manifest")) {
        return unsupported("holds a database of SurrealDB 2.x");
    }
    Ok(())
}

/// Is there a manifest of the format that 2.x had? Since 3.0 each begins with the
/// number of its format, as two bytes, from 1.
fn has_old_manifest(directory: &Path) -> bool {
    let files = std::fs::read_dir(directory).into_iter().flatten().flatten();
    files.map(|file| file.path()).any(|path| {
        let mut format = [0; 2];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut format));
        read.is_ok() && u16::from_be_bytes(format) == 0
    })
}

async fn sign_in(
    client: &Surreal<Any>,
    target: &Target,
    credentials: &Credentials,
) -> StorageResult<()> {
    let username = || credentials.username.clone();
    let password = || credentials.password.expose_secret().to_owned();
    let root = client.signin(auth::Root {
        username: username(),
        password: password(),
    });
    let Err(_) = root.await else { return Ok(()) };
    let namespace = client.signin(auth::Namespace {
        namespace: target.namespace.clone(),
        username: username(),
        password: password(),
    });
    let Err(_) = namespace.await else {
        return Ok(());
    };
    let database = client.signin(auth::Database {
        namespace: target.namespace.clone(),
        database: target.database.clone(),
        username: username(),
        password: password(),
    });
    database.await.map(drop).map_err(|error| {
        let error = errors::storage_error(&error);
        match error.kind {
            ErrorKind::CONNECTION | ErrorKind::TIMEOUT | ErrorKind::CONFLICT => error,
            _ => StorageError::invalid_input(format!(
                "the user {} cannot sign in as a user of the root, of the namespace {} or of the database {} ({}); check username and password",
                credentials.username, target.namespace, target.database, error.message
            )),
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::fs;

    #[test]
    fn a_server_of_2_is_named_with_the_way_out() {
        // As the SDK says it.
        let text = "server version `2.3.10` does not match the range supported by the client `>=3.0.0, <4.0.0`";
        let error = unreachable_server(&surrealdb::Error::internal(text.to_owned()));
        assert_eq!(error.kind, ErrorKind::UNSUPPORTED);
        for part in ["2.3.10", "upgrade-export", "surreal import"] {
            assert!(error.message.contains(part), "{error}");
        }
        let other = unreachable_server(&surrealdb::Error::internal("no route".to_owned()));
        assert_eq!(other.kind, ErrorKind::CONNECTION);
    }

    #[test]
    fn a_directory_of_another_engine_is_named_and_left_as_it_is() {
        let home = tempfile::tempdir().unwrap();
        let listed = |directory: &Path| -> Vec<_> {
            let files = fs::read_dir(directory).unwrap().flatten();
            files.map(|file| file.file_name()).collect()
        };
        for (file, content, name) in [
            (
                "manifest/00000000000000000000.manifest",
                &[0_u8; 64][..],
                "SurrealDB 2.x",
            ),
            ("clog/00000000000000000000.clog", b"x", "SurrealDB 2.x"),
            ("CURRENT", b"MANIFEST-000005\n", "RocksDB"),
        ] {
            let directory = home
                .path()
                .join(name.replace(' ', "-") + file.split('/').next().unwrap());
            let file = directory.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, content).unwrap();
            let before = listed(&directory);
            let error = check_directory(&directory).unwrap_err();
            assert_eq!(error.kind, ErrorKind::UNSUPPORTED);
            assert!(
                error.message.contains(name) && error.message.contains("upgrade-export"),
                "{error}"
            );
            assert_eq!(listed(&directory), before);
        }
        let empty = home.path().join("new");
        check_directory(&empty).unwrap();
        fs::create_dir_all(empty.join("manifest")).unwrap();
        fs::write(empty.join("manifest/0.manifest"), [0, 1, 0, 0]).unwrap();
        check_directory(&empty).unwrap();
    }
}
