//! `status`: watching and checking it.

use crate::{
    common::{home, until, yaml},
    served::{PROGRAM, Served},
};
use host_harness::server::{SecondaryServer, ServerStorage};
use serde_json::Value as Json;
use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

/// How long a line may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command that goes on until it is killed.
struct Watching(Child);

impl Watching {
    fn start(command: &mut Command) -> (Self, ChildStdout) {
        let mut child = command
            .env_remove("HOST_CONFIG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        (Self(child), out)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lines of an output, as they come.
fn lines(out: ChildStdout) -> impl Fn(&str) -> String {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    move |expected| {
        let mut seen = Vec::new();
        loop {
            match receiver.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(expected) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("no line with {expected:?}: {seen:#?}"),
            }
        }
    }
}

#[test]
fn the_status_is_watched_and_checked() {
    let home = home();
    let mut server = SecondaryServer::start(ServerStorage::Memory).unwrap();
    let config = home.path().join("host.yaml");
    let quick = "      health_check_interval: 1s\n      secondary_databases:";
    let yaml =
        yaml("url: 'mem://'", &[("a", &server)]).replace("      secondary_databases:", quick);
    std::fs::write(&config, yaml).unwrap();
    let served = Served::start(&config);
    served.caught_up();
    assert_eq!(served.output(&["status", "--check"]).status.code(), Some(0));

    // For people.
    let text = Command::new(PROGRAM)
        .args(["status", "--url", &served.url])
        .output()
        .unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.starts_with("healthy: db-sync-server "), "{text}");
    assert!(text.contains("streaming"), "{text}");

    // Elsewhere than on a terminal: a line for each change.
    let watch = [
        "status",
        "--watch",
        "--interval",
        "0.1",
        "--url",
        &served.url,
    ];
    let (_plain, out) = Watching::start(Command::new(PROGRAM).args(watch));
    let plain = lines(out);
    let (_json, out) = Watching::start(Command::new(PROGRAM).args(watch).arg("--json"));
    let in_json = lines(out);
    plain("healthy  a: streaming, backlog 0");
    let status: Json = serde_json::from_str(&in_json("streaming")).unwrap();
    assert_eq!(status["health"], "healthy");

    // On a terminal it stays in place: what was shown is cleared.
    let on_terminal = format!("{PROGRAM} {}", watch.join(" "));
    let (_live, mut out) = Watching::start(Command::new("script").args([
        "--quiet",
        "--flush",
        "--command",
        &on_terminal,
        "/dev/null",
    ]));
    let (sender, shown) = mpsc::channel();
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = out.read(&mut piece) {
            let _ = sender.send(String::from_utf8_lossy(&piece[..length]).into_owned());
        }
    });
    let mut screen = String::new();
    let mut until_shown = |expected: &[&str]| {
        until(
            "the terminal",
            || {
                screen.extend(shown.try_iter());
                screen.clone()
            },
            |screen| expected.iter().all(|text| screen.contains(text)),
        )
    };
    until_shown(&[
        "healthy: db-sync-server",
        "streaming",
        "Ctrl-C ends it",
        "\u{1b}[",
    ]);

    server.kill();
    plain("degraded  a: unreachable");
    in_json("unreachable");
    until_shown(&["degraded: db-sync-server", "cannot be reached"]);
    let output = served.output(&["status", "--check"]);
    assert_eq!(output.status.code(), Some(1));

    // A host that is gone is told, and asked again.
    served.end("INT");
    plain("no status: cannot reach");
    in_json("cannot reach");
}
