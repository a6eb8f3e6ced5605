#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::{secondary_state::SecondaryState::*, test_server};
use plugin_api::value::Object;
use server_process::SecondaryServer;

const QUICK: ConnectionPolicy = ConnectionPolicy {
    timeouts: Timeouts {
        connect: Duration::from_secs(2),
        operation: Duration::from_secs(2),
    },
    health_check_interval: Duration::from_millis(100),
    reconnect_backoff: Duration::from_millis(300),
    replicates: true,
};

/// Waits for a state, and fails with the one that there is.
async fn reaches(
    manager: &SecondaryConnectionManager,
    wanted: impl Fn(&StateMachine) -> bool,
) -> StateMachine {
    let mut states = manager.subscribe();
    let reached = timeout(Duration::from_secs(60), states.wait_for(wanted))
        .await
        .map(|state| state.unwrap().clone());
    reached.unwrap_or_else(|_| panic!("not reached; the state is {:?}", manager.snapshot()))
}

fn start(server: &SecondaryServer, password: &str) -> Arc<SecondaryConnectionManager> {
    let secondary = test_server::secondary(server, "root", password);
    SecondaryConnectionManager::start(secondary, QUICK, None, Handle::current())
}

fn is(wanted: SecondaryState) -> impl Fn(&StateMachine) -> bool {
    move |machine| machine.state() == wanted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_dies_and_restarts_gets_a_new_session_each_time() {
    let mut server = test_server::down();
    let manager = start(&server, "root");
    let state = reaches(&manager, |state| state.attempts() >= 3).await;
    assert_eq!(state.state(), Unreachable);
    assert!(state.last_error().is_some() && manager.session().is_none());

    server.restart().unwrap();
    let session = manager.connected().await.unwrap();
    assert_eq!(session.generation, 1);
    session
        .connection
        .ping(Duration::from_secs(5))
        .await
        .unwrap();
    drop(session);
    reaches(&manager, |state| state.latency().is_some()).await;

    server.kill();
    reaches(&manager, is(Unreachable)).await;
    assert!(manager.session().is_none());
    server.restart().unwrap();
    let session = manager.connected().await.unwrap();
    assert_eq!(session.generation, 2);
    assert_eq!(manager.snapshot().attempts(), 0);
    manager.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_is_unreachable_until_it_answers_again() {
    let server = test_server::start();
    let manager = start(&server, "root");
    manager.connected().await.unwrap();
    server.pause().unwrap();
    let state = reaches(&manager, is(Unreachable)).await;
    let error = state.last_error().unwrap().message.clone();
    assert!(error.contains("health check"), "{error}");
    server.resume().unwrap();
    assert_eq!(manager.connected().await.unwrap().generation, 2);
    manager.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_rejected_rather_than_unreachable() {
    let server = test_server::start();
    let manager = start(&server, "not-the-password");
    let state = reaches(&manager, |state| state.attempts() >= 2).await;
    assert_eq!(state.state(), Rejected);
    let error = state.last_error().unwrap().message.clone();
    assert!(error.contains("check username and password"), "{error}");
    assert!(!error.contains("not-the-password"), "{error}");
    manager.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reporting_the_open_session_lost_opens_another_and_an_older_report_does_nothing() {
    let server = test_server::start();
    let manager = start(&server, "root");
    let first = manager.connected().await.unwrap();
    let hung = Failure::of(Call::HealthCheck, StorageError::timeout("a call hung"));
    manager.lost(first.generation, &hung);
    assert!(manager.session().is_none(), "withdrawn at once");
    let second = manager.connected().await.unwrap();
    assert_eq!(second.generation, 2);
    manager.lost(first.generation, &hung);
    assert!(Arc::ptr_eq(&manager.session().unwrap(), &second));
    let answer = second
        .connection
        .query("RETURN 1", Object::new(), Duration::from_secs(5))
        .await
        .unwrap();
    assert_eq!(answer, [1_i64.into()]);
    manager.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_has_a_connection_of_its_own_and_replaces_it_without_a_new_session() {
    let mut server = test_server::start();
    let manager = start(&server, "root");
    let session = manager.connected().await.unwrap();
    let mut workers = [0, 1].map(|_| WorkerConnection::new(Arc::clone(&manager)));
    let ping = async |connection: Connection| connection.ping(Duration::from_secs(5)).await;
    for worker in &mut workers {
        ping(worker.get(&session).await.unwrap()).await.unwrap();
    }
    workers[0].close();
    let [first, second] = &mut workers;
    assert_eq!((first.generation(), second.generation()), (None, Some(1)));
    ping(first.get(&session).await.unwrap()).await.unwrap();
    assert!(Arc::ptr_eq(&manager.session().unwrap(), &session));

    drop(session);
    server.kill();
    reaches(&manager, is(Unreachable)).await;
    for worker in &mut workers {
        worker.close_if_lost();
        assert_eq!(worker.generation(), None, "nothing may keep its requests");
    }
    server.restart().unwrap();
    let session = manager.connected().await.unwrap();
    ping(workers[0].get(&session).await.unwrap()).await.unwrap();
    assert_eq!(workers[0].generation(), Some(2));
    manager.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_answer_has_the_secondary_asked_once_a_second_and_a_dead_one_noticed() {
    let mut server = test_server::start();
    let policy = ConnectionPolicy {
        health_check_interval: Duration::from_secs(3600),
        ..QUICK
    };
    let secondary = test_server::secondary(&server, "root", "root");
    let manager = SecondaryConnectionManager::start(secondary, policy, None, Handle::current());
    manager.connected().await.unwrap();
    let check = || {
        let manager = Arc::clone(&manager);
        tokio::task::spawn_blocking(move || manager.check_alive(1))
    };
    assert!(manager.is_check_due(1));
    check().await.unwrap().unwrap();
    assert!(!manager.is_check_due(1), "it has just answered");
    server.kill();
    let due = async {
        while !manager.is_check_due(1) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(60), due).await.unwrap();
    let error = check().await.unwrap().unwrap_err();
    assert!(error.message.contains("no longer listens"), "{error}");
    assert!(manager.session().is_none(), "withdrawn");
    // Whoever else waits for this session learns it at once.
    assert!(manager.is_check_due(1));
    assert_eq!(
        check().await.unwrap().unwrap_err().kind,
        plugin_api::error::ErrorKind::CONNECTION
    );
    manager.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_ends_every_wait_for_a_session() {
    let server = test_server::down();
    let manager = start(&server, "root");
    let waiting = tokio::spawn({
        let manager = Arc::clone(&manager);
        async move { manager.connected().await.is_none() }
    });
    manager.shutdown();
    manager.shutdown();
    assert!(waiting.await.unwrap());
    assert!(manager.connected().await.is_none());
    assert_eq!(manager.state(), Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_only_read_is_enough_where_nothing_is_replicated() {
    let server = test_server::start();
    let owner = start(&server, "root");
    let session = owner.connected().await.unwrap();
    let sql = "DEFINE USER reader ON ROOT PASSWORD 'reader' ROLES VIEWER";
    session
        .connection
        .query(sql, Object::new(), Duration::from_secs(5))
        .await
        .unwrap();
    owner.shutdown();

    let reader = |replicates| {
        let policy = ConnectionPolicy {
            replicates,
            ..QUICK
        };
        SecondaryConnectionManager::start(
            test_server::secondary(&server, "reader", "reader"),
            policy,
            None,
            Handle::current(),
        )
    };
    let replicating = reader(true);
    let state = reaches(&replicating, |state| state.attempts() > 0).await;
    assert_eq!(state.state(), Rejected, "{state:?}");
    let error = state.last_error().unwrap().message.clone();
    assert!(
        error.contains("preparing the secondary's tables"),
        "{error}"
    );
    replicating.shutdown();
    let reading = reader(false);
    assert!(reading.connected().await.is_some());
    reading.shutdown();
}
