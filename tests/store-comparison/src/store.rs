//! What the log asks of a store, and nothing more.

use parking_lot::{Condvar, Mutex};
use std::path::Path;

pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + std::marker::Sync>>;

/// When a commit is brought to the disk.
#[derive(Clone, Copy, PartialEq)]
pub enum Sync {
    Never,
    /// Together with others that wait.
    Always,
    /// Each by itself, where the store can do that.
    AlwaysAlone,
}

/// A log in 16 partitions, and state that changes together with it.
pub trait Store: Send + std::marker::Sync + Sized + 'static {
    const NAME: &'static str;
    fn open(dir: &Path, sync: Sync) -> Outcome<Self>;
    /// Appends an entry and sets a state, together. Positions of a partition are
    /// consecutive, from 1.
    fn append(&self, partition: u16, value: &[u8], state: (&[u8], &[u8])) -> Outcome<()>;
    /// The entries of a partition after a position, in order.
    fn read(&self, partition: u16, after: u64, limit: usize) -> Outcome<Vec<(u64, Vec<u8>)>>;
    /// Removes the entries of a partition up to a position.
    fn remove(&self, partition: u16, to: u64) -> Outcome<()>;
    fn state(&self, key: &[u8]) -> Outcome<Option<Vec<u8>>>;
}

pub const PARTITIONS: u16 = 16;

pub fn entry_key(partition: u16, position: u64) -> [u8; 10] {
    let mut key = [0; 10];
    key[..2].copy_from_slice(&partition.to_be_bytes());
    key[2..].copy_from_slice(&position.to_be_bytes());
    key
}

/// One fsync for all commits that wait for one.
#[derive(Default)]
pub struct GroupSync {
    state: Mutex<GroupState>,
    changed: Condvar,
}

#[derive(Default)]
struct GroupState {
    committed: u64,
    synced: u64,
    busy: bool,
}

impl GroupSync {
    /// Waits until what was committed before this call is on the disk.
    pub fn wait(&self, sync: impl Fn() -> Outcome<()>) -> Outcome<()> {
        let mut state = self.state.lock();
        state.committed += 1;
        let mine = state.committed;
        while state.synced < mine {
            if state.busy {
                self.changed.wait(&mut state);
                continue;
            }
            state.busy = true;
            let upto = state.committed;
            drop(state);
            let synced = sync();
            state = self.state.lock();
            state.busy = false;
            self.changed.notify_all();
            synced?;
            state.synced = upto;
        }
        Ok(())
    }
}
