//! The admin client, on the real module with a real server: in this process and over
//! HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{accept, database, home, keys, run, until, yaml};
use host_harness::{
    admin::{AdminClient, AdminError, ReplicationStatus},
    config::HostConfig,
    host::{Host, database_runtime},
    http,
    server::{SecondaryServer, ServerStorage},
};
use plugin_api::{
    storage::{CallContext, Storage},
    value::Value,
};
use serde_json::{Value as Json, json};
use std::{path::Path, sync::mpsc};

fn wait(admin: &AdminClient, what: &str, done: impl Fn(&ReplicationStatus) -> bool) {
    until(what, || admin.replication().unwrap(), done);
}

/// A host with a primary in memory and these secondaries.
fn start(home: &Path, secondaries: &[(&str, &SecondaryServer)]) -> Host {
    let yaml = yaml("url: 'mem://'", secondaries);
    let host = Host::start(&HostConfig::parse(&yaml, home).unwrap()).unwrap();
    assert!(host.failures().is_empty(), "{:?}", host.failures());
    host
}

fn save(host: &Host, count: i64) {
    for number in 0..count {
        let key = format!("k{number}");
        host.storage()
            .save_fact(&CallContext::new(), "ada", &key, &Value::from(number))
            .unwrap();
    }
}

#[test]
fn replication_is_paused_and_resumed_in_process_and_over_http() {
    let home = home();
    let server = SecondaryServer::start(ServerStorage::Memory).unwrap();
    let host = start(home.path(), &[("a", &server)]);

    let router = http::router(&host, http::Access::on_loopback());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (sender, bound) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = runtime.spawn(http::serve(
        router,
        "127.0.0.1:0".parse().unwrap(),
        move |at| sender.send(at).unwrap(),
        async { stopped.await.unwrap_or_default() },
    ));
    let over_http = AdminClient::remote(&format!("http://{}", bound.recv().unwrap())).unwrap();
    let in_process = AdminClient::local(&host).unwrap();

    for (admin, other) in [(&in_process, &over_http), (&over_http, &in_process)] {
        wait(admin, "connected", ReplicationStatus::is_caught_up);
        let replicated = admin.replication().unwrap().replicated;
        assert_eq!(
            admin.post("pause", &Json::Null).unwrap(),
            json!({"paused": true})
        );
        save(&host, 7);
        assert_eq!(other.replication().unwrap().backlog, 7);
        assert_eq!(other.replication().unwrap().replicated, replicated);
        assert_eq!(
            admin.post("resume", &Json::Null).unwrap(),
            json!({"paused": false})
        );
        wait(other, "caught up", ReplicationStatus::is_caught_up);
        assert!(other.replication().unwrap().replicated > replicated);

        let letters = admin.get("dead-letters", &[("secondary", "nobody here")]);
        let Err(AdminError::Rejected {
            status: 404,
            message,
        }) = letters
        else {
            panic!("{letters:?}");
        };
        assert!(message.contains("nobody here"), "{message}");
        assert_eq!(
            admin.get("dead-letters", &[]).unwrap(),
            json!({"dead_letters": [], "next": null})
        );
        let wrong = admin.post("resync", &json!({"tables": ["kv_memorys"]}));
        let Err(AdminError::Rejected {
            status: 400,
            message,
        }) = wrong
        else {
            panic!("{wrong:?}");
        };
        assert!(message.contains("kv_memories"), "{message}");
    }
    stop.send(()).unwrap();
    runtime.block_on(serving).unwrap().unwrap();
    drop(in_process);
    host.shutdown().unwrap();
}

#[test]
fn a_request_may_name_one_of_two_secondaries() {
    let home = home();
    let servers = [(); 2].map(|()| SecondaryServer::start(ServerStorage::Memory).unwrap());
    let host = start(home.path(), &[("a", &servers[0]), ("b", &servers[1])]);
    let admin = AdminClient::local(&host).unwrap();
    let caught_up_with = |dead_letters: u64| {
        wait(&admin, "caught up", |state| {
            state.is_caught_up() && state.dead_letters == dead_letters
        });
    };
    let letters_of = |query: &[(&str, &str)]| -> Vec<Json> {
        let answer = admin.get("dead-letters", query).unwrap();
        let letters = answer["dead_letters"].as_array().unwrap().clone();
        letters
            .into_iter()
            .map(|mut letter| letter["secondary"].take())
            .collect()
    };
    // What a route answers about the facts, for one secondary.
    let ask = |route: &str, secondary: &str| {
        let body = json!({"secondary": secondary, "tables": ["kv_memories"]});
        admin.post(route, &body).unwrap()
    };
    caught_up_with(0);
    let runtime = database_runtime().unwrap();
    let [a, b] = servers.each_ref().map(|server| database(server, &runtime));
    for one in [&a, &b] {
        accept(one, "$value != 'k0'");
    }
    save(&host, 2);
    caught_up_with(2);
    assert_eq!(letters_of(&[]), ["a", "b"]);
    assert_eq!(letters_of(&[("secondary", "b")]), ["b"]);

    for one in [&a, &b] {
        accept(one, "true");
    }
    let of_b = json!({"secondary": "b"});
    let replayed = admin.post("dead-letters/replay", &of_b).unwrap();
    assert_eq!(replayed, json!({"replayed": 1}));
    caught_up_with(1);
    assert_eq!(letters_of(&[]), ["a"]);
    assert_eq!((keys(&a).len(), keys(&b).len()), (1, 2));

    for one in [&a, &b] {
        run(one, "DELETE kv_memories");
    }
    let resynced = ask("resync", "b");
    assert_eq!(resynced["secondaries"], json!(["b"]));
    caught_up_with(1);
    assert_eq!((keys(&a).len(), keys(&b).len()), (0, 2));

    let compared = ask("verify", "b");
    assert_eq!(compared["equal"], true, "{compared}");
    assert_eq!(compared["tables"][0]["secondary"], "b", "{compared}");
    let compared = ask("verify", "a");
    assert_eq!(compared["tables"][0]["secondary"], "a", "{compared}");
    assert_eq!(compared["tables"][0]["missing"], 2, "{compared}");
    // Replicating the row again resolves its dead letter.
    caught_up_with(0);
    assert_eq!((keys(&a).len(), keys(&b).len()), (2, 2));

    drop(admin);
    host.shutdown().unwrap();
}
