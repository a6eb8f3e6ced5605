#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::test_server::Server;
use plugin_api::{
    error::ErrorKind,
    module::{HostLogger, HttpEndpointProvider, HttpRequest, HttpResponse, LogLevel, Logger, ModuleHandle},
    storage::{CallContext, Storage},
    value::{Object, Value},
};
use serde_json::Value as Json;
use std::time::Duration;
use surreal_storage::{SurrealStorage, Target, Timeouts};
use tokio::runtime::Runtime;

/// A host: a runtime, a primary in memory, a data directory, a log.
struct Host {
    _runtime: Runtime,
    primary: FullStorage,
    data: tempfile::TempDir,
    lines: Lines,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl HostLogger for Lines {
    fn enabled(&self, level: LogLevel, _: &str) -> bool {
        level >= LogLevel::INFO
    }

    fn log(&self, level: LogLevel, _: &str, message: &str, fields: &Object) {
        let fields = Value::Object(fields.clone());
        self.0.lock().push(format!("{level:?} {message} {fields}"));
    }
}

impl Host {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_stack_size(10 << 20)
            .enable_all()
            .build()
            .unwrap();
        let target = Target {
            url: "mem://".to_owned(),
            credentials: None,
            namespace: "memory".to_owned(),
            database: "agents".to_owned(),
        };
        let storage =
            SurrealStorage::new(target, Timeouts::default(), runtime.handle().clone());
        storage.connect(&CallContext::new()).unwrap();
        storage.initialize_schema(&CallContext::new()).unwrap();
        Self {
            _runtime: runtime,
            primary: FullStorage::new(storage),
            data: tempfile::tempdir().unwrap(),
            lines: Lines::default(),
        }
    }

    fn config(&self, settings: Object) -> ModuleConfig {
        ModuleConfig {
            settings: Value::Object(settings),
            primary: self.primary.clone(),
            namespace: "memory".into(),
            database: "agents".into(),
            logger: Logger::new(self.lines.clone()),
            data_dir: self.data.path().to_str().unwrap().into(),
        }
    }

    /// A module at work for that server, with further settings.
    fn module(&self, server: &Server, settings: Object) -> ModuleHandle {
        let module = ModuleHandle::new(ReplicationModule::default());
        module.provision(self.config(for_server(server, settings))).unwrap();
        module.validate().unwrap();
        module
    }

    fn wrap(&self, module: &ModuleHandle) -> FullStorage {
        let wrapper = module.storage_wrapper().unwrap();
        wrapper.wrap_storage(self.primary.clone()).unwrap()
    }

    fn save(&self, storage: &FullStorage, key: &str) -> StorageResult<()> {
        storage
            .save_fact(&CallContext::new(), "ada", key, &Value::from(1_i64))
            .map(drop)
    }
}

fn for_server(server: &Server, settings: Object) -> Object {
    let mut all = Object::new()
        .with("secondary_url", format!("ws://{}", server.address))
        .with("secondary_user", "root")
        .with("secondary_pass", "hidden-password")
        .with("shutdown_drain_timeout", "100ms");
    for (key, value) in settings {
        all.insert(key, value);
    }
    all
}

fn request(module: &ModuleHandle, method: &str, path: &str, body: &str) -> HttpResponse {
    let request = HttpRequest {
        method: method.into(),
        path: path.into(),
        query: Vec::new().into(),
        body: body.as_bytes().into(),
    };
    module.http_endpoints().unwrap().handle(&request).unwrap()
}

fn json(response: &HttpResponse) -> Json {
    serde_json::from_slice(&response.body).unwrap()
}

#[test]
fn a_host_starts_at_once_with_its_secondary_down() {
    let host = Host::new();
    let began = Instant::now();
    let module = host.module(&Server::down(), Object::new());
    let storage = host.wrap(&module);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    host.save(&storage, "k").unwrap();
    assert!(storage.get_fact(&CallContext::new(), "ada", "k").unwrap().is_some());
    module.cleanup().unwrap();
}

#[test]
fn a_wrong_key_is_named_and_the_module_can_be_cleaned_up() {
    let host = Host::new();
    let module = ModuleHandle::new(ReplicationModule::default());
    let settings = for_server(&Server::down(), Object::new().with("sync_workers", 0_i64));
    let error = module.provision(host.config(settings)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::INVALID_INPUT);
    assert!(error.message.contains("sync_workers: 0"), "{error}");
    assert_eq!(module.validate().unwrap_err().kind, ErrorKind::INVALID_INPUT);
    module.cleanup().unwrap();
}

#[test]
fn after_cleanup_reads_are_the_primarys_and_writes_are_refused() {
    let host = Host::new();
    let module = host.module(&Server::down(), Object::new());
    let (storage, wrapper) = (host.wrap(&module), module.storage_wrapper().unwrap());
    host.save(&storage, "k").unwrap();
    module.cleanup().unwrap();
    module.cleanup().unwrap();

    let context = CallContext::new();
    assert_eq!(host.save(&storage, "k").unwrap_err().kind, ErrorKind::CLOSED);
    let deleted = storage.delete_fact(&context, "ada", "k");
    assert_eq!(deleted.unwrap_err().kind, ErrorKind::CLOSED);
    assert!(storage.get_fact(&context, "ada", "k").unwrap().is_some());
    storage.ping(&context).unwrap();
    let wrapped = wrapper.wrap_storage(host.primary.clone());
    assert_eq!(wrapped.map(drop).unwrap_err().kind, ErrorKind::CLOSED);
    let config = host.config(for_server(&Server::down(), Object::new()));
    assert_eq!(module.provision(config).unwrap_err().kind, ErrorKind::CLOSED);
    assert_eq!(module.validate().unwrap_err().kind, ErrorKind::CLOSED);
    assert_eq!(request(&module, "GET", "/api/db-sync/status", "").status, 503);
}

#[test]
fn storages_of_one_module_work_side_by_side_and_end_together() {
    let host = Host::new();
    let module = host.module(&Server::down(), Object::new());
    let (first, second) = (host.wrap(&module), host.wrap(&module));
    host.save(&first, "a").unwrap();
    host.save(&second, "b").unwrap();
    drop(first);
    host.save(&second, "c").unwrap();
    // Dropping the module cleans it up.
    drop(module);
    assert_eq!(host.save(&second, "d").unwrap_err().kind, ErrorKind::CLOSED);
}

#[test]
fn another_module_takes_over_the_same_directory() {
    let host = Host::new();
    let first = host.module(&Server::down(), Object::new());
    let kept = host.wrap(&first);
    first.cleanup().unwrap();
    let second = host.module(&Server::down(), Object::new());
    host.save(&host.wrap(&second), "k").unwrap();
    second.cleanup().unwrap();
    drop(kept);
}

#[test]
fn a_disabled_module_leaves_the_primary_as_it_is() {
    let host = Host::new();
    let module = ModuleHandle::new(ReplicationModule::default());
    let block = Object::new().with("enabled", false).with("config", Object::new());
    module.provision(host.config(block)).unwrap();
    module.validate().unwrap();
    let storage = host.wrap(&module);
    host.save(&storage, "k").unwrap();
    assert_eq!(request(&module, "GET", "/api/db-sync/status", "").status, 503);
    module.cleanup().unwrap();
    host.save(&storage, "l").unwrap();
}

#[test]
fn calls_before_provisioning_say_so() {
    let module = ModuleHandle::new(ReplicationModule::default());
    assert_eq!(module.info().id, ID);
    let error = module.validate().unwrap_err();
    assert!(error.message.contains("not provisioned"), "{error}");
    module.cleanup().unwrap();
}

#[test]
fn status_health_and_metrics_tell_what_is_wrong_and_no_password() {
    let host = Host::new();
    let module = host.module(&Server::down(), Object::new());
    // The first attempt may still be under way: the status says so either way.
    let status = request(&module, "GET", "/api/db-sync/status", "");
    let text = String::from_utf8(status.body.to_vec()).unwrap();
    assert!(!text.contains("hidden-password"), "{text}");
    let status = json(&status);
    assert_eq!(status["health"], "degraded");
    assert_eq!(status["secondaries"][0]["name"], "secondary");
    assert_eq!(status["reasons"][0]["secondary"], "secondary");
    for path in ["/api/db-sync/health", "/health/db-sync"] {
        let health = request(&module, "GET", path, "");
        assert_eq!(health.status, 200);
        assert_eq!(json(&health)["ok"], false);
    }
    let metrics = request(&module, "GET", "/api/db-sync/metrics", "");
    assert!(metrics.content_type.starts_with("text/plain"));
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    for line in [
        "# TYPE db_sync_healthy gauge\ndb_sync_healthy 0\n",
        "db_sync_connected{secondary=\"secondary\"} 0\n",
        "db_sync_dead_letters{secondary=\"secondary\"} 0\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    module.cleanup().unwrap();
    let lines = host.lines.0.lock().join("\n");
    assert!(!lines.contains("hidden-password"), "{lines}");
}

#[test]
fn wrong_requests_get_a_clear_refusal() {
    let host = Host::new();
    let module = host.module(&Server::down(), Object::new());
    for (method, path, body, status, says) in [
        ("GET", "/api/db-sync/nothing", "", 404, "/api/db-sync/status"),
        ("POST", "/api/db-sync/status", "", 405, "answers GET only"),
        ("GET", "/api/db-sync/pause", "", 405, "answers POST only"),
        ("POST", "/api/db-sync/resync", "{", 400, "the body"),
        ("POST", "/api/db-sync/resync", "{\"table\": []}", 400, "table"),
        ("POST", "/api/db-sync/resync", "{\"tables\": [\"event\"]}", 400, "did you mean events?"),
        ("POST", "/api/db-sync/verify", "{\"secondary\": \"x\"}", 404, "there are: secondary"),
        ("POST", "/api/db-sync/dead-letters/replay", "[]", 400, "the body"),
    ] {
        let response = request(&module, method, path, body);
        let error = json(&response)["error"].as_str().unwrap().to_owned();
        assert_eq!(response.status, status, "{method} {path} {body}: {error}");
        assert!(error.contains(says), "{method} {path} {body}: {error}");
    }
    module.cleanup().unwrap();
}

#[test]
fn every_route_that_is_offered_is_answered() {
    let host = Host::new();
    let module = host.module(&Server::down(), Object::new());
    let endpoints = module.http_endpoints().unwrap();
    assert_eq!(endpoints.base_path(), "/api/db-sync");
    let routes = endpoints.routes();
    assert_eq!(routes.len(), 11);
    for route in routes {
        let response = request(&module, &route.method, &route.path, "");
        assert!(![404, 405].contains(&response.status), "{}", route.path);
    }
    module.cleanup().unwrap();
}
