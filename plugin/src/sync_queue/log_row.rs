//! [`LogRow`]: what is kept about the log outside of the queue store: the dirty flag
//! and the epoch.
//!
//! **The dirty flag** says that the log misses writes. While the store cannot be
//! written, only the process knows which tables need a resync. If it is killed then,
//! the next process has to learn that there was something. So the flag is set before
//! the first write that the log misses, in a place that is available as long as
//! writes succeed, and cleared once every resync request is durable. Found at a start,
//! it means: resync everything.
//!
//! **The epoch** is that of the log's latest opening. It shows whether the log is a
//! copy, or an earlier state ([`super::lineage`]).

use super::Epoch;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// How long to wait before trying again to set what could not be set.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The log's row in a place outside of the queue store. A place that keeps no epochs
/// keeps the dirty flag alone.
pub trait LogRow: Send + Sync {
    /// Sets the dirty flag.
    ///
    /// # Errors
    /// Why it could not be set, for the operator.
    fn set_dirty(&self) -> Result<(), String>;
    /// True if the dirty flag is set.
    ///
    /// # Errors
    /// Why it could not be read, for the operator.
    fn is_dirty(&self) -> Result<bool, String>;
    /// Clears the dirty flag.
    ///
    /// # Errors
    /// Why it could not be cleared, for the operator.
    fn clear_dirty(&self) -> Result<(), String>;

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
    /// Gives the row another name from now on: there may be a copy of the log that
    /// uses the present one.
    fn rename(&self) {}
}

/// No row: what only this process knows is lost with it.
pub struct NoLogRow;

impl LogRow for NoLogRow {
    fn set_dirty(&self) -> Result<(), String> {
        Ok(())
    }

    fn is_dirty(&self) -> Result<bool, String> {
        Ok(false)
    }

    fn clear_dirty(&self) -> Result<(), String> {
        Ok(())
    }
}

/// What is known of the dirty flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlagState {
    Clear,
    Set,
    /// It could not be read, or it is uncertain whether it was set.
    Unknown,
}

/// A log row, the last known state of its dirty flag, and when writing it last failed.
pub(super) struct TrackedLogRow {
    row: Box<dyn LogRow>,
    /// The flag, and when setting it last failed.
    flag: Mutex<(FlagState, Option<Instant>)>,
    /// When keeping an epoch last failed.
    epoch_failed: Mutex<Option<Instant>>,
}

impl TrackedLogRow {
    pub(super) fn new(row: Box<dyn LogRow>) -> Self {
        Self {
            row,
            flag: Mutex::new((FlagState::Clear, None)),
            epoch_failed: Mutex::default(),
        }
    }

    /// True if a former process set the dirty flag. One that cannot be read counts as
    /// set.
    pub(super) fn was_dirty(&self) -> bool {
        let state = match self.row.is_dirty() {
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
        self.flag.lock().0 = state;
        state != FlagState::Clear
    }

    /// The epoch that is kept for the log. An error if it cannot be read.
    pub(super) fn epoch(&self) -> Result<Option<Epoch>, ()> {
        if self.flag.lock().0 == FlagState::Unknown {
            return Err(());
        }
        self.row.epoch().map_err(|error| {
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
        let kept = self.row.set_epoch(epoch);
        *failed = kept.is_err().then(Instant::now);
        if let Err(error) = &kept {
            tracing::debug!(%error, "the log's epoch could not be kept on the primary; retrying");
        }
        kept.is_ok()
    }

    /// Gives the row another name; see [`LogRow::rename`].
    pub(super) fn rename(&self) {
        self.row.rename();
        let was = std::mem::replace(&mut *self.flag.lock(), (FlagState::Clear, None));
        if was.0 != FlagState::Clear {
            self.set_dirty();
        }
    }

    /// Sets the dirty flag, unless it is set.
    pub(super) fn set_dirty(&self) {
        let mut known = self.flag.lock();
        let (state, failed) = *known;
        if state == FlagState::Set || failed.is_some_and(|at| at.elapsed() < RETRY_AFTER) {
            return;
        }
        *known = match self.row.set_dirty() {
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

    /// True if the dirty flag is certainly set.
    pub(super) fn is_dirty(&self) -> bool {
        self.flag.lock().0 == FlagState::Set
    }

    /// True unless the dirty flag is certainly clear.
    pub(super) fn may_be_dirty(&self) -> bool {
        self.flag.lock().0 != FlagState::Clear
    }

    /// Clears the dirty flag, if it may be set and `is_unneeded`. Who needs it makes
    /// `is_unneeded` false first and sets the flag then, which waits for this.
    pub(super) fn clear_dirty_if(&self, is_unneeded: impl FnOnce() -> bool) {
        let mut known = self.flag.lock();
        if known.0 == FlagState::Clear || !is_unneeded() {
            return;
        }
        match self.row.clear_dirty() {
            Ok(()) => known.0 = FlagState::Clear,
            Err(error) => tracing::debug!(
                %error,
                "the dirty flag could not be cleared; retrying. While it is set, the next start \
                 resyncs every table"
            ),
        }
    }
}
