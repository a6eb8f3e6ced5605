//! A real SurrealDB server in a process of its own, for tests.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::config::{Config, SecondaryConfig, Surroundings};
use plugin_api::value::{Object, Value};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Option<Child>,
}

impl Server {
    /// A port with nobody behind it yet.
    pub(crate) fn down() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            child: None,
        }
    }

    pub(crate) fn start() -> Self {
        let mut server = Self::down();
        server.up();
        server
    }

    /// Starts the server and waits until it listens.
    pub(crate) fn up(&mut self) {
        let test = std::env::current_exe().unwrap();
        let program = test.ancestors().nth(2).unwrap().join("secondary-server");
        assert!(
            program.exists(),
            "{} is missing: build the package secondary-server first",
            program.display()
        );
        let mut child = Command::new(program)
            .args(["start", "--no-banner", "--log", "none", "--bind"])
            .arg(self.address.to_string())
            .args(["--user", "root", "--pass", "root", "memory"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(self.address).is_err() {
            assert!(Instant::now() < deadline, "the server does not listen");
            assert!(child.try_wait().unwrap().is_none(), "the server has ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child = Some(child);
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Stops the process without ending it: it accepts and does not answer.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// This server as a secondary, for that user.
    pub(crate) fn secondary(&self, user: &str, password: &str) -> SecondaryConfig {
        let block = Object::new()
            .with("secondary_url", format!("ws://{}", self.address))
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
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
