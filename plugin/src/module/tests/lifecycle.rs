use super::{
    replicating::{SecondaryDatabase, is_drained, wait_for, with_short_intervals},
    *,
};

#[test]
fn the_host_does_not_wait_for_a_secondary_that_does_not_answer() {
    let host = Host::new();
    // It accepts connections and does not answer, so an attempt takes as long as
    // it may; a closed port would fail at once.
    let server = test_server::start();
    server.pause().unwrap();
    let settings = Object::new().with("connect_timeout", "10m");
    let began = Instant::now();
    let module = host.module(&server, settings);
    let storage = host.wrap(&module);
    host.save(&storage, "k").unwrap();
    assert!(
        storage
            .get_fact(&CallContext::new(), "ada", "k")
            .unwrap()
            .is_some()
    );
    module.cleanup().unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn an_invalid_key_is_named_and_cleanup_still_works() {
    let host = Host::new();
    let module = ModuleHandle::new(ReplicationModule::default());
    let settings = for_server(
        &test_server::down(),
        Object::new().with("sync_workers", 0_i64),
    );
    let error = module.provision(host.config(settings)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::INVALID_INPUT);
    assert!(error.message.contains("sync_workers: 0"), "{error}");
    assert_eq!(
        module.validate().unwrap_err().kind,
        ErrorKind::INVALID_INPUT
    );
    module.cleanup().unwrap();
}

#[test]
fn after_cleanup_reads_use_the_primary_and_writes_fail() {
    let host = Host::new();
    let module = host.module(&test_server::down(), Object::new());
    let (storage, wrapper) = (host.wrap(&module), module.storage_wrapper().unwrap());
    host.save(&storage, "k").unwrap();
    module.cleanup().unwrap();
    module.cleanup().unwrap();

    let context = CallContext::new();
    assert_eq!(
        host.save(&storage, "k").unwrap_err().kind,
        ErrorKind::CLOSED
    );
    let deleted = storage.delete_fact(&context, "ada", "k");
    assert_eq!(deleted.unwrap_err().kind, ErrorKind::CLOSED);
    assert!(storage.get_fact(&context, "ada", "k").unwrap().is_some());
    storage.ping(&context).unwrap();
    let wrapped = wrapper.wrap_storage(host.primary.clone());
    assert_eq!(wrapped.map(drop).unwrap_err().kind, ErrorKind::CLOSED);
    let config = host.config(for_server(&test_server::down(), Object::new()));
    assert_eq!(
        module.provision(config).unwrap_err().kind,
        ErrorKind::CLOSED
    );
    assert_eq!(module.validate().unwrap_err().kind, ErrorKind::CLOSED);
    assert_eq!(
        request(&module, "GET", "/api/db-sync/status", "").status,
        503
    );
}

#[test]
fn all_storages_of_a_module_are_closed_when_it_is_dropped() {
    let host = Host::new();
    let module = host.module(&test_server::down(), Object::new());
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
fn a_new_module_can_use_the_queue_dir_after_cleanup() {
    let host = Host::new();
    let first = host.module(&test_server::down(), Object::new());
    let kept = host.wrap(&first);
    first.cleanup().unwrap();
    let second = host.module(&test_server::down(), Object::new());
    host.save(&host.wrap(&second), "k").unwrap();
    second.cleanup().unwrap();
    drop(kept);
}

#[test]
fn a_disabled_module_does_not_change_the_primary() {
    let host = Host::new();
    let module = ModuleHandle::new(ReplicationModule::default());
    let block = Object::new()
        .with("enabled", false)
        .with("config", Object::new());
    module.provision(host.config(block)).unwrap();
    module.validate().unwrap();
    let storage = host.wrap(&module);
    host.save(&storage, "k").unwrap();
    assert_eq!(
        request(&module, "GET", "/api/db-sync/status", "").status,
        503
    );
    module.cleanup().unwrap();
    host.save(&storage, "l").unwrap();
}

#[test]
fn calls_before_provisioning_fail_with_the_reason() {
    let module = ModuleHandle::new(ReplicationModule::default());
    assert_eq!(module.info().id, ID);
    let error = module.validate().unwrap_err();
    assert!(error.message.contains("not provisioned"), "{error}");
    module.cleanup().unwrap();
}

#[test]
fn two_running_modules_cannot_share_a_queue_dir() {
    let host = Host::new();
    let first = host.module(&test_server::down(), Object::new());
    for sync_enabled in [true, false] {
        let second = ModuleHandle::new(ReplicationModule::default());
        let settings = Object::new().with("sync_enabled", sync_enabled);
        let settings = for_server(&test_server::down(), settings);
        let error = second.provision(host.config(settings)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::INVALID_INPUT);
        assert!(error.message.contains("in use"), "{error}");
    }
    let own = Object::new().with("queue_dir", "own");
    let third = host.module(&test_server::down(), own);
    first.cleanup().unwrap();
    third.cleanup().unwrap();
}

#[cfg(unix)]
#[test]
fn the_queue_dir_is_accessible_to_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new();
    let module = host.module(&test_server::down(), Object::new());
    let dir = host.data.path().join("db-sync-server");
    let mode = std::fs::metadata(dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    module.cleanup().unwrap();
}

#[test]
fn the_lifecycle_works_on_a_thread_of_an_async_runtime() {
    let host = Host::new();
    let server = test_server::down();
    let runtime = runtime();
    // Blocking calls on a thread of a runtime, as a careless host would do.
    runtime.block_on(async {
        let module = host.module(&server, Object::new());
        let storage = host.wrap(&module);
        host.save(&storage, "k").unwrap();
        module.cleanup().unwrap();
    });
}

#[test]
fn cleanup_drains_the_log() {
    let host = Host::new();
    let server = test_server::start();
    let module = host.module(&server, with_short_intervals(Object::new()));
    let storage = host.wrap(&module);
    wait_for(&module, is_drained);
    for number in 0..50 {
        host.save(&storage, &format!("k{number}")).unwrap();
    }
    module.cleanup().unwrap();
    let secondary = SecondaryDatabase::of(&server);
    assert!((0..50).all(|number| secondary.fact(&format!("k{number}")).is_some()));
}

#[test]
fn cleanup_waits_for_calls_in_flight() {
    let host = Host::new();
    let module = host.module(&test_server::down(), with_short_intervals(Object::new()));
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
