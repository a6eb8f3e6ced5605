//! The real module on a real server, steered in this process and over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{
    artifacts,
    config::HostConfig,
    host::Host,
    http,
    server::{Keeps, SecondaryServer},
    steering::{Replication, Steering, SteeringError},
};
use plugin_api::{
    storage::{CallContext, Storage},
    value::Value,
};
use serde_json::{Value as Json, json};
use std::{
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// Longest wait for a state that has to come.
const PATIENCE: Duration = Duration::from_secs(60);

fn wait(steering: &Steering, what: &str, done: impl Fn(&Replication) -> bool) {
    let started = Instant::now();
    loop {
        let state = steering.replication().unwrap();
        if done(&state) {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: {state:?}");
        thread::sleep(Duration::from_millis(20));
    }
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
fn copying_is_paused_and_resumed_here_and_over_http() {
    let built = artifacts::build_for_tests().unwrap();
    let home = tempfile::tempdir().unwrap();
    let modules = home.path().join("modules");
    std::fs::create_dir(&modules).unwrap();
    std::fs::copy(
        built.join(artifacts::PLUGIN_LIBRARY),
        modules.join(artifacts::PLUGIN_LIBRARY),
    )
    .unwrap();
    let server = SecondaryServer::start(Keeps::Memory).unwrap();
    let yaml = format!(
        "primary: {{url: 'mem://'}}\nmodules: {{commercial_db-sync-server: {{enabled: true, config: \
         {{secondary_url: '{}', secondary_user: root, secondary_pass: root}}}}}}",
        server.url()
    );
    let host = Host::start(&HostConfig::parse(&yaml, home.path()).unwrap()).unwrap();
    assert!(host.failures().is_empty(), "{:?}", host.failures());

    let router = http::router(&host);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (sender, bound) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = runtime.spawn(http::serve(
        router,
        "127.0.0.1:0".parse().unwrap(),
        move |at| sender.send(at).unwrap(),
        async { stopped.await.unwrap_or_default() },
    ));
    let over_http = Steering::at(&format!("http://{}", bound.recv().unwrap()));
    let here = Steering::of(&host).unwrap();

    for (steering, other) in [(&here, &over_http), (&over_http, &here)] {
        wait(steering, "connected", Replication::is_caught_up);
        let copied = steering.replication().unwrap().copied;
        assert_eq!(
            steering.post("pause", &Json::Null).unwrap(),
            json!({"paused": true})
        );
        save(&host, 7);
        assert_eq!(other.replication().unwrap().backlog, 7);
        assert_eq!(other.replication().unwrap().copied, copied);
        assert_eq!(
            steering.post("resume", &Json::Null).unwrap(),
            json!({"paused": false})
        );
        wait(other, "caught up", Replication::is_caught_up);
        assert!(other.replication().unwrap().copied > copied);

        let letters = steering.get("dead-letters", &[("secondary", "nobody here")]);
        let Err(SteeringError::Refused {
            status: 404,
            message,
        }) = letters
        else {
            panic!("{letters:?}");
        };
        assert!(message.contains("nobody here"), "{message}");
        assert_eq!(
            steering.get("dead-letters", &[]).unwrap(),
            json!({"dead_letters": []})
        );
        let wrong = steering.post("resync", &json!({"tables": ["kv_memorys"]}));
        let Err(SteeringError::Refused {
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
    drop(here);
    host.shutdown().unwrap();
}
