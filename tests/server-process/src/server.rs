//! [`SecondaryServer`]: a server process, from start to kill.

use crate::find;
use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// The root user of a started server, and its password.
pub const USER: &str = "root";
/// See [`USER`].
pub const PASSWORD: &str = "root";

/// Tells the server's program to exit when its input ends.
const EXIT_AT_END_OF_INPUT: &str = "SECONDARY_SERVER_EXIT_AT_END_OF_INPUT";

/// How long a server may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a process may take until it has stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a server did not start, or could not be signalled.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program was not found.
    #[error("{0}")]
    NoProgram(String),
    /// A system call failed.
    #[error("{action}: {reason}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The system's error.
        reason: io::Error,
    },
    /// The server exited before it answered.
    #[error("the server exited ({status}) before it answered; the end of its log: {log_tail}")]
    Exited {
        /// Its exit status.
        status: ExitStatus,
        /// The end of its log.
        log_tail: String,
    },
    /// The server never answered.
    #[error("the server did not answer within {START_TIMEOUT:?}; the end of its log: {log_tail}")]
    NotReady {
        /// The end of its log.
        log_tail: String,
    },
}

fn system(action: &'static str) -> impl Fn(io::Error) -> ServerError {
    move |reason| ServerError::System { action, reason }
}

/// Where a server stores its data.
#[derive(Clone, Debug)]
pub enum ServerStorage {
    /// In memory: lost when the server ends.
    Memory,
    /// In this directory: a restarted server has its data again.
    Directory(PathBuf),
}

/// A server on a loopback port. Its process is killed when this is dropped.
pub struct SecondaryServer {
    program: PathBuf,
    storage: ServerStorage,
    arguments: Vec<String>,
    address: SocketAddr,
    log: tempfile::NamedTempFile,
    child: Option<Child>,
}

impl SecondaryServer {
    /// Starts a server on a free port and waits until it answers.
    ///
    /// # Errors
    /// Why it did not start.
    pub fn start(storage: ServerStorage) -> Result<Self, ServerError> {
        Self::start_program(&program()?, storage)
    }

    /// Starts the given server program.
    ///
    /// # Errors
    /// Why it did not start.
    pub fn start_program(program: &Path, storage: ServerStorage) -> Result<Self, ServerError> {
        // Another process may take the free port before the server does. Then the
        // server exits, and another port is tried.
        let mut attempts = 3;
        loop {
            let mut server = Self::new(program, storage.clone())?;
            attempts -= 1;
            match server.restart() {
                Err(ServerError::Exited { .. }) if attempts > 0 => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(server),
            }
        }
    }

    /// Starts a server with further arguments, such as `--deny-all`.
    ///
    /// # Errors
    /// Why it did not start.
    pub fn start_with(storage: ServerStorage, arguments: &[&str]) -> Result<Self, ServerError> {
        let mut server = Self::new(&program()?, storage)?;
        server.arguments = arguments.iter().map(|&it| it.to_owned()).collect();
        server.restart()?;
        Ok(server)
    }

    /// A server that is not started yet: nothing listens on its port.
    ///
    /// # Errors
    /// No program or no port was found.
    pub fn stopped(storage: ServerStorage) -> Result<Self, ServerError> {
        Self::new(&program()?, storage)
    }

    fn new(program: &Path, storage: ServerStorage) -> Result<Self, ServerError> {
        Ok(Self {
            program: program.to_owned(),
            storage,
            arguments: Vec::new(),
            address: free_address().map_err(system("looking for a free port"))?,
            log: tempfile::NamedTempFile::new().map_err(system("opening the server's log"))?,
            child: None,
        })
    }

    /// Starts the server on its port and waits until it answers. A running server is
    /// killed first.
    ///
    /// # Errors
    /// Why it did not start.
    pub fn restart(&mut self) -> Result<(), ServerError> {
        self.kill();
        let log = || File::options().append(true).open(self.log.path());
        let path = match &self.storage {
            ServerStorage::Memory => "memory".to_owned(),
            ServerStorage::Directory(directory) => format!("surrealkv://{}", directory.display()),
        };
        let child = Command::new(&self.program)
            .args(["start", "--no-banner", "--log", "warn"])
            .args(["--bind", &self.address.to_string()])
            .args(["--user", USER, "--pass", PASSWORD])
            .args(&self.arguments)
            .arg(path)
            .env(EXIT_AT_END_OF_INPUT, "true")
            // Closed when this process ends, however that happens.
            .stdin(Stdio::piped())
            .stdout(log().map_err(system("opening the server's log"))?)
            .stderr(log().map_err(system("opening the server's log"))?)
            .spawn()
            .map_err(system("starting the server"))?;
        let child = self.child.insert(child);

        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait().map_err(system("waiting for the server"))? {
                self.child = None;
                return Err(ServerError::Exited {
                    status,
                    log_tail: self.log_tail(),
                });
            }
            if answers(self.address) {
                return Ok(());
            }
            if started.elapsed() > START_TIMEOUT {
                self.kill();
                return Err(ServerError::NotReady {
                    log_tail: self.log_tail(),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The address that it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL for clients.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Kills the process (SIGKILL), as a crash would. Does nothing if it has exited.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only if it has exited already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Suspends the process (SIGSTOP): it accepts connections and answers nothing. On
    /// Linux, this returns once each of its threads has stopped.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn pause(&self) -> Result<(), ServerError> {
        self.signal("-STOP")?;
        let started = Instant::now();
        while !self.has_stopped() && started.elapsed() < STOP_TIMEOUT {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// True if no thread of the process runs, or that cannot be seen here.
    fn has_stopped(&self) -> bool {
        let process = self.child.as_ref().map_or(0, Child::id);
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else {
            return true;
        };
        threads.flatten().all(|thread| {
            let status = std::fs::read_to_string(thread.path().join("status"));
            // A thread that ended meanwhile has none.
            status.map_or(true, |status| status.contains("State:\tT"))
        })
    }

    /// Continues a paused process (SIGCONT).
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn resume(&self) -> Result<(), ServerError> {
        self.signal("-CONT")
    }

    fn signal(&self, name: &str) -> Result<(), ServerError> {
        let action = "sending a signal to the server";
        let child = self.child.as_ref().ok_or_else(|| ServerError::System {
            action,
            reason: io::Error::other("it is not running"),
        })?;
        let status = Command::new("kill")
            .args([name, &child.id().to_string()])
            .status()
            .map_err(system(action))?;
        if status.success() {
            Ok(())
        } else {
            Err(system(action)(io::Error::other(status.to_string())))
        }
    }

    fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(self.log.path()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join(" / ")
    }
}

impl Drop for SecondaryServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `$SECONDARY_SERVER`, or `secondary-server` where this workspace builds it.
fn program() -> Result<PathBuf, ServerError> {
    find("SECONDARY_SERVER", "secondary-server", "secondary-server").map_err(ServerError::NoProgram)
}

/// Does a server answer on its health route within a second?
fn answers(address: SocketAddr) -> bool {
    let agent = ureq::Agent::config_builder()
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(1)))
        .build()
        .new_agent();
    let health = format!("http://{address}/health");
    agent.get(health).call().is_ok()
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn a_server_is_killed_and_started_again_on_its_port() {
        let mut server = SecondaryServer::start(ServerStorage::Memory).unwrap();
        assert!(answers(server.address));
        server.kill();
        assert!(!answers(server.address));
        let url = server.url();
        server.restart().unwrap();
        assert!(answers(server.address));
        assert_eq!(server.url(), url);
    }

    #[test]
    fn a_paused_server_accepts_and_does_not_answer() {
        let server = SecondaryServer::start(ServerStorage::Memory).unwrap();
        server.pause().unwrap();
        assert!(TcpStream::connect(server.address).is_ok());
        assert!(!answers(server.address));
        server.resume().unwrap();
        assert!(answers(server.address));
    }

    #[test]
    fn a_program_that_exits_is_reported_with_the_end_of_its_log() {
        let error = SecondaryServer::start_program(Path::new("false"), ServerStorage::Memory)
            .err()
            .unwrap();
        assert!(matches!(error, ServerError::Exited { .. }), "{error}");
        let error = SecondaryServer::start_program(Path::new("/no/such"), ServerStorage::Memory)
            .err()
            .unwrap();
        assert!(
            error.to_string().starts_with("starting the server"),
            "{error}"
        );
    }
}
