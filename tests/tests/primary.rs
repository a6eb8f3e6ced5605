//! A primary that commits late: after the caller has given up, after the
//! connection is lost, after the host is killed. In the end both databases are
//! equal and hold everything that was acknowledged.
//!
//! The long form: `FAULT_PRIMARY=100 cargo test --workspace --test primary
//! -- --nocapture a_primary_commits_late`; it ends with a table.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use host_harness::{
    admin::ReplicationStatus, compare::compare, host::Host, server::SecondaryServer,
};
use plugin_api::{
    error::{ErrorKind, StorageResult},
    records::CodeSymbol,
    storage::{CallContext, CodeStorage as _, FullStorage, Storage as _},
    value::{Object, Value},
};
use replication_tests::{
    ledger::{Ledger, Table, Tally, Violations},
    proxy::Proxy,
    random,
    site::{Site, caught_up, replication, run},
    wait,
    writer::Writer,
};
use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// The deadline of a write that the primary does not commit in time.
const DEADLINE: Duration = Duration::from_millis(300);

/// The `primary_request_lifetime` where requests are held back by the network.
/// What is not delivered earlier does not count.
const LIFETIME: Duration = Duration::from_secs(4);

/// The same where the primary is paused: a pause does not count.
const SHORT_LIFETIME: Duration = Duration::from_secs(1);

/// Writing threads of a host that is killed.
const THREADS: i64 = 8;

/// The user whose facts are written.
const OWNER: &str = "late";

/// A primary behind a network with faults, and a secondary.
struct Fixture {
    site: Site,
    primary: SecondaryServer,
    secondary: SecondaryServer,
    network: Proxy,
    config: PathBuf,
    yaml: String,
    /// Its `primary_request_lifetime`.
    lifetime: Duration,
}

impl Fixture {
    fn new(lifetime: Duration) -> Self {
        let site = Site::new();
        let (primary, secondary) = (site.server("primary"), site.server("a"));
        let network = Proxy::start(primary.address());
        let setting = format!("primary_request_lifetime: {lifetime:?}");
        let yaml = site.yaml(&[("a", &secondary)], &[&setting]);
        let yaml = site.with_primary_at(&yaml, &network.url());
        let config = site.path().join("host.yaml");
        fs::write(&config, &yaml).unwrap();
        Self {
            site,
            primary,
            secondary,
            network,
            config,
            yaml,
            lifetime,
        }
    }

    fn host(&self) -> Host {
        self.site.host_with(&self.yaml)
    }

    /// Has the primary receive these writes late: until they are delivered, it
    /// does not have them, their callers have given up, and the connection is
    /// lost.
    fn hold(&self, storage: &FullStorage, writes: &[(String, Write)]) {
        self.network.hold();
        thread::scope(|scope| {
            for (name, write) in writes {
                scope.spawn(move || times_out(storage, name, *write));
            }
            for (name, _) in writes {
                wait::until("a held write", || self.network.holds(&[name]), |held| *held);
            }
        });
        self.network.cut_clients();
    }

    /// Delivers what was held back, once everything else is replicated.
    fn deliver(&self, host: &Host) {
        has_looked(host);
        assert!(self.network.unanswered() > 0, "nothing is held back");
        self.network.deliver();
        wait::until(
            "the late answers",
            || self.network.unanswered(),
            |count| *count == 0,
        );
    }

    fn check(&self, host: &Host, ledger: &Ledger, tally: &mut Tally) {
        caught_up(host);
        let secondary = self.site.database(&self.secondary);
        let comparison = compare(host.primary(), &secondary).unwrap();
        tally.violations.add(Violations::from(&comparison));
        tally.violations.add(ledger.check(host.primary()));
        tally.violations.add(ledger.check(&secondary));
        assert!(tally.violations.is_clean(), "{tally}\n{comparison}");
    }
}

/// Waits until everything is replicated that is known by now.
fn has_looked(host: &Host) {
    wait::until(
        "the first look",
        || replication(host),
        ReplicationStatus::is_caught_up,
    );
}

/// A write under a name, which is part of its request.
type Write = fn(&FullStorage, &CallContext, &str) -> StorageResult<()>;

const WRITES: &[(&str, Write)] = &[
    ("fact", |storage, context, name| {
        storage
            .save_fact(context, OWNER, name, &"late".into())
            .map(drop)
    }),
    ("document", |storage, context, name| {
        let chunks = [name.into(), "second".into()];
        let embeddings = vec![Default::default(); 2];
        storage
            .save_document_chunks(context, name, &chunks, &embeddings, &Object::new())
            .map(drop)
    }),
    ("symbols", |storage, context, name| {
        let symbols = ["a", "b"].map(|which| CodeSymbol {
            project_id: OWNER.into(),
            file_path: "lib.rs".into(),
            name: name.into(),
            name_path: format!("{name}/{which}").into(),
            ..CodeSymbol::default()
        });
        storage.save_code_symbols(context, &symbols).map(drop)
    }),
    ("event", |storage, context, name| {
        storage
            .save_event(context, OWNER, name, name, &[], &Object::new())
            .map(drop)
    }),
    ("entity", |storage, context, name| {
        storage
            .create_entity(context, "place", name, &Object::new())
            .map(drop)
    }),
    ("raw", |storage, context, name| {
        let text = "CREATE kv_memories SET user_id = $owner, key = $name, value = 'late'";
        let parameters = Object::new().with("owner", OWNER).with("name", name);
        storage.query(context, text, &parameters).map(drop)
    }),
];

/// One write of each kind, under its name.
fn writes() -> Vec<(String, Write)> {
    let named = |(kind, write): &(&str, Write)| (format!("late-{kind}"), *write);
    WRITES.iter().map(named).collect()
}

fn times_out(storage: &FullStorage, name: &str, write: Write) {
    let error = write(storage, &CallContext::with_timeout(DEADLINE), name).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TIMEOUT, "{name}: {error}");
}

/// A later write of a fact, over a new connection as soon as there is one.
fn save_newer(storage: &FullStorage, key: &str) {
    let save = || {
        let context = CallContext::with_timeout(2 * DEADLINE);
        storage.save_fact(&context, OWNER, key, &"newer".into())
    };
    wait::until("an acknowledged write", save, Result::is_ok).unwrap();
}

fn fact(storage: &FullStorage, key: &str) -> Option<Value> {
    let context = CallContext::new();
    storage.get_fact(&context, OWNER, key).unwrap().into()
}

/// What keeps a request from the primary for a while.
#[derive(Clone, Copy)]
enum Fault {
    /// The connection is lost; the network delivers the request all the same.
    Lost,
    /// The same, with a host that is killed.
    Killed,
    /// The primary is paused, for longer than a request lives.
    Paused,
}

const FAULTS: [Fault; 3] = [Fault::Lost, Fault::Killed, Fault::Paused];

impl Fault {
    /// The shortest `primary_request_lifetime` that it is tried with.
    fn request_lifetime(self) -> Duration {
        match self {
            Self::Lost | Self::Killed => LIFETIME,
            Self::Paused => SHORT_LIFETIME,
        }
    }
}

impl Fixture {
    /// Returns how long requests were late.
    fn late_after(&self, fault: Fault, tally: &mut Tally) -> Duration {
        let started;
        let (host, ledger) = match fault {
            Fault::Lost => {
                let host = self.host();
                caught_up(&host);
                started = Instant::now();
                let writes = writes();
                self.hold(host.storage(), &writes);
                // The primary commits the older write of this key last.
                let key = &writes[0].0;
                save_newer(host.storage(), key);
                self.deliver(&host);
                assert_eq!(fact(host.storage(), key), Some("late".into()));
                (host, Ledger::default())
            }
            Fault::Killed => {
                let program = env!("CARGO_BIN_EXE_writer");
                let mut writer = Writer::start(program, &self.config, THREADS, 1, "");
                writer.wait_for(100);
                started = Instant::now();
                self.network.hold();
                wait::until(
                    "a held write",
                    || self.network.holds(&["UPSERT"]),
                    |held| *held,
                );
                let ledger = writer.kill();
                let host = self.host();
                self.deliver(&host);
                (host, ledger)
            }
            Fault::Paused => {
                let host = self.host();
                caught_up(&host);
                self.primary.pause().unwrap();
                let writes = writes();
                thread::scope(|scope| {
                    for (name, write) in &writes {
                        scope.spawn(|| times_out(host.storage(), name, *write));
                    }
                });
                let paused = Instant::now();
                while paused.elapsed() < 2 * self.lifetime {
                    assert!(replication(&host).unsettled > 0, "a pause does not count");
                    thread::sleep(DEADLINE);
                }
                started = Instant::now();
                self.primary.resume().unwrap();
                (host, Ledger::default())
            }
        };
        let late = started.elapsed();
        if late < self.lifetime {
            self.check(&host, &ledger, tally);
            tally.acked += ledger.acked();
        }
        host.shutdown().unwrap();
        late
    }
}

#[test]
fn a_primary_commits_late_and_the_secondary_gets_what_it_holds_in_the_end() {
    let faults = random::in_random_order(random::seeded("late commits"), &FAULTS);
    let tries = random::number("FAULT_PRIMARY").unwrap_or(FAULTS.len() as u64);
    let mut tally = Table::default();
    // Longer on a machine that is too busy to deliver in time.
    let mut patience = 1;
    for fault in faults {
        if tally.tried == tries {
            break;
        }
        let fixture = Fixture::new(fault.request_lifetime() * patience);
        let late = fixture.late_after(fault, &mut tally);
        if late >= fixture.lifetime {
            println!("a try does not count: held back for {late:?}");
            patience = 8.min(2 * patience);
            continue;
        }
        tally.tried += 1;
        tally.survived += 1;
        tally.print_progress(tries);
    }
}

#[test]
fn a_write_that_the_primary_commits_after_its_callers_deadline_reaches_the_secondary() {
    const SLOW: &str =
        "DEFINE EVENT slow ON kv_memories WHEN $after.value = 'late' THEN { sleep(2s) }";
    let fixture = Fixture::new(LIFETIME);
    let host = fixture.host();
    caught_up(&host);
    let primary = fixture.site.database(&fixture.primary);
    run(&primary, SLOW);
    let (key, save) = (WRITES[0].0, WRITES[0].1);
    times_out(host.storage(), key, save);
    has_looked(&host);
    let primary = FullStorage::new(primary);
    assert_eq!(fact(&primary, key), None, "it is not committed yet");
    wait::until("the late commit", || fact(&primary, key), Option::is_some);
    fixture.check(&host, &Ledger::default(), &mut Tally::default());
}

#[test]
fn a_delete_that_the_primary_runs_late_hides_the_row_that_was_written_before() {
    let fixture = Fixture::new(LIFETIME);
    let host = fixture.host();
    caught_up(&host);
    let storage = host.storage();
    let delete: Write = |storage, context, key| storage.delete_fact(context, OWNER, key).map(drop);
    // Again where it took too long.
    let key = (1..)
        .map(|attempt| format!("deleted-{attempt}"))
        .find(|key| {
            save_newer(storage, key);
            let started = Instant::now();
            fixture.hold(storage, &[(key.clone(), delete)]);
            save_newer(storage, key);
            assert_eq!(fact(storage, key), Some("newer".into()));
            fixture.deliver(&host);
            started.elapsed() < LIFETIME
        });
    let key = &key.unwrap();
    let secondary = FullStorage::new(fixture.site.database(&fixture.secondary));
    assert_eq!(fact(&FullStorage::new(host.primary().clone()), key), None);
    assert_eq!(fact(&secondary, key), Some("newer".into()), "the archive");
    assert_eq!(fact(storage, key), None);
    caught_up(&host);
    assert_eq!(fact(storage, key), None);
    // From now on, writing the row again shows it.
    save_newer(storage, key);
    assert_eq!(fact(storage, key), Some("newer".into()));
}
