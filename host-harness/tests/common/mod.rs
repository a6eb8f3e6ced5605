//! The setup that tests of the real module on real servers share.

use host_harness::{
    artifacts,
    server::{PASSWORD, SecondaryServer, USER, target},
};
use plugin_api::{
    storage::{CallContext, Storage},
    value::Object,
};
use std::{
    fmt::{Debug, Write as _},
    thread,
    time::{Duration, Instant},
};
use surreal_storage::{SurrealStorage, Timeouts};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long a test waits for a state that must come.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A directory with a `modules` directory that holds the module.
pub(crate) fn home() -> TempDir {
    let built = artifacts::build_for_tests().unwrap();
    let home = tempfile::tempdir().unwrap();
    let modules = home.path().join("modules");
    std::fs::create_dir(&modules).unwrap();
    std::fs::copy(
        built.join(artifacts::PLUGIN_LIBRARY),
        modules.join(artifacts::PLUGIN_LIBRARY),
    )
    .unwrap();
    home
}

/// A host's YAML with the keys of its primary. What a secondary rejects becomes a
/// dead letter at once.
pub(crate) fn yaml(primary: &str, secondaries: &[(&str, &SecondaryServer)]) -> String {
    let mut yaml = format!(
        "primary: {{{primary}}}\n\
         modules:\n  commercial_db-sync-server:\n    config:\n\
         \x20     sync_max_retries: 0\n\
         \x20     secondary_databases:\n"
    );
    for (name, server) in secondaries {
        let url = server.url();
        let _ = writeln!(
            yaml,
            "        - {{name: {name}, url: '{url}', username: {USER}, password: {PASSWORD}}}"
        );
    }
    yaml
}

/// The database of a server that hosts and secondaries use.
pub(crate) fn database(server: &SecondaryServer, runtime: &Runtime) -> SurrealStorage {
    let timeouts = Timeouts {
        connect: TIMEOUT,
        operation: TIMEOUT,
    };
    let target = target(server, "remembrances", "main");
    let storage = SurrealStorage::new(target, timeouts, runtime.handle().clone());
    storage.connect(&CallContext::new()).unwrap();
    storage
}

/// Runs statements on a database.
pub(crate) fn run(database: &SurrealStorage, sql: &str) {
    let context = CallContext::new();
    database.query(&context, sql, &Object::new()).unwrap();
}

/// Makes a secondary reject every fact whose key (`$value`) does not meet the
/// condition.
pub(crate) fn accept(secondary: &SurrealStorage, condition: &str) {
    let key = "DEFINE FIELD OVERWRITE key ON kv_memories TYPE string";
    run(secondary, &format!("{key} ASSERT {condition}"));
}

/// The keys of the facts that a database has.
pub(crate) fn keys(database: &SurrealStorage) -> Vec<String> {
    let sql = "SELECT VALUE key FROM kv_memories";
    let answer = database.query(&CallContext::new(), sql, &Object::new());
    let answer = answer.unwrap();
    let mut keys: Vec<String> = answer
        .first_rows()
        .iter()
        .map(|key| key.as_str().unwrap().to_owned())
        .collect();
    keys.sort();
    keys
}

/// Waits until `poll` returns a value that `is_good`, and returns it.
pub(crate) fn until<T: Debug>(
    what: &str,
    mut poll: impl FnMut() -> T,
    is_good: impl Fn(&T) -> bool,
) -> T {
    let started = Instant::now();
    loop {
        let seen = poll();
        if is_good(&seen) {
            return seen;
        }
        assert!(started.elapsed() < TIMEOUT, "{what}: {seen:?}");
        thread::sleep(Duration::from_millis(20));
    }
}
