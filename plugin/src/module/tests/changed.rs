//! A start finds another configuration than the one before it.

use super::{
    replicating::{Bare, for_real, wait_for},
    *,
};

/// A module at work for these secondaries.
fn module_for(host: &Host, secondaries: &[(&str, &SecondaryServer)]) -> ModuleHandle {
    let entry = |(name, server): &(&str, &SecondaryServer)| {
        Object::new()
            .with("name", *name)
            .with("url", server.url())
            .with("username", "root")
            .with("password", "root")
    };
    let mut settings = for_real(Object::new());
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

/// Has the first secondary everything?
fn first_is_done(status: &Json) -> bool {
    let first = &status["secondaries"][0];
    first["state"] == "streaming"
        && first["backlog"]["operations"] == 0
        && first["resync"] == serde_json::json!([])
}

#[test]
fn a_secondary_with_another_name_gets_what_was_marked_under_the_former_one() {
    let host = Host::new();
    let (server, other) = (test_server::start(), test_server::down());
    let module = module_for(&host, &[("former", &server), ("other", &other)]);
    let storage = host.wrap(&module);
    host.save(&storage, "k").unwrap();
    wait_for(&module, first_is_done);
    let bare = Bare::of(&server);
    for path in ["/api/db-sync/pause", "/api/db-sync/resync"] {
        assert!(request(&module, "POST", path, "").status < 300);
    }
    bare.query("DELETE kv_memories");
    module.cleanup().unwrap();

    // It has everything that is in the log, which another secondary holds.
    let module = module_for(&host, &[("present", &server), ("other", &other)]);
    wait_for(&module, |status| {
        first_is_done(status) && bare.fact("k").is_some()
    });
    module.cleanup().unwrap();

    // Once is enough.
    bare.query("DELETE kv_memories");
    let module = module_for(&host, &[("present", &server), ("other", &other)]);
    wait_for(&module, first_is_done);
    assert!(bare.fact("k").is_none());
    module.cleanup().unwrap();
}

/// Starts a module with these settings, has it write a fact, and ends it when
/// the secondary has what it is to have.
fn write_with(host: &Host, server: &SecondaryServer, settings: Object, key: &str) {
    let module = host.module(server, for_real(settings));
    host.save(&host.wrap(&module), key).unwrap();
    wait_for(&module, |status| {
        status["sync_enabled"] == false || first_is_done(status)
    });
    module.cleanup().unwrap();
}

#[test]
fn what_was_written_while_its_table_was_not_replicated_is_copied_once_it_is() {
    let host = Host::new();
    let server = test_server::start();
    let bare = Bare::of(&server);
    let events = || Object::new().with("tables", vec![Value::from("events")]);
    write_with(&host, &server, events(), "meanwhile");
    assert!(bare.fact("meanwhile").is_none());
    write_with(&host, &server, Object::new(), "now");
    assert!(bare.fact("meanwhile").is_some() && bare.fact("now").is_some());
}

#[test]
fn what_was_written_while_nothing_was_copied_is_copied_once_it_is() {
    let host = Host::new();
    let server = test_server::start();
    let bare = Bare::of(&server);
    let off = || Object::new().with("sync_enabled", false);
    write_with(&host, &server, Object::new(), "before");
    write_with(&host, &server, off(), "meanwhile");
    assert!(bare.fact("meanwhile").is_none());
    write_with(&host, &server, Object::new(), "now");
    assert!(bare.fact("meanwhile").is_some() && bare.fact("now").is_some());

    // Once is enough.
    bare.query("DELETE kv_memories");
    write_with(&host, &server, Object::new(), "now");
    assert!(bare.fact("before").is_none());
}
