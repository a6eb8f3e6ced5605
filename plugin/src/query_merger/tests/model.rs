//! Every read method against one database that holds the union.
//!
//! A case is a [`History`]: its steps determine what the databases contain and
//! what the tombstones hide; after them every read method is called. The
//! databases are real, embedded, and search by comparing with every row, so that
//! results are the same to the last digit.
//!
//! `MERGE_CASES` sets the number of cases, `MERGE_SEED` repeats a run. The long
//! run, which ends with a table:
//! `MERGE_CASES=20000 cargo test --workspace --lib every_read -- --nocapture`.

#![allow(clippy::print_stdout)]

use super::{
    LONG_TIMEOUT, TestSecondary,
    history::{History, history},
    merger,
    reads::{Databases, Read, reads},
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

/// Histories that run at the same time, each on databases of its own.
const LANES: u32 = 2;

/// A primary, secondaries and the union.
struct Lane {
    backends: Vec<Database>,
    union: Database,
    _directory: tempfile::TempDir,
    tombstone_store: fjall::Database,
    /// The index of the read whose result differed.
    failed: Mutex<Option<usize>>,
}

impl Lane {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            backends: (0..4).map(|_| Database::default()).collect(),
            union: Database::default(),
            tombstone_store: fjall::Database::builder(directory.path()).open().unwrap(),
            _directory: directory,
            failed: Mutex::default(),
        }
    }

    /// Empties the tombstones.
    fn tombstones(&self) -> Arc<Tombstones> {
        let tombstones = self
            .tombstone_store
            .keyspace("tombstones", Default::default);
        let tombstones = tombstones.unwrap();
        for entry in tombstones.iter() {
            tombstones.remove(entry.key().unwrap()).unwrap();
        }
        Arc::new(Tombstones::open(&self.tombstone_store).unwrap())
    }

    /// While a failing case shrinks, only the read that failed is repeated.
    fn is_skipped(&self, index: usize) -> bool {
        self.failed.lock().is_some_and(|failed| failed != index)
    }

    fn check(&self, history: &History, reads: &[Option<Read>]) -> Result<(), TestCaseError> {
        let tombstones = self.tombstones();
        let outcome = history.replay(&tombstones);
        for (database, contents) in self.backends.iter().zip(&outcome.backends) {
            database.replace(contents);
        }
        self.union.replace(&outcome.union);
        let secondaries: Vec<_> = self.backends[1..=history.secondaries]
            .iter()
            .map(|backend| TestSecondary::new("secondary", 1, backend.storage().clone()))
            .collect();
        let primary = self.backends[0].storage();
        let merger = merger(
            primary.clone(),
            &secondaries,
            Some(tombstones),
            LONG_TIMEOUT,
        );
        let databases = Databases {
            merger: &merger,
            primary,
            union: self.union.storage(),
        };
        for (index, read) in reads.iter().enumerate() {
            let (Some(read), false) = (read, self.is_skipped(index)) else {
                continue;
            };
            if let Err(error) = read.compare(&databases) {
                *self.failed.lock() = Some(index);
                return Err(TestCaseError::fail(format!("{read:?}: {error}")));
            }
        }
        Ok(())
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// The random numbers of one lane: the same for the same seed.
fn random(seed: u64, lane: u32) -> TestRng {
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
    let (histories, compared) = (AtomicU64::new(0), AtomicU64::new(0));
    let lane = |lane: u32| {
        let databases = Lane::new();
        let cases_of_lane =
            cases / u64::from(LANES) + u64::from(u64::from(lane) < cases % u64::from(LANES));
        let config = ProptestConfig {
            max_shrink_iters: 1000,
            failure_persistence: None,
            ..ProptestConfig::with_cases(cases_of_lane.try_into().unwrap())
        };
        TestRunner::new_with_rng(config, random(seed, lane)).run(
            &(history(), reads()),
            |(history, reads)| {
                databases.check(&history, &reads)?;
                if databases.failed.lock().is_none() {
                    compared.fetch_add(reads.iter().flatten().count() as u64, Relaxed);
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
        compared.into_inner(),
        failures.len()
    );
    assert!(failures.is_empty(), "{failures:#?}");
}
