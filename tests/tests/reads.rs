//! Which databases a merged read queries, and what it waits for: through the
//! loaded library, with a real server behind a network that can be disturbed.
//!
//! The bytes that the network carried tell whether the secondary was queried: a
//! request holds a name that is longer than all other traffic together.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{host::Host, server::SecondaryServer};
use plugin_api::storage::{CallContext, Storage as _};
use replication_tests::{
    proxy::{Network, Proxy},
    site::{Access, Site, caught_up, connected, replication},
    wait,
};
use std::time::{Duration, Instant};

/// The length of the name in each request, in bytes.
const REQUEST_BYTES: u64 = 4000;

/// Keeps health checks from adding traffic to the secondary.
const RARE_HEALTH_CHECKS: &str = "health_check_interval: 1h";

/// A query timeout longer than any test runs.
const LONG: &str = "10m";

/// Asserts that this did not wait for a query timeout that is [`LONG`].
fn promptly<T>(call: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let returned = call();
    let took = began.elapsed();
    assert!(took < wait::TIMEOUT, "it waited for {took:?}");
    returned
}

/// A user whose name is long.
fn user() -> String {
    "u".repeat(usize::try_from(REQUEST_BYTES).unwrap())
}

/// A host with one secondary, behind a proxy.
struct Fixture {
    host: Host,
    proxy: Proxy,
    server: SecondaryServer,
    _site: Site,
}

impl Fixture {
    /// Both databases have the fact `on_both`, the secondary also
    /// `on_secondary`.
    fn new(query_timeout: &str, health_check: &str) -> Self {
        let site = Site::new();
        let server = site.server("a");
        let proxy = Proxy::start(server.address());
        let query_timeout = format!("query_timeout: {query_timeout}");
        let more = [&*query_timeout, health_check, "connect_timeout: 2s"];
        let yaml = site.yaml_for(&[Access::new("a", proxy.url())], &more);
        let host = site.host_with(&yaml);
        connected(&host);
        let save = |storage: &dyn plugin_api::storage::Storage, key: &str| {
            let saved = storage.save_fact(&CallContext::new(), &user(), key, &1i64.into());
            saved.unwrap();
        };
        save(host.storage(), "on_both");
        caught_up(&host);
        save(&site.database(&server), "on_secondary");
        Self {
            host,
            proxy,
            server,
            _site: site,
        }
    }

    fn list(&self) -> Vec<String> {
        let keys = self
            .host
            .storage()
            .list_fact_keys(&CallContext::new(), &user());
        keys.unwrap().iter().map(ToString::to_string).collect()
    }

    fn get(&self, key: &str) -> bool {
        let found = self
            .host
            .storage()
            .get_fact(&CallContext::new(), &user(), key);
        found.unwrap().is_some()
    }

    /// What the call returns, and how often the secondary was queried meanwhile.
    fn count_requests<T>(&self, call: impl FnOnce() -> T) -> (T, u64) {
        let before = self.proxy.bytes_sent();
        let returned = call();
        (returned, (self.proxy.bytes_sent() - before) / REQUEST_BYTES)
    }
}

#[test]
fn a_point_read_that_the_primary_answers_does_not_query_the_secondary() {
    let fixture = Fixture::new(LONG, RARE_HEALTH_CHECKS);
    // A request would wait for its answer.
    fixture.proxy.set(Network::ResponsesHeld);
    let answer = promptly(|| fixture.count_requests(|| fixture.get("on_both")));
    assert_eq!(answer, (true, 0));
    fixture.proxy.set(Network::Healthy);
    assert_eq!(
        fixture.count_requests(|| fixture.get("on_secondary")),
        (true, 1)
    );
}

#[test]
fn a_read_waits_for_a_secondary_that_answers_within_the_timeout() {
    let fixture = Fixture::new(LONG, RARE_HEALTH_CHECKS);
    fixture
        .proxy
        .set(Network::Delayed(Duration::from_millis(300)));
    assert_eq!(fixture.list(), ["on_both", "on_secondary"]);
}

#[test]
fn reads_over_a_long_line_open_no_connections() {
    const READS: u32 = 50;
    let fixture = Fixture::new(LONG, RARE_HEALTH_CHECKS);
    fixture
        .proxy
        .set(Network::Delayed(Duration::from_millis(80)));
    let before = fixture.proxy.connections();
    for _ in 0..READS {
        assert_eq!(fixture.list(), ["on_both", "on_secondary"]);
    }
    assert_eq!(fixture.proxy.connections() - before, 0);
}

#[test]
fn after_one_timeout_a_silent_secondary_gets_one_probe_per_query_timeout() {
    let timeout = Duration::from_secs(1);
    let fixture = Fixture::new("1s", RARE_HEALTH_CHECKS);
    assert_eq!(fixture.list(), ["on_both", "on_secondary"]);
    fixture.proxy.set(Network::ResponsesHeld);
    let began = Instant::now();
    assert_eq!(
        fixture.count_requests(|| fixture.list()),
        (vec!["on_both".to_owned()], 1)
    );
    assert!(began.elapsed() >= timeout, "the read did not wait for it");
    assert_eq!(
        fixture.count_requests(|| fixture.list()),
        (vec!["on_both".to_owned()], 0)
    );
    // Probes continue. Reads do not wait for them, or there could not be so many.
    let began = Instant::now();
    let mut reads = 0;
    let ((), probes) = fixture.count_requests(|| {
        let before = fixture.proxy.bytes_sent();
        while fixture.proxy.bytes_sent() - before < 3 * REQUEST_BYTES {
            assert_eq!(fixture.list(), ["on_both"]);
            reads += 1;
            assert!(began.elapsed() < wait::TIMEOUT, "no probes");
        }
    });
    let timeouts = began.elapsed().as_millis() / timeout.as_millis();
    assert!(u128::from(probes) <= timeouts + 1, "{probes} in {timeouts}");
    assert!(reads > 2 * u128::from(probes), "{reads} reads");

    // The first answer in time closes the circuit breaker.
    fixture.proxy.set(Network::Healthy);
    let both = |keys: &Vec<String>| keys.len() == 2;
    wait::until("the secondary to take part again", || fixture.list(), both);
    assert_eq!(
        fixture.count_requests(|| fixture.list()),
        (vec!["on_both".to_owned(), "on_secondary".to_owned()], 1)
    );
}

#[test]
fn a_secondary_that_is_not_connected_is_not_queried() {
    let mut fixture = Fixture::new(LONG, "health_check_interval: 200ms");
    fixture.server.kill();
    fixture.proxy.cut();
    // Found by the next health check: the proxy keeps the port open.
    wait::until(
        "the connection to be lost",
        || replication(&fixture.host),
        |status| !status.is_connected(),
    );
    for _ in 0..20 {
        let read = || promptly(|| (fixture.list(), fixture.get("on_secondary")));
        assert_eq!(
            fixture.count_requests(read),
            ((vec!["on_both".to_owned()], false), 0)
        );
    }
}

#[test]
fn the_first_read_after_the_server_was_killed_does_not_wait_for_the_query_timeout() {
    let site = Site::new();
    let mut server = site.server("a");
    let host = site.host(
        &[("a", &server)],
        &["query_timeout: 10m", RARE_HEALTH_CHECKS],
    );
    connected(&host);
    let storage = host.storage();
    let context = CallContext::new();
    storage
        .save_fact(&context, "ada", "k", &1i64.into())
        .unwrap();
    caught_up(&host);
    server.kill();
    let read = || storage.list_fact_keys(&context, "ada");
    assert_eq!(promptly(read).unwrap(), ["k"]);
    server.restart().unwrap();
    connected(&host);
    assert_eq!(promptly(read).unwrap(), ["k"]);
}
