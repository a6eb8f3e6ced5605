use super::*;

#[test]
fn a_host_starts_at_once_with_its_secondary_down() {
    let host = Host::new();
    // It accepts connections and says nothing: whoever waits for an attempt to
    // connect waits for as long as one may take. A closed port refuses at once.
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
fn a_wrong_key_is_named_and_the_module_can_be_cleaned_up() {
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
fn after_cleanup_reads_are_the_primarys_and_writes_are_refused() {
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
fn storages_of_one_module_work_side_by_side_and_end_together() {
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
fn another_module_takes_over_the_same_directory() {
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
fn a_disabled_module_leaves_the_primary_as_it_is() {
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
fn calls_before_provisioning_say_so() {
    let module = ModuleHandle::new(ReplicationModule::default());
    assert_eq!(module.info().id, ID);
    let error = module.validate().unwrap_err();
    assert!(error.message.contains("not provisioned"), "{error}");
    module.cleanup().unwrap();
}

#[test]
fn two_modules_cannot_share_a_directory() {
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
fn the_log_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new();
    let module = host.module(&test_server::down(), Object::new());
    let dir = host.data.path().join("db-sync-server");
    let mode = std::fs::metadata(dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    module.cleanup().unwrap();
}

#[test]
fn a_host_may_be_asynchronous() {
    let host = Host::new();
    let server = test_server::down();
    let runtime = runtime();
    // The whole life on a thread of a runtime, as a careless host would do.
    runtime.block_on(async {
        let module = host.module(&server, Object::new());
        let storage = host.wrap(&module);
        host.save(&storage, "k").unwrap();
        module.cleanup().unwrap();
    });
}
