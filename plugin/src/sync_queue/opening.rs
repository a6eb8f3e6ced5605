//! Opening the files of the log, also when they are damaged.

use super::{Position, QueueError, store::Store};
use std::path::{Path, PathBuf};

/// Opens the database; one that is damaged is renamed and replaced.
pub(super) fn open_or_set_aside(dir: &Path) -> Result<(Store, Option<PathBuf>), QueueError> {
    // A damaged file can make the database panic as well as fail.
    let opened = std::panic::catch_unwind(|| Store::open(dir))
        .unwrap_or(Err(QueueError::Damaged("opening it panicked")));
    match opened {
        Ok(store) => Ok((store, None)),
        Err(QueueError::Storage(fjall::Error::Locked)) => Err(QueueError::Locked(dir.to_owned())),
        Err(error @ QueueError::Directory { .. }) => Err(error),
        Err(error) => {
            tracing::error!(%error, dir = %dir.display(), "the log cannot be opened");
            let name = format!("damaged-{}", Position::first_of_now().0 >> 31);
            let aside = dir.with_extension(name);
            std::fs::rename(dir, &aside).map_err(|source| QueueError::Directory {
                dir: dir.to_owned(),
                source,
            })?;
            Ok((Store::open(dir)?, Some(aside)))
        }
    }
}

/// The id of the log: made once, kept with it.
pub(super) fn queue_id(store: &Store) -> Result<String, QueueError> {
    if let Some(id) = store.state.get("id")? {
        return String::from_utf8(id.to_vec())
            .map_err(|_| QueueError::Damaged("the id of the log is no text"));
    }
    let id: String = std::iter::repeat_with(fastrand::alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .take(20)
        .collect();
    store.state.insert("id", &id)?;
    store.sync()?;
    Ok(id)
}
