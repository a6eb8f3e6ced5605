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

/// What is known of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    Up,
    /// It could not be read, or not be set for certain.
    Unclear,
}

/// A flag, what is known of it, and when it could last not be set.
pub(super) struct Known {
    flag: Box<dyn DirtyFlag>,
    state: Mutex<(State, Option<Instant>)>,
}

impl Known {
    pub(super) fn new(flag: Box<dyn DirtyFlag>) -> Self {
        Self {
            flag,
            state: Mutex::new((State::Down, None)),
        }
    }

    /// Was it set by a former process? One that cannot be read counts as set.
    pub(super) fn was_set(&self) -> bool {
        let state = match self.flag.is_set() {
            Ok(true) => State::Up,
            Ok(false) => State::Down,
            Err(error) => {
                tracing::warn!(%error, "it is not known whether the log is complete; every table is compared");
                State::Unclear
            }
        };
        self.state.lock().0 = state;
        state != State::Down
    }

    /// Sets it, unless it is set.
    pub(super) fn set(&self) {
        let mut known = self.state.lock();
        let (state, failed) = *known;
        if state == State::Up || failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return;
        }
        *known = match self.flag.set() {
            Ok(()) => (State::Up, None),
            Err(error) => {
                tracing::error!(%error, "if the process ends now, the next one will not know what the log misses");
                (State::Unclear, Some(Instant::now()))
            }
        };
    }

    /// Is it set for certain?
    pub(super) fn is_up(&self) -> bool {
        self.state.lock().0 == State::Up
    }

    /// Is there anything to take down?
    pub(super) fn may_be_up(&self) -> bool {
        self.state.lock().0 != State::Down
    }

    /// Takes it down, if it may be set.
    pub(super) fn clear(&self) {
        let mut known = self.state.lock();
        if known.0 == State::Down {
            return;
        }
        match self.flag.clear() {
            Ok(()) => known.0 = State::Down,
            Err(error) => tracing::debug!(%error, "every table is compared at the next start"),
        }
    }
}
