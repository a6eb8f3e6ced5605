//! Raw SurrealQL: its writes are replicated; its reads go to the primary, or are
//! merged if configured.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "raw_query/merged.rs"]
mod merged;

use host_harness::{config::HostConfig, host::Host};
use plugin_api::{
    error::ErrorKind,
    storage::{CallContext, Storage},
    value::{Object, RecordId, Value},
};
use replication_tests::{
    site::{Site, caught_up, replication},
    wait, writes,
};
use std::{
    os::unix::process::ExitStatusExt,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

/// SIGABRT.
const ABORTED: i32 = 6;

fn query(storage: &dyn Storage, sql: &str, parameters: &Object) -> Value {
    storage
        .query(&CallContext::new(), sql, parameters)
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The first statement's result.
fn first(answer: &Value) -> Value {
    answer.as_array().unwrap().first().unwrap().clone()
}

fn parameters() -> Object {
    let symbol = |name: &str| {
        Value::from(
            Object::new()
                .with("project_id", "p")
                .with("name_path", name)
                .with("name", name)
                .with("start_line", 1i64),
        )
    };
    Object::new()
        .with("id", RecordId::new("events", "one"))
        .with("table", "entities")
        .with("symbols", vec![symbol("raw/a"), symbol("raw/b")])
        .with("value", Object::new().with("deep", vec![Value::Int(1)]))
}

/// Raw writes of every kind, run in this order.
const WRITES: &[&str] = &[
    "CREATE events:one SET user_id = 'u', subject = 's', content = 'raw', created_at = time::now()",
    "CREATE kv_memories SET user_id = 'u', key = 'raw', value = $value",
    "CREATE |entities:3| SET name = 'many', entity_type = 'raw' RETURN NONE",
    "CREATE ONLY vector_memories SET user_id = 'u', content = 'only'",
    "INSERT INTO code_symbols $symbols",
    "INSERT INTO kv_memories (user_id, key, value) VALUES ('u', 'a', 1), ('u', 'b', 2)",
    "INSERT INTO kv_memories { user_id: 'u', key: 'a', value: 3 } ON DUPLICATE KEY UPDATE value = 4",
    "UPDATE $id SET subject = 'changed'",
    "UPDATE type::table($table) SET properties.seen = true WHERE name = 'many'",
    "UPDATE kv_memories SET value = 'again' WHERE key = 'raw'",
    "UPDATE code_symbols MERGE { signature: 'fn()' } RETURN DIFF",
    "UPDATE kv_memories SET key = 'renamed' WHERE key = 'raw'",
    "UPSERT kv_memories SET user_id = 'u', key = 'up', value = 1 WHERE user_id = 'u' AND key = 'up'",
    "UPSERT kv_memories SET user_id = 'u', key = 'up', value = 2 WHERE user_id = 'u' AND key = 'up'",
    "UPSERT entities:known SET name = 'known'",
    "UPDATE knowledge_base SET content = 'raw words', embedding = NONE",
    "UPDATE knowledge_base SET source_file = 'moved.md' WHERE chunk_index != NONE",
    "CREATE likes SET from_entity = 'entities:a', to_entity = 'entities:b', relationship_type = 'likes'",
    "RELATE entities:known->leads_to->entities:known SET from_entity = 'entities:known', to_entity = 'entities:known'",
    "FOR $n IN 1..4 { CREATE events SET user_id = 'u', subject = 'loop', content = <string> $n }",
    "LET $made = (CREATE entities SET name = 'let'); UPDATE $made SET properties = { let: true }",
    "IF true { UPDATE events SET content = 'if' WHERE subject = 'loop' } ELSE { CREATE nothing }",
    "BEGIN; CREATE kv_memories SET user_id = 'u', key = 'tx', value = 1; UPDATE entities SET name = 'tx' WHERE name = 'let'; COMMIT",
    "SELECT * FROM (CREATE events SET user_id = 'u', subject = 'inside', content = 'a select')",
    "RETURN [1, 2].map(|$n| (CREATE entities SET name = <string> $n))",
    "DEFINE FUNCTION fn::remember($key: string) { RETURN CREATE kv_memories SET user_id = 'u', key = $key, value = 'fn' }",
    "RETURN fn::remember('by function')",
    "UPDATE code_indexing_jobs SET status = 'completed' TIMEOUT 5s",
    "UPDATE code_projects, code_files SET metadata = { raw: true }",
    "CREATE events SET user_id = 'u', subject = 'child', metadata = { parent: (CREATE ONLY events SET user_id = 'u', subject = 'parent').id }",
    "UPDATE events:one SET metadata = { n: (UPDATE events SET metadata = { inner: true } WHERE subject = 'parent') != NONE }",
    "UPDATE events:one SET content = 'outer' WHERE (CREATE events SET user_id = 'u', subject = 'in a condition') != NONE",
    "INSERT INTO events [{ user_id: 'u', metadata: { of: (CREATE ONLY events SET user_id = 'u', subject = 'in a list').id } }]",
    "CREATE likes:[1] SET from_entity = 'entities:a', to_entity = 'entities:b', relationship_type = 'likes'",
    "RELATE entities:known->likes:0->entities:known RETURN NONE",
    "UPDATE likes SET properties = { walked: true } RETURN NONE",
    "UPDATE type::record('events:one') SET subject = 'by its text'",
    "UPDATE type::record($id) SET subject = 'by its id'",
    "CREATE type::record('kv_memories', 'given') SET user_id = 'u', key = 'given'",
    "UPSERT kv_memories:by_hand SET user_id = 'u', key = 'by hand' WHERE user_id = 'u' AND key = 'by hand'",
    "CREATE kv_memories:fixed SET user_id = 'u', key = 'first'",
    "UPDATE kv_memories:fixed SET key = 'second', value = 'moved'",
];

#[test]
fn every_kind_of_raw_write_reaches_the_secondary() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    writes::one_of_each(host.storage(), "x");
    for text in WRITES {
        query(host.storage(), text, &parameters());
        caught_up(&host);
        let comparison = host_harness::compare::compare(host.primary(), &site.database(&server));
        let comparison = comparison.unwrap();
        assert!(comparison.is_equal(), "{text}: {comparison:#?}");
    }
    assert_eq!(replication(&host).dead_letters, 0);
}

/// For the database, `[1]` and `[1.0]` are two rows, and so are none and null.
#[test]
fn a_row_whose_id_holds_a_whole_float_or_null_is_replicated() {
    const IDS: &[&str] = &[
        "[20.0]",
        "[20]",
        "['x', NULL]",
        "['x', NONE]",
        "[[1.0, NULL], 2]",
        "[{ a: { b: 3.0 }, c: NULL }]",
        "{ a: 4.0 }",
        "[-0.0]",
        "[5.0dec]",
        "[2.5]",
    ];
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    caught_up(&host);
    let secondary = site.database(&server);
    let same = |text: &str| {
        let expected = first(&query(host.primary(), text, &Object::new()));
        assert_eq!(first(&query(&secondary, text, &Object::new())), expected);
        expected.as_array().unwrap().len()
    };
    for (n, id) in IDS.iter().enumerate() {
        let create = format!("CREATE events:{id} SET user_id = 'u', metadata = {{ n: {n} }}");
        query(host.storage(), &create, &Object::new());
        let create = format!("CREATE vector_memories:{id} SET content = '{n}' RETURN NONE");
        query(host.storage(), &create, &Object::new());
        caught_up(&host);
        for table in ["events", "vector_memories"] {
            let rows = same(&format!("SELECT * FROM {table} ORDER BY id"));
            assert_eq!(rows, n + 1, "{id}");
        }
    }
    let again = "UPDATE events SET metadata.again = true";
    query(host.storage(), again, &Object::new());
    caught_up(&host);
    let rows = same("SELECT id, metadata FROM events WHERE metadata.again ORDER BY id");
    assert_eq!(rows, IDS.len());
}

#[test]
fn raw_writes_while_the_secondary_is_down_reach_it_later() {
    let site = Site::new();
    let mut server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    writes::one_of_each(host.storage(), "x");
    caught_up(&host);
    server.kill();
    for text in WRITES {
        query(host.storage(), text, &parameters());
    }
    writes::one_of_each(host.storage(), "y");
    server.restart().unwrap();
    caught_up(&host);
    site.assert_equal(&host, &server);
}

/// What is queued for a row's former key precedes what the resync finds.
#[test]
fn a_row_that_changes_its_key_back_and_forth_converges() {
    let site = Site::new();
    let mut server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    caught_up(&host);
    let context = CallContext::new();
    for round in 0..4i64 {
        server.kill();
        for n in 0..40 {
            let (here, there) = (format!("here-{n}"), format!("there-{n}"));
            host.storage()
                .save_fact(&context, "u", &here, &round.into())
                .unwrap();
            let names = Object::new().with("here", here).with("there", there);
            let swap = "DELETE kv_memories WHERE key = $there; \
                        UPDATE kv_memories SET key = $there WHERE key = $here";
            query(host.storage(), swap, &names);
        }
        server.restart().unwrap();
        caught_up(&host);
        let secondary = site.database(&server);
        for n in 0..40 {
            let there = Object::new().with("there", format!("there-{n}"));
            let text = "SELECT id, value FROM kv_memories WHERE key = $there";
            let expected = query(host.primary(), text, &there);
            assert_eq!(query(&secondary, text, &there), expected, "round {round}");
            assert_ne!(first(&expected), Value::from(Vec::<Value>::new()));
        }
    }
}

#[test]
fn statements_before_one_that_failed_are_replicated() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    writes::one_of_each(host.storage(), "x");
    caught_up(&host);
    // The second fails with a parse error, of a value and not of the text.
    for (end, expected) in [
        ("THROW 'no'", "no"),
        (
            "CREATE entities SET name = type::field('(')",
            "Parse error:",
        ),
    ] {
        let parameters = Object::new().with("end", end);
        let text = format!("CREATE events SET user_id = 'u', subject = 's', content = $end; {end}");
        let error = host
            .storage()
            .query(&CallContext::new(), &text, &parameters)
            .unwrap_err();
        assert!(error.message.contains(expected), "{error}");
        caught_up(&host);
        let kept = "SELECT VALUE content FROM events WHERE content = $end";
        assert_eq!(
            first(&query(&site.database(&server), kept, &parameters)),
            Value::from(vec![Value::from(end)])
        );
    }
    site.assert_equal(&host, &server);
}

/// While the secondary is down, anything queued or requested would remain.
#[test]
fn reads_and_failed_statements_queue_nothing() {
    let site = Site::new();
    let mut server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    writes::one_of_each(host.storage(), "x");
    caught_up(&host);
    server.kill();
    let nothing_left = |text: &str| {
        let status = replication(&host);
        assert_eq!((status.backlog, status.resyncs), (0, 0), "{text}");
    };
    let reads = [
        "SELECT * FROM events",
        "SELECT *,/* as is */ 'it''s' FROM kv_memories -- to the end",
        "LET $n = (SELECT count() FROM events GROUP ALL); RETURN $n",
        "RETURN r'raw\\text'; RETURN [1, 2].map(|$x| $x + 1)",
        "INFO FOR DB",
    ];
    for text in reads {
        let parameters = parameters();
        let answer = host.storage().query(&CallContext::new(), text, &parameters);
        let own = host.primary().query(&CallContext::new(), text, &parameters);
        assert_eq!(answer.is_ok(), own.is_ok(), "{text}");
        if let (Ok(answer), Ok(own)) = (answer, own) {
            assert_eq!(answer, own, "{text}");
        }
        nothing_left(text);
    }
    for text in [
        "CREATE events:a; SELECT * FROM nonsense WHERE (",
        "CREATE events:one SET embedding = 'no list of floats'",
        "no SurrealQL at all",
    ] {
        let answer = host
            .storage()
            .query(&CallContext::new(), text, &Object::new());
        let error = answer.unwrap_err();
        assert_eq!(error.kind, ErrorKind::INVALID_INPUT, "{text}: {error}");
        nothing_left(&format!("{text}: {error}"));
    }
    let delete = "DELETE events WHERE subject = 'nobody has this'";
    query(host.storage(), delete, &Object::new());
    nothing_left(delete);
}

/// A write to one row by its id, or by the text of its id, needs no resync.
#[test]
fn a_write_to_a_row_by_its_id_queues_that_row_alone() {
    let site = Site::new();
    let mut server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    let parameters = parameters().with("text", "events:⟨two words⟩");
    query(
        host.storage(),
        "CREATE events:one, events:⟨two words⟩ SET user_id = 'u'",
        &parameters,
    );
    caught_up(&host);
    server.kill();
    for (n, id) in ["$id", "$text", "'events:⟨two words⟩'"].iter().enumerate() {
        let text = format!("UPDATE type::record({id}) SET metadata = {{ n: {n} }}");
        query(host.storage(), &text, &parameters);
        let status = replication(&host);
        assert_eq!(status.resyncs, 0, "{text}");
        assert!(status.backlog > 0, "{text}");
    }
    server.restart().unwrap();
    caught_up(&host);
    site.assert_equal(&host, &server);
}

#[test]
fn a_raw_write_to_a_table_that_is_not_selected_is_not_replicated() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &["tables: [events]"]);
    caught_up(&host);
    let texts = [
        "CREATE kv_memories SET user_id = 'u', key = 'k', value = 1",
        "CREATE notes SET text = 'no memory'",
        "CREATE events SET user_id = 'u', subject = 's', content = 'c'",
        "RETURN array::len([(CREATE notes), (CREATE events SET user_id = 'u')])",
    ];
    for text in texts {
        query(host.storage(), text, &Object::new());
    }
    caught_up(&host);
    let secondary = site.database(&server);
    let count = |table: &str| {
        let text = format!("RETURN array::len((SELECT * FROM {table}))");
        first(&query(&secondary, &text, &Object::new()))
    };
    assert_eq!(count("events"), Value::from(2i64));
    assert_eq!(count("kv_memories"), Value::from(0i64));
    let tables = query(
        &secondary,
        "RETURN (INFO FOR DB).tables.keys()",
        &Object::new(),
    );
    let tables = first(&tables);
    assert!(
        !tables.as_array().unwrap().contains(&"notes".into()),
        "{tables:?}"
    );
}

#[test]
fn rows_of_a_raw_delete_are_hidden_until_they_are_written_again() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    let (storage, context) = (host.storage(), CallContext::new());
    for key in ["a", "b", "c"] {
        storage.save_fact(&context, "u", key, &key.into()).unwrap();
    }
    caught_up(&host);
    let keys = || {
        let keys = storage.list_fact_keys(&context, "u").unwrap();
        keys.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let one = Object::new().with("key", "a");
    query(storage, "DELETE kv_memories WHERE key = $key", &one);
    assert_eq!(keys(), ["b", "c"]);
    query(storage, "DELETE kv_memories", &Object::new());
    assert!(keys().is_empty());
    let again = "CREATE kv_memories SET user_id = 'u', key = 'b', value = 'again'";
    query(storage, again, &Object::new());
    assert_eq!(keys(), ["b"]);
    // Deleted without the module: the secondary's row is returned.
    query(host.primary(), "DELETE kv_memories", &Object::new());
    assert_eq!(keys(), ["b"]);
}

#[test]
fn a_raw_delete_that_certainly_failed_hides_no_row() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    let (storage, context) = (host.storage(), CallContext::new());
    for key in ["a", "b"] {
        storage.save_fact(&context, "u", key, &key.into()).unwrap();
    }
    caught_up(&host);
    // The secondary alone has it: an archived row.
    let behind = "DELETE kv_memories WHERE key = 'b'";
    query(host.primary(), behind, &Object::new());
    for which in ["", "WHERE key = 'a'"] {
        let text = format!("DELETE kv_memories {which} RETURN VALUE {{ THROW 'kept' }}");
        let answer = storage.query(&context, &text, &Object::new());
        let error = answer.unwrap_err();
        assert_eq!(error.kind, ErrorKind::INVALID_INPUT, "{text}: {error}");
    }
    query(host.primary(), "DELETE kv_memories", &Object::new());
    let keys = storage.list_fact_keys(&context, "u").unwrap();
    let keys: Vec<_> = keys.iter().map(ToString::to_string).collect();
    assert_eq!(keys, ["a", "b"]);
}

#[test]
fn after_cleanup_raw_writes_are_rejected_and_raw_reads_still_work() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    let storage = host.storage().clone();
    query(
        &storage,
        "CREATE events:one SET user_id = 'u'",
        &Object::new(),
    );
    for module in host.modules().modules() {
        plugin_api::module::Module::cleanup(module.handle()).unwrap();
    }
    for text in [
        "CREATE events:two SET user_id = 'u'",
        "DELETE events",
        "RETURN fn::any()",
    ] {
        let rejected = storage.query(&CallContext::new(), text, &Object::new());
        assert_eq!(rejected.unwrap_err().kind, ErrorKind::CLOSED, "{text}");
    }
    let ids = query(&storage, "SELECT VALUE id FROM events", &Object::new());
    let one = Value::from(RecordId::new("events", "one"));
    assert_eq!(first(&ids), Value::from(vec![one]));
}

#[test]
fn a_table_with_repeated_resync_requests_is_scanned_to_its_end() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    let fill =
        "FOR $n IN 0..700 { CREATE type::record('events', $n) SET user_id = 'u' RETURN NONE }";
    query(host.storage(), fill, &Object::new());
    caught_up(&host);
    let secondary = site.database(&server);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let text = "UPDATE events:0 SET subject = rand::string(); RETURN 1";
                query(host.storage(), text, &Object::new());
            }
        });
        // A panic must not leave the thread running.
        let _stop = StopOnDrop(&stop);
        let text = "UPDATE events:699 SET content = 'last'; RETURN 1";
        query(host.storage(), text, &Object::new());
        wait::until(
            "the table's last row",
            || {
                first(&query(
                    &secondary,
                    "RETURN events:699.content",
                    &Object::new(),
                ))
            },
            |content| *content == Value::from("last"),
        );
    });
    caught_up(&host);
    site.assert_equal(&host, &server);
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The configuration with which the child process starts a host.
const CHILD: &str = "RAW_QUERY_CHILD";
/// The SurrealQL that it runs.
const TEXT: &str = "RAW_QUERY_TEXT";

/// Not a test: the host of the next one, in a process of its own.
#[test]
#[ignore = "a part of the next test"]
fn a_host_that_is_killed() {
    let (config, text) = (std::env::var(CHILD).unwrap(), std::env::var(TEXT).unwrap());
    let config = HostConfig::load(Path::new(&config)).unwrap();
    let host = Host::start(&config).unwrap();
    query(host.storage(), &text, &parameters());
    caught_up(&host);
    host.shutdown().unwrap();
}

#[test]
#[cfg_attr(not(debug_assertions), ignore = "fail points are in debug builds only")]
fn a_host_killed_at_any_step_of_a_raw_write_converges() {
    let site = Site::new();
    let server = site.server("a");
    let config = site.config_file(&[("a", &server)], &[]);
    {
        let host = site.host(&[("a", &server)], &[]);
        writes::one_of_each(host.storage(), "x");
        caught_up(&host);
        host.shutdown().unwrap();
    }
    let steps = [
        "before_intent",
        "before_primary_write",
        "after_primary_commit",
        "after_append",
        "before_apply",
        "after_apply",
        "before_copy",
    ];
    let texts = [
        // Replicated by its answer, by a resync of its tables, by a resync of all.
        "CREATE events SET user_id = 'u', subject = '{}', content = 'c'",
        "UPDATE events SET subject = '{}' RETURN NONE; UPDATE entities SET name = '{}'",
        "UPDATE type::table(string::concat('ev', 'ents')) SET subject = '{}'",
    ];
    for (n, step) in steps.iter().enumerate() {
        // A resync goes past the log.
        let passing = match *step {
            "after_append" | "before_apply" | "after_apply" => &texts[..1],
            "before_copy" => &texts[1..],
            _ => &texts[..],
        };
        for text in passing {
            let text = text.replace("{}", &format!("{step}-{n}"));
            let child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "a_host_that_is_killed", "--ignored"])
                .env(CHILD, &config)
                .env(TEXT, &text)
                .env("DB_SYNC_FAIL_POINTS", format!("{step}=abort"))
                .output()
                .unwrap();
            assert_eq!(child.status.signal(), Some(ABORTED), "{step}: {child:?}");
            let host = site.host(&[("a", &server)], &[]);
            caught_up(&host);
            let secondary = site.database(&server);
            let comparison = host_harness::compare::compare(host.primary(), &secondary).unwrap();
            assert!(comparison.is_equal(), "{step}, {text}: {comparison:#?}");
            host.shutdown().unwrap();
        }
    }
}
