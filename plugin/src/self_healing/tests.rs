#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use std::cell::Cell;

/// The failures of a user of a database.
#[derive(Debug, PartialEq)]
enum Mishap {
    Files(Severity),
    Own,
    Unavailable,
    Closed,
    Panicked,
}

impl std::fmt::Display for Mishap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

impl StoreError for Mishap {
    fn severity(&self) -> Option<Severity> {
        match self {
            Self::Files(severity) => Some(*severity),
            Self::Panicked => Some(Severity::Damaged),
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

/// A number stands for the files: how often they were opened.
fn opened() -> SelfHealingStore<u32> {
    let store = SelfHealingStore::unopened();
    recover(&store).unwrap();
    store
}

/// Opens it again. Gives whether its files were set aside, if it was opened.
fn recover(store: &SelfHealingStore<u32>) -> Result<Option<bool>, Mishap> {
    let set_aside = Cell::new(false);
    let opened = store.recover(
        |damaged| {
            set_aside.set(damaged);
            Ok(1)
        },
        |opened| opened,
    )?;
    Ok(opened.then_some(set_aside.get()))
}

fn fail(store: &SelfHealingStore<u32>, mishap: Mishap) {
    let failed: Result<(), _> = store.with(|_| Err(mishap));
    failed.unwrap_err();
}

#[test]
fn what_works_is_left_alone() {
    let store = opened();
    assert_eq!(store.with(|store| Ok::<_, Mishap>(*store)), Ok(1));
    fail(&store, Mishap::Own);
    assert!(store.works());
    assert_eq!(recover(&store), Ok(None));
}

#[test]
fn a_hindered_one_is_opened_as_it_is_and_a_damaged_one_set_aside() {
    let store = opened();
    fail(&store, Mishap::Files(Severity::Environment));
    assert!(store.fault().is_some());
    assert_eq!(recover(&store), Ok(Some(false)));
    fail(&store, Mishap::Files(Severity::Environment));
    fail(&store, Mishap::Files(Severity::Damaged));
    assert_eq!(recover(&store), Ok(Some(true)), "the worse one counts");
    assert!(store.works());
}

#[test]
fn one_that_fails_again_and_again_counts_as_damaged() {
    let store = opened();
    for set_aside in [false, false, true, false] {
        fail(&store, Mishap::Files(Severity::Unclear));
        assert_eq!(recover(&store), Ok(Some(set_aside)));
    }
}

#[test]
fn it_is_unavailable_until_it_can_be_opened() {
    let store = opened();
    fail(&store, Mishap::Files(Severity::Environment));
    let full = || Err::<u32, _>(Mishap::Files(Severity::Environment));
    store.recover(|_| full(), |opened| opened).unwrap_err();
    assert_eq!(store.with(|_| Ok(())), Err(Mishap::Unavailable));
    assert_eq!(recover(&store), Ok(Some(false)));
    assert_eq!(store.with(|_| Ok::<_, Mishap>(())), Ok(()));
}

#[test]
fn a_panic_is_a_failure_and_ends_nothing() {
    let store = opened();
    let panicked: Result<(), _> = store.with(|_| panic!("as a damaged file can make it"));
    assert_eq!(panicked, Err(Mishap::Panicked));
    assert_eq!(recover(&store), Ok(Some(true)));
}

#[test]
fn a_closed_one_stays_closed() {
    let store = opened();
    fail(&store, Mishap::Files(Severity::Environment));
    store.close();
    assert_eq!(recover(&store), Ok(None));
    assert_eq!(store.with(|_| Ok(())), Err(Mishap::Closed));
}
