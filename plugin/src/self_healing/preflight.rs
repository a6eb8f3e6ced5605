//! Looks at the files of a database before fjall opens them.
//!
//! fjall reserves memory for as many things as a file says that it holds, and
//! learns only then that it holds fewer. A damaged count can ask for 64 GiB, and
//! a process that asks for what nobody has is aborted, the host with it. So
//! whatever fjall would believe is checked here first:
//!
//! | file | what is believed | what tells that it is damaged |
//! | --- | --- | --- |
//! | `keyspaces/N/vM` | how many tables and blobs a keyspace has | its checksum, in `keyspaces/N/current` |
//! | these, `tables/*`, `blobs/*` | how many sections it has | the checksum of its table of contents |
//! | `tables/*` | how many blobs it refers to | the length of that section |
//! | `*.jnl` | how long an entry is | the length of the file |
//!
//! All else fjall finds by itself, and so does it find what is missing. What
//! this cannot see is a value's length in `blobs/*`, of at most 4 GiB.
//!
//! The formats are those of fjall 3, `lsm-tree` 3 and `sfa` 1.

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

/// How often a lock that somebody has is tried, and how long that takes: as
/// fjall does, for one who is just closing the database.
const ATTEMPTS: u32 = 3;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);

/// Looks at the files of the database in `dir`, if there is one.
///
/// # Errors
/// [`ErrorKind::InvalidData`] for a file that asks for more than it holds,
/// [`fjall::Error::Locked`] if somebody has the database open, or what the
/// system says.
pub(super) fn check(dir: &Path) -> Result<(), fjall::Error> {
    // Files come and go while somebody has it open.
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

/// A lock that no other process has. None if its file is not there.
fn lock(path: &Path) -> Result<Option<File>, fjall::Error> {
    let Some(file) = if_there(File::options().read(true).write(true).open(path))? else {
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
/// (8 bytes), its checksum (16), and the kind of the checksum (1).
fn check_version(keyspace: &Path) -> io::Result<()> {
    let path = keyspace.join("current");
    let Some(current) = if_there(fs::read(&path))? else {
        return Ok(());
    };
    let parts = current.split_first_chunk().and_then(|(number, rest)| {
        let (checksum, kind) = rest.split_first_chunk()?;
        Some((*number, *checksum, kind))
    });
    let Some((number, checksum, [0])) = parts else {
        return Err(damaged(&path, "it is no reference to a version"));
    };
    let path = keyspace.join(format!("v{}", u64::from_le_bytes(number)));
    let Some(version) = if_there(fs::read(&path))? else {
        return Ok(());
    };
    if xxh3_128(&version) != u128::from_le_bytes(checksum) {
        return Err(damaged(&path, "its checksum is wrong"));
    }
    Ok(())
}

/// What is in a directory; nothing if it is not there or is none.
fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(Vec::new()),
        listing => if_there(listing)?
            .into_iter()
            .flatten()
            .map(|entry| Ok(entry?.path()))
            .collect(),
    }
}

fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn damaged(path: &Path, what: &str) -> io::Error {
    let what = format!("{} is damaged: {what}", path.display());
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests;
