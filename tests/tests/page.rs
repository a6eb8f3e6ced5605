//! The status page in a real browser, with a host that serves it through the loaded
//! library and a real secondary server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{admin::AdminClient, host::Host};
use plugin_api::{
    storage::{CallContext, Storage as _},
    value::{Object, Value},
};
use replication_tests::{
    browser::Browser,
    proxy::{Network, Proxy},
    served::Served,
    site::{Access, Site, caught_up, given_up, run},
    wait,
};
use serde_json::json;
use std::path::PathBuf;
use tokio::runtime::Runtime;

/// Its name is markup: nothing that the module shows may become part of the page.
const POISON: &str = "<img src=x onerror=document.title=0>";

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
    browser.wait_for("#verify-outcome", "1 row differs, left as it is");
    browser.wait_for("#verify-example-rows", "\"row 7\"");
    browser.wait_for("#verify-example-rows", "value");
    // Values are shown when they are asked for.
    assert!(!browser.text("#verify").contains("by hand"));
    browser.click("#verify-values");
    browser.wait_for("#verify-example-rows", "by hand");
    browser.click("#verify-repair");
    browser.click("#verify-start");
    browser.wait_for("#verify-outcome", "1 row differs, replicated again");
    browser.wait_for("#verify-rows .differs", "kv_memories");
    caught_up(&host);
    site.assert_equal(&host, &server);

    // It says what it is to a screen reader, and fits on a phone.
    assert_accessible(&browser);
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

/// What a screen reader says, by the browser's accessibility tree.
fn assert_accessible(browser: &Browser) {
    for (selector, role, name) in [
        ("main", "main", ""),
        ("h1", "heading", "Replication"),
        ("#announcer", "status", ""),
        ("#live", "checkbox", "Live"),
        ("#pause", "button", "Pause replication"),
        ("section:has(#problems)", "region", "Problems"),
        ("section:has(#secondaries)", "region", "Secondaries"),
        (".card", "article", "secondary office"),
        (".card header button", "button", "Resync office"),
        ("#verify-secondary", "combobox", "Secondary"),
        ("#verify-tables", "textbox", "Tables"),
        ("#verify-start", "button", "Compare"),
        ("#verify-values", "button", "Show values"),
        ("#events-level", "combobox", "Show"),
    ] {
        let (found_role, found_name) = browser.accessible(selector);
        assert_eq!((&*found_role, &*found_name), (role, name), "{selector}");
    }
    // A picture says its figures.
    let (role, name) = browser.accessible(".chart svg");
    assert!(["img", "image"].contains(&&*role), "{role}");
    assert!(
        name.starts_with("Backlog over the last 15 minutes: now "),
        "{name}"
    );
    // Everything that can be operated has a name.
    let nameless = browser.run(
        "return [...document.querySelectorAll('button, input, select, a, progress, table, [tabindex=\"0\"]')]
            .filter((one) => one.checkVisibility())
            .map((one, index) => { one.dataset.operable = index; return index; }).length",
    );
    for index in 0..nameless.as_u64().unwrap() {
        let selector = format!("[data-operable='{index}']");
        let (role, name) = browser.accessible(&selector);
        let markup = || {
            browser.run(&format!(
                "return document.querySelector({selector:?}).outerHTML"
            ))
        };
        assert!(!role.is_empty() && role != "none", "{}", markup());
        assert!(!name.is_empty() || role == "table", "{role}: {}", markup());
    }
}

/// Everything is reached and operated with the keyboard alone.
#[test]
fn the_page_is_operated_with_the_keyboard() {
    const TAB: &str = "\u{e004}";
    const ENTER: &str = "\u{e007}";
    const ESCAPE: &str = "\u{e00c}";
    let Some(browser) = Browser::start() else {
        return;
    };
    let site = Site::new();
    let server = site.server("office");
    let host = site.host(&[("office", &server)], &[]);
    let runtime = Runtime::new().unwrap();
    let served = Served::start(&runtime, &host, "127.0.0.1:0");
    save(&host, "row", "as it was");
    caught_up(&host);
    browser.open(&format!(
        "http://{}/api/db-sync/?interval=0.2",
        served.address
    ));
    browser.wait_for("#health", "healthy");

    let focused = || {
        let script = "const one = document.activeElement;
            return one.id || one.getAttribute('aria-label') || one.textContent.trim()";
        browser.run(script).as_str().unwrap().to_owned()
    };
    let tab_to = |wanted: &str| {
        let mut passed = Vec::new();
        for _ in 0..40 {
            browser.press(TAB);
            let now = focused();
            if now == wanted {
                // Where the focus is has to be seen.
                let outline =
                    browser.run("return getComputedStyle(document.activeElement).outlineStyle");
                assert_ne!(outline, "none", "{wanted}");
                return;
            }
            passed.push(now);
        }
        panic!("{wanted} is not reached: {passed:?}");
    };
    browser.press(TAB);
    assert_eq!(focused(), "Skip to the content");
    tab_to("pause");
    browser.press(ENTER);
    browser.wait_for(".card .badge", "paused");
    // The focus stays, and the button now does the opposite.
    assert_eq!(focused(), "pause");
    browser.press(ENTER);
    browser.wait_for(".card .badge", "streaming");
    tab_to("Resync office");
    browser.press(ENTER);
    browser.wait_for("#dialog", "Resync office?");
    assert_eq!(focused(), "dialog-input");
    browser.press(ESCAPE);
    browser.wait_until_hidden("#dialog");
    assert_eq!(focused(), "Resync office", "the focus returns");
    tab_to("verify-start");
    browser.press(ENTER);
    browser.wait_for("#verify-outcome", "Equal");

    let complaints = browser.complaints();
    assert!(complaints.is_empty(), "{complaints:#?}");
    drop(browser);
    served.stop(&runtime);
    host.shutdown().unwrap();
}

/// Pictures of the page to look at, where `PAGE_SCREENSHOTS` names a directory for
/// them: each state at two widths, light and dark.
#[test]
fn pictures_of_every_state_are_made_on_request() {
    let Some(directory) = std::env::var_os("PAGE_SCREENSHOTS").map(PathBuf::from) else {
        return;
    };
    std::fs::create_dir_all(&directory).unwrap();
    let browser = Browser::start().expect("a browser");
    let site = Site::new();
    let [mut office, attic] = ["office", "attic"].map(|name| site.server(name));
    let line = Proxy::start(office.address());
    let access = [
        Access::new("office", line.url()),
        Access::new("attic", attic.url()),
    ];
    let settings = ["sync_max_retries: 1", "connect_timeout: 3s"];
    let host = site.host_with(&site.yaml_for(&access, &settings));
    let runtime = Runtime::new().unwrap();
    let served = Served::start(&runtime, &host, "127.0.0.1:0");
    let write = |count: usize| {
        for number in 0..count {
            save(&host, &format!("note {number}"), "as it was");
        }
    };
    write(200);
    caught_up(&host);
    browser.open(&format!(
        "http://{}/api/db-sync/?interval=0.5",
        served.address
    ));
    browser.wait_for("#health", "healthy");
    let picture = |state: &str| {
        for width in [1280, 390] {
            for scheme in ["light", "dark"] {
                browser.resize(width, 800);
                browser.prefer(scheme);
                let fits = browser.run("return document.documentElement.scrollWidth <= innerWidth");
                assert_eq!(fits, true, "{state} at {width}");
                browser.screenshot(&directory.join(format!("{state}-{width}-{scheme}.png")));
            }
        }
        browser.resize(1280, 800);
    };
    let drawn = "return document.querySelectorAll('svg .line[d*=L]').length >= 4";
    wait::until("charts", || browser.run(drawn), |drawn| *drawn == true);
    picture("healthy");

    office.kill();
    browser.wait_for(".card .badge", "unreachable");
    write(60);
    browser.wait_for("#health", "degraded");
    picture("degraded");
    office.restart().unwrap();
    caught_up(&host);

    // Two tables are resynced over a slow line.
    run_on(
        &host,
        "FOR $n IN 0..6000 { CREATE kv_memories SET user_id = 'many', key = <string> $n, \
                   value = 'some words to copy', created_at = time::now(), updated_at = time::now() }",
    );
    let admin = AdminClient::local(&host).unwrap();
    line.set(Network::Throttled(150_000));
    let tables = json!({"secondary": "office", "tables": ["kv_memories", "events"]});
    admin.post("resync", &tables).unwrap();
    browser.wait_for(".resyncs", "about ");
    picture("resyncing");
    line.set(Network::Healthy);
    caught_up(&host);

    let secondary = site.database(&office);
    let field = "DEFINE FIELD OVERWRITE value ON kv_memories TYPE any";
    run(&secondary, &format!("{field} ASSERT $value != 'rejected'"));
    for name in [
        "budget",
        "a key that is rather long, as keys of agents are: project/planning/2026/notes",
    ] {
        save(&host, name, "rejected");
    }
    given_up(&host, 2);
    browser.wait_for("#letters-rows", "budget");
    run(
        &secondary,
        "UPDATE kv_memories SET value = 'by hand' WHERE key IN ['note 7', 'note 8'];
         DELETE kv_memories WHERE key = 'note 9';
         DEFINE TABLE mine SCHEMALESS",
    );
    run_on(&host, "CREATE host_settings SET theme = 'dark'");
    browser.click("#verify-repair");
    browser.click("#verify-start");
    browser.wait_for("#verify-outcome", "rows differ");
    browser.click("#verify-values");
    browser.wait_for("#verify-example-rows", "by hand");
    browser.wait_for("#not-replicated", "host_settings");
    picture("dead-letters");

    drop(browser);
    served.stop(&runtime);
    host.shutdown().unwrap();
}

/// Runs SurrealQL on the primary, beside the module.
fn run_on(host: &Host, sql: &str) {
    host.primary()
        .query(&CallContext::new(), sql, &Object::new())
        .unwrap();
}
