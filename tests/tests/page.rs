//! The status page in a real browser, with a host that serves it through the loaded
//! library and a real secondary server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{host::Host, http};
use plugin_api::{
    storage::{CallContext, Storage as _},
    value::Value,
};
use replication_tests::{
    browser::Browser,
    site::{Site, caught_up, given_up, run},
    wait,
};
use std::net::SocketAddr;
use tokio::{runtime::Runtime, sync::oneshot, task::JoinHandle};

/// Its name is markup: nothing that the module shows may become part of the page.
const POISON: &str = "<img src=x onerror=document.title=0>";

/// The routes of a host, served until it is stopped.
struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Served {
    fn start(runtime: &Runtime, host: &Host, bind: &str) -> Self {
        let (ready, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let router = http::router(host, http::Access::on_loopback());
        let bind = bind.parse().unwrap();
        let task = runtime.spawn(http::serve(
            router,
            bind,
            move |address| ready.send(address).unwrap(),
            async move {
                let _ = stopped.await;
            },
        ));
        Self {
            address: runtime.block_on(address).unwrap(),
            stop,
            task,
        }
    }

    fn stop(self, runtime: &Runtime) {
        self.stop.send(()).unwrap();
        runtime.block_on(self.task).unwrap().unwrap();
    }
}

fn save(host: &Host, key: &str, value: &str) {
    let value = Value::from(value);
    host.storage()
        .save_fact(&CallContext::new(), "page", key, &value)
        .unwrap();
}

/// Follows an operator through an outage, a resync, a poisonous row and a damaged
/// one, in the page alone.
#[test]
fn an_operator_sees_and_steers_replication_in_a_browser() {
    let Some(browser) = Browser::start() else {
        return;
    };
    let site = Site::new();
    let mut server = site.server("office");
    // So that an outage is noticed within the test's patience.
    let settings = [
        "sync_max_retries: 1",
        "connect_timeout: 3s",
        "operation_timeout: 3s",
    ];
    let host = site.host(&[("office", &server)], &settings);
    let runtime = Runtime::new().unwrap();
    let served = Served::start(&runtime, &host, "127.0.0.1:0");
    let url = format!("http://{}/api/db-sync", served.address);
    for number in 0..20 {
        save(&host, &format!("row {number}"), "as it was");
    }
    caught_up(&host);

    // The path without a slash leads to the page.
    browser.open(&url);
    browser.wait_for("#health", "healthy");
    browser.open(&format!("{url}/?interval=0.2"));
    browser.wait_for("#health", "healthy");
    let policy = browser
        .run("return fetch(location).then((page) => page.headers.get('content-security-policy'))");
    assert!(policy.as_str().unwrap().contains("default-src 'none'"));
    browser.wait_for(".card .badge", "streaming");
    browser.wait_for("#no-problems", "No problem");
    browser.wait_for("#events", "→ reconciling");

    // The server is killed, and comes back.
    server.kill();
    save(&host, "row 0", "written during the outage");
    browser.wait_for(".card .badge", "unreachable");
    browser.wait_for("#health", "degraded");
    browser.wait_for("#problems", "cannot be reached");
    browser.wait_for(".card figure", "1 op");
    server.restart().unwrap();
    browser.wait_for(".card .badge", "streaming");
    browser.wait_for("#health", "healthy");
    browser.wait_for("#events", "streaming → unreachable");
    for chart in ["Backlog", "Lag", "Throughput", "Apply latency"] {
        let line = format!("svg[aria-label^='{chart}'] .line[d^=M]");
        wait::until(
            &format!("the chart of {chart}"),
            || browser.run(&format!("return !!document.querySelector({line:?})")),
            |is_drawn| *is_drawn == true,
        );
    }

    // A resync: it waits while replication is paused, and then runs.
    browser.click("#pause");
    browser.wait_for(".card .badge", "paused");
    browser.wait_for("#problems", "replication is paused");
    browser.click("button[aria-label='Resync office']");
    browser.wait_for("#dialog", "Resync office?");
    browser.press("kv_memories\u{e007}");
    browser.wait_for("#result", "The resync of office is requested");
    browser.wait_for(".resyncs tbody", "requested by an operator");
    browser.click("#pause");
    browser.wait_for(".card .badge", "streaming");
    browser.wait_until_hidden(".resyncs");
    browser.wait_for("#events", "replication is resumed");

    let secondary = site.database(&server);
    // A row that the secondary rejects becomes a dead letter, and is replayed once
    // the cause is gone.
    const ACCEPTS: &str = "DEFINE FIELD OVERWRITE value ON kv_memories TYPE any";
    run(&secondary, &format!("{ACCEPTS} ASSERT $value != 'poison'"));
    save(&host, POISON, "poison");
    given_up(&host, 1);
    browser.wait_for("#letters-rows", POISON);
    browser.wait_for("#letters-rows .cause", "poison");
    browser.wait_for("#problems", "rejected for good");
    let markup = browser.run("return document.querySelectorAll('main img').length");
    assert_eq!(markup, 0);
    // Focus stays where it is while the page asks again and again.
    browser.run("document.querySelector('#letters-rows input').focus()");
    let polls = || {
        browser
            .run("return Number(document.body.dataset.polls)")
            .as_u64()
    };
    let before = polls();
    wait::until("two more polls", polls, |now| {
        *now >= before.map(|all| all + 2)
    });
    let focused = browser.run("return document.activeElement.closest('#letters-rows') !== null");
    assert_eq!(focused, true);
    // A dead letter is discarded only after a question.
    browser.click("#discard-letters");
    browser.wait_for("#dialog", "Discard 1 dead letter?");
    browser.press("\u{e00c}");
    browser.wait_until_hidden("#dialog");
    run(&secondary, ACCEPTS);
    browser.click("#letters-rows input");
    browser.wait_for("#replay-letters", "Replay 1 selected");
    browser.click("#replay-letters");
    browser.wait_for("#result", "1 dead letter replayed");
    browser.wait_until_hidden("#letters");
    browser.wait_for("#health", "healthy");

    // A row that was changed by hand is found and repaired.
    caught_up(&host);
    run(
        &secondary,
        "UPDATE kv_memories SET value = 'by hand' WHERE key = 'row 7'",
    );
    browser.click("#verify-repair");
    browser.click("#verify-start");
    browser.wait_for("#verify-outcome", "1 row differs, left as they are");
    browser.click("#verify-repair");
    browser.click("#verify-start");
    browser.wait_for("#verify-outcome", "1 row differs, replicated again");
    browser.wait_for("#verify-rows .differs", "kv_memories");
    caught_up(&host);
    site.assert_equal(&host, &server);

    // It fits on a phone.
    browser.resize(390, 844);
    let fits = browser.run("return document.documentElement.scrollWidth <= innerWidth");
    assert_eq!(fits, true);

    // The host goes, and comes back.
    let address = served.address.to_string();
    served.stop(&runtime);
    browser.wait_for("#gone", "The host does not answer");
    browser.wait_for("#health", "host gone");
    let served = Served::start(&runtime, &host, &address);
    browser.wait_for("#health", "healthy");
    browser.wait_until_hidden("#gone");

    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
    drop(browser);
    served.stop(&runtime);
    host.shutdown().unwrap();
}
