//! Writes through the loaded library are replicated to the secondary, row by row.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{
    admin::AdminClient,
    compare::{Comparison, compare},
    config::HostConfig,
    host::Host,
};
use plugin_api::{
    error::ErrorKind,
    storage::{CallContext, CodeStorage as _, METHODS, MethodKind, Storage as _},
    value::Object,
};
use replication_tests::{
    proxy::{Network, Proxy},
    site::{Access, Site, caught_up, connected, replication, rows, run},
    wait, writes,
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

#[test]
fn every_write_of_the_contract_reaches_the_secondary() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    writes::one_of_each(host.storage(), "x");
    caught_up(&host);
    let comparison = site.assert_equal(&host, &server);
    let written: BTreeSet<&str> = METHODS
        .iter()
        .filter(|method| method.kind == MethodKind::Write && method.table != "*")
        .map(|method| method.table)
        .chain(["leads_to"])
        .collect();
    let compared: BTreeSet<&str> = comparison
        .tables
        .iter()
        .map(|table| table.table.as_str())
        .collect();
    assert_eq!(compared, written);
    assert_eq!(replication(&host).dead_letters, 0);

    // The table of a relationship type is created on first use, with its indexes.
    let sql = "INFO FOR TABLE leads_to";
    let answer = site
        .database(&server)
        .query(&CallContext::new(), sql, &Object::new())
        .unwrap();
    let info = answer.as_array().unwrap()[0].as_object().unwrap();
    let indexes = info.get("indexes").unwrap().as_object().unwrap();
    let indexes: Vec<&str> = indexes.keys().collect();
    assert_eq!(indexes, ["leads_to_from", "leads_to_to"]);
}

#[test]
fn relationships_cannot_use_the_modules_own_tables_and_those_are_not_replicated() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    let (storage, context) = (host.storage(), CallContext::new());
    for name in ["x", "y"] {
        let none = Object::new();
        storage.create_entity(&context, "e", name, &none).unwrap();
    }
    for table in ["db_sync_position", "db_sync_log"] {
        let rejected = storage.create_relationship(&context, "x", "y", table, &Object::new());
        assert_eq!(rejected.unwrap_err().kind, ErrorKind::INVALID_INPUT);
        let sql =
            format!("CREATE {table} SET from_entity = 'entities:x', to_entity = 'entities:y'");
        storage.query(&context, &sql, &Object::new()).unwrap();
    }
    caught_up(&host);
    let secondary = site.database(&server);
    let edges = "SELECT * FROM db_sync_position WHERE from_entity != NONE";
    assert_eq!(rows(&secondary, edges), []);
    let tables = rows(&secondary, "RETURN (INFO FOR DB).tables.keys()");
    assert!(!tables.contains(&"db_sync_log".into()), "{tables:?}");
}

#[test]
fn writes_continue_while_the_secondary_is_down_and_reach_it_later() {
    let site = Site::new();
    let mut server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    writes::one_of_each(host.storage(), "before");
    caught_up(&host);
    server.kill();
    writes::one_of_each(host.storage(), "during");
    assert!(replication(&host).backlog > 0);
    server.restart().unwrap();
    writes::one_of_each(host.storage(), "after");
    caught_up(&host);
    site.assert_equal(&host, &server);
}

#[test]
fn a_backlog_is_replicated_after_the_host_restarts() {
    let site = Site::new();
    let mut server = site.server("a");
    server.kill();
    {
        let host = site.host(&[("a", &server)], &["shutdown_drain_timeout: 100ms"]);
        writes::one_of_each(host.storage(), "left");
        host.shutdown().unwrap();
    }
    server.restart().unwrap();
    let host = site.host(&[("a", &server)], &[]);
    caught_up(&host);
    assert!(site.assert_equal(&host, &server).rows() > 0);
}

#[test]
fn a_host_starts_without_delay_while_its_secondary_is_down() {
    let site = Site::new();
    let mut server = site.server("a");
    site.host(&[("a", &server)], &[]).shutdown().unwrap();
    server.kill();
    // Only the module's share of the start counts. The shortest of several starts
    // is the one that other tests disturbed least.
    let shortest = |enabled: bool| {
        let yaml = site
            .yaml(&[("a", &server)], &[])
            .replace("enabled: true", &format!("enabled: {enabled}"));
        let config = HostConfig::parse(&yaml, site.path()).unwrap();
        let start = || {
            let started = Instant::now();
            let host = Host::start(&config).unwrap();
            let took = started.elapsed();
            assert!(host.failures().is_empty(), "{:?}", host.failures());
            host.storage()
                .save_fact(&CallContext::new(), "u", "k", &"v".into())
                .unwrap();
            host.shutdown().unwrap();
            took
        };
        (0..3).map(|_| start()).min().unwrap()
    };
    let (without, with) = (shortest(false), shortest(true));
    assert!(
        with < without + Duration::from_secs(1),
        "{with:?}, without the module {without:?}"
    );
}

#[test]
fn a_new_secondary_is_backfilled() {
    let site = Site::new();
    let server = site.server("a");
    {
        let host = site.host(&[("a", &server)], &["sync_enabled: false"]);
        for prefix in ["p", "q", "r"] {
            writes::one_of_each(host.storage(), prefix);
        }
        assert!(rows(&site.database(&server), "SELECT * FROM kv_memories").is_empty());
        host.shutdown().unwrap();
    }
    let host = site.host(&[("a", &server)], &[]);
    writes::one_of_each(host.storage(), "live");
    caught_up(&host);
    site.assert_equal(&host, &server);
}

#[test]
fn a_secondary_that_was_emptied_is_backfilled_again() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    writes::one_of_each(host.storage(), "x");
    caught_up(&host);
    let secondary = site.database(&server);
    for table in rows(&secondary, "RETURN object::keys((INFO FOR DB).tables)") {
        let table = table.as_str().unwrap().to_owned();
        run(&secondary, &format!("DELETE {table}"));
    }
    // The next write notices what is missing, even in the same session.
    writes::one_of_each(host.storage(), "y");
    wait::until(
        "the resync",
        || compare(host.primary(), &secondary).unwrap(),
        Comparison::is_equal,
    );
}

/// The progress of the only resync in the status, if there is one: rows scanned,
/// rows in total, when it began.
fn resync_progress(host: &Host) -> Option<(u64, Option<u64>, Option<String>)> {
    let status = AdminClient::local(host)
        .unwrap()
        .get("status", &[])
        .unwrap();
    let scans = status["secondaries"][0]["resync"].as_array().unwrap();
    assert!(scans.len() <= 1, "{scans:?}");
    let scan = scans.first()?;
    assert_eq!(scan["table"], "kv_memories");
    let started = scan["started"].as_str().map(str::to_owned);
    Some((
        scan["scanned"].as_u64().unwrap(),
        scan["total"].as_u64(),
        started,
    ))
}

#[test]
fn the_status_shows_the_progress_of_a_resync() {
    // More rows than two pages have.
    const ROWS: u64 = 9_000;
    let site = Site::new();
    let server = site.server("a");
    let proxy = Proxy::start(server.address());
    let settings = ["operation_timeout: 60s", "health_check_interval: 60s"];
    let host = site.host_with(&site.yaml_for(&[Access::new("a", proxy.url())], &settings));
    connected(&host);
    caught_up(&host);
    run(
        host.primary(),
        &format!(
            "FOR $n IN 1..{ROWS} {{ CREATE kv_memories SET user_id = 'u', key = <string>$n, value = $n }}"
        ),
    );

    // It begins, and waits for what was written before it.
    proxy.set(Network::RequestsHeld);
    host.storage()
        .save_fact(&CallContext::new(), "u", "before", &"v".into())
        .unwrap();
    let resync = json!({"tables": ["kv_memories"]});
    let admin = AdminClient::local(&host).unwrap();
    admin.post("resync", &resync).unwrap();
    let begun = wait::until(
        "the scan to begin",
        || resync_progress(&host).unwrap(),
        |(_, total, _)| total.is_some(),
    );
    let (scanned, total, started) = begun;
    assert_eq!((scanned, total), (0, Some(ROWS)));
    assert!(started.is_some());

    // It continues, but not far ahead of the secondary.
    proxy.set(Network::Throttled(100_000));
    let mut furthest = 0;
    let mut progress = || {
        let (scanned, total, since) = resync_progress(&host)?;
        assert_eq!((total, &since), (Some(ROWS), &started));
        assert!(
            furthest <= scanned && scanned <= ROWS,
            "{furthest}, {scanned}"
        );
        furthest = scanned;
        Some(scanned)
    };
    let halfway = wait::until("scanned rows", &mut progress, |scanned| *scanned != Some(0));
    assert!(halfway.unwrap() < ROWS, "{halfway:?}");

    // The status no longer shows it when it has ended.
    proxy.set(Network::Healthy);
    wait::until("the scan to end", &mut progress, Option::is_none);
    caught_up(&host);
    assert_eq!(site.assert_equal(&host, &server).rows(), ROWS);
}

#[test]
fn a_secondary_that_is_down_does_not_delay_another() {
    let site = Site::new();
    let (near, mut far) = (site.server("near"), site.server("far"));
    far.kill();
    let host = site.host(&[("near", &near), ("far", &far)], &[]);
    writes::one_of_each(host.storage(), "x");
    wait::until(
        "the other secondary",
        || compare(host.primary(), &site.database(&near)).unwrap(),
        Comparison::is_equal,
    );
    assert!(replication(&host).backlog > 0);
    far.restart().unwrap();
    caught_up(&host);
    site.assert_equal(&host, &far);
}

#[test]
fn a_secondarys_row_with_the_same_key_and_another_id_is_replaced() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    connected(&host);
    caught_up(&host);
    let other = site.database(&server);
    other
        .save_fact(&CallContext::new(), "u", "k", &"of the secondary".into())
        .unwrap();
    other
        .save_document(
            &CallContext::new(),
            "d.md",
            "of the secondary",
            &[],
            &Default::default(),
        )
        .unwrap();
    let storage = host.storage();
    storage
        .save_fact(&CallContext::new(), "u", "k", &"of the primary".into())
        .unwrap();
    storage
        .save_document(
            &CallContext::new(),
            "d.md",
            "of the primary",
            &[],
            &Default::default(),
        )
        .unwrap();
    caught_up(&host);
    site.assert_equal(&host, &server);
}

#[test]
fn concurrent_writes_of_the_same_keys_converge() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &["sync_batch_size: 7"]);
    std::thread::scope(|scope| {
        for thread in 0..8i64 {
            let storage = host.storage().clone();
            scope.spawn(move || {
                let context = CallContext::new();
                for round in 0..40i64 {
                    let key = format!("k{}", round % 5);
                    storage
                        .save_fact(&context, "u", &key, &(thread * 1000 + round).into())
                        .unwrap();
                }
            });
        }
    });
    caught_up(&host);
    site.assert_equal(&host, &server);
}

#[test]
fn a_failed_write_adds_nothing_to_the_log() {
    let site = Site::new();
    let mut server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    caught_up(&host);
    server.kill();
    let context = CallContext::new();
    let storage = host.storage();
    let absent = storage
        .update_fact(&context, "nobody", "k", &1i64.into())
        .unwrap_err();
    assert_eq!(absent.kind, ErrorKind::NOT_FOUND);
    let wrong = storage
        .create_relationship(&context, "a", "b", "no; identifier", &Default::default())
        .unwrap_err();
    assert_eq!(wrong.kind, ErrorKind::INVALID_INPUT);
    let unknown = storage
        .update_project_status(&context, "none", "completed")
        .unwrap_err();
    assert_eq!(unknown.kind, ErrorKind::NOT_FOUND);
    assert_eq!(replication(&host).backlog, 0);
}

#[test]
fn after_cleanup_writes_are_rejected_and_reads_still_work() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    let context = CallContext::new();
    let storage = host.storage().clone();
    storage.save_fact(&context, "u", "k", &"v".into()).unwrap();
    for module in host.modules().modules() {
        plugin_api::module::Module::cleanup(module.handle()).unwrap();
        plugin_api::module::Module::cleanup(module.handle()).unwrap();
    }
    let rejected = storage
        .save_fact(&context, "u", "k", &"w".into())
        .unwrap_err();
    assert_eq!(rejected.kind, ErrorKind::CLOSED);
    let value = storage.get_fact(&context, "u", "k").unwrap();
    assert_eq!(value.into_option(), Some("v".into()));
    drop(host);
}
