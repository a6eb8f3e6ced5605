//! [`Served`]: a running host, and commands on it.

use crate::common::until;
use host_harness::admin::ReplicationStatus;
use serde_json::{Value as Json, json};
use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Output, Stdio},
};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_host-harness");

/// Runs a program, and interrupts it as Ctrl-C does when the input ends: when
/// the test says so, or is gone.
const UNTIL_INPUT_ENDS: &str = "exec 3<&0; (cat <&3; kill -INT $$) >/dev/null & exec \"$@\" 3<&-";

/// A running `host-harness serve`. It is killed when this is dropped.
pub(crate) struct Served {
    child: Child,
    pub(crate) url: String,
}

impl Served {
    pub(crate) fn start(config: &Path) -> Self {
        Self::start_at(config, "127.0.0.1:0", &[])
    }

    /// One that listens elsewhere, with more arguments.
    pub(crate) fn start_at(config: &Path, bind: &str, more: &[&str]) -> Self {
        let child = Command::new("sh")
            .args(["-c", UNTIL_INPUT_ENDS, "sh", PROGRAM])
            .args(["serve", "--bind", bind, "--log", "off", "--config"])
            .arg(config)
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut served = Self {
            child,
            url: String::new(),
        };
        let mut line = String::new();
        let mut says = BufReader::new(served.child.stdout.take().unwrap());
        says.read_line(&mut line).unwrap();
        let url = line.strip_prefix("serving on ");
        let (url, _) = url.and_then(|rest| rest.split_once(';')).expect(&line);
        url.clone_into(&mut served.url);
        served
    }

    /// Runs a command on it. Returns its answer, and what it wrote to stderr. It
    /// succeeds, unless the answer is that something differs.
    pub(crate) fn run(&self, arguments: &[&str]) -> (Json, String) {
        let what = arguments.join(" ");
        let output = self.output(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        let answer: Json = serde_json::from_slice(&output.stdout).expect(&said);
        let expected = i32::from(answer["equal"] == json!(false));
        assert_eq!(output.status.code(), Some(expected), "{what}: {said}");
        (answer, said)
    }

    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        let mut child = self.command(arguments);
        let what = arguments.join(" ");
        until(&what, || child.try_wait().unwrap(), Option::is_some);
        child.wait_with_output().unwrap()
    }

    /// Starts a command on it, with its answer as JSON.
    pub(crate) fn command(&self, arguments: &[&str]) -> Child {
        Command::new(PROGRAM)
            .args(arguments)
            .args(["--json", "--url", &self.url])
            .env_remove("HOST_CONFIG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The answer to a command that writes nothing to stderr.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Json {
        let (answer, said) = self.run(arguments);
        assert_eq!(said, "", "{arguments:?}");
        answer
    }

    pub(crate) fn replication(&self) -> ReplicationStatus {
        ReplicationStatus::read(&self.ask(&["status"])).unwrap()
    }

    pub(crate) fn caught_up(&self) {
        until(
            "catching up",
            || self.replication(),
            ReplicationStatus::is_caught_up,
        );
    }

    pub(crate) fn dead_letters(&self) -> Vec<Json> {
        let answer = self.ask(&["dead-letters", "list", "--secondary", "a"]);
        answer["dead_letters"].as_array().unwrap().clone()
    }

    /// Sends it a signal, and waits for its orderly end.
    pub(crate) fn end(mut self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
        let end = || self.child.try_wait().unwrap();
        let status = until("the end of the host", end, Option::is_some);
        assert!(status.unwrap().success(), "{status:?}");
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
