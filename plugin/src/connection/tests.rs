#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::test_server;
use plugin_api::value::Object;
use server_process::SecondaryServer;

const QUICK: ConnectionPolicy = ConnectionPolicy {
    timeouts: Timeouts {
        connect: Duration::from_secs(2),
        operation: Duration::from_secs(2),
    },
    health_check_interval: Duration::from_millis(100),
    reconnect_backoff: Duration::from_millis(300),
    schema_required: true,
};

/// Waits for a state, and fails with the one that there is.
async fn reaches(
    manager: &SecondaryConnectionManager,
    wanted: impl Fn(&ConnectionState) -> bool,
) -> ConnectionState {
    let mut states = manager.subscribe();
    let reached = timeout(Duration::from_secs(60), states.wait_for(wanted))
        .await
        .map(|state| state.unwrap().clone());
    reached.unwrap_or_else(|_| panic!("not reached; the state is {:?}", manager.state()))
}

fn start(server: &SecondaryServer, password: &str) -> Arc<SecondaryConnectionManager> {
    let secondary = test_server::secondary(server, "root", password);
    SecondaryConnectionManager::start(secondary, QUICK, Handle::current())
}

fn is(phase: Phase) -> impl Fn(&ConnectionState) -> bool {
    move |state| state.phase == phase
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_goes_and_comes_back() {
    let mut server = test_server::down();
    let manager = start(&server, "root");
    let state = reaches(&manager, |state| state.attempts >= 3).await;
    assert_eq!(state.phase, Phase::Unreachable);
    assert!(state.last_error.is_some() && manager.session().is_none());

    server.restart().unwrap();
    let session = manager.connected().await.unwrap();
    assert_eq!(session.generation, 1);
    session
        .connection
        .ping(Duration::from_secs(5))
        .await
        .unwrap();
    drop(session);
    reaches(&manager, |state| state.latency.is_some()).await;

    server.kill();
    reaches(&manager, is(Phase::Unreachable)).await;
    assert!(manager.session().is_none());
    server.restart().unwrap();
    let session = manager.connected().await.unwrap();
    assert_eq!(session.generation, 2);
    assert_eq!(manager.state().attempts, 0);
    manager.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_server_is_noticed_and_found_again() {
    let server = test_server::start();
    let manager = start(&server, "root");
    manager.connected().await.unwrap();
    server.pause().unwrap();
    let state = reaches(&manager, is(Phase::Unreachable)).await;
    let error = state.last_error.unwrap().message;
    assert!(error.contains("health check"), "{error}");
    server.resume().unwrap();
    assert_eq!(manager.connected().await.unwrap().generation, 2);
    manager.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_refused_and_told_apart() {
    let server = test_server::start();
    let manager = start(&server, "not-the-password");
    let state = reaches(&manager, |state| state.attempts >= 2).await;
    assert_eq!(state.phase, Phase::Refused);
    let error = state.last_error.unwrap().message;
    assert!(error.contains("check username and password"), "{error}");
    assert!(!error.contains("not-the-password"), "{error}");
    manager.shutdown();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reported_loss_opens_a_new_session_and_an_old_report_does_not() {
    let server = test_server::start();
    let manager = start(&server, "root");
    let first = manager.connected().await.unwrap();
    let error = StorageError::timeout("a call hung");
    manager.lost(&first, &error);
    assert!(manager.session().is_none(), "taken back at once");
    let second = manager.connected().await.unwrap();
    assert_eq!(second.generation, 2);
    manager.lost(&first, &error);
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
async fn after_shutdown_nobody_waits() {
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
    assert_eq!(manager.state().phase, Phase::Stopped);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_only_read_is_enough_where_nothing_is_copied() {
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

    let reader = |schema_required| {
        let policy = ConnectionPolicy {
            schema_required,
            ..QUICK
        };
        SecondaryConnectionManager::start(
            test_server::secondary(&server, "reader", "reader"),
            policy,
            Handle::current(),
        )
    };
    let copying = reader(true);
    let state = reaches(&copying, |state| state.attempts > 0).await;
    assert_eq!(state.phase, Phase::Refused, "{state:?}");
    let error = state.last_error.unwrap().message;
    assert!(
        error.contains("preparing the secondary's tables"),
        "{error}"
    );
    copying.shutdown();
    let reading = reader(false);
    assert!(reading.connected().await.is_some());
    reading.shutdown();
}
