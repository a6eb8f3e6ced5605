//! The files of a database: opening them, classifying their errors, and moving
//! corrupt ones aside.

use super::{Incompatible, Severity, StoreError, catch_panic, format, preflight};
use fjall::{Database, DatabaseBuilder};
use std::{
    error::Error as _,
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

/// Threads that flush and compact a database. More than it has keyspaces: each
/// keyspace can block one thread until there is room in the task queue, which
/// only another thread makes.
const WORKERS: usize = 4;

/// Why a database could not be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The directory itself cannot be used.
    Directory(io::Error),
    /// A newer version of the module has written the files.
    Incompatible(Incompatible),
    /// The files are corrupt or in use, or the disk failed.
    Database(fjall::Error),
}

impl From<fjall::Error> for OpenError {
    fn from(error: fjall::Error) -> Self {
        Self::Database(error)
    }
}

/// Opens the database in `dir`, or creates one there that only its owner can
/// read.
///
/// # Errors
/// [`OpenError`].
pub fn open(
    dir: &Path,
    configure: impl FnOnce(DatabaseBuilder<Database>) -> DatabaseBuilder<Database>,
) -> Result<Database, OpenError> {
    // Fails for a file in its place, which is not ours to move aside.
    create_private(dir).map_err(OpenError::Directory)?;
    let is_recorded = format::check(dir)
        .map_err(fjall::Error::Io)?
        .map_err(OpenError::Incompatible)?;
    preflight::check(dir)?;
    let builder = Database::builder(dir).worker_threads(WORKERS);
    let database = configure(builder).open()?;
    if !is_recorded {
        format::record(dir).map_err(fjall::Error::Io)?;
    }
    Ok(database)
}

/// Creates a directory that only its owner can read.
fn create_private(dir: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Opens files with `attempt`. If they are known to be corrupt, or turn out to
/// be, they are moved aside first, so that `attempt` creates new ones.
///
/// # Errors
/// Why they cannot be opened or moved aside.
pub fn open_or_set_aside<T, E: StoreError>(
    corrupt: bool,
    set_aside: impl Fn() -> Result<(), E>,
    attempt: impl Fn() -> Result<T, E>,
) -> Result<T, E> {
    if corrupt {
        set_aside()?;
    }
    match catch_panic(&attempt) {
        Err(error) if error.severity() == Some(Severity::Corrupt) => {
            tracing::error!(%error, "a corrupt store cannot be opened; moving its files aside");
            set_aside()?;
            catch_panic(&attempt)
        }
        other => other,
    }
}

/// Renames the directory of a corrupt database, as [`set_aside_as`] does.
///
/// # Errors
/// Why it could not be renamed; the directory is still where it was.
pub fn set_aside(dir: &Path) -> io::Result<PathBuf> {
    set_aside_as(dir, "damaged")
}

/// Renames the directory of a database, so that it can be inspected; `why` is
/// part of its new name. Only the latest of each kind is kept, so that repeated
/// corruption does not fill the disk.
///
/// # Errors
/// Why it could not be renamed; the directory is still where it was.
pub fn set_aside_as(dir: &Path, why: &str) -> io::Result<PathBuf> {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!("{name}.{why}-");
    let parent = dir.parent().unwrap_or(Path::new("."));
    let former: Vec<PathBuf> = std::fs::read_dir(parent)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
        })
        .collect();
    let now = plugin_api::value::Timestamp::now();
    let aside = parent.join(format!("{prefix}{}-{:09}", now.seconds, now.nanos));
    std::fs::rename(dir, &aside)?;
    for path in former {
        // One that cannot be removed only takes space.
        let _ = std::fs::remove_dir_all(path);
    }
    Ok(aside)
}

/// What an error of the database means for its files; `None` if another process
/// has them open.
pub fn severity(error: &fjall::Error) -> Option<Severity> {
    match error {
        fjall::Error::Locked => return None,
        // A write has failed, or a thread of the database. Only the first caller
        // got the reason.
        fjall::Error::Poisoned => return Some(Severity::Unknown),
        fjall::Error::Io(error) => return Some(severity_of_io(error)),
        _ => {}
    }
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return Some(severity_of_io(error));
        }
        source = cause.source();
    }
    Some(Severity::Corrupt)
}

fn severity_of_io(error: &io::Error) -> Severity {
    match error.kind() {
        ErrorKind::StorageFull
        | ErrorKind::QuotaExceeded
        | ErrorKind::FileTooLarge
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::PermissionDenied => Severity::Environment,
        // Files that are missing, truncated or invalid.
        ErrorKind::NotFound
        | ErrorKind::UnexpectedEof
        | ErrorKind::InvalidData
        | ErrorKind::InvalidInput
        | ErrorKind::AlreadyExists
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory => Severity::Corrupt,
        _ => Severity::Unknown,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_error_has_the_severity_of_its_cause() {
        let io = |kind: ErrorKind| fjall::Error::Io(kind.into());
        let within = |kind: ErrorKind| fjall::Error::Storage(fjall::LsmError::Io(kind.into()));
        for (error, expected) in [
            (io(ErrorKind::StorageFull), Some(Severity::Environment)),
            (within(ErrorKind::StorageFull), Some(Severity::Environment)),
            (within(ErrorKind::NotFound), Some(Severity::Corrupt)),
            (io(ErrorKind::TimedOut), Some(Severity::Unknown)),
            (fjall::Error::Poisoned, Some(Severity::Unknown)),
            (fjall::Error::InvalidTrailer, Some(Severity::Corrupt)),
            (fjall::Error::Locked, None),
        ] {
            assert_eq!(severity(&error), expected, "{error}");
        }
    }

    #[test]
    fn only_the_latest_corrupt_directory_is_kept() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("log");
        let mut aside = PathBuf::new();
        for _ in 0..3 {
            std::fs::create_dir(&dir).unwrap();
            aside = set_aside(&dir).unwrap();
        }
        let left: Vec<_> = std::fs::read_dir(place.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(left, [aside]);
        assert!(set_aside(&dir).is_err(), "there is nothing to move aside");
    }

    #[test]
    fn a_file_in_the_place_of_a_directory_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("log");
        std::fs::write(&dir, "in the way").unwrap();
        let opened = open(&dir, |builder| builder);
        assert!(matches!(opened, Err(OpenError::Directory(_))));
        assert_eq!(std::fs::read_to_string(&dir).unwrap(), "in the way");
    }
}
