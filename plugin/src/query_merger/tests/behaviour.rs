//! Which databases a read queries, when, and what it does if no answer comes.

use super::{LONG_TIMEOUT, TestSecondary, context, database, merger, spy::Spy};
use crate::{
    metrics::instruments::{BreakerState, ReadOutcome},
    query_merger::read_specs::ReadMethod,
};
use crossbeam_channel::{Receiver, Sender, unbounded};
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::{CallContext, Storage},
    value::Object,
};
use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};
use surreal_storage::SurrealStorage;

fn with_fact(key: &str) -> SurrealStorage {
    let storage = database();
    add(&storage, key);
    storage
}

fn add(storage: &SurrealStorage, key: &str) {
    storage
        .save_fact(&context(), "ada", key, &1i64.into())
        .unwrap();
}

fn keys(facts: &Object) -> Vec<&str> {
    facts.keys().collect()
}

fn no_hook(_: &str) -> StorageResult<()> {
    Ok(())
}

/// Unblocks the calls when its sender is dropped.
type Unblock = Arc<Mutex<Option<Sender<()>>>>;

/// A hook that blocks every call until it is unblocked.
fn blocking_hook() -> (Unblock, impl Fn(&str) -> StorageResult<()> + Send + Sync) {
    let (sender, receiver): (Sender<()>, Receiver<()>) = unbounded();
    let wait = move |_: &str| {
        // Ends with an error when the sender is dropped.
        let _ = receiver.recv();
        Ok(())
    };
    (Arc::new(Mutex::new(Some(sender))), wait)
}

#[test]
fn a_point_read_that_the_primary_answers_does_not_query_secondaries() {
    let secondary = Spy::on(&with_fact("k"), no_hook);
    let merger = merger(
        with_fact("k"),
        &[TestSecondary::new("s", 1, secondary.clone())],
        None,
        LONG_TIMEOUT,
    );
    assert!(merger.get_fact(&context(), "ada", "k").unwrap().is_some());
    assert!(secondary.calls().is_empty());
}

#[test]
fn a_list_queries_all_databases_at_once() {
    // Each database answers only once the other was queried.
    let meet = |own: Sender<()>, other: Receiver<()>| {
        move |_: &str| {
            let _ = own.send(());
            other
                .recv_timeout(LONG_TIMEOUT)
                .map_err(|_| StorageError::internal("queried one after the other"))
        }
    };
    let ((a, on_a), (b, on_b)) = (unbounded(), unbounded());
    let data = with_fact("k");
    let primary = Spy::on(&data, meet(a, on_b));
    let secondary = Spy::on(&data, meet(b, on_a));
    let merger = merger(
        primary,
        &[TestSecondary::new("s", 1, secondary)],
        None,
        LONG_TIMEOUT,
    );
    assert_eq!(keys(&merger.list_facts(&context(), "ada").unwrap()), ["k"]);
}

#[test]
fn databases_that_agree_are_queried_once_each() {
    let data = with_fact("k");
    let (primary, secondary) = (Spy::on(&data, no_hook), Spy::on(&data, no_hook));
    let merger = merger(
        primary.clone(),
        &[TestSecondary::new("s", 1, secondary.clone())],
        None,
        LONG_TIMEOUT,
    );
    merger.list_facts(&context(), "ada").unwrap();
    assert_eq!(primary.calls(), ["list_facts"]);
    assert_eq!(secondary.calls(), ["list_fact_keys"]);
}

#[test]
fn keys_that_only_a_secondary_returned_are_looked_up_in_one_query() {
    let primary = Spy::on(&with_fact("k"), no_hook);
    let other = with_fact("l");
    add(&other, "m");
    let merger = merger(
        primary.clone(),
        &[TestSecondary::new("s", 1, other)],
        None,
        LONG_TIMEOUT,
    );
    assert_eq!(
        keys(&merger.list_facts(&context(), "ada").unwrap()),
        ["k", "l", "m"]
    );
    assert_eq!(primary.calls(), ["list_facts", "query"]);
}

#[test]
fn a_secondary_that_is_not_connected_is_not_queried() {
    let database = Spy::on(&with_fact("l"), no_hook);
    let secondary = TestSecondary::new("s", 1, database.clone());
    *secondary.storage.lock() = None;
    let merger = merger(
        with_fact("k"),
        &[Arc::clone(&secondary)],
        None,
        LONG_TIMEOUT,
    );
    assert_eq!(keys(&merger.list_facts(&context(), "ada").unwrap()), ["k"]);
    assert!(merger.get_fact(&context(), "ada", "l").unwrap().is_none());
    assert!(database.calls().is_empty());
}

#[test]
fn after_a_timeout_reads_do_not_wait_for_the_secondary_until_a_probe_succeeds() {
    let (unblock, wait) = blocking_hook();
    let secondary = Spy::on(&with_fact("l"), wait);
    let secondaries = [TestSecondary::new("s", 1, secondary.clone())];
    let merger = merger(with_fact("k"), &secondaries, None, Duration::from_secs(1));
    let read = || {
        let facts = merger.list_facts(&context(), "ada").unwrap();
        keys(&facts).join(" ")
    };
    assert_eq!(read(), "k");
    assert_eq!(secondary.calls(), ["list_fact_keys"]);
    // The circuit breaker is open: not even queried until a probe is due.
    assert_eq!(read(), "k");
    assert!(secondary.calls().is_empty());

    unblock.lock().unwrap().take();
    let started = Instant::now();
    while read() == "k" {
        assert!(
            started.elapsed() < LONG_TIMEOUT,
            "no probe closed the circuit breaker"
        );
        std::thread::yield_now();
    }
    assert_eq!(read(), "k l");
}

#[test]
fn a_read_does_not_wait_for_a_server_whose_port_is_closed() {
    let (_unblock, wait) = blocking_hook();
    let secondary = TestSecondary::new("s", 1, Spy::on(&with_fact("l"), wait));
    secondary.port_closed.store(true, Ordering::SeqCst);
    // The test would not end if the read waited.
    let hours = Duration::from_secs(36_000);
    let merger = merger(with_fact("k"), &[Arc::clone(&secondary)], None, hours);
    assert_eq!(keys(&merger.list_facts(&context(), "ada").unwrap()), ["k"]);
    assert!(merger.get_fact(&context(), "ada", "l").unwrap().is_none());
    assert_eq!(secondary.lost.lock()[0].kind, ErrorKind::CONNECTION);
}

/// How often reads by a method had an outcome; every outcome that occurred.
fn outcomes(secondary: &TestSecondary, method: ReadMethod) -> Vec<(ReadOutcome, u64)> {
    let count = |outcome| secondary.metrics.outcome(method, outcome).get();
    let all = ReadOutcome::ALL.map(|outcome| (outcome, count(outcome)));
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn each_read_counts_what_became_of_each_secondary() {
    let gone = |_: &str| Err(StorageError::connection("gone"));
    let (_unblock, wait) = blocking_hook();
    let answering = TestSecondary::new("answering", 1, with_fact("l"));
    let failing = TestSecondary::new("failing", 2, Spy::on(&with_fact("l"), gone));
    let slow = TestSecondary::new("slow", 3, Spy::on(&with_fact("l"), wait));
    let away = TestSecondary::new("away", 4, with_fact("l"));
    *away.storage.lock() = None;
    let all = [&answering, &failing, &slow, &away].map(Arc::clone);
    let merger = merger(with_fact("k"), &all, None, Duration::from_millis(500));

    merger.get_fact(&context(), "ada", "k").unwrap();
    for secondary in &all {
        let seen = outcomes(secondary, ReadMethod::get_fact);
        assert_eq!(seen, [(ReadOutcome::NotNeeded, 1)], "the primary had it");
    }

    // The second finds the slow one's circuit breaker open.
    for reads in 1..=2 {
        merger.list_facts(&context(), "ada").unwrap();
        for (secondary, outcome) in all.iter().zip([
            ReadOutcome::Merged,
            ReadOutcome::Failed,
            ReadOutcome::TooSlow,
            ReadOutcome::NotConnected,
        ]) {
            let seen = outcomes(secondary, ReadMethod::list_facts);
            assert_eq!(seen, [(outcome, reads)]);
        }
        for (secondary, state) in all.iter().zip([
            BreakerState::Closed,
            BreakerState::Failing,
            BreakerState::Open,
            BreakerState::Closed,
        ]) {
            assert!(secondary.metrics.is_breaker(state), "{state:?}");
        }
    }
}

#[test]
fn a_failing_secondary_does_not_affect_the_rows_of_others() {
    let gone = |_: &str| Err(StorageError::connection("gone"));
    let failing = TestSecondary::new("failing", 1, Spy::on(&with_fact("l"), gone));
    let healthy = TestSecondary::new("healthy", 2, with_fact("m"));
    let merger = merger(
        with_fact("k"),
        &[Arc::clone(&failing), healthy],
        None,
        LONG_TIMEOUT,
    );
    assert_eq!(
        keys(&merger.list_facts(&context(), "ada").unwrap()),
        ["k", "m"]
    );
    let lost: Vec<_> = failing.lost.lock().iter().map(|error| error.kind).collect();
    assert_eq!(lost, [ErrorKind::CONNECTION]);
}

#[test]
fn an_error_of_the_primary_is_the_reads_error() {
    let out_of_order = |_: &str| Err(StorageError::internal("out of order"));
    let primary = Spy::on(&with_fact("k"), out_of_order);
    let merger = merger(
        primary,
        &[TestSecondary::new("s", 1, with_fact("k"))],
        None,
        LONG_TIMEOUT,
    );
    for error in [
        merger.list_facts(&context(), "ada").unwrap_err(),
        merger.get_fact(&context(), "ada", "k").unwrap_err(),
        merger.get_stats(&context(), "").unwrap_err(),
        merger.traverse_graph(&context(), "a", "", 1).unwrap_err(),
    ] {
        assert_eq!(error.message, "out of order");
    }
}

#[test]
fn a_callers_deadline_limits_secondaries_and_does_not_open_the_circuit_breaker() {
    let (unblock, wait) = blocking_hook();
    let secondaries = [TestSecondary::new("s", 1, Spy::on(&with_fact("l"), wait))];
    let merger = merger(with_fact("k"), &secondaries, None, LONG_TIMEOUT);
    let short = CallContext::with_timeout(Duration::from_secs(2));
    let started = Instant::now();
    assert_eq!(keys(&merger.list_facts(&short, "ada").unwrap()), ["k"]);
    assert!(started.elapsed() < LONG_TIMEOUT);
    unblock.lock().unwrap().take();
    assert_eq!(
        keys(&merger.list_facts(&context(), "ada").unwrap()),
        ["k", "l"]
    );
}

#[test]
fn after_the_deadline_the_primary_fails_the_read_and_no_secondary_is_queried() {
    let secondary = Spy::on(&with_fact("l"), no_hook);
    let secondaries = [TestSecondary::new("s", 1, secondary.clone())];
    let merger = merger(with_fact("k"), &secondaries, None, LONG_TIMEOUT);
    let expired = CallContext::with_timeout(Duration::ZERO);
    for error in [
        merger.list_facts(&expired, "ada").unwrap_err(),
        merger.get_fact(&expired, "ada", "l").unwrap_err(),
        merger.get_stats(&expired, "ada").unwrap_err(),
        merger.traverse_graph(&expired, "ada", "", 1).unwrap_err(),
    ] {
        assert_eq!(error.kind, ErrorKind::TIMEOUT, "{error}");
    }
    assert!(secondary.calls().is_empty());
}

#[test]
fn time_that_the_primary_takes_counts_toward_the_deadline_of_a_point_read() {
    let allowed = Duration::from_secs(1);
    let began = Arc::new(Mutex::new(None));
    let clock = Arc::clone(&began);
    // It answers when the caller's deadline has passed.
    let primary = Spy::on(&with_fact("k"), move |_| {
        let began: Instant = clock.lock().unwrap().unwrap();
        std::thread::sleep(allowed.saturating_sub(began.elapsed()));
        Ok(())
    });
    let secondary = Spy::on(&with_fact("l"), no_hook);
    let secondaries = [TestSecondary::new("s", 1, secondary.clone())];
    let merger = merger(primary, &secondaries, None, LONG_TIMEOUT);
    *began.lock().unwrap() = Some(Instant::now());
    let found = merger.get_fact(&CallContext::with_timeout(allowed), "ada", "l");
    assert!(found.unwrap().is_none());
    assert!(secondary.calls().is_empty());
}

#[test]
fn without_merging_only_the_primary_is_queried() {
    let database = Spy::on(&with_fact("l"), no_hook);
    let secondary: Arc<dyn super::Secondary> = TestSecondary::new("s", 1, database.clone());
    let settings = super::ReadSettings {
        merge: false,
        query_timeout: LONG_TIMEOUT,
    };
    let primary = plugin_api::storage::FullStorage::new(with_fact("k"));
    let runtime = super::RUNTIME.handle().clone();
    let merger = super::QueryMerger::new(
        primary,
        [(secondary, Arc::default())],
        None,
        settings,
        runtime,
    );
    assert_eq!(keys(&merger.list_facts(&context(), "ada").unwrap()), ["k"]);
    assert!(merger.get_fact(&context(), "ada", "l").unwrap().is_none());
    assert!(database.calls().is_empty());
}
