//! Who is asked when a read is merged, and what is waited for: through the
//! loaded library, with a real server behind a network that can be spoilt.
//!
//! Whether the secondary was asked is told by what the network has carried: the
//! names that are asked for are so long that nothing else comes near.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{host::Host, server::SecondaryServer};
use plugin_api::storage::{CallContext, Storage as _};
use replication_tests::{
    proxy::{Proxy, Weather},
    site::{Access, Site, caught_up, connected, replication},
    wait,
};
use std::time::{Duration, Instant};

/// The length of the names that are asked for, in bytes. A question holds one.
const QUESTION: u64 = 4000;

/// Only reads, and seldom anything else, go to the secondary.
const SELDOM: &str = "health_check_interval: 1h";

/// A query timeout that no test has the patience for.
const LONG: &str = "10m";

/// Asserts that this did not wait for a query timeout that is [`LONG`].
fn promptly<T>(call: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let given = call();
    let took = began.elapsed();
    assert!(took < wait::PATIENCE, "it has waited for {took:?}");
    given
}

/// A user whose name is long.
fn user() -> String {
    "u".repeat(usize::try_from(QUESTION).unwrap())
}

/// A host whose one secondary is behind a proxy.
struct Scene {
    host: Host,
    proxy: Proxy,
    server: SecondaryServer,
    _site: Site,
}

impl Scene {
    /// The primary has the fact `here`, the secondary has it too, and `there`.
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
        save(host.storage(), "here");
        caught_up(&host);
        save(&site.database(&server), "there");
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

    /// What the call gives, and how often the secondary was asked meanwhile.
    fn questions<T>(&self, call: impl FnOnce() -> T) -> (T, u64) {
        let before = self.proxy.asked();
        let given = call();
        (given, (self.proxy.asked() - before) / QUESTION)
    }
}

#[test]
fn a_point_read_that_the_primary_answers_does_not_ask_the_secondary() {
    let scene = Scene::new(LONG, SELDOM);
    // Whoever asked would wait for an answer.
    scene.proxy.set(Weather::AnswersLost);
    let answer = promptly(|| scene.questions(|| scene.get("here")));
    assert_eq!(answer, (true, 0));
    scene.proxy.set(Weather::Fair);
    assert_eq!(scene.questions(|| scene.get("there")), (true, 1));
}

#[test]
fn a_secondary_that_is_slow_but_in_time_is_waited_for() {
    let scene = Scene::new(LONG, SELDOM);
    scene
        .proxy
        .set(Weather::Delayed(Duration::from_millis(300)));
    assert_eq!(scene.list(), ["here", "there"]);
}

#[test]
fn a_silent_secondary_is_waited_for_once_and_asked_once_each_query_timeout() {
    let timeout = Duration::from_secs(1);
    let scene = Scene::new("1s", SELDOM);
    assert_eq!(scene.list(), ["here", "there"]);
    scene.proxy.set(Weather::AnswersLost);
    let began = Instant::now();
    assert_eq!(
        scene.questions(|| scene.list()),
        (vec!["here".to_owned()], 1)
    );
    assert!(began.elapsed() >= timeout, "nobody has waited for it");
    assert_eq!(
        scene.questions(|| scene.list()),
        (vec!["here".to_owned()], 0)
    );
    // Probes go on. Nobody waits for them: reads that did could not be so many.
    let began = Instant::now();
    let mut reads = 0;
    let ((), probes) = scene.questions(|| {
        let before = scene.proxy.asked();
        while scene.proxy.asked() - before < 3 * QUESTION {
            assert_eq!(scene.list(), ["here"]);
            reads += 1;
            assert!(began.elapsed() < wait::PATIENCE, "no probes");
        }
    });
    let timeouts = began.elapsed().as_millis() / timeout.as_millis();
    assert!(u128::from(probes) <= timeouts + 1, "{probes} in {timeouts}");
    assert!(reads > 2 * u128::from(probes), "{reads} reads");

    // The first answer in time brings it back.
    scene.proxy.set(Weather::Fair);
    let both = |keys: &Vec<String>| keys.len() == 2;
    wait::until("the secondary's return", || scene.list(), both);
    assert_eq!(
        scene.questions(|| scene.list()),
        (vec!["here".to_owned(), "there".to_owned()], 1)
    );
}

#[test]
fn a_secondary_that_is_down_is_not_asked() {
    let mut scene = Scene::new(LONG, "health_check_interval: 200ms");
    scene.server.kill();
    scene.proxy.cut();
    // Not by a closed port, which the proxy hides: by the next health check.
    wait::until(
        "losing it",
        || replication(&scene.host),
        |status| !status.is_connected(),
    );
    for _ in 0..20 {
        let read = || promptly(|| (scene.list(), scene.get("there")));
        assert_eq!(scene.questions(read), ((vec!["here".to_owned()], false), 0));
    }
}

#[test]
fn the_first_read_after_the_server_was_killed_does_not_wait_for_the_query_timeout() {
    let site = Site::new();
    let mut server = site.server("a");
    let host = site.host(&[("a", &server)], &["query_timeout: 10m", SELDOM]);
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
