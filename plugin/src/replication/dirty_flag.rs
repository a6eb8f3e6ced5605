//! [`PrimaryFlag`]: the log's dirty flag, kept in the primary.
//!
//! What the log misses is writes that the primary took. So the primary is the
//! one place that is there whenever there is something to remember, and it is
//! as durable as the writes themselves: one row of a table of the module's own,
//! made only when the log fails or nothing is copied, and removed once nothing
//! is missing.

use super::{log_dir, on_own_thread};
use crate::sync_queue::DirtyFlag;
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::{CallContext, FullStorage, Storage as _},
    value::{Object, RecordId, Value},
};
use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use surreal_storage::schema::DIRTY_FLAG_TABLE;

/// How long the primary may take. A write waits for it, once.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The flag of one log: a row named after its `queue_dir`.
pub(super) struct PrimaryFlag {
    primary: FullStorage,
    row: RecordId,
}

impl PrimaryFlag {
    pub(super) fn new(primary: FullStorage, queue_dir: &Path) -> Self {
        Self {
            primary,
            row: RecordId::new(DIRTY_FLAG_TABLE, queue_dir.display().to_string()),
        }
    }

    /// On a thread of its own: the log may fail those who must not block.
    fn ask(&self, sql: impl Into<String>) -> StorageResult<Value> {
        let (primary, sql) = (self.primary.clone(), sql.into());
        let parameters = Object::new().with("row", self.row.clone());
        on_own_thread(move || {
            primary.query(&CallContext::with_timeout(TIMEOUT), &sql, &parameters)
        })?
    }
}

impl DirtyFlag for PrimaryFlag {
    fn set(&self) -> Result<(), String> {
        let set = format!(
            "DEFINE TABLE IF NOT EXISTS {DIRTY_FLAG_TABLE} SCHEMALESS;
             UPSERT $row SET incomplete = true RETURN NONE;"
        );
        self.ask(set).map(drop).map_err(|error| told(&error))
    }

    fn is_set(&self) -> Result<bool, String> {
        match self.ask("SELECT VALUE incomplete FROM $row") {
            Ok(answer) => Ok(!answer.first_rows().is_empty()),
            // Nothing was ever missing.
            Err(error) if error.kind == ErrorKind::NOT_FOUND => Ok(false),
            Err(error) => Err(told(&error)),
        }
    }

    fn clear(&self) -> Result<(), String> {
        match self.ask("DELETE $row RETURN NONE") {
            // It was never set.
            Err(error) if error.kind == ErrorKind::NOT_FOUND => Ok(()),
            answer => answer.map(drop).map_err(|error| told(&error)),
        }
    }
}

/// What a start with `sync_enabled: false` leaves for the next one that copies.
pub(super) struct DisabledMarker {
    flag: PrimaryFlag,
    is_noted: AtomicBool,
    is_told: AtomicBool,
}

impl DisabledMarker {
    /// Where there is a log, it misses what is written from now on.
    pub(super) fn new(primary: &FullStorage, queue_dir: &Path) -> Self {
        let has_log = log_dir(queue_dir).try_exists().unwrap_or(true);
        Self {
            flag: PrimaryFlag::new(primary.clone(), queue_dir),
            is_noted: AtomicBool::new(!has_log),
            is_told: AtomicBool::new(false),
        }
    }

    /// Notes it, unless that is done. False if it has to be tried again.
    pub(super) fn note(&self) -> bool {
        if self.is_noted.load(Ordering::Relaxed) {
            return true;
        }
        match self.flag.set() {
            Ok(()) => self.is_noted.store(true, Ordering::Relaxed),
            Err(error) if !self.is_told.swap(true, Ordering::Relaxed) => tracing::warn!(
                %error,
                "it cannot be noted yet that nothing is copied; if the process ends now, run \
                 resync once sync_enabled is true again"
            ),
            Err(_) => {}
        }
        self.is_noted.load(Ordering::Relaxed)
    }
}

fn told(error: &StorageError) -> String {
    format!("the primary: {error}")
}
