//! Checks the files of a database before fjall opens them.
//!
//! fjall allocates memory for as many items as a file claims to hold, before it
//! reads them. A corrupt count can claim 64 GiB, and a failed allocation aborts
//! the host process. So every count and length that fjall would trust is checked
//! here first:
//!
//! | file | trusted value | checked against |
//! | --- | --- | --- |
//! | `keyspaces/N/vM` | number of tables and blobs of a keyspace | its checksum, in `keyspaces/N/current` |
//! | these, `tables/*`, `blobs/*` | number of sections | the checksum of the table of contents |
//! | `tables/*` | number of linked blobs | the length of that section |
//! | `*.jnl` | length of an entry | the length of the file |
//!
//! fjall itself detects all other corruption, and missing files. What this check
//! cannot detect is a wrong length of a value in `blobs/*`, of at most 4 GiB.
//!
//! The formats are those of fjall 3.1, `lsm-tree` 3.1 and `sfa` 1. Files of another
//! form are not checked here: only a known form that contradicts itself is corrupt.

mod container;
mod journal;

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use xxhash_rust::xxh3::xxh3_128;

/// How often a held lock is tried, and the pause in between: as fjall does, for
/// a process that is just closing the database.
const ATTEMPTS: u32 = 3;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);

/// Checks the files of the database in `dir`, if there is one.
///
/// # Errors
/// [`ErrorKind::InvalidData`] for a file that claims to hold more than it does,
/// [`fjall::Error::Locked`] if another process has the database open, or an
/// error of the file system.
pub(super) fn check(dir: &Path) -> Result<(), fjall::Error> {
    // Files come and go while another process has it open.
    let _lock = lock(&dir.join("lock"))?;
    for file in entries(dir)? {
        if file.extension().is_some_and(|extension| extension == "jnl") {
            journal::check(&file)?;
        }
    }
    for keyspace in entries(&dir.join("keyspaces"))? {
        check_version(&keyspace)?;
        for folder in ["tables", "blobs"] {
            for file in entries(&keyspace.join(folder))? {
                container::check(&file)?;
            }
        }
    }
    Ok(())
}

/// The database's lock. `None` if its file does not exist.
fn lock(path: &Path) -> Result<Option<File>, fjall::Error> {
    let Some(file) = if_exists(File::options().read(true).write(true).open(path))? else {
        return Ok(None);
    };
    for attempt in 1.. {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => return Err(error.into()),
            Err(TryLockError::WouldBlock) if attempt == ATTEMPTS => {
                return Err(fjall::Error::Locked);
            }
            Err(TryLockError::WouldBlock) => thread::sleep(BETWEEN_ATTEMPTS),
        }
    }
    Ok(Some(file))
}

/// Checks the list of a keyspace's tables and blobs: `current` has its number
/// (8 bytes), its checksum (16), and the kind of the checksum (1). One of another
/// form is not checked.
fn check_version(keyspace: &Path) -> io::Result<()> {
    let path = keyspace.join("current");
    let Some(current) = if_exists(fs::read(&path))? else {
        return Ok(());
    };
    let parts = current.split_first_chunk().and_then(|(number, rest)| {
        let (checksum, kind) = rest.split_first_chunk()?;
        Some((*number, *checksum, kind))
    });
    let Some((number, checksum, [0])) = parts else {
        return Ok(());
    };
    let path = keyspace.join(format!("v{}", u64::from_le_bytes(number)));
    let Some(version) = if_exists(fs::read(&path))? else {
        return Ok(());
    };
    if xxh3_128(&version) != u128::from_le_bytes(checksum) {
        return Err(corrupt(&path, "its checksum is wrong"));
    }
    Ok(())
}

/// The paths in a directory; none if it does not exist or is not a directory.
fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(Vec::new()),
        listing => if_exists(listing)?
            .into_iter()
            .flatten()
            .map(|entry| Ok(entry?.path()))
            .collect(),
    }
}

fn if_exists<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn corrupt(path: &Path, problem: &str) -> io::Error {
    let message = format!("{} is corrupt: {problem}", path.display());
    io::Error::new(ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests;
