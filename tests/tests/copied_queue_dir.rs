//! A `queue_dir` that was copied to a second host, or restored to an earlier
//! state: everything that any of the hosts acknowledged reaches the secondary.
//!
//! The long form: `FAULT_COPIES=100 cargo test --workspace --test
//! copied_queue_dir -- --nocapture`; it ends with a table.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use host_harness::{compare::compare, host::Host, server::SecondaryServer};
use plugin_api::{
    storage::{CallContext, Storage as _},
    value::Object,
};
use replication_tests::{
    ledger::{Table, Tally, Violations},
    random,
    site::{Site, caught_up, replication, secondaries},
    wait,
};
use serde_json::json;
use std::{fs, path::Path};

/// Facts that a phase writes again and again.
const KEYS: i64 = 40;

/// Writes of one turn of a host: every partition gets some.
const WRITES: i64 = 80;

/// A host's writes: facts whose numbers only grow.
struct Writes {
    user: &'static str,
    number: i64,
}

impl Writes {
    const fn of(user: &'static str) -> Self {
        Self { user, number: 0 }
    }

    fn write(&mut self, host: &Host, random: &mut fastrand::Rng, tally: &mut Tally) {
        for _ in 0..random.i64(WRITES / 2..=WRITES) {
            self.number += 1;
            let key = format!("k{}", self.number % KEYS);
            host.storage()
                .save_fact(&CallContext::new(), self.user, &key, &self.number.into())
                .unwrap();
            tally.acked += 1;
        }
    }
}

/// Copies a directory as it is now.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Waits until a secondary has everything that a host has written so far.
fn reached(host: &Host, name: &str) {
    wait::until(
        "the secondary to have everything",
        || {
            let all = secondaries(host).into_iter();
            all.filter(|secondary| secondary["name"] == name)
                .collect::<Vec<_>>()
        },
        |secondary| {
            secondary[0]["state"] == "streaming"
                && secondary[0]["backlog"]["operations"] == 0
                && secondary[0]["resync"] == json!([])
        },
    );
}

/// Checks that the secondary has every row of a host's primary, and no other
/// state of it. Rows of another host are none of its business.
fn check(host: &Host, site: &Site, server: &SecondaryServer, tally: &mut Tally) {
    assert_eq!(replication(host).dead_letters, 0);
    let mut comparison = compare(host.primary(), &site.database(server)).unwrap();
    for table in &mut comparison.tables {
        table.extra.clear();
    }
    tally.violations.add(Violations::from(&comparison));
    let clean = tally.violations.is_clean();
    assert!(clean && comparison.is_equal(), "{tally}\n{comparison}");
}

/// How a second host comes to have the first one's `queue_dir`.
#[derive(Clone, Copy, Debug)]
enum Copy {
    /// `cp -r`, while the first host runs.
    WhileRunning,
    /// `cp -r`, while the first host is stopped and has a backlog.
    WhileStopped,
    /// The whole machine is cloned, with the primary, while the first host is
    /// stopped and has a backlog.
    Machine,
    /// The same while the first host runs: only the secondaries can tell.
    RunningMachine,
}

const COPIES: [Copy; 4] = [
    Copy::WhileRunning,
    Copy::WhileStopped,
    Copy::Machine,
    Copy::RunningMachine,
];

/// Has a primary keep what another one says about the log, as a clone would.
fn clone_record(from: &Host, to: &Site) {
    let context = &CallContext::new();
    let sql = "SELECT id, epoch FROM db_sync_log";
    let answer = from.primary().query(context, sql, &Object::new()).unwrap();
    let [row] = answer.first_rows() else {
        panic!("{answer:?}");
    };
    let parameters = Object::new().with("row", row.clone());
    let bare = to.bare_host();
    let sql = "DEFINE TABLE db_sync_log SCHEMALESS; UPSERT $row.id CONTENT $row";
    bare.primary().query(context, sql, &parameters).unwrap();
    bare.shutdown().unwrap();
}

fn two_hosts_with_one_log(way: Copy, random: &mut fastrand::Rng, tally: &mut Tally) {
    println!("{way:?}");
    tally.tried += 1;
    let (first, second) = (Site::new(), Site::new());
    // One secondary is there all the time, the other one is away while it happens.
    let (mut server, mut away) = (first.server("a"), first.server("b"));
    let host_of = |site: &Site, server: &SecondaryServer, away: &SecondaryServer| {
        site.host(&[("a", server), ("b", away)], &[])
    };
    let mut before = Writes::of("before");
    let host = host_of(&first, &server, &away);
    before.write(&host, random, tally);
    caught_up(&host);
    away.kill();
    before.write(&host, random, tally);

    let (first_host, second_host) = match way {
        Copy::WhileRunning | Copy::RunningMachine => {
            reached(&host, "a");
            copy(&first.queue_dir(), &second.queue_dir());
            if matches!(way, Copy::RunningMachine) {
                clone_record(&host, &second);
            }
            // The first host has moved on when the copy connects.
            before.write(&host, random, tally);
            let copied = host_of(&second, &server, &away);
            (host, copied)
        }
        Copy::WhileStopped | Copy::Machine => {
            server.kill();
            before.write(&host, random, tally);
            host.shutdown().unwrap();
            copy(&first.queue_dir(), &second.queue_dir());
            if matches!(way, Copy::Machine) {
                copy(
                    &first.path().join("primary"),
                    &second.path().join("primary"),
                );
            }
            let [original, copied] = [&first, &second].map(|site| host_of(site, &server, &away));
            if matches!(way, Copy::WhileStopped) {
                let status = secondaries(&copied);
                let reason = status[0]["resync"][0]["reason"].as_str().unwrap();
                assert!(reason.contains("copied from another host"), "{reason}");
                assert_eq!(
                    status[0]["backlog"]["operations"], 0,
                    "it is the other host's"
                );
            }
            server.restart().unwrap();
            (original, copied)
        }
    };
    let mut of_first = match way {
        // Both primaries have these rows: the hosts own what they write from now on.
        Copy::Machine => Writes::of("first"),
        Copy::WhileRunning | Copy::WhileStopped | Copy::RunningMachine => before,
    };
    let mut of_second = Writes::of("second");
    let hosts = [(&first_host, &first), (&second_host, &second)];
    for (host, _) in hosts {
        wait::until(
            "connecting",
            || secondaries(host),
            |all| all[0]["state"] == "streaming",
        );
    }
    for _ in 0..3 {
        of_first.write(&first_host, random, tally);
        of_second.write(&second_host, random, tally);
    }
    for (host, site) in hosts {
        reached(host, "a");
        check(host, site, &server, tally);
    }
    away.restart().unwrap();
    of_first.write(&first_host, random, tally);
    of_second.write(&second_host, random, tally);
    for (host, site) in hosts {
        caught_up(host);
        check(host, site, &server, tally);
        check(host, site, &away, tally);
    }
    // Neither takes anything from the other later on, a restart included.
    first_host.shutdown().unwrap();
    of_second.write(&second_host, random, tally);
    let first_host = host_of(&first, &server, &away);
    let resyncs: Vec<_> = secondaries(&first_host)
        .iter()
        .map(|secondary| secondary["resync"].clone())
        .collect();
    assert_eq!(resyncs, [json!([]), json!([])], "they are at peace");
    of_first.write(&first_host, random, tally);
    for (host, site) in [(&first_host, &first), (&second_host, &second)] {
        caught_up(host);
        check(host, site, &server, tally);
        check(host, site, &away, tally);
    }
    tally.survived += 1;
}

/// What the secondary got of what the log has forgotten.
#[derive(Clone, Copy, Debug)]
enum Forgotten {
    Applied,
    NotApplied,
}

fn a_log_that_went_back(forgotten: Forgotten, random: &mut fastrand::Rng, tally: &mut Tally) {
    println!("restored, {forgotten:?}");
    tally.tried += 1;
    let site = Site::new();
    let mut server = site.server("a");
    let backup = site.path().join("backup");
    let mut writes = Writes::of("u");
    let host = site.host(&[("a", &server)], &[]);
    writes.write(&host, random, tally);
    caught_up(&host);
    // A snapshot of a running log, or a backup of a closed one.
    let host = match random.bool() {
        true => {
            copy(&site.queue_dir(), &backup);
            host
        }
        false => {
            host.shutdown().unwrap();
            copy(&site.queue_dir(), &backup);
            site.host(&[("a", &server)], &[])
        }
    };

    if matches!(forgotten, Forgotten::NotApplied) {
        server.kill();
    }
    let mut later = Writes::of("later");
    writes.write(&host, random, tally);
    later.write(&host, random, tally);
    if matches!(forgotten, Forgotten::Applied) {
        caught_up(&host);
    }
    host.shutdown().unwrap();
    fs::remove_dir_all(site.queue_dir()).unwrap();
    copy(&backup, &site.queue_dir());

    let host = site.host(&[("a", &server)], &[]);
    // About as many as were forgotten, so that positions alone do not tell.
    writes.write(&host, random, tally);
    Writes::of("new").write(&host, random, tally);
    if matches!(forgotten, Forgotten::NotApplied) {
        server.restart().unwrap();
    }
    caught_up(&host);
    check(&host, &site, &server, tally);
    site.assert_equal(&host, &server);
    tally.survived += 1;
}

fn once(way: Copy) {
    let mut random = random::seeded("copy");
    two_hosts_with_one_log(way, &mut random, &mut Table::default());
}

#[test]
fn a_copy_of_a_running_hosts_queue_dir_loses_nothing_of_either_host() {
    once(Copy::WhileRunning);
}

#[test]
fn a_copy_of_a_stopped_hosts_queue_dir_loses_nothing_of_either_host() {
    once(Copy::WhileStopped);
}

#[test]
fn a_cloned_machine_loses_nothing_of_either_host() {
    once(Copy::Machine);
}

#[test]
fn a_machine_that_is_cloned_while_it_runs_loses_nothing_of_either_host() {
    once(Copy::RunningMachine);
}

#[test]
fn a_queue_dir_restored_from_a_backup_loses_nothing() {
    let mut random = random::seeded("restore");
    let mut tally = Table::default();
    for forgotten in [Forgotten::Applied, Forgotten::NotApplied] {
        a_log_that_went_back(forgotten, &mut random, &mut tally);
    }
}

/// All of the above, in random order.
#[test]
fn copied_and_restored_again_and_again_nothing_is_lost() {
    let Some(tries) = random::number("FAULT_COPIES") else {
        return;
    };
    let mut random = random::seeded("copies");
    let ways = COPIES.map(Some).into_iter().chain([None, None]);
    let ways: Vec<_> = ways.collect();
    let mut ways = random::in_random_order(random.fork(), &ways);
    let mut tally = Table::default();
    while tally.tried < tries {
        match ways.next().unwrap() {
            Some(way) => two_hosts_with_one_log(way, &mut random, &mut tally),
            None if random.bool() => {
                a_log_that_went_back(Forgotten::Applied, &mut random, &mut tally);
            }
            None => a_log_that_went_back(Forgotten::NotApplied, &mut random, &mut tally),
        }
        tally.print_progress(tries);
    }
}
