//! The configuration changes between two starts.

use super::{
    replicating::{SecondaryDatabase, wait_for, with_short_intervals},
    *,
};

/// A running module with these secondaries.
fn module_for(host: &Host, secondaries: &[(&str, &SecondaryServer)]) -> ModuleHandle {
    let entry = |(name, server): &(&str, &SecondaryServer)| {
        Object::new()
            .with("name", *name)
            .with("url", server.url())
            .with("username", "root")
            .with("password", "root")
    };
    let mut settings = with_short_intervals(Object::new());
    settings.remove("secondary_pass");
    settings.insert("shutdown_drain_timeout", "100ms");
    settings.insert(
        "secondary_databases",
        secondaries.iter().map(entry).collect::<Value>(),
    );
    let module = ModuleHandle::new(ReplicationModule::default());
    module.provision(host.config(settings)).unwrap();
    module
}

/// Is the first secondary up to date?
fn first_is_up_to_date(status: &Json) -> bool {
    let first = &status["secondaries"][0];
    first["state"] == "streaming"
        && first["backlog"]["operations"] == 0
        && first["resync"] == serde_json::json!([])
}

#[test]
fn a_renamed_secondary_is_resynced_once() {
    let host = Host::new();
    let (server, other) = (test_server::start(), test_server::down());
    let module = module_for(&host, &[("former", &server), ("other", &other)]);
    let storage = host.wrap(&module);
    host.save(&storage, "k").unwrap();
    wait_for(&module, first_is_up_to_date);
    let secondary = SecondaryDatabase::of(&server);
    for path in ["/api/db-sync/pause", "/api/db-sync/resync"] {
        assert!(request(&module, "POST", path, "").status < 300);
    }
    secondary.query("DELETE kv_memories");
    module.cleanup().unwrap();

    // The log alone would not tell: it is kept for the other secondary.
    let module = module_for(&host, &[("present", &server), ("other", &other)]);
    wait_for(&module, |status| {
        first_is_up_to_date(status) && secondary.fact("k").is_some()
    });
    module.cleanup().unwrap();

    // It is not resynced again.
    secondary.query("DELETE kv_memories");
    let module = module_for(&host, &[("present", &server), ("other", &other)]);
    wait_for(&module, first_is_up_to_date);
    assert!(secondary.fact("k").is_none());
    module.cleanup().unwrap();
}

/// Starts a module with these settings, writes a fact, and cleans up once the
/// secondary is up to date.
fn write_with(host: &Host, server: &SecondaryServer, settings: Object, key: &str) {
    let module = host.module(server, with_short_intervals(settings));
    host.save(&host.wrap(&module), key).unwrap();
    wait_for(&module, |status| {
        status["sync_enabled"] == false || first_is_up_to_date(status)
    });
    module.cleanup().unwrap();
}

#[test]
fn a_table_that_is_added_is_resynced() {
    let host = Host::new();
    let server = test_server::start();
    let secondary = SecondaryDatabase::of(&server);
    let events = || Object::new().with("tables", vec![Value::from("events")]);
    write_with(&host, &server, events(), "meanwhile");
    assert!(secondary.fact("meanwhile").is_none());
    write_with(&host, &server, Object::new(), "now");
    assert!(secondary.fact("meanwhile").is_some() && secondary.fact("now").is_some());
}

#[test]
fn enabling_sync_again_resyncs_every_table_once() {
    let host = Host::new();
    let server = test_server::start();
    let secondary = SecondaryDatabase::of(&server);
    let off = || Object::new().with("sync_enabled", false);
    write_with(&host, &server, Object::new(), "before");
    write_with(&host, &server, off(), "meanwhile");
    assert!(secondary.fact("meanwhile").is_none());
    write_with(&host, &server, Object::new(), "now");
    assert!(secondary.fact("meanwhile").is_some() && secondary.fact("now").is_some());

    // It is not resynced again.
    secondary.query("DELETE kv_memories");
    write_with(&host, &server, Object::new(), "now");
    assert!(secondary.fact("before").is_none());
}

#[test]
fn a_queue_dir_that_is_moved_takes_its_dirty_flag_along() {
    let host = Host::new();
    let server = test_server::start();
    let secondary = SecondaryDatabase::of(&server);
    let dir = |name: &str| host.data.path().join(name);
    let at = |name| Object::new().with("queue_dir", dir(name).to_str().unwrap());
    write_with(&host, &server, at("here"), "before");
    write_with(
        &host,
        &server,
        at("here").with("sync_enabled", false),
        "meanwhile",
    );
    std::fs::rename(dir("here"), dir("there")).unwrap();
    write_with(&host, &server, at("there"), "now");
    assert!(secondary.fact("meanwhile").is_some() && secondary.fact("now").is_some());

    // It is not resynced again.
    secondary.query("DELETE kv_memories");
    write_with(&host, &server, at("there"), "now");
    assert!(secondary.fact("before").is_none());
}

#[test]
fn a_dirty_flag_that_a_former_version_named_after_the_path_counts_once() {
    let host = Host::new();
    let server = test_server::start();
    let secondary = SecondaryDatabase::of(&server);
    let dir = host.data.path().join("queue");
    let at = || Object::new().with("queue_dir", dir.to_str().unwrap());
    write_with(&host, &server, at(), "before");
    secondary.query("DELETE kv_memories");
    let row = Object::new().with(
        "row",
        plugin_api::value::RecordId::new("db_sync_log", dir.display().to_string()),
    );
    let set = "UPSERT $row SET incomplete = true";
    host.primary.query(&CallContext::new(), set, &row).unwrap();
    write_with(&host, &server, at(), "now");
    assert!(secondary.fact("before").is_some());

    secondary.query("DELETE kv_memories");
    write_with(&host, &server, at(), "now");
    assert!(secondary.fact("before").is_none());
}
