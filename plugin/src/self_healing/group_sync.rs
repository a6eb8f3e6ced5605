//! [`GroupSync`]: commits that wait for the disk together.

use super::{StoreError, off_the_runtime};
use parking_lot::{Condvar, Mutex};
use std::sync::{Arc, OnceLock};

/// Syncs for all commits that wait for one: while a sync runs, further commits
/// gather, and the next sync is for all of them.
#[derive(Default)]
pub struct GroupSync {
    state: Mutex<State>,
    /// Notified when a sync has ended.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    gathering: Arc<Group>,
    is_syncing: bool,
}

/// Commits that are synced together; whether they are on the disk, once that is
/// known.
#[derive(Default)]
struct Group(OnceLock<bool>);

impl GroupSync {
    /// Waits until everything that was committed before this call is on the disk.
    /// `sync` brings all commits there; one of those who wait calls it.
    ///
    /// # Errors
    /// Those of `sync` for the one who called it; for the others, that the database
    /// is unavailable.
    pub fn wait<E: StoreError>(&self, sync: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        off_the_runtime(|| {
            let mut state = self.state.lock();
            let mine = Arc::clone(&state.gathering);
            while state.is_syncing {
                self.ended.wait(&mut state);
                match mine.0.get() {
                    Some(true) => return Ok(()),
                    Some(false) => return Err(E::unavailable()),
                    None => {}
                }
            }
            // Nobody has begun the sync of this group: who commits from now on
            // belongs to the next one.
            state.gathering = Arc::default();
            state.is_syncing = true;
            drop(state);
            let synced = sync();
            self.state.lock().is_syncing = false;
            // Set once, by the one who began it.
            let _ = mine.0.set(synced.is_ok());
            self.ended.notify_all();
            synced
        })
    }
}
