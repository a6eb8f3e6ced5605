//! [`Reached`]: how much the database of the log must have, kept outside of it.
//!
//! The database recovers from a torn end by cutting it off, and cannot tell an
//! end that was never finished from one that was damaged later. So after every
//! commit its number is written to a small file beside it, in place: a database
//! that comes back with less has lost something that it had acknowledged.

use super::{QueueError, store::KEYSPACES};
use fjall::Database;
use parking_lot::Mutex;
use std::{
    fs::File,
    io::Read,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// Its name in the database's directory.
pub(super) const FILE: &str = "reached";

/// A number and its complement.
const BYTES: usize = 16;

/// How far commits may be ahead of what was noted: those that were under way
/// when the process was killed. Further ahead, the numbers are wrong.
const MAX_UNRECORDED_COMMITS: u64 = 100_000;

/// The number of the last commit, in a file.
pub(super) struct Reached {
    file: Mutex<File>,
    noted: AtomicU64,
}

impl Reached {
    /// Opens the file beside `database` and compares the two. A database that
    /// has just been made has everything that it should.
    pub(super) fn open(dir: &Path, database: &Database) -> Result<Self, QueueError> {
        let path = dir.join(FILE);
        let is_new = database.keyspace_count() == 0 && database.visible_seqno() == 0;
        let mut file = File::options()
            .create(is_new)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(fjall::Error::Io)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fjall::Error::Io)?;
        let noted = match (bytes.len(), decode(&bytes)) {
            (0, _) if is_new => 0,
            (_, Some(noted)) => noted,
            _ => return Err(QueueError::Damaged("it is not known how much was in it")),
        };
        let has = database.visible_seqno();
        if has < noted {
            return Err(QueueError::Damaged("its end is missing"));
        }
        if has > noted + MAX_UNRECORDED_COMMITS {
            return Err(QueueError::Damaged("it has numbers that nobody gave out"));
        }
        // They are made one after the other; the first commit comes when all
        // are there.
        let whole = KEYSPACES.iter().all(|name| database.keyspace_exists(name));
        if noted > 0 && !whole {
            return Err(QueueError::Damaged("a part of it is missing"));
        }
        let reached = Self {
            file: Mutex::new(file),
            noted: AtomicU64::new(noted),
        };
        if bytes.is_empty() {
            // The place on the disk is taken now, before the disk is full.
            reached
                .write(&reached.file.lock(), 0)
                .map_err(fjall::Error::Io)?;
        }
        Ok(reached)
    }

    /// Notes what is committed by now.
    pub(super) fn note(&self, database: &Database) {
        if database.visible_seqno() <= self.noted.load(Ordering::Acquire) {
            return;
        }
        let file = self.file.lock();
        let committed = database.visible_seqno();
        // One that is not noted is not missed; nothing else is wrong with that.
        if committed > self.noted.load(Ordering::Acquire) && self.write(&file, committed).is_ok() {
            self.noted.store(committed, Ordering::Release);
        }
    }

    fn write(&self, file: &File, number: u64) -> std::io::Result<()> {
        write_at_start(file, &encode(number))
    }
}

#[cfg(unix)]
fn write_at_start(file: &File, bytes: &[u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, 0)
}

#[cfg(not(unix))]
fn write_at_start(mut file: &File, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(0))?;
    file.write_all(bytes)
}

fn encode(number: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..].copy_from_slice(&(!number).to_be_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<u64> {
    let bytes: [u8; BYTES] = bytes.try_into().ok()?;
    let (number, complement) = bytes.split_at(8);
    let number = u64::from_be_bytes(number.try_into().ok()?);
    let complement = u64::from_be_bytes(complement.try_into().ok()?);
    (number == !complement).then_some(number)
}
