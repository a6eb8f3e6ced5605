use crate::support::{bare, cx, rows, run, runtime, storage, target, timeouts};
use plugin_api::{
    error::ErrorKind,
    storage::{CallContext, Storage},
    value::{Object, Value},
};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};
use surreal_storage::{Connection, SurrealStorage, Timeouts, schema::quoted};

#[test]
fn calls_before_connect_and_after_close_fail_with_the_reason() {
    let s = SurrealStorage::new(target("mem://"), timeouts(), runtime());
    assert_eq!(s.ping(&cx()).unwrap_err().kind, ErrorKind::CONNECTION);
    s.connect(&cx()).unwrap();
    s.connect(&cx()).unwrap();
    s.ping(&cx()).unwrap();
    let clone = s.clone();
    s.close(&cx()).unwrap();
    s.close(&cx()).unwrap();
    for s in [s, clone] {
        assert_eq!(s.ping(&cx()).unwrap_err().kind, ErrorKind::CLOSED);
        assert_eq!(s.connect(&cx()).unwrap_err().kind, ErrorKind::CLOSED);
        assert_eq!(
            s.get_fact(&cx(), "a", "b").unwrap_err().kind,
            ErrorKind::CLOSED
        );
        assert_eq!(s.connection().unwrap_err().kind, ErrorKind::CLOSED);
    }
}

#[test]
fn initialising_the_schema_is_idempotent() {
    let s = bare();
    let structure = || {
        let tables = surreal_storage::schema::TABLES.iter();
        let sql: String = tables
            .map(|t| format!("INFO FOR TABLE {};", t.name))
            .collect();
        run(&s, &format!("INFO FOR DB; {sql}"))
    };
    s.initialize_schema(&cx()).unwrap();
    s.save_fact(&cx(), "ada", "k", &1_i64.into()).unwrap();
    let (first, before) = (structure(), rows(&s, "kv_memories"));
    s.initialize_schema(&cx()).unwrap();
    assert_eq!(structure(), first);
    assert_eq!(rows(&s, "kv_memories"), before);
}

#[test]
fn concurrent_initialisations_all_succeed() {
    let s = bare();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| s.initialize_schema(&cx()).unwrap());
        }
    });
    s.save_fact(&cx(), "ada", "k", &1_i64.into()).unwrap();
}

#[test]
fn a_call_ends_at_its_deadline() {
    let s = storage();
    let started = Instant::now();
    let context = CallContext::with_timeout(Duration::from_millis(100));
    let error = s.query(&context, "SLEEP 20s", &Object::new()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TIMEOUT);
    assert!(started.elapsed() < Duration::from_secs(5));
    let none_left = CallContext::with_timeout(Duration::ZERO);
    assert_eq!(
        s.get_fact(&none_left, "a", "b").unwrap_err().kind,
        ErrorKind::TIMEOUT
    );
    s.ping(&cx()).unwrap();
    s.ping(&CallContext::with_timeout(Duration::MAX)).unwrap();
    let endless = Timeouts {
        connect: Duration::MAX,
        operation: Duration::MAX,
    };
    let s = SurrealStorage::new(target("mem://"), endless, runtime());
    s.connect(&cx()).unwrap();
    s.initialize_schema(&cx()).unwrap();
}

#[test]
fn a_query_gives_one_result_for_each_statement_and_one_error_for_all() {
    let s = storage();
    let parameters = Object::new().with("n", 2_i64);
    let answer = s
        .query(&cx(), "RETURN $n; RETURN $n + 1; RETURN NONE", &parameters)
        .unwrap();
    assert_eq!(
        answer,
        vec![Value::Int(2), Value::Int(3), Value::None].into()
    );
    let answer = s
        .query(
            &cx(),
            "LIVE SELECT * FROM kv_memories; KILL u'018f3f3e-1c1a-7d5e-9d2a-5b6c7d8e9f00'; BEGIN; RETURN 4; COMMIT",
            &Object::new(),
        )
        .unwrap();
    assert_eq!(answer.as_array().unwrap().get(3), Some(&Value::Int(4)));
    for (sql, kind) in [
        ("BEGIN; CREATE x:4", ErrorKind::INVALID_INPUT),
        (
            "RETURN 1; THIS IS NOT A STATEMENT",
            ErrorKind::INVALID_INPUT,
        ),
        ("THROW 'no'", ErrorKind::INVALID_INPUT),
        ("SELECT * FROM no_such_table", ErrorKind::NOT_FOUND),
        (
            "CREATE code_files SET project_id = 1",
            ErrorKind::INVALID_INPUT,
        ),
        ("CREATE x:1; CREATE x:1", ErrorKind::CONFLICT),
        (
            "BEGIN; CREATE x:2; THROW 'no'; COMMIT",
            ErrorKind::INVALID_INPUT,
        ),
        (
            "CREATE kv_memories SET user_id = 'a', key = 'b'; CREATE kv_memories SET user_id = 'a', key = 'b'",
            ErrorKind::CONFLICT,
        ),
    ] {
        let error = s.query(&cx(), sql, &Object::new()).unwrap_err();
        assert_eq!(error.kind, kind, "{sql}: {error}");
    }
    let error = s
        .query(
            &cx(),
            "BEGIN; CREATE x:3; THROW 'the reason'; COMMIT",
            &Object::new(),
        )
        .unwrap_err();
    assert!(error.message.contains("the reason"), "{error}");
    assert_eq!(rows(&s, "x").len(), 1);
}

#[test]
fn a_database_on_disk_survives_being_reopened() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("surrealkv://{}", directory.path().display());
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_stack_size(10 << 20)
            .enable_all()
            .build()
            .unwrap()
    };
    let open = |runtime: &tokio::runtime::Runtime| {
        let s = SurrealStorage::new(target(&url), timeouts(), runtime.handle().clone());
        s.connect(&cx()).unwrap();
        s.initialize_schema(&cx()).unwrap();
        s
    };
    let first = runtime();
    let s = open(&first);
    s.save_fact(&cx(), "ada", "k", &"kept".into()).unwrap();
    let before = rows(&s, "kv_memories");
    s.close(&cx()).unwrap();
    drop((s, first));

    let second = runtime();
    let s = open(&second);
    assert_eq!(rows(&s, "kv_memories"), before);
}

#[test]
fn calls_from_the_workers_of_any_runtime_are_answered() {
    let s = storage();
    // From a worker of the storage's own runtime.
    let call = {
        let s = s.clone();
        runtime().spawn(async move { s.ping(&cx()) })
    };
    runtime().block_on(call).unwrap().unwrap();
    // From inside block_on, and from spawn_blocking.
    runtime().block_on(async { s.ping(&cx()) }).unwrap();
    let blocking = s.clone();
    runtime()
        .block_on(runtime().spawn_blocking(move || blocking.ping(&cx())))
        .unwrap()
        .unwrap();
    // From a single-threaded runtime.
    let single = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    single.block_on(async { s.ping(&cx()) }).unwrap();
    // With a single-threaded runtime, which cannot wait for itself.
    let lone = SurrealStorage::new(target("mem://"), timeouts(), single.handle().clone());
    let error = single.block_on(async { lone.connect(&cx()) }).unwrap_err();
    assert_eq!(error.kind, ErrorKind::INTERNAL);
}

#[test]
fn one_worker_suffices_for_calls_from_it() {
    let single = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_stack_size(10 << 20)
        .enable_all()
        .build()
        .unwrap();
    let s = SurrealStorage::new(target("mem://"), timeouts(), single.handle().clone());
    let call = single.spawn(async move {
        s.connect(&cx())?;
        s.ping(&cx())
    });
    single.block_on(call).unwrap().unwrap();
}

#[test]
fn calls_after_the_end_of_the_runtime_fail() {
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let s = SurrealStorage::new(target("mem://"), timeouts(), ended.handle().clone());
    ended.shutdown_background();
    assert_eq!(s.connect(&cx()).unwrap_err().kind, ErrorKind::CLOSED);
}

#[test]
fn a_storage_over_an_open_connection_uses_it() {
    let connection = runtime()
        .block_on(runtime().spawn(async { Connection::open(&target("mem://"), &timeouts()).await }))
        .unwrap()
        .unwrap();
    let s = SurrealStorage::from_connection(connection, timeouts(), runtime());
    s.connect(&cx()).unwrap();
    s.initialize_schema(&cx()).unwrap();
    s.save_fact(&cx(), "ada", "k", &1_i64.into()).unwrap();
    assert_eq!(rows(&s, "kv_memories").len(), 1);
}

/// `tests/data/surrealkv-0.9.1/memories.db` was written by the crate surrealkv 0.9.1
/// with one committed key. SurrealDB 2.3 to 2.6 (by their Cargo.lock) has its
/// databases on disk from that crate: a directory with `manifest` and `clog`.
#[test]
fn a_directory_of_2_is_named_and_left_as_it_is() {
    let original = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/surrealkv-0.9.1/memories.db"
    );
    let files = [
        "manifest/00000000000000000000.manifest",
        "clog/00000000000000000000.clog",
    ];
    // Each of them alone is enough.
    for copied in [&files[..], &files[..1], &files[1..]] {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("memories.db");
        for file in copied {
            let copy = directory.join(file);
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            fs::copy(Path::new(original).join(file), copy).unwrap();
        }
        let url = format!("surrealkv://{}", directory.display());
        let s = SurrealStorage::new(target(&url), timeouts(), runtime());
        let error = s.connect(&cx()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::UNSUPPORTED, "{error}");
        for part in ["holds a database of SurrealDB 2.x", "upgrade-export"] {
            assert!(error.message.contains(part), "{error}");
        }
        let directories = fs::read_dir(&directory).unwrap().count();
        assert_eq!(directories, copied.len());
        for file in copied {
            let [before, after] =
                [Path::new(original), &directory].map(|at| fs::read(at.join(file)));
            assert_eq!(before.unwrap(), after.unwrap());
            let beside = directory.join(file);
            let beside = fs::read_dir(beside.parent().unwrap()).unwrap().count();
            assert_eq!(beside, 1, "{file}");
        }
    }
}

#[test]
fn a_quoted_name_is_that_table_whatever_characters_it_has() {
    let s = bare();
    let names = [
        "plain",
        "two words",
        "back`tick",
        r"back\slash",
        r"both\`",
        "日本",
    ];
    for name in names {
        run(&s, &format!("CREATE {} SET n = 1", quoted(name)));
    }
    let tables = run(&s, "RETURN (INFO FOR DB).tables.keys()");
    let tables = tables[0].as_array().unwrap().iter();
    let tables: BTreeSet<&str> = tables.filter_map(Value::as_str).collect();
    assert_eq!(tables, BTreeSet::from(names));
}
