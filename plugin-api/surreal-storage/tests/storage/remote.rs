//! Against a server in its own process, and against what is none.

use crate::{
    server::{self, open},
    support::{assert_stored, cx, embedding, one, rows, run, runtime, target},
};
use plugin_api::{
    error::ErrorKind,
    storage::{CallContext, Storage},
    value::Object,
};
use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};
use surreal_storage::{SurrealStorage, Target, Timeouts};

fn connect(target: Target, timeouts: Timeouts) -> SurrealStorage {
    let s = SurrealStorage::new(target, timeouts, runtime());
    s.connect(&cx()).unwrap();
    s
}

fn timeouts(operation: Duration) -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(5),
        operation,
    }
}

#[test]
fn clients_that_create_the_same_namespace_at_once_all_connect() {
    let server = server::start();
    for round in 0..10 {
        let target = Target {
            namespace: format!("new {round}"),
            ..server::target(&server, "root", "root")
        };
        thread::scope(|scope| {
            for _ in 0..24 {
                scope.spawn(|| connect(target.clone(), Timeouts::default()));
            }
        });
    }
}

#[test]
fn a_remote_server_behaves_like_an_embedded_database() {
    let server = server::start();
    for url in [
        format!("http://{}", server.address()),
        format!("ws://localhost:{}/rpc/", server.address().port()),
    ] {
        let s = connect(
            Target {
                url,
                ..server::target(&server, "root", "root")
            },
            Timeouts::default(),
        );
        s.initialize_schema(&cx()).unwrap();
        let saved = s.save_fact(&cx(), "ada", "k", &"日本".into()).unwrap();
        assert_stored(&s, "kv_memories", &saved);
        let saved = s
            .index_vector(&cx(), "ada", "x", &embedding(&[(0, 0.1)]), &Object::new())
            .unwrap();
        assert_stored(&s, "vector_memories", &saved);
        let id = one(&saved).id.to_string();
        assert_eq!(
            s.search_similar(&cx(), "ada", &embedding(&[(0, 1.0)]), 1)
                .unwrap()[0]
                .id
                .to_string(),
            id
        );
        s.delete_vector(&cx(), &id, "ada").unwrap();
        assert_eq!(rows(&s, "kv_memories").len(), 1);
        let error = s
            .query(&cx(), "CREATE x:1; CREATE x:1", &Object::new())
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::CONFLICT);
        run(&s, "DELETE x");
    }
}

#[test]
fn users_of_every_level_can_sign_in_and_others_cannot() {
    let server = server::start();
    let root = connect(server::target(&server, "root", "root"), Timeouts::default());
    run(
        &root,
        "DEFINE USER n ON NAMESPACE PASSWORD 'np' ROLES OWNER; DEFINE USER d ON DATABASE PASSWORD 'dp' ROLES EDITOR;",
    );
    root.initialize_schema(&cx()).unwrap();
    for (user, password) in [("n", "np"), ("d", "dp")] {
        let s = connect(server::target(&server, user, password), Timeouts::default());
        s.save_fact(&cx(), user, "k", &1_i64.into()).unwrap();
    }
    for (user, password) in [("root", "hunter2"), ("nobody", "hunter2"), ("d", "np")] {
        let error = open(&server::target(&server, user, password)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::INVALID_INPUT, "{error}");
        assert!(
            error.message.contains(user) && !error.message.contains("hunter2"),
            "{error}"
        );
    }
    let anonymous = Target {
        credentials: None,
        ..server::target(&server, "", "")
    };
    let error = open(&anonymous).unwrap_err();
    assert_eq!(error.kind, ErrorKind::INVALID_INPUT, "{error}");

    // A namespace's owner may make a database, but no other namespace.
    let new = Target {
        database: "new".to_owned(),
        ..server::target(&server, "n", "np")
    };
    open(&new).unwrap();
    let elsewhere = Target {
        namespace: "other".to_owned(),
        ..server::target(&server, "n", "np")
    };
    assert_eq!(open(&elsewhere).unwrap_err().kind, ErrorKind::INVALID_INPUT);
}

#[test]
fn namespaces_and_databases_may_have_names_that_need_quotes() {
    let server = server::start();
    let target = Target {
        namespace: "a`b c; REMOVE NAMESPACE test".to_owned(),
        database: "dash-ed 日本".to_owned(),
        ..server::target(&server, "root", "root")
    };
    let s = connect(target, Timeouts::default());
    s.initialize_schema(&cx()).unwrap();
    s.save_fact(&cx(), "ada", "k", &1_i64.into()).unwrap();
}

#[test]
fn a_storage_reconnects_to_a_server_that_was_killed_and_restarted() {
    let mut server = server::start();
    let s = connect(
        server::target(&server, "root", "root"),
        timeouts(Duration::from_secs(2)),
    );
    s.initialize_schema(&cx()).unwrap();
    server.kill();

    let started = Instant::now();
    let first = s.save_fact(&cx(), "ada", "k", &1_i64.into()).unwrap_err();
    assert!(
        [ErrorKind::TIMEOUT, ErrorKind::CONNECTION].contains(&first.kind),
        "{first}"
    );
    assert!(started.elapsed() < Duration::from_secs(6));
    // From now on it is known to be away: no more waiting.
    let started = Instant::now();
    let second = s.save_fact(&cx(), "ada", "k", &2_i64.into()).unwrap_err();
    assert_eq!(second.kind, ErrorKind::CONNECTION);
    assert!(started.elapsed() < Duration::from_secs(1));

    server.restart().unwrap();
    s.initialize_schema(&cx()).unwrap();
    s.save_fact(&cx(), "ada", "k", &3_i64.into()).unwrap();
    // What was given up is not written later.
    assert_eq!(rows(&s, "kv_memories").len(), 1);
    assert_eq!(
        s.get_fact(&cx(), "ada", "k").unwrap(),
        Some(3_i64.into()).into()
    );
}

#[test]
fn a_short_deadline_of_one_call_does_not_drop_the_connection() {
    let server = server::start();
    let s = connect(server::target(&server, "root", "root"), Timeouts::default());
    let short = CallContext::with_timeout(Duration::from_millis(50));
    assert_eq!(
        s.query(&short, "SLEEP 1s", &Object::new())
            .unwrap_err()
            .kind,
        ErrorKind::TIMEOUT
    );
    assert!(s.connection().is_ok());
    s.ping(&cx()).unwrap();
}

#[test]
fn an_unreachable_server_fails_at_once_and_a_silent_one_at_the_timeout() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let started = Instant::now();
    let error = open(&target(&format!("ws://127.0.0.1:{free}"))).unwrap_err();
    assert_eq!(error.kind, ErrorKind::CONNECTION, "{error}");
    assert!(started.elapsed() < Duration::from_secs(1));

    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    for scheme in ["ws", "wss", "https"] {
        let error = open(&target(&format!("{scheme}://127.0.0.1:{port}"))).unwrap_err();
        assert_eq!(error.kind, ErrorKind::TIMEOUT, "{error}");
    }
    let error = open(&target("ws://no-such-host.invalid:8000")).unwrap_err();
    assert!(
        [ErrorKind::CONNECTION, ErrorKind::TIMEOUT].contains(&error.kind),
        "{error}"
    );
}

#[test]
fn a_path_prefix_in_the_address_is_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for (path, expected) in [
        ("/db/one", "/db/one/rpc"),
        ("/db/one/rpc", "/db/one/rpc"),
        ("", "/rpc"),
    ] {
        let url = format!("http://127.0.0.1:{port}{path}");
        let opening = std::thread::spawn(move || open(&target(&url)));
        let (stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        BufReader::new(stream).read_line(&mut request).unwrap();
        assert_eq!(request.trim(), format!("GET {expected} HTTP/1.1"));
        assert_eq!(
            opening.join().unwrap().unwrap_err().kind,
            ErrorKind::CONNECTION
        );
    }
}
