//! An operator's story with real servers, through the status page and the commands;
//! and that nothing that anybody gets to see has a password.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{
    artifacts,
    config::HostConfig,
    host::Host,
    http::{Access as HttpAccess, Token},
};
use plugin_api::{
    storage::{CallContext, Storage as _},
    value::Value,
};
use replication_tests::{
    browser::Browser,
    served::Served,
    site::{Access, Site, caught_up, given_up, run, secondaries},
    wait,
};
use serde_json::{Value as Json, json};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex},
};
use tokio::runtime::Runtime;
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

const PASSWORD: &str = "Pw-of-the-keeper-7d1f";
const WRONG_PASSWORD: &str = "Pw-that-is-wrong-2c9b";
const PASSWORD_IN_URL: &str = "Pw-in-an-address-51ea";
const TOKEN: &str = "Token-of-the-host-90ad5c";
const SECRETS: [&str; 4] = [PASSWORD, WRONG_PASSWORD, PASSWORD_IN_URL, TOKEN];

/// Everything that host and module log, down to the finest level that is compiled in.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn collect() -> Self {
        let lines = Self::default();
        tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("off,module=debug,host_harness=debug"))
            .with_writer(lines.clone())
            .with_ansi(false)
            .init();
        lines
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What was shown to somebody.
#[derive(Default)]
struct Seen(RefCell<Vec<(String, String)>>);

impl Seen {
    fn note(&self, where_: &str, text: &str) {
        self.0
            .borrow_mut()
            .push((where_.to_owned(), text.to_owned()));
    }

    fn has_no_secret(&self) {
        for (shown, text) in &*self.0.borrow() {
            for secret in SECRETS {
                assert!(!text.contains(secret), "{shown} has {secret}:\n{text}");
            }
        }
    }
}

/// The commands, on a running host.
struct Commands<'a> {
    program: PathBuf,
    url: String,
    token_file: PathBuf,
    seen: &'a Seen,
}

impl Commands<'_> {
    /// The exit code and the answer.
    fn run(&self, arguments: &[&str]) -> (i32, Json) {
        let output = Command::new(&self.program)
            .args(arguments)
            .args(["--json", "--url", &self.url, "--token-file"])
            .arg(&self.token_file)
            .env_remove("HOST_CONFIG")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        let what = arguments.join(" ");
        self.seen.note(&what, &answer);
        self.seen.note(&what, &said);
        let code = output.status.code().unwrap();
        (code, serde_json::from_str(&answer).unwrap_or(json!(said)))
    }

    /// The answer of a command that succeeds.
    fn ask(&self, arguments: &[&str]) -> Json {
        let (code, answer) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {answer}");
        answer
    }

    fn is_healthy(&self) -> bool {
        self.run(&["status", "--check"]).0 == 0
    }
}

/// The status page; none where there is no browser.
struct Page<'a> {
    browser: Option<Browser>,
    seen: &'a Seen,
}

impl Page<'_> {
    fn shows(&self, selector: &str, text: &str) {
        if let Some(browser) = &self.browser {
            browser.wait_for(selector, text);
            let markup = browser.run("return document.documentElement.outerHTML");
            self.seen.note("the page", markup.as_str().unwrap());
        }
    }

    fn click(&self, selector: &str) {
        if let Some(browser) = &self.browser {
            browser.click(selector);
        }
    }
}

fn save(host: &Host, key: &str, value: &str) {
    let context = CallContext {
        request_id: format!("request of {key}").into(),
        ..CallContext::new()
    };
    let value = Value::from(value);
    host.storage()
        .save_fact(&context, "operator", key, &value)
        .unwrap();
}

fn backlog(host: &Host) -> u64 {
    let operations = &secondaries(host)[0]["backlog"]["operations"];
    operations.as_u64().unwrap()
}

#[test]
fn an_operator_sees_mends_and_trusts_and_nobody_sees_a_password() {
    let lines = Lines::collect();
    let seen = Seen::default();
    let site = Site::new();
    let built = artifacts::build_for_tests().unwrap();
    let mut server = site.server("office");
    let secondary = site.database(&server);
    run(
        &secondary,
        &format!("DEFINE USER keeper ON ROOT PASSWORD '{PASSWORD}' ROLES OWNER"),
    );
    let access = Access {
        username: "keeper".to_owned(),
        password: PASSWORD.to_owned(),
        ..Access::new("office", server.url())
    };
    let settings = [
        "sync_max_retries: 1",
        "connect_timeout: 3s",
        "operation_timeout: 3s",
    ];
    let yaml = site.yaml_for(std::slice::from_ref(&access), &settings);
    let config = HostConfig::parse(&yaml, site.path()).unwrap();
    seen.note("a configuration", &format!("{config:?}"));
    let host = site.host_with(&yaml);
    let runtime = Runtime::new().unwrap();
    let bind = "127.0.0.1:0";
    let token = Token::new(TOKEN).unwrap();
    seen.note("a token", &format!("{token:?}"));
    let http = HttpAccess::new(bind.parse().unwrap(), Some(token), Vec::new()).unwrap();
    seen.note("access", &format!("{http:?}"));
    let served = Served::start_for(&runtime, &host, bind, http);
    let token_file = site.path().join("token");
    fs::write(&token_file, TOKEN).unwrap();
    let commands = Commands {
        program: built.join("host-harness"),
        url: format!("http://{}", served.address),
        token_file,
        seen: &seen,
    };
    let page = Page {
        browser: Browser::start(),
        seen: &seen,
    };

    // Healthy.
    for number in 0..200 {
        save(&host, &format!("row {number}"), "as it was");
    }
    caught_up(&host);
    if let Some(browser) = &page.browser {
        browser.open(&format!("{}/api/db-sync/?interval=0.2", commands.url));
    }
    page.shows("#health", "healthy");
    page.shows(".card .badge", "streaming");
    assert!(commands.is_healthy());

    // The secondary is killed: degraded, with the cause and a growing backlog.
    server.kill();
    page.shows("#health", "degraded");
    page.shows("#problems", "cannot be reached");
    wait::until("degraded", || commands.is_healthy(), |healthy| !healthy);
    let reason = &commands.ask(&["status"])["reasons"][0];
    assert_eq!(reason["secondary"], "office", "{reason}");
    let remedy = reason["remedy"].as_str().unwrap();
    assert!(remedy.starts_with("no action needed"), "{reason}");
    for count in [10, 20] {
        for number in count - 10..count {
            save(&host, &format!("during the outage {number}"), "kept");
        }
        assert_eq!(backlog(&host), count);
        page.shows(".card figure", &format!("{count} ops"));
    }

    // It comes back, and the backlog drains.
    server.restart().unwrap();
    page.shows("#health", "healthy");
    page.shows(".card figure", "0 ops");
    caught_up(&host);
    assert_eq!(backlog(&host), 0);
    assert!(commands.is_healthy());
    site.assert_equal(&host, &server);

    // Ten rows are damaged by hand: exactly those are found, and repaired.
    let damaged: BTreeSet<String> = (20..30).map(|number| format!("row {number}")).collect();
    let (changed, gone): (Vec<_>, Vec<_>) =
        damaged.iter().partition(|key| *key < &"row 26".to_owned());
    for (keys, damage) in [
        (&changed, "UPDATE kv_memories SET value = 'by hand'"),
        (&gone, "DELETE kv_memories"),
    ] {
        run(
            &secondary,
            &format!("{damage} WHERE key IN {}", json!(keys)),
        );
    }
    let (code, report) = commands.run(&["verify", "--no-repair", "--examples", "100"]);
    assert_eq!(code, 1, "{report}");
    let tables = report["tables"].as_array().unwrap().iter();
    let examples = tables.flat_map(|table| table["examples"].as_array().unwrap());
    let found: BTreeSet<String> = examples
        .map(|row| {
            let key = row["key"].as_str().unwrap();
            let (_, key) = key.split_once("(\"operator\", \"").expect(key);
            key.trim_end_matches("\")").to_owned()
        })
        .collect();
    assert_eq!(found, damaged, "{report}");
    if let Some(browser) = &page.browser {
        // While it shows a comparison that runs, it starts no other. It asks for the
        // token once.
        page.shows("#verify-outcome", "10 rows differ");
        page.click("#verify-start");
        browser.wait_for("#dialog", "Token");
        browser.press(&format!("{TOKEN}\u{e007}"));
        browser.wait_until_hidden("#dialog");
    } else {
        commands.run(&["verify"]);
    }
    page.shows("#verify-outcome", "10 rows differ, replicated again");
    caught_up(&host);
    let report = commands.ask(&["verify"]);
    assert_eq!(report["equal"], true, "{report}");
    site.assert_equal(&host, &server);

    // A row that the secondary rejects is a dead letter; it is mended and replayed.
    const ACCEPTS: &str = "DEFINE FIELD OVERWRITE value ON kv_memories TYPE any";
    run(&secondary, &format!("{ACCEPTS} ASSERT $value != 'poison'"));
    save(&host, "poisonous", "poison");
    save(&host, "after it", "goes on");
    given_up(&host, 1);
    page.shows("#letters-rows", "poisonous");
    page.shows("#problems", "rejected for good");
    assert!(!commands.is_healthy());
    let letters = commands.ask(&["dead-letters", "list"]);
    let id = letters["dead_letters"][0]["id"].as_str().unwrap();
    run(&secondary, ACCEPTS);
    match &page.browser {
        Some(_) => page.click("#replay-letters"),
        None => drop(commands.ask(&["dead-letters", "replay", id])),
    }
    page.shows("#health", "healthy");
    caught_up(&host);
    assert_eq!(
        commands.ask(&["dead-letters", "list"])["dead_letters"],
        json!([])
    );

    // All healthy and equal.
    assert!(commands.is_healthy());
    assert_eq!(commands.ask(&["verify"])["equal"], true);
    site.assert_equal(&host, &server);
    if let Some(browser) = &page.browser {
        let complaints = browser.complaints();
        let (asked, others): (Vec<_>, Vec<_>) =
            complaints.iter().partition(|line| line.contains("401"));
        assert!(others.is_empty() && asked.len() == 1, "{complaints:#?}");
    }
    for route in [
        "status",
        "health",
        "metrics",
        "events",
        "history",
        "verify",
        "dead-letters",
    ] {
        let url = format!("{}/api/db-sync/{route}", commands.url);
        let mut answer = ureq::get(&url).call().unwrap();
        seen.note(route, &answer.body_mut().read_to_string().unwrap());
    }
    drop(page);
    served.stop(&runtime);
    host.shutdown().unwrap();

    // What is said of passwords that are wrong, or in a wrong place.
    let wrong = Access {
        password: WRONG_PASSWORD.to_owned(),
        ..access.clone()
    };
    let host = site.host_with(&site.yaml_for(&[wrong], &settings));
    let state = || secondaries(&host)[0].clone();
    let rejected = wait::until("the rejection", state, |one| one["state"] == "rejected");
    seen.note("a rejected secondary", &rejected.to_string());
    host.shutdown().unwrap();
    let in_url = Access {
        url: server
            .url()
            .replace("ws://", &format!("ws://keeper:{PASSWORD_IN_URL}@")),
        ..access
    };
    let config = HostConfig::parse(&site.yaml_for(&[in_url], &settings), site.path()).unwrap();
    seen.note("a configuration", &format!("{config:?}"));
    let host = Host::start(&config).unwrap();
    for failure in host.failures() {
        seen.note("a failure", &format!("{failure} {failure:?}"));
    }
    host.shutdown().unwrap();

    let log = lines.text();
    seen.note("the log", &log);
    seen.has_no_secret();
    // The log has the story, once.
    for (parts, times) in [
        (&["from=\"streaming\"", "to=\"unreachable\""][..], 1),
        (&["it is a dead letter"], 1),
        (&["rows of the secondaries differ"], 2),
        (
            &[
                "a write is stored",
                "request_id=\"request of row 7\"",
                "method=\"save_fact\"",
            ],
            1,
        ),
    ] {
        let is_it = |line: &&str| parts.iter().all(|part| line.contains(part));
        let found = log.lines().filter(is_it).count();
        let like: Vec<&str> = log.lines().filter(|line| line.contains(parts[0])).collect();
        assert_eq!(found, times, "{parts:?}: {like:#?}");
    }
    let told = log
        .lines()
        .filter(|line| !line.contains(" DEBUG ") && !line.contains(" TRACE "));
    let told: Vec<&str> = told.collect();
    assert!(told.len() < 80, "{told:#?}");
}
