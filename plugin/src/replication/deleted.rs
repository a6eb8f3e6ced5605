//! Where the tombstones are kept: a small database beside the log, so that a
//! damaged log does not bring deleted rows back.

use crate::tombstones::Tombstones;
use fjall::Database;
use plugin_api::error::{StorageError, StorageResult};
use std::{fs, panic::catch_unwind, path::Path};

const CACHE_BYTES: u64 = 1 << 20;

/// Opens the tombstones in `dir`; damaged ones are set aside and begun anew.
///
/// # Errors
/// If the directory cannot be used.
pub(super) fn open(dir: &Path) -> StorageResult<Tombstones> {
    let place = dir.join("deleted");
    let fault = |error: String| {
        StorageError::invalid_input(format!(
            "queue_dir {} cannot be used: {error}; check its owner and permissions",
            dir.display()
        ))
    };
    let error = match open_at(&place) {
        Ok(tombstones) => return Ok(tombstones),
        Err(error) => error,
    };
    let aside = dir.join(format!("deleted.damaged-{}", unix_seconds()));
    fs::rename(&place, &aside).map_err(|_| fault(error.clone()))?;
    tracing::error!(
        error,
        set_aside = %aside.display(),
        "the record of deleted rows was damaged; it was set aside, and copies of rows deleted \
         before now may show in merged reads"
    );
    open_at(&place).map_err(fault)
}

/// A damaged file can make the database panic as well as fail.
fn open_at(place: &Path) -> Result<Tombstones, String> {
    catch_unwind(|| {
        let database = Database::builder(place)
            .cache_size(CACHE_BYTES)
            .worker_threads(1)
            .open()
            .map_err(|error| error.to_string())?;
        Tombstones::open(&database).map_err(|error| error.to_string())
    })
    .unwrap_or_else(|_| Err("opening it panicked".to_owned()))
}

fn unix_seconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
