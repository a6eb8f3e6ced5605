//! [`SecondaryServer`]: starts the server, and is its end.

use crate::find;
use std::{
    fs::File,
    io::{self, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// The root user of a started server, and its password.
pub const USER: &str = "root";
/// See [`USER`].
pub const PASSWORD: &str = "root";

/// Tells the server's program to end when its input does.
const ENDS_WITH_INPUT: &str = "SECONDARY_SERVER_ENDS_WITH_INPUT";

const START_WITHIN: Duration = Duration::from_secs(60);

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The program is not there.
    #[error("{0}")]
    NoProgram(String),
    /// The system refused something.
    #[error("{doing}: {reason}")]
    System {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        reason: io::Error,
    },
    /// It ended before it answered.
    #[error("the server ended ({status}) before it answered; its last words: {last_words}")]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        last_words: String,
    },
    /// It never answered.
    #[error("the server did not answer within {START_WITHIN:?}; its last words: {last_words}")]
    Silent {
        /// The end of its log.
        last_words: String,
    },
}

fn system(doing: &'static str) -> impl Fn(io::Error) -> ServerError {
    move |reason| ServerError::System { doing, reason }
}

/// Where a server keeps its data.
#[derive(Clone, Debug)]
pub enum Keeps {
    /// In memory: gone when it ends.
    Memory,
    /// In this directory: there again when it is started again.
    Directory(PathBuf),
}

/// A running server on a loopback port. It ends when this is dropped.
pub struct SecondaryServer {
    program: PathBuf,
    keeps: Keeps,
    address: SocketAddr,
    log: tempfile::NamedTempFile,
    child: Option<Child>,
}

impl SecondaryServer {
    /// Starts a server on a free port and waits until it answers.
    ///
    /// # Errors
    /// Why it does not run.
    pub fn start(keeps: Keeps) -> Result<Self, ServerError> {
        Self::start_program(&program()?, keeps)
    }

    /// Starts the given server program.
    ///
    /// # Errors
    /// Why it does not run.
    pub fn start_program(program: &Path, keeps: Keeps) -> Result<Self, ServerError> {
        // The port is free when asked for; should another process take it
        // before the server does, the server ends and the next one is tried.
        let mut attempts = 3;
        loop {
            let mut server = Self::of_program(program, keeps.clone())?;
            attempts -= 1;
            match server.restart() {
                Err(ServerError::Ended { .. }) if attempts > 0 => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(server),
            }
        }
    }

    /// A server that does not run yet: nobody is behind its port.
    ///
    /// # Errors
    /// Why it could not run.
    pub fn down(keeps: Keeps) -> Result<Self, ServerError> {
        Self::of_program(&program()?, keeps)
    }

    fn of_program(program: &Path, keeps: Keeps) -> Result<Self, ServerError> {
        Ok(Self {
            program: program.to_owned(),
            keeps,
            address: free_address().map_err(system("looking for a free port"))?,
            log: tempfile::NamedTempFile::new().map_err(system("opening the server's log"))?,
            child: None,
        })
    }

    /// Starts the server again on the port that it had and waits until it
    /// answers; ends it first if it runs.
    ///
    /// # Errors
    /// Why it does not run.
    pub fn restart(&mut self) -> Result<(), ServerError> {
        self.kill();
        let log = || File::options().append(true).open(self.log.path());
        let path = match &self.keeps {
            Keeps::Memory => "memory".to_owned(),
            Keeps::Directory(directory) => format!("surrealkv://{}", directory.display()),
        };
        let child = Command::new(&self.program)
            .args(["start", "--no-banner", "--log", "warn"])
            .args(["--bind", &self.address.to_string()])
            .args(["--user", USER, "--pass", PASSWORD])
            .arg(path)
            .env(ENDS_WITH_INPUT, "true")
            // Closed when this process ends, however it ends.
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
                return Err(ServerError::Ended {
                    status,
                    last_words: self.last_words(),
                });
            }
            if answers(self.address) {
                return Ok(());
            }
            if started.elapsed() > START_WITHIN {
                self.kill();
                return Err(ServerError::Silent {
                    last_words: self.last_words(),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where clients reach it.
    pub fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Ends it at once, as a crash would (SIGKILL). Does nothing if it has ended.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Both fail only if it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops it in its tracks (SIGSTOP): it accepts connections and answers nothing.
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn pause(&self) -> Result<(), ServerError> {
        self.signal("-STOP")
    }

    /// Lets a paused server go on (SIGCONT).
    ///
    /// # Errors
    /// The signal cannot be sent.
    pub fn resume(&self) -> Result<(), ServerError> {
        self.signal("-CONT")
    }

    fn signal(&self, name: &str) -> Result<(), ServerError> {
        let doing = "sending a signal to the server";
        let child = self.child.as_ref().ok_or_else(|| ServerError::System {
            doing,
            reason: io::Error::other("it does not run"),
        })?;
        let status = Command::new("kill")
            .args([name, &child.id().to_string()])
            .status()
            .map_err(system(doing))?;
        if status.success() {
            Ok(())
        } else {
            Err(system(doing)(io::Error::other(status.to_string())))
        }
    }

    fn last_words(&self) -> String {
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

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Does it answer on its health path?
fn answers(address: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let wait = Duration::from_secs(1);
        let mut stream = TcpStream::connect_timeout(&address, wait)?;
        stream.set_read_timeout(Some(wait))?;
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok(status.ends_with(b"200"))
    };
    ask().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_server_is_killed_and_started_again_on_its_port() {
        let mut server = SecondaryServer::start(Keeps::Memory).unwrap();
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
        let server = SecondaryServer::start(Keeps::Memory).unwrap();
        server.pause().unwrap();
        assert!(TcpStream::connect(server.address).is_ok());
        assert!(!answers(server.address));
        server.resume().unwrap();
        assert!(answers(server.address));
    }

    #[test]
    fn a_program_that_ends_is_reported_with_its_last_words() {
        let error = SecondaryServer::start_program(Path::new("false"), Keeps::Memory)
            .err()
            .unwrap();
        assert!(matches!(error, ServerError::Ended { .. }), "{error}");
        let error = SecondaryServer::start_program(Path::new("/no/such"), Keeps::Memory)
            .err()
            .unwrap();
        assert!(
            error.to_string().starts_with("starting the server"),
            "{error}"
        );
    }
}
