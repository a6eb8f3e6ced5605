//! [`SelfHealingStore`]: a database on disk that may fail while it is in use and
//! is then reopened automatically.
//!
//! fjall takes no more writes after its first failed one, so a disk that was
//! full for a moment would disable it for good. Here the failure is recorded,
//! callers get an error meanwhile, and [`SelfHealingStore::recover`], which a
//! background task calls once it is notified, closes and reopens the database until
//! that succeeds. The failure's [`Severity`] decides how it is reopened.
//!
//! | module | contents |
//! | --- | --- |
//! | [`files`] | opening a database's files, and moving corrupt ones aside |
//! | [`mod@format`] | the version of their format, checked before anything else is read |
//! | [`preflight`] | checks for corruption that would abort the process in fjall |
//! | [`blocking`] | waiting for the disk without stalling the runtime |
//! | [`group_sync`] | one fsync for all commits that wait for one |

mod blocking;
mod files;
mod format;
mod group_sync;
mod preflight;

pub use blocking::off_the_runtime;
pub use files::{OpenError, open, open_or_set_aside, set_aside, set_aside_as, severity};
#[cfg(test)]
pub(crate) use format::FILE as FORMAT_FILE;
pub use format::Incompatible;
pub use group_sync::GroupSync;

use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::sync::Notify;

/// How often a database may fail for an unknown reason before it is treated as
/// corrupt: an unreadable disk sector fails every time.
const MAX_UNKNOWN_FAILURES: u32 = 3;

/// What a failure means for the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// They are intact; the environment is at fault: disk full, no permission.
    Environment,
    /// Unknown. Files that fail repeatedly are treated as corrupt.
    Unknown,
    /// Their content is invalid or incomplete: they are moved aside.
    Corrupt,
    /// A newer version of the module has written them. They are left as they
    /// are, and not opened again by this process.
    Incompatible,
}

/// The error type of a store that is kept in such a database.
pub trait StoreError: std::fmt::Display + Sized {
    /// What it means for the files; `None` if they are not its cause.
    fn severity(&self) -> Option<Severity>;
    /// The database cannot be used now.
    fn unavailable() -> Self;
    /// The database was closed for good.
    fn closed() -> Self;
    /// An access to the database panicked, as a corrupt file can cause.
    fn panicked() -> Self;
}

/// Why a database cannot be used, for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What happened.
    pub problem: String,
    #[serde(skip)]
    severity: Severity,
}

impl Fault {
    /// One that free space fixes.
    #[cfg(test)]
    pub(crate) fn of_the_disk(problem: &str) -> Self {
        Self {
            problem: problem.to_owned(),
            severity: Severity::Environment,
        }
    }

    /// What fixes it.
    pub fn remedy(&self) -> &'static str {
        match self.severity {
            Severity::Environment => {
                "free space on the disk that holds it, and let the host's user create directories \
                 and write files there; it is then reopened automatically"
            }
            Severity::Unknown => {
                "check the disk that holds it; it is reopened automatically once that works"
            }
            Severity::Corrupt => {
                "no action needed, it is replaced automatically; if the corruption recurs, check \
                 the disk that holds it"
            }
            Severity::Incompatible => {
                "action required: install the newer module again, or move queue_dir away to start \
                 with an empty one; then restart the host. The files are left as they are, and \
                 writes are noted in the primary"
            }
        }
    }
}

enum Slot<S> {
    Open(S),
    Unavailable,
    Closed,
}

/// A database that is normally open, and reopened after a failure.
pub struct SelfHealingStore<S> {
    /// What it is called in the log.
    name: &'static str,
    slot: RwLock<Slot<S>>,
    fault: Mutex<Option<Fault>>,
    unknown_failures: AtomicU32,
    /// Notified of every failure.
    failed: Arc<Notify>,
}

impl<S> SelfHealingStore<S> {
    /// A database that [`SelfHealingStore::recover`] has yet to open. `failed`
    /// is notified when it fails and has to be opened again.
    pub fn unopened(name: &'static str, failed: Arc<Notify>) -> Self {
        Self {
            name,
            slot: RwLock::new(Slot::Unavailable),
            fault: Mutex::new(Some(Fault {
                problem: "it is not open yet".to_owned(),
                severity: Severity::Environment,
            })),
            unknown_failures: AtomicU32::new(0),
            failed,
        }
    }

    /// Runs `call` on the database. A failure of its files is recorded.
    ///
    /// # Errors
    /// The error of `call`, or that the database is unavailable or closed.
    pub fn with<T, E: StoreError>(&self, call: impl FnOnce(&S) -> Result<T, E>) -> Result<T, E> {
        let slot = self.slot.read();
        let store = match &*slot {
            Slot::Open(store) => store,
            Slot::Unavailable => return Err(E::unavailable()),
            Slot::Closed => return Err(E::closed()),
        };
        let result = off_the_runtime(|| catch_panic(|| call(store)));
        if let Err(error) = &result {
            self.record(error);
        }
        result
    }

    /// Records a failure. The first one is reported, unless a later one shows
    /// that the files are corrupt or not this version's.
    fn record(&self, error: &impl StoreError) {
        let Some(severity) = error.severity() else {
            return;
        };
        let mut fault = self.fault.lock();
        if fault
            .as_ref()
            .is_none_or(|known| severity > known.severity && severity >= Severity::Corrupt)
        {
            match severity {
                Severity::Incompatible => tracing::error!(
                    %error, "the {} cannot be used by this version; it is left as it is", self.name
                ),
                _ => tracing::error!(%error, "the {} failed; reopening it", self.name),
            }
            *fault = Some(Fault {
                problem: error.to_string(),
                severity,
            });
        }
        drop(fault);
        self.failed.notify_one();
    }

    /// Why the database cannot be used; `None` if it can.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.lock().clone()
    }

    /// True unless a failure is known.
    pub fn is_available(&self) -> bool {
        self.fault.lock().is_none()
    }

    /// If the database has failed, closes and reopens it with `open`, whose
    /// argument is true if the files are corrupt and have to be moved aside
    /// first. `publish` turns the result into the database, before anyone else
    /// can use it. True if this call opened it.
    ///
    /// # Errors
    /// Why it cannot be opened yet. It stays unavailable until the next call; one
    /// of a newer version stays unavailable for good.
    pub fn recover<O, E: StoreError>(
        &self,
        open: impl FnOnce(bool) -> Result<O, E>,
        publish: impl FnOnce(O) -> S,
    ) -> Result<bool, E> {
        let Some(fault) = self.fault() else {
            return Ok(false);
        };
        let corrupt = match fault.severity {
            Severity::Corrupt => true,
            Severity::Environment => false,
            Severity::Unknown => {
                self.unknown_failures.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_UNKNOWN_FAILURES
            }
            Severity::Incompatible => {
                self.take();
                return Err(E::unavailable());
            }
        };
        if !self.take() {
            return Ok(false);
        }
        let opened = match open(corrupt) {
            Ok(opened) => opened,
            Err(error) => {
                let mut known = self.fault.lock();
                let problem = error.to_string();
                // A corrupt one was moved aside, or the next call tries that.
                let severity = error.severity().unwrap_or(Severity::Environment);
                if known.as_ref().is_none_or(|known| known.problem != problem) {
                    let next = match severity {
                        Severity::Incompatible => "it is left as it is",
                        _ => "retrying",
                    };
                    tracing::error!(%error, "the {} cannot be opened; {next}", self.name);
                }
                if severity == Severity::Environment {
                    self.unknown_failures.store(0, Ordering::Relaxed);
                }
                *known = Some(Fault { problem, severity });
                return Err(error);
            }
        };
        if corrupt {
            self.unknown_failures.store(0, Ordering::Relaxed);
        }
        let mut slot = self.slot.write();
        if !matches!(*slot, Slot::Closed) {
            *slot = Slot::Open(publish(opened));
            *self.fault.lock() = None;
        }
        Ok(true)
    }

    /// Takes the database out of its slot, which closes its files. False if it
    /// was closed for good.
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

    /// Closes the database for good.
    pub fn close(&self) {
        let former = std::mem::replace(&mut *self.slot.write(), Slot::Closed);
        release(former);
    }
}

/// Accesses files that may be corrupt, which can make the database panic.
fn catch_panic<T, E: StoreError>(work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(E::panicked()))
}

/// A database whose threads have panicked may panic when it is dropped.
fn release<S>(slot: Slot<S>) {
    if catch_unwind(AssertUnwindSafe(|| drop(slot))).is_err() {
        tracing::debug!("a failed database could not be closed properly");
    }
}

#[cfg(test)]
mod tests;
