//! Servers that allow less than usual.

use super::{error, reaches};
use host_harness::{
    admin::AdminClient,
    server::{SecondaryServer, ServerStorage},
};
use plugin_api::{
    records::EventSearch,
    storage::{CallContext, CodeStorage as _, FullStorage, StatsProvider as _, Storage as _},
    value::Value,
};
use replication_tests::{
    site::{Access, Site, caught_up, run},
    writes::{embedding, one_of_each},
};
use serde_json::json;
use std::{
    fs,
    time::{Duration, Instant},
};

/// The arguments that docs/operations.md gives for a server that denies the rest.
fn documented_arguments() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    let text = fs::read_to_string(path).unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("surreal start --deny-all"))
        .expect("docs/operations.md shows how to start a hardened server");
    let words = line.split_whitespace().skip(2);
    words
        .filter(|word| *word != "…")
        .map(str::to_owned)
        .collect()
}

fn reasons(host: &host_harness::host::Host) -> String {
    let admin = AdminClient::local(host).unwrap();
    admin.get("health", &[]).unwrap()["reasons"].to_string()
}

#[test]
fn what_a_server_denies_is_a_reason_in_status_and_writes_are_replicated() {
    let site = Site::new();
    let arguments = ["--deny-funcs", "crypto,vector"];
    let server = SecondaryServer::start_with(ServerStorage::Memory, &arguments).unwrap();
    let host = site.host(&[("a", &server)], &[]);
    let context = CallContext::new();
    let one = Value::from(1_i64);
    host.storage()
        .save_fact(&context, "ada", "k", &one)
        .unwrap();
    caught_up(&host);
    site.assert_equal(&host, &server);
    let reasons = reasons(&host);
    assert!(
        reasons.contains("crypto::blake3, vector::similarity::cosine"),
        "{reasons}"
    );
    host.shutdown().unwrap();
}

#[test]
fn a_server_that_denies_queries_is_rejected_with_its_answer() {
    let site = Site::new();
    let arguments = ["--deny-arbitrary-query=system"];
    let server = SecondaryServer::start_with(ServerStorage::Memory, &arguments).unwrap();
    let host = site.host(&[("a", &server)], &[]);
    let status = reaches(&host, "rejected");
    assert!(
        error(&status).to_lowercase().contains("allowed"),
        "{status}"
    );
    host.shutdown().unwrap();
}

#[test]
fn the_documented_allow_list_is_enough() {
    let site = Site::new();
    let arguments = documented_arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let server = SecondaryServer::start_with(ServerStorage::Memory, &arguments).unwrap();
    let host = site.host(&[("a", &server)], &[]);
    reaches(&host, "streaming");
    one_of_each(host.storage(), "here");
    caught_up(&host);
    let admin = AdminClient::local(&host).unwrap();
    let report = admin.post("verify", &serde_json::json!({})).unwrap();
    assert_eq!(report["equal"], true, "{report}");
    assert_eq!(reasons(&host), "[]");

    // Each merged read asks the server, and so calls what it calls there.
    let archive = FullStorage::new(site.database(&server));
    one_of_each(&archive, "there");
    let [read, expected] = [host.storage(), &archive].map(|storage| {
        let context = CallContext::new();
        let user = "there-user";
        let query = embedding("there");
        let words = EventSearch {
            user_id: user.into(),
            query: "there".into(),
            ..EventSearch::default()
        };
        [
            json!(storage.list_facts(&context, user).unwrap()),
            json!(storage.search_similar(&context, user, &query, 9).unwrap()),
            json!(storage.search_documents(&context, &query, 99).unwrap()),
            json!(
                storage
                    .traverse_graph(&context, "there-here", "", 2)
                    .unwrap()
            ),
            json!(storage.search_events(&context, &words).unwrap().len()),
            json!(storage.get_stats(&context, user).unwrap()),
            json!(storage.count_by_user_id(&context, "kv_memories").unwrap()),
            json!(storage.list_user_ids(&context, "events").unwrap()),
            json!(storage.list_code_projects(&context).unwrap()),
        ]
    });
    for (read, expected) in read.iter().zip(&expected) {
        assert_ne!(*expected, json!([]), "the archive has rows of each kind");
        assert_eq!(read, expected);
    }
    drop(admin);
    host.shutdown().unwrap();
}

#[test]
fn a_session_that_expires_costs_no_answer() {
    let site = Site::new();
    let server = site.server("a");
    let owner = site.database(&server);
    run(
        &owner,
        "DEFINE USER short ON ROOT PASSWORD 'short' ROLES OWNER DURATION FOR SESSION 1s",
    );
    let access = Access {
        username: "short".to_owned(),
        password: "short".to_owned(),
        ..Access::new("a", server.url())
    };
    let more = ["health_check_interval: 1h", "reconnect_backoff: 1h"];
    let host = site.host_with(&site.yaml_for(&[access], &more));
    reaches(&host, "streaming");
    let context = CallContext::new();
    owner
        .save_fact(&context, "ada", "there", &Value::from(1_i64))
        .unwrap();
    let began = Instant::now();
    let mut reads = 0;
    // Three sessions long.
    while began.elapsed() < Duration::from_secs(3) {
        let key = format!("k{reads}");
        host.storage()
            .save_fact(&context, "ada", &key, &Value::from(1_i64))
            .unwrap();
        let found = host.storage().get_fact(&context, "ada", "there").unwrap();
        assert_eq!(
            found.into_option(),
            Some(Value::from(1_i64)),
            "read {reads}"
        );
        reads += 1;
    }
    let status = reaches(&host, "streaming");
    assert_eq!(status["connects"], 1, "{status}");
    caught_up(&host);
    host.shutdown().unwrap();
}
