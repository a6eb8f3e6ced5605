//! [`SelfHealingStore`]: a database on disk that may fail while it is in use, and is
//! opened again by itself.
//!
//! fjall takes no more writes after its first failed one, so a disk that was
//! full for a moment would end it for good. Here a failure is noted, whoever
//! uses the database gets an error meanwhile, and [`SelfHealingStore::recover`], called
//! again and again in the background, closes and opens it until that works.
//!
//! What kept it from working decides how it is opened again, see [`Severity`].
//!
//! | module | what it has |
//! | --- | --- |
//! | `files` | opening a database's files and setting damaged ones aside |
//! | `intact` | a look for damage that fjall does not survive |

mod files;
mod preflight;

pub use files::{open, open_or_set_aside, set_aside, severity};

use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicU32, Ordering},
};

/// How often a database may fail for no clear reason before it counts as
/// damaged: a part of the disk that cannot be read fails every time.
const FAILURES: u32 = 3;

/// What a failure means for the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// They are whole. Something is in the way: no room, no permission.
    Environment,
    /// Nobody can tell. If it happens again and again they count as damaged.
    Unclear,
    /// What is in them is wrong, or missing: they are set aside.
    Damaged,
}

/// An error of somebody who works on a database.
pub trait StoreError: std::fmt::Display + Sized {
    /// What it means for the files; none if it does not come from them.
    fn severity(&self) -> Option<Severity>;
    /// The database cannot be used now.
    fn unavailable() -> Self;
    /// It was closed for good.
    fn closed() -> Self;
    /// Working with it panicked: a damaged file can do that.
    fn panicked() -> Self;
}

/// Why a database does not work, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What happened.
    pub problem: String,
    #[serde(skip)]
    severity: Severity,
}

impl Fault {
    /// What will mend it.
    pub fn remedy(&self) -> &'static str {
        match self.severity {
            Severity::Environment => {
                "free space on the disk that holds it, and let the host's user make directories \
                 and write files there"
            }
            Severity::Unclear => "look after the disk that holds it",
            Severity::Damaged => {
                "nothing to do; if the damage comes back, look after the disk that holds it"
            }
        }
    }
}

enum Slot<S> {
    Open(S),
    Unavailable,
    Closed,
}

/// A database that is open as a rule.
pub struct SelfHealingStore<S> {
    slot: RwLock<Slot<S>>,
    fault: Mutex<Option<Fault>>,
    unclear: AtomicU32,
}

impl<S> SelfHealingStore<S> {
    /// One that [`SelfHealingStore::recover`] has yet to open.
    pub fn unopened() -> Self {
        Self {
            slot: RwLock::new(Slot::Unavailable),
            fault: Mutex::new(Some(Fault {
                problem: "it is not open yet".to_owned(),
                severity: Severity::Environment,
            })),
            unclear: AtomicU32::new(0),
        }
    }

    /// Works with the database. A failure of its files is noted.
    ///
    /// # Errors
    /// What `call` says, or that the database is not there.
    pub fn with<T, E: StoreError>(&self, call: impl FnOnce(&S) -> Result<T, E>) -> Result<T, E> {
        let slot = self.slot.read();
        let store = match &*slot {
            Slot::Open(store) => store,
            Slot::Unavailable => return Err(E::unavailable()),
            Slot::Closed => return Err(E::closed()),
        };
        let result = catch_panic(|| call(store));
        if let Err(error) = &result {
            self.note(error);
        }
        result
    }

    /// Notes a failure; the first one is what people are told.
    fn note(&self, error: &impl StoreError) {
        let Some(severity) = error.severity() else {
            return;
        };
        let mut fault = self.fault.lock();
        if fault
            .as_ref()
            .is_none_or(|known| severity == Severity::Damaged && known.severity != severity)
        {
            tracing::error!(%error, "a database of the module fails; it is opened again");
            *fault = Some(Fault {
                problem: error.to_string(),
                severity,
            });
        }
    }

    /// Why it does not work; none if it does.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.lock().clone()
    }

    /// Is it open, as far as anybody knows?
    pub fn works(&self) -> bool {
        self.fault.lock().is_none()
    }

    /// If it has failed: closes it and opens it again with `open`, which is
    /// told whether the files are to be set aside first. `publish` makes the
    /// database of what was opened, before anybody else can use it. True if
    /// this opened it.
    ///
    /// # Errors
    /// Why it cannot be opened yet. It stays closed until the next call.
    pub fn recover<O, E: StoreError>(
        &self,
        open: impl FnOnce(bool) -> Result<O, E>,
        publish: impl FnOnce(O) -> S,
    ) -> Result<bool, E> {
        let Some(fault) = self.fault() else {
            return Ok(false);
        };
        let damaged = match fault.severity {
            Severity::Damaged => true,
            Severity::Environment => false,
            Severity::Unclear => self.unclear.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES,
        };
        if !self.take() {
            return Ok(false);
        }
        let opened = match open(damaged) {
            Ok(opened) => opened,
            Err(error) => {
                let mut known = self.fault.lock();
                let problem = error.to_string();
                if known.as_ref().is_none_or(|known| known.problem != problem) {
                    tracing::error!(%error, "a database of the module cannot be opened; it is tried again");
                }
                // What is damaged was set aside, or the next call tries that.
                let severity = error.severity().unwrap_or(Severity::Environment);
                if severity == Severity::Environment {
                    self.unclear.store(0, Ordering::Relaxed);
                }
                *known = Some(Fault { problem, severity });
                return Err(error);
            }
        };
        if damaged {
            self.unclear.store(0, Ordering::Relaxed);
        }
        let mut slot = self.slot.write();
        if !matches!(*slot, Slot::Closed) {
            *slot = Slot::Open(publish(opened));
            *self.fault.lock() = None;
        }
        Ok(true)
    }

    /// Takes the database out, so that its files are closed. False if it was
    /// closed for good.
    fn take(&self) -> bool {
        let mut slot = self.slot.write();
        if matches!(*slot, Slot::Closed) {
            return false;
        }
        let former = std::mem::replace(&mut *slot, Slot::Unavailable);
        drop(slot);
        release(former);
        true
    }

    /// Closes it for good.
    pub fn close(&self) {
        let former = std::mem::replace(&mut *self.slot.write(), Slot::Closed);
        release(former);
    }
}

/// Works with files that may be damaged: that makes the database fail, or panic.
fn catch_panic<T, E: StoreError>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(E::panicked()))
}

/// One whose threads have panicked may panic when it is dropped.
fn release<S>(slot: Slot<S>) {
    if catch_unwind(AssertUnwindSafe(|| drop(slot))).is_err() {
        tracing::debug!("a database that had failed could not be closed in order");
    }
}

#[cfg(test)]
mod tests;
