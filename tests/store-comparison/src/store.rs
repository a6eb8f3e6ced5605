//! What the log asks of a store, and nothing more.

use std::path::Path;

pub type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + std::marker::Sync>>;

/// When a commit is brought to the disk.
#[derive(Clone, Copy, PartialEq)]
pub enum Sync {
    Never,
    Always,
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
