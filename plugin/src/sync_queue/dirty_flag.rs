//! [`DirtyFlag`]: a trace, outside of the log, that the log misses something.
//!
//! While the log cannot be written, which tables have to be compared is known
//! to the process alone. If it is killed then, the next one has to know that
//! there was something. So a flag is set before the first write that the log
//! misses, somewhere that is there as long as writes succeed, and taken down
//! once every mark is in the log. Found at a start, it means: compare
//! everything.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// How long to leave a place alone that could not take the flag.
const PAUSE: Duration = Duration::from_secs(1);

/// Somewhere to leave the flag, other than the log.
pub trait DirtyFlag: Send + Sync {
    /// Sets it.
    ///
    /// # Errors
    /// Why not, for people.
    fn set(&self) -> Result<(), String>;
    /// Is it set?
    ///
    /// # Errors
    /// Why nobody knows, for people.
    fn is_set(&self) -> Result<bool, String>;
    /// Takes it down.
    ///
    /// # Errors
    /// Why not, for people.
    fn clear(&self) -> Result<(), String>;
}

/// No flag: what only this process knows goes with it.
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

/// A flag, and what is known of it.
pub(super) struct Known {
    flag: Box<dyn DirtyFlag>,
    is_set: Mutex<(bool, Option<Instant>)>,
}

impl Known {
    pub(super) fn new(flag: Box<dyn DirtyFlag>) -> Self {
        Self {
            flag,
            is_set: Mutex::new((false, None)),
        }
    }

    /// Was it set by a former process? One that cannot be read counts as set.
    pub(super) fn was_set(&self) -> bool {
        let was_set = self.flag.is_set().unwrap_or_else(|error| {
            tracing::warn!(%error, "it is not known whether the log is complete; every table is compared");
            true
        });
        self.is_set.lock().0 = was_set;
        was_set
    }

    /// Sets it, unless it is set.
    pub(super) fn set(&self) {
        let mut known = self.is_set.lock();
        let (is_set, failed) = *known;
        if is_set || failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        *known = match self.flag.set() {
            Ok(()) => (true, None),
            Err(error) => {
                tracing::error!(%error, "if the process ends now, the next one will not know what the log misses");
                (false, Some(Instant::now()))
            }
        };
    }

    /// Is it set, as far as this process knows?
    pub(super) fn is_known_set(&self) -> bool {
        self.is_set.lock().0
    }

    /// Takes it down, if it is set.
    pub(super) fn clear(&self) {
        let mut known = self.is_set.lock();
        if !known.0 {
            return;
        }
        match self.flag.clear() {
            Ok(()) => known.0 = false,
            Err(error) => tracing::debug!(%error, "every table is compared at the next start"),
        }
    }
}
