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

impl Failure for Mishap {
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
fn opened() -> Durable<u32> {
    let durable = Durable::unopened();
    mend(&durable).unwrap();
    durable
}

/// Opens it again. Gives whether its files were set aside, if it was opened.
fn mend(durable: &Durable<u32>) -> Result<Option<bool>, Mishap> {
    let set_aside = Cell::new(false);
    let opened = durable.mend(
        |damaged| {
            set_aside.set(damaged);
            Ok(1)
        },
        |opened| opened,
    )?;
    Ok(opened.then_some(set_aside.get()))
}

fn fail(durable: &Durable<u32>, mishap: Mishap) {
    let failed: Result<(), _> = durable.with(|_| Err(mishap));
    failed.unwrap_err();
}

#[test]
fn what_works_is_left_alone() {
    let durable = opened();
    assert_eq!(durable.with(|store| Ok::<_, Mishap>(*store)), Ok(1));
    fail(&durable, Mishap::Own);
    assert!(durable.works());
    assert_eq!(mend(&durable), Ok(None));
}

#[test]
fn a_hindered_one_is_opened_as_it_is_and_a_damaged_one_set_aside() {
    let durable = opened();
    fail(&durable, Mishap::Files(Severity::Hindered));
    assert!(durable.trouble().is_some());
    assert_eq!(mend(&durable), Ok(Some(false)));
    fail(&durable, Mishap::Files(Severity::Hindered));
    fail(&durable, Mishap::Files(Severity::Damaged));
    assert_eq!(mend(&durable), Ok(Some(true)), "the worse one counts");
    assert!(durable.works());
}

#[test]
fn one_that_fails_again_and_again_counts_as_damaged() {
    let durable = opened();
    for set_aside in [false, false, true, false] {
        fail(&durable, Mishap::Files(Severity::Unclear));
        assert_eq!(mend(&durable), Ok(Some(set_aside)));
    }
}

#[test]
fn it_is_unavailable_until_it_can_be_opened() {
    let durable = opened();
    fail(&durable, Mishap::Files(Severity::Hindered));
    let full = || Err::<u32, _>(Mishap::Files(Severity::Hindered));
    durable.mend(|_| full(), |opened| opened).unwrap_err();
    assert_eq!(durable.with(|_| Ok(())), Err(Mishap::Unavailable));
    assert_eq!(mend(&durable), Ok(Some(false)));
    assert_eq!(durable.with(|_| Ok::<_, Mishap>(())), Ok(()));
}

#[test]
fn a_panic_is_a_failure_and_ends_nothing() {
    let durable = opened();
    let panicked: Result<(), _> = durable.with(|_| panic!("as a damaged file can make it"));
    assert_eq!(panicked, Err(Mishap::Panicked));
    assert_eq!(mend(&durable), Ok(Some(true)));
}

#[test]
fn a_closed_one_stays_closed() {
    let durable = opened();
    fail(&durable, Mishap::Files(Severity::Hindered));
    durable.close();
    assert_eq!(mend(&durable), Ok(None));
    assert_eq!(durable.with(|_| Ok(())), Err(Mishap::Closed));
}
