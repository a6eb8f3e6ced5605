//! `writer CONFIG THREADS ROUND`: a host that writes from several threads and
//! prints a line for every acknowledged write, until it is killed, or its input
//! is closed: then it waits until it has caught up and ends. A line of input
//! asks for the module's status. Tests start it.

#![allow(clippy::unwrap_used, reason = "a failed test panics")]

use host_harness::admin::AdminClient;
use replication_tests::{
    ledger,
    load::Load,
    site,
    writer::{PACE, STATUS},
};
use std::{
    io::{self, Write},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, config, threads, round] = arguments.as_slice() else {
        // Only tests start this program.
        std::process::exit(2);
    };
    let host = site::host_of_file(Path::new(config));

    let stop = AtomicBool::new(false);
    let load = Load {
        threads: threads.parse().unwrap(),
        round: round.parse().unwrap(),
        pace: std::env::var(PACE).map_or(Duration::ZERO, |pace| {
            Duration::from_millis(pace.parse().unwrap())
        }),
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Each line requests the status. The end of the input ends the
            // writes.
            for _ in io::stdin().lines().map_while(Result::ok) {
                let status = AdminClient::local(&host)
                    .unwrap()
                    .get("status", &[])
                    .unwrap();
                let mut out = io::stdout().lock();
                let _ = writeln!(out, "{STATUS}{status}").and_then(|()| out.flush());
            }
            stop.store(true, Ordering::Relaxed);
        });
        load.run(host.storage(), &stop, &|result| {
            // As one write, so that a kill cannot split it.
            let mut out = io::stdout().lock();
            let written = out.write_all(ledger::line(&result).as_bytes());
            if written.and_then(|()| out.flush()).is_err() {
                // The reader is gone.
                stop.store(true, Ordering::Relaxed);
            }
        });
    });
    site::caught_up(&host);
    host.shutdown().unwrap();
}
