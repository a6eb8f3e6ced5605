//! [`DirtyFlag`]: a flag outside of the queue store that says the log misses
//! writes.
//!
//! While the store cannot be written, only the process knows which tables need a
//! resync. If it is killed then, the next process has to learn that there was
//! something. So a flag is set before the first write that the log misses, in a
//! place that is available as long as writes succeed, and cleared once every
//! resync request is durable. Found at a start, it means: resync everything.

use super::Epoch;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// How long to wait before trying again to set what could not be set.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A flag that is kept outside of the queue store. A place that can keep the
/// log's epoch as well shows whether the log is a copy ([`super::lineage`]).
pub trait DirtyFlag: Send + Sync {
    /// Sets the flag.
    ///
    /// # Errors
    /// Why it could not be set, for the operator.
    fn set(&self) -> Result<(), String>;
    /// True if the flag is set.
    ///
    /// # Errors
    /// Why it could not be read, for the operator.
    fn is_set(&self) -> Result<bool, String>;
    /// Clears the flag.
    ///
    /// # Errors
    /// Why it could not be cleared, for the operator.
    fn clear(&self) -> Result<(), String>;

    /// The epoch that is kept for the log; none if the log is not known.
    ///
    /// # Errors
    /// Why it could not be read, for the operator.
    fn epoch(&self) -> Result<Option<Epoch>, String> {
        Ok(None)
    }
    /// Keeps this epoch for the log.
    ///
    /// # Errors
    /// Why it could not be kept, for the operator.
    fn set_epoch(&self, _epoch: Epoch) -> Result<(), String> {
        Err("epochs are not kept".to_owned())
    }
    /// Has the flag and the epoch kept under another name from now on: there may
    /// be a copy of the log that uses the present one.
    fn rename(&self) {}
}

/// No flag: what only this process knows is lost with it.
pub struct NoFlag;

impl DirtyFlag for NoFlag {
    fn set(&self) -> Result<(), String> {
        Ok(())
    }

    fn is_set(&self) -> Result<bool, String> {
        Ok(false)
    }

    fn clear(&self) -> Result<(), String> {
        Ok(())
    }
}

/// What is known of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlagState {
    Clear,
    Set,
    /// It could not be read, or it is uncertain whether it was set.
    Unknown,
}

/// A flag, its last known state, and when setting it last failed.
pub(super) struct TrackedFlag {
    flag: Box<dyn DirtyFlag>,
    state: Mutex<(FlagState, Option<Instant>)>,
    /// When keeping an epoch last failed.
    epoch_failed: Mutex<Option<Instant>>,
}

impl TrackedFlag {
    pub(super) fn new(flag: Box<dyn DirtyFlag>) -> Self {
        Self {
            flag,
            state: Mutex::new((FlagState::Clear, None)),
            epoch_failed: Mutex::default(),
        }
    }

    /// True if a former process set it. A flag that cannot be read counts as
    /// set.
    pub(super) fn was_set(&self) -> bool {
        let state = match self.flag.is_set() {
            Ok(true) => FlagState::Set,
            Ok(false) => FlagState::Clear,
            Err(error) => {
                tracing::warn!(
                    %error,
                    "the dirty flag on the primary cannot be read, so the log may be incomplete; \
                     scheduling a resync of every table"
                );
                FlagState::Unknown
            }
        };
        self.state.lock().0 = state;
        state != FlagState::Clear
    }

    /// The epoch that is kept for the log. An error if it cannot be read.
    pub(super) fn epoch(&self) -> Result<Option<Epoch>, ()> {
        if self.state.lock().0 == FlagState::Unknown {
            return Err(());
        }
        self.flag.epoch().map_err(|error| {
            tracing::warn!(
                %error,
                "the log's epoch on the primary cannot be read, so a copy of the log would not be \
                 recognised before a secondary is connected"
            );
        })
    }

    /// Keeps this epoch for the log. False if that failed, now or just before.
    pub(super) fn set_epoch(&self, epoch: Epoch) -> bool {
        let mut failed = self.epoch_failed.lock();
        if failed.is_some_and(|at| at.elapsed() < RETRY_AFTER) {
            return false;
        }
        let kept = self.flag.set_epoch(epoch);
        *failed = kept.is_err().then(Instant::now);
        if let Err(error) = &kept {
            tracing::debug!(%error, "the log's epoch could not be kept on the primary; retrying");
        }
        kept.is_ok()
    }

    /// Has it kept under another name; see [`DirtyFlag::rename`].
    pub(super) fn rename(&self) {
        self.flag.rename();
        let was = std::mem::replace(&mut *self.state.lock(), (FlagState::Clear, None));
        if was.0 != FlagState::Clear {
            self.set();
        }
    }

    /// Sets it, unless it is set.
    pub(super) fn set(&self) {
        let mut known = self.state.lock();
        let (state, failed) = *known;
        if state == FlagState::Set || failed.is_some_and(|at| at.elapsed() < RETRY_AFTER) {
            return;
        }
        *known = match self.flag.set() {
            Ok(()) => (FlagState::Set, None),
            Err(error) => {
                tracing::error!(
                    %error,
                    "the dirty flag could not be set on the primary; retrying. If the process ends \
                     before that, run a resync of every table after the restart"
                );
                (FlagState::Unknown, Some(Instant::now()))
            }
        };
    }

    /// True if it is certainly set.
    pub(super) fn is_set(&self) -> bool {
        self.state.lock().0 == FlagState::Set
    }

    /// True unless it is certainly clear.
    pub(super) fn may_be_set(&self) -> bool {
        self.state.lock().0 != FlagState::Clear
    }

    /// Clears it, if it may be set and `is_unneeded`. Who needs it makes
    /// `is_unneeded` false first and sets the flag then, which waits for this.
    pub(super) fn clear_if(&self, is_unneeded: impl FnOnce() -> bool) {
        let mut known = self.state.lock();
        if known.0 == FlagState::Clear || !is_unneeded() {
            return;
        }
        match self.flag.clear() {
            Ok(()) => known.0 = FlagState::Clear,
            Err(error) => tracing::debug!(
                %error,
                "the dirty flag could not be cleared; retrying. While it is set, the next start \
                 resyncs every table"
            ),
        }
    }
}
