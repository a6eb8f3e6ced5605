//! [`PrimaryFlag`]: the log's dirty flag, kept in the primary.
//!
//! The flag says that the log misses writes that the primary has committed. The
//! primary is the one place that is available whenever there is such a write,
//! and it is as durable as the write itself. The flag is a row in a table of the
//! module's own, written only if the log fails or replication is disabled, and
//! removed once nothing is missing.

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

/// How long the primary may take. One write waits for it.
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

    /// On a thread of its own: the log may fail on a thread that must not block.
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
        self.ask(set).map(drop).map_err(|error| message(&error))
    }

    fn is_set(&self) -> Result<bool, String> {
        match self.ask("SELECT VALUE incomplete FROM $row") {
            Ok(answer) => Ok(!answer.first_rows().is_empty()),
            // The table was never created: the flag was never set.
            Err(error) if error.kind == ErrorKind::NOT_FOUND => Ok(false),
            Err(error) => Err(message(&error)),
        }
    }

    fn clear(&self) -> Result<(), String> {
        match self.ask("DELETE $row RETURN NONE") {
            // It was never set.
            Err(error) if error.kind == ErrorKind::NOT_FOUND => Ok(()),
            answer => answer.map(drop).map_err(|error| message(&error)),
        }
    }
}

/// Sets the dirty flag while `sync_enabled` is false, so that the next start
/// that replicates resyncs what was written meanwhile.
pub(super) struct DisabledMarker {
    flag: PrimaryFlag,
    is_set: AtomicBool,
    is_logged: AtomicBool,
}

impl DisabledMarker {
    /// A log that exists misses what is written from now on.
    pub(super) fn new(primary: &FullStorage, queue_dir: &Path) -> Self {
        let has_log = log_dir(queue_dir).try_exists().unwrap_or(true);
        Self {
            flag: PrimaryFlag::new(primary.clone(), queue_dir),
            is_set: AtomicBool::new(!has_log),
            is_logged: AtomicBool::new(false),
        }
    }

    /// Sets the flag, unless that is done. False if it has to be retried.
    pub(super) fn set(&self) -> bool {
        if self.is_set.load(Ordering::Relaxed) {
            return true;
        }
        match self.flag.set() {
            Ok(()) => self.is_set.store(true, Ordering::Relaxed),
            Err(error) if !self.is_logged.swap(true, Ordering::Relaxed) => tracing::warn!(
                %error,
                "the dirty flag could not be set on the primary; it is retried. If the process \
                 ends before that, POST /api/db-sync/resync once sync_enabled is true again"
            ),
            Err(_) => {}
        }
        self.is_set.load(Ordering::Relaxed)
    }
}

fn message(error: &StorageError) -> String {
    format!("the primary: {error}")
}
