//! [`CommitMarker`]: the last commit that the store must contain, recorded
//! outside of it.
//!
//! The database recovers from a torn tail by cutting it off, and cannot tell a
//! tail that was never completed from one that was damaged later. So after every
//! commit its sequence number is written to a small file beside the database, in
//! place. If the database recovers fewer commits than the marker records, it has
//! lost something that it had acknowledged and is treated as corrupt; unless the
//! machine went down meanwhile, which loses what was not synced
//! ([`boot_record`](crate::sync_queue::boot_record)).
//!
//! A power cut may leave the marker itself behind. So it is synced when it is
//! created, and before it is further behind than is tolerated.

use super::super::QueueError;
use fjall::Database;
use parking_lot::Mutex;
use std::{
    fs::File,
    io::Read,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

/// The name of the file in the database's directory.
pub(in crate::sync_queue) const FILE: &str = "reached";

/// A number and its complement.
const BYTES: usize = 16;

/// How many commits the database may be ahead of the marker: those in progress
/// when the process was killed, and those since the marker was last synced.
/// Further ahead, the sequence numbers are wrong.
const MAX_UNRECORDED_COMMITS: u64 = 100_000;

/// After so many commits the marker is synced.
pub(in crate::sync_queue) const SYNC_AFTER_COMMITS: u64 = 10_000;

/// The sequence number of the last commit, in a file.
pub(in crate::sync_queue) struct CommitMarker {
    file: Mutex<File>,
    recorded: AtomicU64,
    /// What of it is certainly on the disk.
    synced: AtomicU64,
    /// What the database had when it was opened.
    recovered: u64,
    /// What the marker had then.
    found: u64,
}

impl CommitMarker {
    /// Opens the marker beside `database` and compares the two. A database that
    /// has just been created is complete.
    pub(super) fn open(
        dir: &Path,
        database: &Database,
        keyspaces: &[&str],
    ) -> Result<Self, QueueError> {
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
        let recorded = match (bytes.len(), decode(&bytes)) {
            (0, _) if is_new => 0,
            (_, Some(recorded)) => recorded,
            _ => {
                return Err(QueueError::Corrupt(
                    "the commit marker is missing or unreadable",
                ));
            }
        };
        let recovered = database.visible_seqno();
        if recovered > recorded + MAX_UNRECORDED_COMMITS {
            return Err(QueueError::Corrupt(
                "the commit sequence is ahead of the recorded marker",
            ));
        }
        // Keyspaces are created one after the other, and the first commit comes
        // when all of them exist.
        let all_exist = keyspaces.iter().all(|name| database.keyspace_exists(name));
        if recorded > 0 && !all_exist {
            return Err(QueueError::Corrupt("a keyspace is missing"));
        }
        if bytes.is_empty() {
            // Allocates the file's space now, before the disk is full. On the disk
            // with its name before the first commit is: later a file that is
            // missing or empty is corruption.
            write_at_start(&file, &encode(0))
                .and_then(|()| file.sync_all())
                .and_then(|()| File::open(dir)?.sync_all())
                .map_err(fjall::Error::Io)?;
        }
        // Commits that the machine took along are not missed again.
        let present = recorded.min(recovered);
        // What a former process recorded may not be on the disk yet.
        let synced = file.sync_data().map_or(0, |()| present);
        Ok(Self {
            file: Mutex::new(file),
            recorded: AtomicU64::new(present),
            synced: AtomicU64::new(synced),
            recovered,
            found: recorded,
        })
    }

    /// True if the marker records commits that the database did not recover.
    pub(super) fn is_ahead_of_recovered(&self) -> bool {
        self.found > self.recovered
    }

    /// Records that everything up to `committed` is committed.
    pub(super) fn record(&self, committed: u64) {
        if committed <= self.recorded.load(Ordering::Acquire) {
            return;
        }
        let file = self.file.lock();
        // A commit that is not recorded is only one whose loss goes unnoticed.
        if committed > self.recorded.load(Ordering::Acquire)
            && write_at_start(&file, &encode(committed)).is_ok()
        {
            self.recorded.store(committed, Ordering::Release);
            if committed - self.synced.load(Ordering::Acquire) >= SYNC_AFTER_COMMITS
                && file.sync_data().is_ok()
            {
                self.synced.store(committed, Ordering::Release);
            }
        }
    }

    /// How many commits are recorded, and how many of them are on the disk.
    #[cfg(test)]
    pub(in crate::sync_queue) fn progress(&self) -> (u64, u64) {
        (
            self.recorded.load(Ordering::Acquire),
            self.synced.load(Ordering::Acquire),
        )
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
