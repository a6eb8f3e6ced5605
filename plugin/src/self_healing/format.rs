//! The version of a database's format, in a file of its own.
//!
//! It is read before anything else, so that a module that meets the files of a
//! newer one leaves them alone, whatever they are. A newer module that changes
//! what is stored, or in what, has to write its version before the change.
//!
//! Only a valid file of a higher version stops this one. A file that is missing or
//! cannot be understood says nothing: versions before there was such a file did
//! not write it, and a power cut may leave it empty.

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
    path::Path,
};

/// The name of the file in the database's directory.
pub(crate) const FILE: &str = "format";

/// The format that this version reads and writes.
const VERSION: u32 = 1;

/// The files have been written by a newer version of the module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "it was written by a newer version of the module: it has format {found}, and this version \
     reads formats up to {known}"
)]
pub struct Incompatible {
    /// The format that was found.
    pub found: u32,
    /// The highest format that is known.
    pub known: u32,
}

/// Checks the format of the database in `dir`. True if it is recorded.
pub(super) fn check(dir: &Path) -> io::Result<Result<bool, Incompatible>> {
    let bytes = match std::fs::read(dir.join(FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Ok(false)),
        Err(error) => return Err(error),
    };
    Ok(match parse(&bytes) {
        Some(found) if found > VERSION => Err(Incompatible {
            found,
            known: VERSION,
        }),
        found => Ok(found.is_some()),
    })
}

/// Records the format of the database in `dir`.
pub(super) fn record(dir: &Path) -> io::Result<()> {
    let mut file = File::create(dir.join(FILE))?;
    // Twice, so that a flipped bit does not make it a higher one.
    writeln!(file, "{VERSION} {VERSION}")?;
    file.sync_all()?;
    // The name as well.
    File::open(dir)?.sync_all()
}

fn parse(bytes: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (number, again) = text.split_once(' ')?;
    (number == again).then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn only_a_valid_higher_version_is_incompatible() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            check(dir.path()).unwrap(),
            Ok(false),
            "before there was one"
        );
        record(dir.path()).unwrap();
        assert_eq!(check(dir.path()).unwrap(), Ok(true));
        let write = |text: &[u8]| {
            std::fs::write(dir.path().join(FILE), text).unwrap();
            check(dir.path()).unwrap()
        };
        let newer = write(b"12 12\n").unwrap_err();
        assert_eq!((newer.found, newer.known), (12, VERSION));
        for unreadable in [&b""[..], b"2", b"2 2", b"nonsense\n", b"\xff \xff\n"] {
            assert_eq!(write(unreadable), Ok(false), "{unreadable:?}");
        }
    }

    #[test]
    fn no_flipped_bit_makes_it_a_newer_version() {
        let dir = tempfile::tempdir().unwrap();
        record(dir.path()).unwrap();
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(check(dir.path()).unwrap(), Ok(false), "bit {bit}");
        }
    }
}
