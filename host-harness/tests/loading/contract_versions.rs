//! Modules built against an older and a newer contract, in this host.
//!
//! Compared with this host's contract, the older one lacks the method
//! `list_active_indexing_jobs`, the capability `http_endpoints` and the
//! configuration field `data_dir`; the newer one has the method `count_facts`,
//! the capability `admin_endpoints` and the configuration field `language` more.

use super::{home, save, start};
use host_harness::host::Host;
use plugin_api::{
    error::{ErrorKind, StorageError},
    loading::{CONTRACT_VERSION, open},
    storage::{CallContext, CodeStorage, FullStorage, StatsProvider, Storage},
    value::Value,
};
use std::path::Path;

const OLDER: &str = "{test_older: {}}";
const NEWER: &str = "{test_newer: {}}";

/// A fact that a module has written about itself.
fn seen_by(module: &str, host: &Host, key: &str) -> String {
    let fact = host.primary().get_fact(&CallContext::new(), module, key);
    let fact = fact.unwrap().into_option();
    fact.as_ref()
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{module} wrote no {key}: {fact:?}"))
        .to_owned()
}

/// A write, a read and a search, in each of the three traits.
fn use_storage(storage: &FullStorage) {
    let context = CallContext::new();
    let saved = storage.save_fact(&context, "ada", "k", &Value::from(1));
    assert_eq!(saved.unwrap().rows.len(), 1);
    let fact = storage.get_fact(&context, "ada", "k").unwrap();
    assert_eq!(fact.into_option(), Some(Value::from(1)));
    let embedding = [0.5; 768];
    let indexed = storage.index_vector(&context, "ada", "text", &embedding, &Default::default());
    indexed.unwrap();
    let found = storage.search_similar(&context, "ada", &embedding, 1);
    assert!(found.unwrap()[0].similarity > 0.99);
    let stats = storage.get_stats(&context, "ada").unwrap();
    assert_eq!((stats.key_value_count, stats.vector_count), (1, 1));
    assert!(storage.list_code_projects(&context).unwrap().is_empty());
}

fn assert_missing(error: &StorageError, method: &str, theirs: &str, ours: &str) {
    assert_eq!(error.kind, ErrorKind::UNSUPPORTED, "{error}");
    assert_missing_text(&error.to_string(), method, theirs, ours);
}

fn assert_missing_text(text: &str, method: &str, theirs: &str, ours: &str) {
    for part in [
        format!("{method} is missing"),
        format!("which was built against plugin-api {theirs};"),
        format!("the caller was built against plugin-api {ours},"),
        "(Unsupported)".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
}

fn contract_of(home: &Path, library: &str) -> &'static str {
    let name = format!("lib{library}{}", std::env::consts::DLL_SUFFIX);
    let library = open(&home.join("modules").join(name)).unwrap();
    assert_ne!(library.contract_version(), CONTRACT_VERSION);
    library.contract_version()
}

#[test]
fn a_module_of_an_older_contract_works_and_what_it_lacks_is_unsupported() {
    let home = home(&["older"]);
    let host = start(home.path(), OLDER);
    assert!(host.failures().is_empty(), "{:?}", host.failures());
    assert_eq!(
        seen_by("test_older", &host, "provisioned"),
        "remembrances/main"
    );
    use_storage(host.storage());

    let older = contract_of(home.path(), "older");
    assert_eq!(host.storage().contract_version(), older);
    let context = CallContext::new();
    let jobs = host.storage().list_active_indexing_jobs(&context);
    assert_missing(
        &jobs.unwrap_err(),
        "list_active_indexing_jobs",
        older,
        CONTRACT_VERSION,
    );
    // The primary has the method, and the module is still there.
    assert!(
        host.primary()
            .list_active_indexing_jobs(&context)
            .unwrap()
            .is_empty()
    );
    save(&host, "still there").unwrap();

    let module = host.modules().module("test_older").unwrap();
    assert!(module.http_endpoints().is_none());
    host.shutdown().unwrap();
}

#[test]
fn a_module_of_a_newer_contract_works_and_what_the_host_lacks_is_unsupported() {
    let home = home(&["newer"]);
    let host = start(home.path(), NEWER);
    assert!(host.failures().is_empty(), "{:?}", host.failures());
    use_storage(host.storage());
    let jobs = host
        .storage()
        .list_active_indexing_jobs(&CallContext::new());
    assert!(jobs.unwrap().is_empty());

    let newer = contract_of(home.path(), "newer");
    assert_eq!(host.storage().contract_version(), newer);
    assert_eq!(seen_by("test_newer", &host, "language"), r#""""#);
    let counted = seen_by("test_newer", &host, "count_facts");
    assert_missing_text(&counted, "count_facts", CONTRACT_VERSION, newer);

    let module = host.modules().module("test_newer").unwrap();
    assert!(module.http_endpoints().is_some());
    host.shutdown().unwrap();
}

#[test]
fn modules_of_three_contracts_work_in_one_host() {
    let home = home(&["older", "newer", "alpha"]);
    let host = start(
        home.path(),
        "{test_newer: {}, test_alpha: {}, test_older: {}}",
    );
    assert!(host.failures().is_empty(), "{:?}", host.failures());
    use_storage(host.storage());
    let older = contract_of(home.path(), "older");
    let jobs = host
        .storage()
        .list_active_indexing_jobs(&CallContext::new());
    assert_missing(
        &jobs.unwrap_err(),
        "list_active_indexing_jobs",
        older,
        CONTRACT_VERSION,
    );
    host.shutdown().unwrap();
}

#[test]
fn what_a_called_storage_lacks_is_unsupported_through_the_modules_around_it() {
    let home = home(&["older", "newer"]);
    // The newer module calls the older one, which does not have the method.
    let host = start(home.path(), "{test_older: {}, test_newer: {}}");
    assert!(host.failures().is_empty(), "{:?}", host.failures());
    use_storage(host.storage());
    let (older, newer) = (
        contract_of(home.path(), "older"),
        contract_of(home.path(), "newer"),
    );
    let jobs = host
        .storage()
        .list_active_indexing_jobs(&CallContext::new());
    assert_missing(
        &jobs.unwrap_err(),
        "list_active_indexing_jobs",
        older,
        newer,
    );
    host.shutdown().unwrap();
}
