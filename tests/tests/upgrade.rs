//! Databases that the host of today made on SurrealDB 2.3.10: their exports are
//! upgraded, imported by the real server, wrapped, and replicated; also to a
//! secondary that the host's own schema is in already.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::{
    admin::AdminClient, host::Host, server::SecondaryServer, upgrade_export::upgrade,
};
use plugin_api::{
    records::CodeSymbol,
    storage::{CallContext, CodeStorage as _, FullStorage, Storage as _},
    value::{Object, Value},
};
use replication_tests::{
    counted::Counted,
    site::{Site, caught_up, dead_letters, rows, run},
    writes::one_of_each,
};
use serde_json::{Value as Json, json};
use std::{fs, path::PathBuf};
use surreal_storage::{SurrealStorage, schema::TABLES};

const EMBEDDED: &str = "embedded";
const REMOTE: &str = "remote";

/// The export, upgraded.
fn export(schema: &str) -> String {
    let name = format!("exports/export-2.3.10-{schema}-schema.surql");
    let file = fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let mut upgraded = Vec::new();
    upgrade(&*file, &mut upgraded, |_| {}).unwrap();
    String::from_utf8(upgraded).unwrap()
}

/// The same without rows.
fn schema_only(schema: &str) -> String {
    let export = export(schema);
    let define = |line: &&str| line.starts_with("DEFINE ");
    let definitions: String = export.lines().filter(define).collect();
    format!("OPTION IMPORT; {definitions}")
}

fn import(database: &SurrealStorage, sql: &str) {
    database
        .query(&CallContext::new(), sql, &Object::new())
        .unwrap();
}

/// Every row of the tables with fixed names.
fn all_rows(database: &SurrealStorage) -> Vec<(&'static str, Vec<Value>)> {
    let read = |name| rows(database, &format!("SELECT * FROM {name} ORDER BY id"));
    let tables = TABLES.iter().map(|table| table.name);
    tables.map(|name| (name, read(name))).collect()
}

fn admin(host: &Host, route: &str) -> Json {
    let client = AdminClient::local(host).unwrap();
    client.post(route, &json!({})).unwrap()
}

fn ask(host: &Host, sql: &str) {
    host.storage()
        .query(&CallContext::new(), sql, &Object::new())
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Each method that writes or deletes, at least once, on what the export has and on
/// new rows; 31 calls or more.
fn writes_and_deletes(host: &Host) {
    let counted = Counted::new(host.storage());
    let storage = &FullStorage::new(counted.clone());
    let context = &CallContext::new();
    one_of_each(storage, "31");
    storage.delete_fact(context, "alice", "langs").unwrap();
    storage.delete_document(context, "31-whole.md").unwrap();
    let entity = storage.get_entity(context, "31-here").unwrap().unwrap();
    storage
        .delete_entity(context, &entity.id.to_string())
        .unwrap();
    let of_user = |table: &str| {
        let sql =
            format!("SELECT VALUE [id, user_id] FROM {table} WHERE user_id = 'alice' LIMIT 1");
        let found = rows(host.primary(), &sql);
        let row = found[0].as_array().unwrap();
        (
            row[0].as_record_id().unwrap().to_string(),
            row[1].as_str().unwrap().to_owned(),
        )
    };
    let (id, user) = of_user("vector_memories");
    storage.delete_vector(context, &id, &user).unwrap();
    let (id, user) = of_user("events");
    storage.delete_event(context, &id, &user).unwrap();
    storage
        .delete_symbols_by_file(context, "proj", "main.go")
        .unwrap();
    storage
        .delete_chunks_by_symbol(context, "31-symbol")
        .unwrap();
    storage
        .delete_chunks_by_file(context, "proj", "main.go")
        .unwrap();
    storage
        .delete_code_file(context, "31-project", "lib.rs")
        .unwrap();
    storage.delete_code_project(context, "other").unwrap();
    assert!(
        counted.not_called().is_empty(),
        "{:?}",
        counted.not_called()
    );
    assert!(counted.calls() >= 31, "{}", counted.calls());
}

fn assert_verified(host: &Host) {
    caught_up(host);
    let report = admin(host, "verify");
    assert_eq!(report["equal"], true, "{report:#}");
    assert_eq!(dead_letters(host), Vec::<Json>::new());
}

/// What the host sends as text: rows without times, which the schema gives them.
const RAW: [&str; 6] = [
    "CREATE kv_memories SET user_id = 'raw', key = 'k', value = { a: [1, { b: 2 }] }",
    "UPDATE kv_memories SET value = 2, updated_at = time::now() WHERE user_id = 'raw' AND key = 'k'",
    "CREATE vector_memories CONTENT { user_id: 'raw', content: 'c', embedding: [0.5, 0.25], metadata: { a: { b: 1 } } }",
    "CREATE entities:raw SET entity_type = 'person', type = 'person', name = 'Raw', properties = { a: { b: 1 } }",
    "CREATE events SET user_id = 'raw', subject = 's', content = 'c', embedding = [0.5], metadata = { a: { b: 1 } }",
    "DELETE kv_memories WHERE user_id = 'bob'",
];

/// Imports the export into a primary, and replicates it to `secondary`.
fn replicate(schema: &str, prepare_secondary: impl FnOnce(&Site, &SecondaryServer)) {
    let site = Site::new();
    let (primary, secondary) = (site.server("primary"), site.server("a"));
    let database = site.database(&primary);
    import(&database, &export(schema));
    let imported = all_rows(&database);
    let filled = imported.iter().filter(|(_, rows)| !rows.is_empty()).count();
    assert!(filled >= 9, "{filled} tables have rows");
    prepare_secondary(&site, &secondary);

    let yaml = site.with_primary_on(&site.yaml(&[("a", &secondary)], &[]), &primary);
    let host = site.host_with(&yaml);
    caught_up(&host);
    assert_eq!(all_rows(&database), imported, "wrapping changed rows");
    site.assert_equal(&host, &secondary);

    assert_readable(&host);
    site.assert_equal(&host, &secondary);
    writes_and_deletes(&host);
    assert_verified(&host);
    for sql in RAW {
        ask(&host, sql);
    }
    // Rows that other programs write have their times.
    for table in ["kv_memories", "vector_memories", "events"] {
        let sql = format!("SELECT VALUE created_at FROM {table} WHERE user_id = 'raw'");
        let times = rows(&database, &sql);
        assert!(
            matches!(times[..], [Value::Datetime(_)]),
            "{table}: {times:?}"
        );
    }
    // A row without a time, as an older database may have it, stays without.
    ask(
        &host,
        "UPDATE kv_memories SET created_at = NONE WHERE user_id = 'raw'",
    );
    caught_up(&host);
    let missing = rows(
        &site.database(&secondary),
        "SELECT VALUE created_at FROM kv_memories WHERE user_id = 'raw'",
    );
    assert_eq!(missing, [Value::None]);
    assert_verified(&host);
    admin(&host, "resync");
    assert_verified(&host);

    // After a failover the secondary gives rows their times, too.
    let database = site.database(&secondary);
    run(
        &database,
        "CREATE events SET user_id = 'later', subject = 's', content = 'c'",
    );
    let times = rows(
        &database,
        "SELECT VALUE created_at FROM events WHERE user_id = 'later'",
    );
    assert!(matches!(times[..], [Value::Datetime(_)]), "{times:?}");
    host.shutdown().unwrap();
}

/// The methods read what the host has written on 2.3.10.
fn assert_readable(host: &Host) {
    let (storage, context) = (host.storage(), &CallContext::new());
    let fact = storage.get_fact(context, "alice", "langs").unwrap();
    let languages: Value = ["go", "rust"].into_iter().map(Value::from).collect();
    assert_eq!(fact, Some(languages).into());
    assert!(!storage.list_document_paths(context).unwrap().is_empty());
    let projects = storage.list_code_projects(context).unwrap();
    let names: Vec<&str> = projects
        .iter()
        .map(|project| project.record.project_id.as_str())
        .collect();
    assert_eq!(names, ["other", "proj"]);
    let jobs = storage.list_active_indexing_jobs(context).unwrap();
    assert!(!jobs.is_empty());
    let symbols = storage
        .find_symbols_by_name(context, "proj", "", &[], 100)
        .unwrap();
    let symbol = &symbols[0].record;
    // Saved again without its options, a symbol keeps them.
    let embedding = symbol.embedding.clone();
    assert!(!embedding.is_empty());
    let again = CodeSymbol {
        embedding: Vec::new().into(),
        signature: None.into(),
        source_code: None.into(),
        metadata: None.into(),
        ..symbol.clone()
    };
    storage.save_code_symbol(context, &again).unwrap();
    let kept = storage
        .get_code_symbol(context, "proj", &symbol.name_path)
        .unwrap()
        .unwrap();
    assert_eq!(&kept.record, symbol);
    caught_up(host);
}

#[test]
fn what_cannot_be_mended_or_is_not_replicated_is_named() {
    let site = Site::new();
    let server = site.server("a");
    import(
        &site.database(&server),
        "DEFINE TABLE events; DEFINE FIELD subject ON events TYPE string VALUE string::uppercase($value)",
    );
    let host = site.host(&[("a", &server)], &[]);
    for sql in [
        "CREATE semantic_memories:1 SET content = 'c'",
        "CREATE user_stats:1 SET key = 'k', stat_value = 1; CREATE user_stats:2 SET key = 'k'",
    ] {
        ask(&host, sql);
    }
    host.storage()
        .save_event(&CallContext::new(), "u", "small", "c", &[], &Object::new())
        .unwrap();
    caught_up(&host);
    let report = admin(&host, "verify");
    assert_eq!(
        report["not_replicated"],
        json!([{"table": "semantic_memories", "rows": 1}, {"table": "user_stats", "rows": 2}])
    );
    let problem = report["schema_problems"]["a"][0].as_str().unwrap();
    assert!(
        problem.starts_with("events.subject: a VALUE clause"),
        "{problem}"
    );
    let status = AdminClient::local(&host)
        .unwrap()
        .get("status", &[])
        .unwrap();
    assert_eq!(status["not_replicated"], report["not_replicated"]);
    assert_eq!(status["health"], "degraded");
    let reasons = status["reasons"].as_array().unwrap();
    let named = |reason: &Json| {
        reason["problem"]
            .as_str()
            .unwrap()
            .contains("events.subject")
    };
    assert!(reasons.iter().any(named), "{reasons:?}");
    host.shutdown().unwrap();
}

#[test]
fn an_embedded_database_is_upgraded_and_replicated() {
    replicate(EMBEDDED, |_, _| {});
}

#[test]
fn a_remote_database_is_upgraded_and_replicated() {
    replicate(REMOTE, |_, _| {});
}

#[test]
fn a_secondary_with_the_hosts_remote_schema_takes_every_row() {
    replicate(EMBEDDED, |site, server| {
        import(&site.database(server), &schema_only(REMOTE));
    });
}

#[test]
fn a_secondary_with_the_hosts_embedded_schema_takes_every_row() {
    replicate(REMOTE, |site, server| {
        import(&site.database(server), &schema_only(EMBEDDED));
    });
}
