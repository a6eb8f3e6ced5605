//! A host in a process of its own, which writes until it is killed.

use crate::{ledger::Ledger, wait};
use parking_lot::Mutex;
use serde_json::Value as Json;
use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    thread::JoinHandle,
};

/// The environment variable that makes steps of the plugin fail.
pub const FAIL_POINTS: &str = "DB_SYNC_FAIL_POINTS";

/// The environment variable for the milliseconds between two writes of a thread.
/// Without it, threads do not wait.
pub const PACE: &str = "WRITER_PACE_MS";

/// The signal that [`Writer::kill`] sends.
const SIGKILL: i32 = 9;

/// The signal that ends a process that aborts.
const SIGABRT: i32 = 6;

/// The prefix of a line with the module's status.
pub const STATUS: &str = "status\t";

/// The running process. It is killed when this is dropped.
pub struct Writer {
    child: Child,
    /// The file with its standard error.
    log: PathBuf,
    ledger: Arc<Mutex<Ledger>>,
    statuses: Arc<Mutex<Vec<Json>>>,
    reader: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts `program` (the binary `writer`) with this configuration.
    /// `fail_points` is what [`FAIL_POINTS`] says; empty for none.
    pub fn start(
        program: &str,
        config: &Path,
        threads: i64,
        round: i64,
        fail_points: &str,
    ) -> Self {
        Self::spawn(Command::new(program), config, threads, round, fail_points)
    }

    /// The same, for a command that starts the program in its own way.
    pub fn spawn(
        mut command: Command,
        config: &Path,
        threads: i64,
        round: i64,
        fail_points: &str,
    ) -> Self {
        let log = config.with_extension("log");
        let mut child = command
            .arg(config)
            .args([threads.to_string(), round.to_string()])
            .env(FAIL_POINTS, fail_points)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let statuses = Arc::<Mutex<Vec<Json>>>::default();
        let (shared, answers) = (Arc::clone(&ledger), Arc::clone(&statuses));
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).unwrap() > 0 {
                match line.strip_prefix(STATUS) {
                    Some(status) => answers.lock().push(serde_json::from_str(status).unwrap()),
                    None => shared.lock().note_line(&line),
                }
                line.clear();
            }
        });
        Self {
            child,
            log,
            ledger,
            statuses,
            reader: Some(reader),
        }
    }

    /// The module's status in that process.
    pub fn status(&mut self) -> Json {
        let seen = self.statuses.lock().len();
        self.child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(b"status\n")
            .unwrap();
        wait::until(
            "the status of the child process",
            || (self.statuses.lock().len(), self.child.try_wait().unwrap()),
            |(answers, ended)| *answers > seen || ended.is_some(),
        );
        let last = self.statuses.lock().pop();
        last.unwrap_or_else(|| panic!("no status: {}", self.log_text()))
    }

    /// Waits until `acked` of its writes are acknowledged. The process must not end
    /// before.
    pub fn wait_for(&mut self, acked: u64) {
        let (_, ended) = wait::until(
            "the writes of the child process",
            || (self.ledger.lock().acked(), self.child.try_wait().unwrap()),
            |(seen, ended)| *seen >= acked || ended.is_some(),
        );
        if let Some(status) = ended {
            panic!("it ended by itself ({status}): {}", self.log_text());
        }
    }

    /// The acknowledged writes so far.
    pub fn ledger_so_far(&self) -> Ledger {
        self.ledger.lock().clone()
    }

    /// Kills it (SIGKILL), and asserts that nothing else ended it before. Returns
    /// the acknowledged writes.
    pub fn kill(mut self) -> Ledger {
        self.child.kill().unwrap();
        self.ended_by(SIGKILL)
    }

    /// Waits until it aborts because of a fail point. Returns the acknowledged
    /// writes.
    pub fn aborted(mut self) -> Ledger {
        self.wait_for_exit();
        self.ended_by(SIGABRT)
    }

    /// Makes it stop writing, catch up, and shut its host down.
    pub fn finish(mut self) -> (ExitStatus, Ledger) {
        drop(self.child.stdin.take());
        self.wait_for_exit();
        self.exit()
    }

    fn wait_for_exit(&mut self) {
        wait::until(
            "the end of the child process",
            || self.child.try_wait().unwrap(),
            Option::is_some,
        );
    }

    fn ended_by(&mut self, signal: i32) -> Ledger {
        let (status, ledger) = self.exit();
        let by = status.signal();
        assert_eq!(by, Some(signal), "{status}: {}", self.log_text());
        ledger
    }

    fn exit(&mut self) -> (ExitStatus, Ledger) {
        let status = self.child.wait().unwrap();
        if status.code().is_some_and(|code| code != 0) {
            panic!("the child process failed ({status}): {}", self.log_text());
        }
        self.reader.take().unwrap().join().unwrap();
        (status, std::mem::take(&mut *self.ledger.lock()))
    }

    fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
