use super::*;

/// The secondary's database, used without the module.
pub(super) struct SecondaryDatabase {
    runtime: Runtime,
    pub(super) storage: SurrealStorage,
}

impl SecondaryDatabase {
    pub(super) fn of(server: &SecondaryServer) -> Self {
        let runtime = runtime();
        let storage = test_server::database(server, runtime.handle());
        Self { runtime, storage }
    }

    pub(super) fn fact(&self, key: &str) -> Option<Value> {
        self.storage
            .get_fact(&CallContext::new(), "ada", key)
            .unwrap()
            .into()
    }

    pub(super) fn query(&self, sql: &str) -> Value {
        self.storage
            .query(&CallContext::new(), sql, &Object::new())
            .unwrap()
    }
}

impl Drop for SecondaryDatabase {
    fn drop(&mut self) {
        let _ = self.storage.close(&CallContext::new());
        let _ = &self.runtime;
    }
}

pub(super) fn with_short_intervals(settings: Object) -> Object {
    settings
        .with("secondary_pass", "root")
        .with("shutdown_drain_timeout", "10s")
        .with("reconnect_backoff", "200ms")
        .with("health_check_interval", "200ms")
        .with("operation_timeout", "5s")
}

fn status(module: &ModuleHandle) -> Json {
    json(&request(module, "GET", "/api/db-sync/status", ""))
}

/// Polls the status until it is as wanted.
pub(super) fn wait_for(module: &ModuleHandle, wanted: impl Fn(&Json) -> bool) -> Json {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = status(module);
        if wanted(&status) {
            return status;
        }
        assert!(Instant::now() < deadline, "not reached: {status:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(super) fn is_drained(status: &Json) -> bool {
    let secondary = &status["secondaries"][0];
    status["health"] == "healthy" && secondary["backlog"]["operations"] == 0
}

#[test]
fn writes_are_replicated_through_an_outage_and_a_restart() {
    let host = Host::new();
    let mut server = test_server::start();
    let module = host.module(&server, with_short_intervals(Object::new()));
    let storage = host.wrap(&module);
    host.save(&storage, "a").unwrap();
    let status = wait_for(&module, is_drained);
    assert_eq!(status["secondaries"][0]["state"], "streaming");
    assert!(status["secondaries"][0]["replicated"]["applied"].as_u64() >= Some(1));
    assert!(SecondaryDatabase::of(&server).fact("a").is_some());

    // The secondary keeps nothing on disk: killing it loses its rows.
    server.kill();
    wait_for(&module, |status| {
        status["secondaries"][0]["state"] == "unreachable"
    });
    host.save(&storage, "b").unwrap();
    let waiting = wait_for(&module, |status| {
        status["secondaries"][0]["backlog"]["operations"] == 1
    });
    assert_eq!(waiting["health"], "degraded");
    module.cleanup().unwrap();

    server.restart().unwrap();
    let module = host.module(&server, with_short_intervals(Object::new()));
    wait_for(&module, is_drained);
    let secondary = SecondaryDatabase::of(&server);
    assert!(secondary.fact("b").is_some(), "it waited in the log");
    assert!(
        secondary.fact("a").is_some(),
        "a secondary that lost its rows is backfilled"
    );
    module.cleanup().unwrap();
}

#[test]
fn operations_wait_in_the_log_while_replication_is_paused() {
    let host = Host::new();
    let server = test_server::start();
    let module = host.module(&server, with_short_intervals(Object::new()));
    let storage = host.wrap(&module);
    wait_for(&module, is_drained);
    assert_eq!(
        request(&module, "POST", "/api/db-sync/pause", "").status,
        200
    );
    host.save(&storage, "k").unwrap();
    let paused = status(&module);
    assert_eq!(paused["paused"], true);
    assert_eq!(paused["secondaries"][0]["backlog"]["operations"], 1);
    assert!(SecondaryDatabase::of(&server).fact("k").is_none());
    assert_eq!(
        request(&module, "POST", "/api/db-sync/resume", "").status,
        200
    );
    wait_for(&module, is_drained);
    assert!(SecondaryDatabase::of(&server).fact("k").is_some());
    module.cleanup().unwrap();
}

#[test]
fn a_resync_restores_rows_that_the_secondary_lost() {
    let host = Host::new();
    let server = test_server::start();
    let module = host.module(&server, with_short_intervals(Object::new()));
    let storage = host.wrap(&module);
    host.save(&storage, "k").unwrap();
    wait_for(&module, is_drained);
    let secondary = SecondaryDatabase::of(&server);
    secondary.query("DELETE kv_memories");
    assert!(secondary.fact("k").is_none());
    let body = r#"{"tables": ["kv_memories"]}"#;
    assert_eq!(
        request(&module, "POST", "/api/db-sync/resync", body).status,
        202
    );
    wait_for(&module, |status| {
        is_drained(status) && secondary.fact("k").is_some()
    });
    module.cleanup().unwrap();
}

#[test]
fn verify_finds_and_repairs_differences() {
    let host = Host::new();
    let server = test_server::start();
    let module = host.module(&server, with_short_intervals(Object::new()));
    let storage = host.wrap(&module);
    for key in ["a", "b", "c"] {
        host.save(&storage, key).unwrap();
    }
    let context = CallContext::new();
    let entity = |name| {
        let stored = storage.create_entity(&context, "person", name, &Object::new());
        stored.unwrap().rows[0].id.to_string()
    };
    let (ada, ben) = (entity("Ada"), entity("Ben"));
    storage
        .create_relationship(&context, &ada, &ben, "knows", &Object::new())
        .unwrap();
    wait_for(&module, is_drained);
    let verify = |body: &str| {
        let response = request(&module, "POST", "/api/db-sync/verify", body);
        assert_eq!(response.status, 200, "{}", json(&response));
        json(&response)
    };
    let report = verify("");
    assert_eq!(report["equal"], true, "{report:#}");

    let secondary = SecondaryDatabase::of(&server);
    secondary.query("DELETE kv_memories WHERE key = 'a'");
    secondary.query("UPDATE kv_memories SET value = 7 WHERE key = 'b'");
    secondary.query("DELETE knows");
    secondary
        .storage
        .save_fact(&context, "ada", "archived", &Value::from(1_i64))
        .unwrap();
    let report = verify(r#"{"tables": ["kv_memories", "relationships"]}"#);
    assert_eq!(report["equal"], false);
    let facts = &report["tables"][0];
    assert_eq!(
        (
            &facts["rows"],
            &facts["missing"],
            &facts["different"],
            &facts["only_on_secondary"]
        ),
        (&3.into(), &1.into(), &1.into(), &1.into()),
        "{report:#}"
    );
    assert_eq!(report["tables"][1]["table"], "knows");
    assert_eq!(report["tables"][1]["missing"], 1);
    wait_for(&module, is_drained);
    assert_eq!(verify("")["equal"], true);
    assert!(
        secondary.fact("archived").is_some(),
        "the row that only the secondary has is kept"
    );

    drop(server);
    wait_for(&module, |status| {
        status["secondaries"][0]["state"] == "unreachable"
    });
    let report = verify("");
    assert_eq!(report["equal"], false);
    assert_eq!(
        report["skipped"]["secondary"],
        "the secondary is not connected"
    );
    module.cleanup().unwrap();
}

#[test]
fn dead_letters_are_listed_replayed_and_discarded() {
    let host = Host::new();
    let server = test_server::start();
    let settings = Object::new().with("sync_max_retries", 0_i64);
    let module = host.module(&server, with_short_intervals(settings));
    let storage = host.wrap(&module);
    wait_for(&module, is_drained);
    let secondary = SecondaryDatabase::of(&server);
    secondary
        .query("DEFINE FIELD OVERWRITE key ON kv_memories TYPE string ASSERT $value != 'poison'");
    for key in ["a", "poison", "b"] {
        host.save(&storage, key).unwrap();
    }
    let status = wait_for(&module, |status| {
        let secondary = &status["secondaries"][0];
        secondary["dead_letters"] == 1 && secondary["backlog"]["operations"] == 0
    });
    assert_eq!(status["health"], "degraded");
    assert!(secondary.fact("a").is_some() && secondary.fact("b").is_some());
    let letters = || json(&request(&module, "GET", "/api/db-sync/dead-letters", ""));
    let letter = letters()["dead_letters"][0].clone();
    assert_eq!(letter["secondary"], "secondary");
    assert_eq!(letter["table"], "kv_memories");
    assert!(
        letter["last_error"].as_str().unwrap().contains("poison"),
        "{letter}"
    );

    let unknown = r#"{"ids": ["nobody"]}"#;
    for route in ["replay", "discard"] {
        let path = format!("/api/db-sync/dead-letters/{route}");
        assert_eq!(request(&module, "POST", &path, unknown).status, 404);
    }
    secondary.query("DEFINE FIELD OVERWRITE key ON kv_memories TYPE string");
    let chosen = format!("{{\"ids\": [{}]}}", letter["id"]);
    let replayed = request(&module, "POST", "/api/db-sync/dead-letters/replay", &chosen);
    assert_eq!(json(&replayed)["replayed"], 1);
    wait_for(&module, is_drained);
    assert!(secondary.fact("poison").is_some());

    secondary.query("DEFINE FIELD OVERWRITE key ON kv_memories TYPE string ASSERT $value != 'bad'");
    host.save(&storage, "bad").unwrap();
    wait_for(&module, |status| {
        status["secondaries"][0]["dead_letters"] == 1
    });
    let discarded = request(&module, "POST", "/api/db-sync/dead-letters/discard", "");
    assert_eq!(json(&discarded)["discarded"], 1);
    assert_eq!(letters()["dead_letters"], serde_json::json!([]));
    wait_for(&module, is_drained);
    module.cleanup().unwrap();
}
