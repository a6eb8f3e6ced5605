//! Where the tombstones are kept: a small database beside the log, so that a
//! damaged log does not bring deleted rows back.

use crate::tombstones::Tombstones;
use fjall::Database;
use plugin_api::{
    error::{StorageError, StorageResult},
    value::Timestamp,
};
use std::{fs, panic::catch_unwind, path::Path};

const CACHE_BYTES: u64 = 1 << 20;

/// Why the database does not open.
enum Fault {
    /// Another module has it open.
    Locked,
    Damaged(String),
}

/// Opens the tombstones in `dir`; damaged ones are set aside and begun anew.
///
/// # Errors
/// If the directory is in use, or cannot be used.
pub(super) fn open(dir: &Path) -> StorageResult<Tombstones> {
    let place = dir.join("deleted");
    let reason = match open_at(&place) {
        Ok(tombstones) => return Ok(tombstones),
        Err(Fault::Damaged(reason)) => reason,
        Err(locked) => return Err(error(dir, locked)),
    };
    let aside = dir.join(format!("deleted.damaged-{}", Timestamp::now().seconds));
    if fs::rename(&place, &aside).is_err() {
        return Err(error(dir, Fault::Damaged(reason)));
    }
    tracing::error!(
        reason,
        set_aside = %aside.display(),
        "the record of deleted rows was damaged; it was set aside, and copies of rows deleted \
         before now may show in merged reads"
    );
    open_at(&place).map_err(|fault| error(dir, fault))
}

fn error(dir: &Path, fault: Fault) -> StorageError {
    let dir = dir.display();
    StorageError::invalid_input(match fault {
        Fault::Locked => format!(
            "queue_dir {dir} is in use by another process; stop it, or give this host its own queue_dir"
        ),
        Fault::Damaged(reason) => {
            format!("queue_dir {dir} cannot be used: {reason}; check its owner and permissions")
        }
    })
}

/// A damaged file can make the database panic as well as fail.
fn open_at(place: &Path) -> Result<Tombstones, Fault> {
    catch_unwind(|| {
        let opened = Database::builder(place)
            .cache_size(CACHE_BYTES)
            .worker_threads(1)
            .open();
        let database = opened.map_err(|error| match error {
            fjall::Error::Locked => Fault::Locked,
            other => Fault::Damaged(other.to_string()),
        })?;
        Tombstones::open(&database).map_err(|error| Fault::Damaged(error.to_string()))
    })
    .unwrap_or_else(|_| Err(Fault::Damaged("opening it panicked".to_owned())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::dedup::Key;
    use plugin_api::value::Object;

    #[test]
    fn what_was_deleted_is_remembered_and_a_damaged_record_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::new("events", [&"e".into()]);
        let is_hidden = |tombstones: &Tombstones| tombstones.hides("events", &key, &Object::new());
        let tombstones = open(dir.path()).unwrap();
        tombstones.mark_key(&key).unwrap();
        let in_use = open(dir.path()).map(drop).unwrap_err();
        assert!(in_use.message.contains("in use"), "{in_use}");
        drop(tombstones);
        let tombstones = open(dir.path()).unwrap();
        assert!(is_hidden(&tombstones));
        drop(tombstones);

        let place = dir.path().join("deleted");
        for file in fs::read_dir(&place).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() {
                fs::write(path, "nonsense").unwrap();
            }
        }
        let tombstones = open(dir.path()).unwrap();
        assert!(!is_hidden(&tombstones));
        let names = fs::read_dir(dir.path()).unwrap();
        let aside = names.filter(|name| {
            let name = name.as_ref().unwrap().file_name();
            name.to_string_lossy().starts_with("deleted.damaged-")
        });
        assert_eq!(aside.count(), 1);
    }
}
