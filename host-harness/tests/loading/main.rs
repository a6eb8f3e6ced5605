//! Real libraries, good and bad, loaded by a real host.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod contract_versions;

use host_harness::{
    artifacts,
    call::call,
    config::HostConfig,
    host::Host,
    http,
    modules::{ManagerError, discover},
};
use plugin_api::{
    error::ErrorKind,
    loading::CONTRACT_VERSION,
    storage::{CallContext, Storage},
    value::Value,
};
use serde_json::json;
use std::{
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::mpsc,
};
use tempfile::TempDir;

/// A directory with a `modules` directory that holds these libraries.
fn home(libraries: &[&str]) -> TempDir {
    let built = artifacts::build_for_tests().unwrap().join("examples");
    let home = tempfile::tempdir().unwrap();
    let modules = home.path().join("modules");
    std::fs::create_dir(&modules).unwrap();
    for library in libraries {
        let name = format!("lib{library}{}", std::env::consts::DLL_SUFFIX);
        std::fs::copy(built.join(&name), modules.join(&name)).unwrap();
    }
    home
}

/// A host on a throw-away primary, with this `modules` block.
fn start(home: &Path, modules: &str) -> Host {
    let yaml = format!("primary: {{url: 'mem://'}}\nmodules: {modules}");
    Host::start(&HostConfig::parse(&yaml, home).unwrap()).unwrap()
}

fn lifecycle(home: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(home.join("data/lifecycle.txt")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn save(host: &Host, key: &str) -> Result<(), plugin_api::error::StorageError> {
    let context = CallContext::new();
    host.storage()
        .save_fact(&context, "ada", key, &Value::from(1))
        .map(|_| ())
}

#[test]
fn two_modules_wrap_in_the_configured_order_and_end_in_reverse() {
    let home = home(&["alpha", "beta"]);
    let host = start(
        home.path(),
        "{test_beta: {enabled: true}, test_alpha: {enabled: true}}",
    );
    assert!(host.failures().is_empty(), "{:?}", host.failures());
    let ids: Vec<&str> = host
        .modules()
        .modules()
        .iter()
        .map(|m| m.info.id.as_str())
        .collect();
    assert_eq!(ids, ["test_beta", "test_alpha"]);
    save(&host, "k").unwrap();
    let answer = call(
        host.storage(),
        &CallContext::new(),
        "get_fact",
        json!(["ada", "k"]),
    )
    .unwrap();
    assert_eq!(answer, json!(1));
    host.shutdown().unwrap();
    assert_eq!(
        lifecycle(home.path()),
        [
            "test_beta provision",
            "test_beta validate",
            "test_beta wrap_storage",
            "test_alpha provision",
            "test_alpha validate",
            "test_alpha wrap_storage",
            "test_alpha cleanup",
            "test_beta cleanup",
        ]
    );
}

#[test]
fn modules_end_and_begin_anew_around_the_same_primary() {
    let home = home(&["alpha"]);
    // What goes through the module shows by its failing.
    let mut host = start(
        home.path(),
        "{test_alpha: {enabled: true, config: {panic_in: save_fact}}}",
    );
    let life = lifecycle(home.path());
    save(&host, "k").unwrap_err();
    assert!(host.unload_modules().is_empty());
    assert!(host.modules().modules().is_empty());
    assert_eq!(lifecycle(home.path()).last().unwrap(), "test_alpha cleanup");
    save(&host, "k").unwrap();

    host.load_modules();
    assert!(host.failures().is_empty(), "{:?}", host.failures());
    let both = lifecycle(home.path());
    assert_eq!(both[both.len() - 3..], life[..3]);
    save(&host, "k").unwrap_err();
    let fact = host.storage().get_fact(&CallContext::new(), "ada", "k");
    assert_eq!(fact.unwrap().into_option(), Some(Value::from(1)));
}

#[test]
fn a_module_that_is_not_enabled_is_not_loaded() {
    let home = home(&["alpha", "beta"]);
    let host = start(
        home.path(),
        "[{id: test_alpha, config: {enabled: false}}, {id: test_beta, config: {enabled: true}}]",
    );
    assert!(host.modules().module("test_alpha").is_none());
    assert!(host.modules().module("test_beta").is_some());
    drop(host);
    assert!(
        !lifecycle(home.path())
            .iter()
            .any(|line| line.starts_with("test_alpha"))
    );
    assert_eq!(lifecycle(home.path()).last().unwrap(), "test_beta cleanup");
}

#[test]
fn a_library_that_does_not_fit_is_refused_and_stops_no_other() {
    let home = home(&["other_version", "other_layout", "unrelated", "alpha"]);
    std::fs::write(
        home.path().join("modules/libtorn.so"),
        b"\x7fELF and no more",
    )
    .unwrap();
    std::fs::write(home.path().join("modules/README"), "not a library").unwrap();
    let discovery = discover(&home.path().join("modules")).unwrap();
    let reason = |name: &str| {
        let refused = discovery
            .refused
            .iter()
            .find(|r| r.path.to_str().unwrap().contains(name));
        refused
            .unwrap_or_else(|| panic!("{name} was not refused"))
            .reason
            .to_string()
    };
    assert_eq!(discovery.refused.len(), 4);
    let this_version = format!("plugin-api {CONTRACT_VERSION}");
    let this_host = format!("this host against {this_version}");
    for (name, parts) in [
        (
            "other_version",
            vec!["plugin-api 1.0.3", &this_host, "not compatible"],
        ),
        ("other_layout", vec![&this_version, "the layouts differ"]),
        ("unrelated", vec!["is no module", "exports no root module"]),
        ("torn", vec!["cannot be opened as a shared library"]),
    ] {
        for part in parts {
            assert!(reason(name).contains(part), "{name}: {}", reason(name));
        }
    }
    let host = start(home.path(), "{test_alpha: {enabled: true}}");
    assert!(host.failures().is_empty(), "{:?}", host.failures());
    save(&host, "k").unwrap();
}

#[test]
fn two_libraries_with_one_id_are_both_named() {
    let home = home(&["alpha", "alpha_again", "beta"]);
    let host = start(home.path(), "{test_alpha: {}, test_beta: {}}");
    let [error @ ManagerError::Duplicate { .. }] = host.failures() else {
        panic!("{:?}", host.failures());
    };
    let text = error.to_string();
    assert!(
        text.contains("libalpha.") && text.contains("libalpha_again."),
        "{text}"
    );
    assert!(host.modules().module("test_beta").is_some());
}

#[test]
fn a_module_that_is_not_there_is_named_with_the_one_that_looks_like_it() {
    let home = home(&["alpha"]);
    let host = start(home.path(), "{test_alhpa: {enabled: true}}");
    let text = host.failures()[0].to_string();
    assert!(text.contains("module test_alhpa is enabled"), "{text}");
    assert!(text.contains("did you mean test_alpha?"), "{text}");
}

#[test]
fn a_step_that_fails_or_panics_is_an_error_and_cleaned_up() {
    for step in ["provision", "validate", "wrap_storage"] {
        for (wish, complaint) in [
            ("fail_in", "fail_in: asked to fail"),
            ("panic_in", "panicked"),
        ] {
            let home = home(&["alpha", "beta"]);
            let host = start(
                home.path(),
                &format!("{{test_alpha: {{config: {{{wish}: {step}}}}}, test_beta: {{}}}}"),
            );
            let text = host.failures()[0].to_string();
            assert!(
                text.contains(&format!("module test_alpha: {step}: ")),
                "{text}"
            );
            assert!(text.contains(complaint), "{text}");
            // The failed one is cleaned up before the next one begins.
            let steps = lifecycle(home.path());
            let cleanup = steps
                .iter()
                .position(|line| line == "test_alpha cleanup")
                .unwrap();
            assert_eq!(steps[cleanup + 1], "test_beta provision", "{steps:?}");
            save(&host, "k").unwrap();
            host.shutdown().unwrap();
            assert_eq!(
                lifecycle(home.path())
                    .iter()
                    .filter(|l| *l == "test_alpha cleanup")
                    .count(),
                1
            );
        }
    }
}

#[test]
fn a_panic_in_a_storage_method_is_an_error_and_the_host_lives() {
    let home = home(&["alpha"]);
    let host = start(home.path(), "{test_alpha: {config: {panic_in: save_fact}}}");
    let error = save(&host, "k").unwrap_err();
    assert_eq!(error.kind, ErrorKind::INTERNAL);
    assert!(
        error.message.contains("asked to panic in save_fact"),
        "{error}"
    );
    let context = CallContext::new();
    assert_eq!(
        host.storage()
            .list_fact_keys(&context, "ada")
            .unwrap()
            .len(),
        0
    );
    host.shutdown().unwrap();
}

#[test]
fn a_cleanup_that_fails_or_panics_is_reported_and_the_others_are_cleaned_up() {
    for wish in ["fail_in", "panic_in"] {
        let home = home(&["alpha", "beta"]);
        let host = start(
            home.path(),
            &format!("{{test_alpha: {{}}, test_beta: {{config: {{{wish}: cleanup}}}}}}"),
        );
        let failures = host.shutdown().unwrap_err();
        assert_eq!(failures.len(), 1);
        assert!(
            failures[0]
                .to_string()
                .contains("module test_beta: cleanup: "),
            "{}",
            failures[0]
        );
        assert_eq!(lifecycle(home.path()).last().unwrap(), "test_alpha cleanup");
    }
}

#[test]
fn a_modules_routes_are_served() {
    let home = home(&["alpha"]);
    let host = start(home.path(), "{test_alpha: {}}");
    let router = http::router(&host, http::Access::on_loopback());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (address, bound) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = runtime.spawn(http::serve(
        router,
        "127.0.0.1:0".parse().unwrap(),
        move |at| address.send(at).unwrap(),
        async { stopped.await.unwrap_or_default() },
    ));
    let address = bound.recv().unwrap();
    let ask = |request: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer =
        ask("POST /api/test_alpha/echo HTTP/1.0\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nhi");
    assert!(
        answer.starts_with("HTTP/1.0 200") && answer.ends_with("hi"),
        "{answer}"
    );
    let answer = ask("GET /api/test_alpha/echo HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert!(
        answer.starts_with("HTTP/1.0 405") && answer.ends_with(r#"{"error":"only POST"}"#),
        "{answer}"
    );
    let answer = ask("GET /api/test_alpha/other HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.0 404"), "{answer}");
    stop.send(()).unwrap();
    runtime.block_on(serving).unwrap().unwrap();
}
