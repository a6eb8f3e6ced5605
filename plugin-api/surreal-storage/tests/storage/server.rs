//! The real server, as a process that a test can stop.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use surreal_storage::{Connection, Credentials, Target, Timeouts};

pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
}

impl Server {
    /// Starts a server with an empty database in memory.
    pub(crate) fn start() -> Self {
        // Free now; nobody else takes it in the moment until the server does.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        Self::start_on(port)
    }

    pub(crate) fn start_on(port: u16) -> Self {
        let process = Command::new(program())
            .args(["start", "--bind", &format!("127.0.0.1:{port}")])
            .args(["--user", "root", "--pass", "root", "--no-banner", "memory"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, port };
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Err(error) = open(&server.target("root", "root")) {
            assert!(
                Instant::now() < deadline,
                "the server does not come up: {error}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn target(&self, username: &str, password: &str) -> Target {
        Target {
            url: format!("ws://127.0.0.1:{}/rpc", self.port),
            credentials: Some(Credentials {
                username: username.to_owned(),
                password: password.into(),
            }),
            namespace: "test".to_owned(),
            database: "test".to_owned(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
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

/// `$SECONDARY_SERVER`, or the program in the build directory of this test.
fn program() -> PathBuf {
    let built = || {
        std::env::current_exe()
            .unwrap()
            .ancestors()
            .nth(2)
            .unwrap()
            .join("secondary-server")
    };
    let program = std::env::var_os("SECONDARY_SERVER").map_or_else(built, PathBuf::from);
    assert!(
        program.is_file(),
        "{} is missing: build the package secondary-server first",
        program.display()
    );
    program
}
