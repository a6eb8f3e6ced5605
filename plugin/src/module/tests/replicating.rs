use super::*;
use plugin_api::{records::CodeSymbol, storage::CodeStorage as _};

/// The server's database as the host would see it with no module between.
pub(super) struct Bare {
    runtime: Runtime,
    storage: SurrealStorage,
}

impl Bare {
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

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.storage.close(&CallContext::new());
        let _ = &self.runtime;
    }
}

pub(super) fn for_real(settings: Object) -> Object {
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

/// Asks for the status until it is as wanted.
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
fn what_is_written_is_copied_through_an_outage_and_a_restart_of_the_module() {
    let host = Host::new();
    let mut server = test_server::start();
    let module = host.module(&server, for_real(Object::new()));
    let storage = host.wrap(&module);
    host.save(&storage, "a").unwrap();
    let status = wait_for(&module, is_drained);
    assert_eq!(status["secondaries"][0]["state"], "streaming");
    assert!(status["secondaries"][0]["replicated"]["applied"].as_u64() >= Some(1));
    assert!(Bare::of(&server).fact("a").is_some());

    // The secondary is emptied by its death: it keeps nothing on disk.
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
    let module = host.module(&server, for_real(Object::new()));
    wait_for(&module, is_drained);
    let bare = Bare::of(&server);
    assert!(bare.fact("b").is_some(), "it waited in the log");
    assert!(
        bare.fact("a").is_some(),
        "a secondary that was emptied is filled again"
    );
    module.cleanup().unwrap();
}

#[test]
fn pausing_holds_copies_back_and_resuming_lets_them_go() {
    let host = Host::new();
    let server = test_server::start();
    let module = host.module(&server, for_real(Object::new()));
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
    assert!(Bare::of(&server).fact("k").is_none());
    assert_eq!(
        request(&module, "POST", "/api/db-sync/resume", "").status,
        200
    );
    wait_for(&module, is_drained);
    assert!(Bare::of(&server).fact("k").is_some());
    module.cleanup().unwrap();
}

#[test]
fn a_resync_brings_back_what_the_secondary_lost() {
    let host = Host::new();
    let server = test_server::start();
    let module = host.module(&server, for_real(Object::new()));
    let storage = host.wrap(&module);
    host.save(&storage, "k").unwrap();
    wait_for(&module, is_drained);
    let bare = Bare::of(&server);
    bare.query("DELETE kv_memories");
    assert!(bare.fact("k").is_none());
    let body = r#"{"tables": ["kv_memories"]}"#;
    assert_eq!(
        request(&module, "POST", "/api/db-sync/resync", body).status,
        202
    );
    wait_for(&module, |status| {
        is_drained(status) && bare.fact("k").is_some()
    });
    module.cleanup().unwrap();
}

#[test]
fn a_verification_finds_and_repairs_what_differs() {
    let host = Host::new();
    let server = test_server::start();
    let module = host.module(&server, for_real(Object::new()));
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

    let bare = Bare::of(&server);
    bare.query("DELETE kv_memories WHERE key = 'a'");
    bare.query("UPDATE kv_memories SET value = 7 WHERE key = 'b'");
    bare.query("DELETE knows");
    bare.storage
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
    assert!(bare.fact("archived").is_some(), "the archive stays");

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
    let module = host.module(&server, for_real(settings));
    let storage = host.wrap(&module);
    wait_for(&module, is_drained);
    let bare = Bare::of(&server);
    bare.query("DEFINE FIELD OVERWRITE key ON kv_memories TYPE string ASSERT $value != 'poison'");
    for key in ["a", "poison", "b"] {
        host.save(&storage, key).unwrap();
    }
    let status = wait_for(&module, |status| {
        let secondary = &status["secondaries"][0];
        secondary["dead_letters"] == 1 && secondary["backlog"]["operations"] == 0
    });
    assert_eq!(status["health"], "degraded");
    assert!(bare.fact("a").is_some() && bare.fact("b").is_some());
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
    bare.query("DEFINE FIELD OVERWRITE key ON kv_memories TYPE string");
    let chosen = format!("{{\"ids\": [{}]}}", letter["id"]);
    let replayed = request(&module, "POST", "/api/db-sync/dead-letters/replay", &chosen);
    assert_eq!(json(&replayed)["replayed"], 1);
    wait_for(&module, is_drained);
    assert!(bare.fact("poison").is_some());

    bare.query("DEFINE FIELD OVERWRITE key ON kv_memories TYPE string ASSERT $value != 'bad'");
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

#[test]
fn merged_reads_show_what_only_the_secondary_has_unless_told_not_to() {
    let server = test_server::start();
    for (merge, shown) in [(true, true), (false, false)] {
        let host = Host::new();
        let module = host.module(&server, for_real(Object::new().with("merge_reads", merge)));
        let storage = host.wrap(&module);
        wait_for(&module, is_drained);
        let bare = Bare::of(&server);
        let context = CallContext::new();
        bare.storage
            .save_fact(&context, "ada", "only-there", &Value::from(1_i64))
            .unwrap();
        let fact = storage.get_fact(&context, "ada", "only-there").unwrap();
        assert_eq!(fact.is_some(), shown);
        module.cleanup().unwrap();
        assert!(
            storage
                .get_fact(&context, "ada", "only-there")
                .unwrap()
                .is_none()
        );
    }
}

#[test]
fn with_sync_disabled_nothing_is_copied_and_deletes_are_remembered() {
    let host = Host::new();
    let server = test_server::start();
    let settings = for_real(Object::new().with("sync_enabled", false));
    let module = host.module(&server, settings.clone());
    let storage = host.wrap(&module);
    wait_for(&module, is_drained);
    let context = CallContext::new();
    host.save(&storage, "k").unwrap();
    let bare = Bare::of(&server);
    assert!(bare.fact("k").is_none());
    bare.storage
        .save_fact(&context, "ada", "k", &Value::from(2_i64))
        .unwrap();
    storage.delete_fact(&context, "ada", "k").unwrap();
    assert!(storage.get_fact(&context, "ada", "k").unwrap().is_none());
    let refused = request(&module, "POST", "/api/db-sync/resync", "");
    assert_eq!(refused.status, 501);
    module.cleanup().unwrap();

    // Also after a restart.
    let module = host.module(&server, settings);
    let storage = host.wrap(&module);
    wait_for(&module, is_drained);
    assert!(storage.get_fact(&context, "ada", "k").unwrap().is_none());
    assert!(bare.fact("k").is_some(), "the archive keeps it");
    module.cleanup().unwrap();
}

#[test]
fn a_symbol_that_moved_and_was_deleted_does_not_show_in_its_old_file() {
    let host = Host::new();
    let server = test_server::start();
    let module = host.module(&server, for_real(Object::new()));
    let storage = host.wrap(&module);
    let context = CallContext::new();
    let symbol = |file: &str| CodeSymbol {
        project_id: "p".into(),
        file_path: file.into(),
        name: "run".into(),
        name_path: "run".into(),
        ..CodeSymbol::default()
    };
    storage.save_code_symbol(&context, &symbol("old")).unwrap();
    wait_for(&module, is_drained);
    request(&module, "POST", "/api/db-sync/pause", "");
    storage.save_code_symbol(&context, &symbol("new")).unwrap();
    storage
        .delete_symbols_by_file(&context, "p", "new")
        .unwrap();
    let shown = storage.find_symbols_by_file(&context, "p", "old").unwrap();
    assert!(shown.is_empty(), "{shown:?}");
    // Written again, it is alive again, wherever it is.
    storage.save_code_symbol(&context, &symbol("new")).unwrap();
    let found = storage.get_code_symbol(&context, "p", "run").unwrap();
    assert!(found.is_some());
    module.cleanup().unwrap();
}

#[test]
fn deleting_another_users_event_hides_nothing() {
    let host = Host::new();
    let server = test_server::start();
    let module = host.module(&server, for_real(Object::new()));
    let storage = host.wrap(&module);
    let context = CallContext::new();
    let none = Object::new();
    let receipt = storage.save_event(&context, "ada", "s", "content", &[], &none);
    let id = receipt.unwrap().rows[0].id.to_string();
    wait_for(&module, is_drained);
    // Whatever the storage answers: nothing of hers goes.
    let _ = storage.delete_event(&context, &id, "bob");
    let lost = "DELETE events";
    host.primary.query(&context, lost, &none).unwrap();
    let shown = storage.get_events_by_subject(&context, "ada", "s", 0);
    assert_eq!(shown.unwrap().len(), 1, "the copy still shows");
    storage.delete_event(&context, &id, "ada").ok();
    let shown = storage.get_events_by_subject(&context, "ada", "s", 0);
    assert_eq!(shown.unwrap().len(), 0);
    module.cleanup().unwrap();
}

#[test]
fn cleanup_lets_the_log_drain() {
    let host = Host::new();
    let server = test_server::start();
    let module = host.module(&server, for_real(Object::new()));
    let storage = host.wrap(&module);
    wait_for(&module, is_drained);
    for number in 0..50 {
        host.save(&storage, &format!("k{number}")).unwrap();
    }
    module.cleanup().unwrap();
    let bare = Bare::of(&server);
    assert!((0..50).all(|number| bare.fact(&format!("k{number}")).is_some()));
}

#[test]
fn cleanup_waits_for_calls_that_are_inside() {
    let host = Host::new();
    let module = host.module(&test_server::down(), for_real(Object::new()));
    let storage = host.wrap(&module);
    let call = std::thread::spawn(move || {
        let sql = "CREATE begun:1; SLEEP 500ms; CREATE ended:1";
        storage.query(&CallContext::new(), sql, &Object::new())
    });
    let has = |table: &str| {
        let sql = format!("RETURN (SELECT VALUE id FROM {table})[0]");
        let rows = host
            .primary
            .query(&CallContext::new(), &sql, &Object::new());
        rows.is_ok_and(|rows| !rows.as_array().unwrap()[0].is_nullish())
    };
    while !has("begun") {
        assert!(!call.is_finished(), "the call never began");
    }
    module.cleanup().unwrap();
    assert!(has("ended"));
    call.join().unwrap().unwrap();
}
