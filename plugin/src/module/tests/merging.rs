//! What merged reads return through the module.

use super::{
    replicating::{SecondaryDatabase, is_drained, wait_for, with_short_intervals},
    *,
};
use plugin_api::{records::CodeSymbol, storage::CodeStorage as _};

#[test]
fn rows_of_a_secondary_are_merged_unless_merge_reads_is_off() {
    let server = test_server::start();
    for (merge, shown) in [(true, true), (false, false)] {
        let host = Host::new();
        let module = host.module(
            &server,
            with_short_intervals(Object::new().with("merge_reads", merge)),
        );
        let storage = host.wrap(&module);
        wait_for(&module, is_drained);
        let secondary = SecondaryDatabase::of(&server);
        let context = CallContext::new();
        secondary
            .storage
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
fn without_sync_nothing_is_replicated_and_tombstones_are_kept() {
    let host = Host::new();
    let server = test_server::start();
    let settings = with_short_intervals(Object::new().with("sync_enabled", false));
    let module = host.module(&server, settings.clone());
    let storage = host.wrap(&module);
    wait_for(&module, is_drained);
    let context = CallContext::new();
    host.save(&storage, "k").unwrap();
    let secondary = SecondaryDatabase::of(&server);
    assert!(secondary.fact("k").is_none());
    secondary
        .storage
        .save_fact(&context, "ada", "k", &Value::from(2_i64))
        .unwrap();
    storage.delete_fact(&context, "ada", "k").unwrap();
    assert!(storage.get_fact(&context, "ada", "k").unwrap().is_none());
    let refused = request(&module, "POST", "/api/db-sync/resync", "");
    assert_eq!(refused.status, 501);
    module.cleanup().unwrap();

    // The tombstone survives a restart.
    let module = host.module(&server, settings);
    let storage = host.wrap(&module);
    wait_for(&module, is_drained);
    assert!(storage.get_fact(&context, "ada", "k").unwrap().is_none());
    assert!(secondary.fact("k").is_some(), "the archive keeps it");
    module.cleanup().unwrap();
}

#[test]
fn a_moved_and_deleted_symbol_is_not_returned_for_its_old_file() {
    let host = Host::new();
    let server = test_server::start();
    let module = host.module(&server, with_short_intervals(Object::new()));
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
    // Writing it again removes the tombstone.
    storage.save_code_symbol(&context, &symbol("new")).unwrap();
    let found = storage.get_code_symbol(&context, "p", "run").unwrap();
    assert!(found.is_some());
    module.cleanup().unwrap();
}

#[test]
fn deleting_an_event_as_another_user_hides_nothing() {
    let host = Host::new();
    let server = test_server::start();
    let module = host.module(&server, with_short_intervals(Object::new()));
    let storage = host.wrap(&module);
    let context = CallContext::new();
    let none = Object::new();
    let receipt = storage.save_event(&context, "ada", "s", "content", &[], &none);
    let id = receipt.unwrap().rows[0].id.to_string();
    wait_for(&module, is_drained);
    // Whatever the result: it does not delete her event.
    let _ = storage.delete_event(&context, &id, "bob");
    let lost = "DELETE events";
    host.primary.query(&context, lost, &none).unwrap();
    let shown = storage.get_events_by_subject(&context, "ada", "s", 0);
    assert_eq!(shown.unwrap().len(), 1, "the copy is still returned");
    storage.delete_event(&context, &id, "ada").ok();
    let shown = storage.get_events_by_subject(&context, "ada", "s", 0);
    assert_eq!(shown.unwrap().len(), 0);
    module.cleanup().unwrap();
}
