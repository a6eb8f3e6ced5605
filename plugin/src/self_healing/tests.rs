#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use std::cell::Cell;

/// The errors of a store.
#[derive(Debug, PartialEq)]
enum TestError {
    Files(Severity),
    Own,
    Unavailable,
    Closed,
    Panicked,
}

impl std::fmt::Display for TestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl StoreError for TestError {
    fn severity(&self) -> Option<Severity> {
        match self {
            Self::Files(severity) => Some(*severity),
            Self::Panicked => Some(Severity::Corrupt),
            Self::Own | Self::Unavailable | Self::Closed => None,
        }
    }

    fn unavailable() -> Self {
        Self::Unavailable
    }

    fn closed() -> Self {
        Self::Closed
    }

    fn panicked() -> Self {
        Self::Panicked
    }
}

/// A number stands for the files.
fn opened() -> SelfHealingStore<u32> {
    let store = SelfHealingStore::unopened("test store", Arc::default());
    recover(&store).unwrap();
    store
}

/// Reopens it. Returns whether its files were moved aside, if it was reopened.
fn recover(store: &SelfHealingStore<u32>) -> Result<Option<bool>, TestError> {
    let set_aside = Cell::new(false);
    let opened = store.recover(
        |corrupt| {
            set_aside.set(corrupt);
            Ok(1)
        },
        |opened| opened,
    )?;
    Ok(opened.then_some(set_aside.get()))
}

fn fail(store: &SelfHealingStore<u32>, error: TestError) {
    let failed: Result<(), _> = store.with(|_| Err(error));
    failed.unwrap_err();
}

#[test]
fn a_store_that_works_is_not_reopened() {
    let store = opened();
    assert_eq!(store.with(|store| Ok::<_, TestError>(*store)), Ok(1));
    fail(&store, TestError::Own);
    assert!(store.is_available());
    assert_eq!(recover(&store), Ok(None));
}

#[test]
fn intact_files_are_reopened_and_corrupt_ones_moved_aside() {
    let store = opened();
    fail(&store, TestError::Files(Severity::Environment));
    assert!(store.fault().is_some());
    assert_eq!(recover(&store), Ok(Some(false)));
    fail(&store, TestError::Files(Severity::Environment));
    fail(&store, TestError::Files(Severity::Corrupt));
    assert_eq!(recover(&store), Ok(Some(true)), "the worse one counts");
    assert!(store.is_available());
}

#[test]
fn files_that_fail_repeatedly_for_an_unknown_reason_are_treated_as_corrupt() {
    let store = opened();
    for set_aside in [false, false, true, false] {
        fail(&store, TestError::Files(Severity::Unknown));
        assert_eq!(recover(&store), Ok(Some(set_aside)));
    }
}

#[test]
fn a_store_is_unavailable_until_it_can_be_reopened() {
    let store = opened();
    fail(&store, TestError::Files(Severity::Environment));
    let full = || Err::<u32, _>(TestError::Files(Severity::Environment));
    store.recover(|_| full(), |opened| opened).unwrap_err();
    assert_eq!(store.with(|_| Ok(())), Err(TestError::Unavailable));
    assert_eq!(recover(&store), Ok(Some(false)));
    assert_eq!(store.with(|_| Ok::<_, TestError>(())), Ok(()));
}

#[test]
fn a_panic_counts_as_corruption_and_is_not_propagated() {
    let store = opened();
    let panicked: Result<(), _> = store.with(|_| panic!("as a corrupt file can cause"));
    assert_eq!(panicked, Err(TestError::Panicked));
    assert_eq!(recover(&store), Ok(Some(true)));
}

#[test]
fn files_of_a_newer_version_are_neither_moved_aside_nor_opened_again() {
    let store = opened();
    fail(&store, TestError::Files(Severity::Corrupt));
    fail(&store, TestError::Files(Severity::Incompatible));
    for _ in 0..3 {
        assert_eq!(recover(&store), Err(TestError::Unavailable));
        assert_eq!(store.with(|_| Ok(())), Err(TestError::Unavailable));
    }

    let store = SelfHealingStore::unopened("test store", Arc::default());
    let newer = || Err::<u32, _>(TestError::Files(Severity::Incompatible));
    store.recover(|_| newer(), |opened| opened).unwrap_err();
    assert_eq!(recover(&store), Err(TestError::Unavailable));
}

#[test]
fn a_closed_store_is_not_reopened() {
    let store = opened();
    fail(&store, TestError::Files(Severity::Environment));
    store.close();
    assert_eq!(recover(&store), Ok(None));
    assert_eq!(store.with(|_| Ok(())), Err(TestError::Closed));
}
