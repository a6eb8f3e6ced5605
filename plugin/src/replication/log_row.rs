//! [`PrimaryLogRow`]: the log's row in the primary: the dirty flag, and the epoch of
//! its latest opening.
//!
//! The flag says that the log misses writes that the primary has committed. The
//! primary is the one place that is available whenever there is such a write,
//! and it is as durable as the write itself. Both are columns of a row in a table
//! of the module's own. It is named after the `queue_id`, which is a file in
//! `queue_dir` and so moves along with it.

use super::{log_dir, on_own_thread, queue_id::QueueId};
use crate::sync_queue::{Epoch, LogRow};
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
use surreal_storage::schema::LOG_TABLE;

/// How long the primary may take. One write waits for it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The row of one `queue_dir`.
pub(super) struct PrimaryLogRow {
    primary: FullStorage,
    queue_id: QueueId,
    /// The name that former versions gave the row, after the path. It serves as
    /// long as the queue id can neither be read nor written.
    path: String,
}

impl PrimaryLogRow {
    pub(super) fn new(primary: FullStorage, queue_dir: &Path) -> Self {
        Self {
            primary,
            queue_id: QueueId::of(queue_dir),
            path: queue_dir.display().to_string(),
        }
    }

    /// Runs a statement on the rows that may be the log's, `$rows`. `$row`, the
    /// first of them, is the one that is written.
    ///
    /// On a thread of its own: the log may fail on a thread that must not block.
    fn ask(&self, sql: impl Into<String>, epoch: Option<Epoch>) -> StorageResult<Value> {
        let names = self.queue_id.get().into_iter().chain([self.path.clone()]);
        let rows: Vec<RecordId> = names.map(|name| RecordId::new(LOG_TABLE, name)).collect();
        let parameters = Object::new()
            .with(
                "row",
                rows.first().cloned().map_or(Value::None, Value::from),
            )
            .with("rows", rows.into_iter().map(Value::from).collect::<Value>())
            .with("epoch", epoch.map_or(0, Epoch::to_int));
        let (primary, sql) = (self.primary.clone(), sql.into());
        on_own_thread(move || {
            primary.query(&CallContext::with_timeout(TIMEOUT), &sql, &parameters)
        })?
    }

    /// Sets columns of the row.
    fn write(&self, columns: &str, epoch: Option<Epoch>) -> Result<(), String> {
        let sql = format!(
            "DEFINE TABLE IF NOT EXISTS {LOG_TABLE} SCHEMALESS;
             UPSERT $row SET {columns} RETURN NONE;"
        );
        let written = self.ask(sql, epoch);
        written.map(drop).map_err(|error| message(&error))
    }

    /// The rows of an answer; none if the table was never created.
    fn rows(answer: StorageResult<Value>) -> Result<Vec<Value>, String> {
        match answer {
            Ok(answer) => Ok(answer.into_first_rows()),
            Err(error) if error.kind == ErrorKind::NOT_FOUND => Ok(Vec::new()),
            Err(error) => Err(message(&error)),
        }
    }
}

impl LogRow for PrimaryLogRow {
    fn set_dirty(&self) -> Result<(), String> {
        self.write("incomplete = true", None)
    }

    fn is_dirty(&self) -> Result<bool, String> {
        let sql = "SELECT VALUE incomplete FROM $rows WHERE incomplete = true";
        Self::rows(self.ask(sql, None)).map(|rows| !rows.is_empty())
    }

    fn clear_dirty(&self) -> Result<(), String> {
        let sql = "UPDATE $rows UNSET incomplete RETURN NONE";
        Self::rows(self.ask(sql, None)).map(drop)
    }

    fn epoch(&self) -> Result<Option<Epoch>, String> {
        let sql = "SELECT VALUE epoch FROM $row WHERE epoch != NONE";
        let rows = Self::rows(self.ask(sql, None))?;
        let epoch = rows.first().and_then(Value::as_int);
        Ok(epoch.and_then(Epoch::from_int))
    }

    fn set_epoch(&self, epoch: Epoch) -> Result<(), String> {
        match self.queue_id.get() {
            Some(_) => self.write("epoch = $epoch", Some(epoch)),
            None => Err("the queue id cannot be written to queue_dir".to_owned()),
        }
    }

    fn rename(&self) {
        self.queue_id.renew();
    }
}

/// Sets the dirty flag while `sync_enabled` is false, so that the next start
/// that replicates resyncs what was written meanwhile.
pub(super) struct DisabledMarker {
    row: PrimaryLogRow,
    is_set: AtomicBool,
    is_logged: AtomicBool,
}

impl DisabledMarker {
    /// A log that exists misses what is written from now on.
    pub(super) fn new(primary: &FullStorage, queue_dir: &Path) -> Self {
        let has_log = log_dir(queue_dir).try_exists().unwrap_or(true);
        Self {
            row: PrimaryLogRow::new(primary.clone(), queue_dir),
            is_set: AtomicBool::new(!has_log),
            is_logged: AtomicBool::new(false),
        }
    }

    /// Sets the flag, unless that is done. False if it has to be retried.
    pub(super) fn set(&self) -> bool {
        if self.is_set.load(Ordering::Relaxed) {
            return true;
        }
        match self.row.set_dirty() {
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
