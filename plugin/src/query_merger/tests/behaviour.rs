//! Who is asked, when, and what happens if no answer comes.

use super::{PATIENT, Participant, context, database, merger, spy::Spy};
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

fn willing(_: &str) -> StorageResult<()> {
    Ok(())
}

/// Opens a door by being emptied.
type Handle = Arc<Mutex<Option<Sender<()>>>>;

/// A door that keeps callers waiting until it is opened.
fn door() -> (Handle, impl Fn(&str) -> StorageResult<()> + Send + Sync) {
    let (open, closed): (Sender<()>, Receiver<()>) = unbounded();
    let wait = move |_: &str| {
        // Ends with an error when the sender is dropped: that opens the door.
        let _ = closed.recv();
        Ok(())
    };
    (Arc::new(Mutex::new(Some(open))), wait)
}

#[test]
fn a_point_read_that_the_primary_answers_asks_nobody_else() {
    let secondary = Spy::on(&with_fact("k"), willing);
    let merger = merger(
        with_fact("k"),
        &[Participant::new("s", 1, secondary.clone())],
        None,
        PATIENT,
    );
    assert!(merger.get_fact(&context(), "ada", "k").unwrap().is_some());
    assert!(secondary.calls().is_empty());
}

#[test]
fn a_list_asks_all_sides_at_once() {
    // Each backend answers only once the other was asked.
    let meet = |mine: Sender<()>, theirs: Receiver<()>| {
        move |_: &str| {
            let _ = mine.send(());
            theirs
                .recv_timeout(PATIENT)
                .map_err(|_| StorageError::internal("asked one after the other"))
        }
    };
    let ((a, on_a), (b, on_b)) = (unbounded(), unbounded());
    let data = with_fact("k");
    let primary = Spy::on(&data, meet(a, on_b));
    let secondary = Spy::on(&data, meet(b, on_a));
    let merger = merger(
        primary,
        &[Participant::new("s", 1, secondary)],
        None,
        PATIENT,
    );
    assert_eq!(keys(&merger.list_facts(&context(), "ada").unwrap()), ["k"]);
}

#[test]
fn sides_that_agree_are_asked_one_question_each() {
    let data = with_fact("k");
    let (primary, secondary) = (Spy::on(&data, willing), Spy::on(&data, willing));
    let merger = merger(
        primary.clone(),
        &[Participant::new("s", 1, secondary.clone())],
        None,
        PATIENT,
    );
    merger.list_facts(&context(), "ada").unwrap();
    assert_eq!(primary.calls(), ["list_facts"]);
    assert_eq!(secondary.calls(), ["list_facts"]);
}

#[test]
fn keys_that_only_a_secondary_returned_are_looked_up_in_one_query() {
    let primary = Spy::on(&with_fact("k"), willing);
    let other = with_fact("l");
    add(&other, "m");
    let merger = merger(
        primary.clone(),
        &[Participant::new("s", 1, other)],
        None,
        PATIENT,
    );
    assert_eq!(
        keys(&merger.list_facts(&context(), "ada").unwrap()),
        ["k", "l", "m"]
    );
    assert_eq!(primary.calls(), ["list_facts", "query"]);
}

#[test]
fn a_secondary_that_is_down_is_not_asked() {
    let secondary = Spy::on(&with_fact("l"), willing);
    let participant = Participant::new("s", 1, secondary.clone());
    *participant.storage.lock() = None;
    let merger = merger(with_fact("k"), &[Arc::clone(&participant)], None, PATIENT);
    assert_eq!(keys(&merger.list_facts(&context(), "ada").unwrap()), ["k"]);
    assert!(merger.get_fact(&context(), "ada", "l").unwrap().is_none());
    assert!(secondary.calls().is_empty());
}

#[test]
fn a_slow_secondary_is_left_behind_and_not_waited_for_again_until_it_is_fast() {
    let (open, wait) = door();
    let secondary = Spy::on(&with_fact("l"), wait);
    let participants = [Participant::new("s", 1, secondary.clone())];
    let merger = merger(with_fact("k"), &participants, None, Duration::from_secs(1));
    let read = || {
        let facts = merger.list_facts(&context(), "ada").unwrap();
        keys(&facts).join(" ")
    };
    assert_eq!(read(), "k");
    assert_eq!(secondary.calls(), ["list_facts"]);
    // Known to be slow now: not even asked until a probe is due.
    assert_eq!(read(), "k");
    assert!(secondary.calls().is_empty());

    open.lock().unwrap().take();
    let started = Instant::now();
    while read() == "k" {
        assert!(started.elapsed() < PATIENT, "no probe has brought it back");
        std::thread::yield_now();
    }
    assert_eq!(read(), "k l");
}

#[test]
fn one_whose_server_is_gone_is_not_waited_for() {
    let (_closed, wait) = door();
    let participant = Participant::new("s", 1, Spy::on(&with_fact("l"), wait));
    participant.gone.store(true, Ordering::SeqCst);
    // Nobody would wait so long.
    let hours = Duration::from_secs(36_000);
    let merger = merger(with_fact("k"), &[Arc::clone(&participant)], None, hours);
    assert_eq!(keys(&merger.list_facts(&context(), "ada").unwrap()), ["k"]);
    assert!(merger.get_fact(&context(), "ada", "l").unwrap().is_none());
    assert_eq!(participant.lost.lock()[0].kind, ErrorKind::CONNECTION);
}

#[test]
fn one_that_fails_leaves_the_others_results_in() {
    let gone = |_: &str| Err(StorageError::connection("gone"));
    let failing = Participant::new("failing", 1, Spy::on(&with_fact("l"), gone));
    let fine = Participant::new("fine", 2, with_fact("m"));
    let merger = merger(with_fact("k"), &[Arc::clone(&failing), fine], None, PATIENT);
    assert_eq!(
        keys(&merger.list_facts(&context(), "ada").unwrap()),
        ["k", "m"]
    );
    let lost: Vec<_> = failing.lost.lock().iter().map(|error| error.kind).collect();
    assert_eq!(lost, [ErrorKind::CONNECTION]);
}

#[test]
fn the_primary_must_answer() {
    let out_of_order = |_: &str| Err(StorageError::internal("out of order"));
    let primary = Spy::on(&with_fact("k"), out_of_order);
    let merger = merger(
        primary,
        &[Participant::new("s", 1, with_fact("k"))],
        None,
        PATIENT,
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
fn the_callers_deadline_is_the_secondaries_too_and_does_not_brand_them_slow() {
    let (open, wait) = door();
    let participants = [Participant::new("s", 1, Spy::on(&with_fact("l"), wait))];
    let merger = merger(with_fact("k"), &participants, None, PATIENT);
    let hurried = CallContext::with_timeout(Duration::from_secs(2));
    let started = Instant::now();
    assert_eq!(keys(&merger.list_facts(&hurried, "ada").unwrap()), ["k"]);
    assert!(started.elapsed() < PATIENT);
    open.lock().unwrap().take();
    assert_eq!(
        keys(&merger.list_facts(&context(), "ada").unwrap()),
        ["k", "l"]
    );
}

#[test]
fn after_the_deadline_the_primary_refuses_and_nobody_else_is_asked() {
    let secondary = Spy::on(&with_fact("l"), willing);
    let participants = [Participant::new("s", 1, secondary.clone())];
    let merger = merger(with_fact("k"), &participants, None, PATIENT);
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
fn the_primarys_time_is_taken_from_the_deadline_of_a_point_read_too() {
    let allowed = Duration::from_secs(1);
    let began = Arc::new(Mutex::new(None));
    let clock = Arc::clone(&began);
    // Its answer comes when the caller's time is over.
    let primary = Spy::on(&with_fact("k"), move |_| {
        let began: Instant = clock.lock().unwrap().unwrap();
        std::thread::sleep(allowed.saturating_sub(began.elapsed()));
        Ok(())
    });
    let secondary = Spy::on(&with_fact("l"), willing);
    let participants = [Participant::new("s", 1, secondary.clone())];
    let merger = merger(primary, &participants, None, PATIENT);
    *began.lock().unwrap() = Some(Instant::now());
    let found = merger.get_fact(&CallContext::with_timeout(allowed), "ada", "l");
    assert!(found.unwrap().is_none());
    assert!(secondary.calls().is_empty());
}

#[test]
fn without_merging_reads_are_the_primarys_alone() {
    let secondary = Spy::on(&with_fact("l"), willing);
    let participant: Arc<dyn super::Secondary> = Participant::new("s", 1, secondary.clone());
    let settings = super::ReadSettings {
        merge: false,
        query_timeout: PATIENT,
    };
    let primary = plugin_api::storage::FullStorage::new(with_fact("k"));
    let runtime = super::RUNTIME.handle().clone();
    let merger = super::QueryMerger::new(primary, [participant], None, settings, runtime);
    assert_eq!(keys(&merger.list_facts(&context(), "ada").unwrap()), ["k"]);
    assert!(merger.get_fact(&context(), "ada", "l").unwrap().is_none());
    assert!(secondary.calls().is_empty());
}
