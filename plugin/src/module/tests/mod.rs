#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod lifecycle;
mod merging;
mod reconfiguration;
mod replicating;
mod routes;
mod uncertain;

use super::*;
use crate::test_server;
use plugin_api::{
    error::{ErrorKind, StorageResult},
    module::{
        HostLogger, HttpEndpointProvider, HttpRequest, HttpResponse, LogLevel, Logger, ModuleHandle,
    },
    storage::{CallContext, Storage},
    value::{Object, Value},
};
use serde_json::Value as Json;
use server_process::SecondaryServer;
use std::time::Duration;
use surreal_storage::SurrealStorage;
use tokio::runtime::Runtime;

/// A host with a primary in memory, a data directory and a log.
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
        let runtime = runtime();
        let storage = test_server::primary(runtime.handle());
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

    /// A running module that replicates to `server`, with further settings.
    fn module(&self, server: &SecondaryServer, settings: Object) -> ModuleHandle {
        let module = ModuleHandle::new(ReplicationModule::default());
        module
            .provision(self.config(for_server(server, settings)))
            .unwrap();
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

/// The runtime of an embedded database, which needs deep stacks.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(10 << 20)
        .enable_all()
        .build()
        .unwrap()
}

fn for_server(server: &SecondaryServer, settings: Object) -> Object {
    let mut all = Object::new()
        .with("secondary_url", server.url())
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
