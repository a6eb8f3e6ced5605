//! Every read method against one database that holds the union.
//!
//! A case is a [`History`]: the steps decide what the databases hold and what
//! the tombstones hide, and after them every read method is asked. The databases
//! are real, built in, and search by comparing with every row, so that answers
//! are the same to the last digit.
//!
//! `MERGE_CASES` says how many cases, `MERGE_SEED` repeats a run. The long run:
//! `MERGE_CASES=20000 cargo test --workspace --lib every_read --
//! --nocapture`; it ends with a table.

#![allow(clippy::print_stdout)]

use super::{
    PATIENT, Participant,
    history::{History, history},
    merger,
    questions::{Asked, Question, questions},
    rows::Database,
};
use crate::tombstones::Tombstones;
use parking_lot::Mutex;
use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
};

/// Histories that are worked on at the same time, each on databases of its own.
const LANES: u32 = 2;

/// A primary, secondaries and the union.
struct Lane {
    backends: Vec<Database>,
    union: Database,
    _directory: tempfile::TempDir,
    deleted: fjall::Database,
    /// The place of the question that the merger answered otherwise.
    failed: Mutex<Option<usize>>,
}

impl Lane {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            backends: (0..4).map(|_| Database::default()).collect(),
            union: Database::default(),
            deleted: fjall::Database::builder(directory.path()).open().unwrap(),
            _directory: directory,
            failed: Mutex::default(),
        }
    }

    /// Tombstones of which nobody has heard yet.
    fn tombstones(&self) -> Arc<Tombstones> {
        let tombstones = self.deleted.keyspace("tombstones", Default::default);
        let tombstones = tombstones.unwrap();
        for entry in tombstones.iter() {
            tombstones.remove(entry.key().unwrap()).unwrap();
        }
        Arc::new(Tombstones::open(&self.deleted).unwrap())
    }

    /// While a failure is made smaller only the question that showed it is asked.
    fn passed_over(&self, place: usize) -> bool {
        self.failed.lock().is_some_and(|failed| failed != place)
    }

    fn check(
        &self,
        history: &History,
        questions: &[Option<Question>],
    ) -> Result<(), TestCaseError> {
        let tombstones = self.tombstones();
        let outcome = history.take_place(&tombstones);
        for (storage, holding) in self.backends.iter().zip(&outcome.backends) {
            storage.hold(holding);
        }
        self.union.hold(&outcome.union);
        let participants: Vec<_> = self.backends[1..=history.secondaries]
            .iter()
            .map(|backend| Participant::new("secondary", 1, backend.storage().clone()))
            .collect();
        let primary = self.backends[0].storage();
        let merger = merger(primary.clone(), &participants, Some(tombstones), PATIENT);
        let asked = Asked {
            merger: &merger,
            primary,
            union: self.union.storage(),
        };
        for (place, question) in questions.iter().enumerate() {
            let (Some(question), false) = (question, self.passed_over(place)) else {
                continue;
            };
            if let Err(error) = question.ask(&asked) {
                *self.failed.lock() = Some(place);
                return Err(TestCaseError::fail(format!("{question:?}: {error}")));
            }
        }
        Ok(())
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// The chance of one lane: always the same for the same seed.
fn chance(seed: u64, lane: u32) -> TestRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..12].copy_from_slice(&lane.to_le_bytes());
    TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
}

#[test]
fn every_read_is_what_one_database_holding_the_union_answers() {
    let cases = number("MERGE_CASES").unwrap_or(300);
    let seed = number("MERGE_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("MERGE_SEED={seed}");
    let (histories, reads) = (AtomicU64::new(0), AtomicU64::new(0));
    let lane = |lane: u32| {
        let databases = Lane::new();
        let mine = cases / u64::from(LANES) + u64::from(u64::from(lane) < cases % u64::from(LANES));
        let config = ProptestConfig {
            max_shrink_iters: 1000,
            failure_persistence: None,
            ..ProptestConfig::with_cases(mine.try_into().unwrap())
        };
        TestRunner::new_with_rng(config, chance(seed, lane)).run(
            &(history(), questions()),
            |(history, questions)| {
                databases.check(&history, &questions)?;
                if databases.failed.lock().is_none() {
                    reads.fetch_add(questions.iter().flatten().count() as u64, Relaxed);
                    let histories = histories.fetch_add(1, Relaxed) + 1;
                    if histories.is_multiple_of(500) {
                        println!("{histories} histories of {cases}");
                    }
                }
                Ok(())
            },
        )
    };
    let failures: Vec<_> = thread::scope(|scope| {
        let lanes: Vec<_> = (0..LANES)
            .map(|number| scope.spawn(move || lane(number)))
            .collect();
        let ended = lanes.into_iter().map(|lane| lane.join().unwrap());
        ended.filter_map(Result::err).collect()
    });
    println!(
        "| histories | reads compared | differences |\n| --- | --- | --- |\n| {} | {} | {} |",
        histories.into_inner(),
        reads.into_inner(),
        failures.len()
    );
    assert!(failures.is_empty(), "{failures:#?}");
}
