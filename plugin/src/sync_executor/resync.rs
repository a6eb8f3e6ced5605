//! Walking the primary's tables.
//!
//! A table that is marked is scanned in pages by record id, and a refresh queued
//! for each row. The walk waits while the secondary has enough to do, and goes
//! on after a restart where it was.

use super::{catch_panic::catch_panic, reconcile::log_failure, refresh, replicator::Replicator};
use crate::{
    fail_points,
    sync_queue::{EVERY_TABLE, ResyncRequest},
    sync_types::{SyncOperation, order_key},
};
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::{CallContext, Storage as _},
    value::{Object, Value},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use surreal_storage::schema::{self, relationships::replicated_tables};

/// Rows of one page.
const PAGE: i64 = 500;

/// The backlog at which a walk waits, in operations.
const ENOUGH: u64 = 2_000;

/// How often a walk looks whether it may go on.
const TICK: Duration = Duration::from_millis(100);

impl Replicator {
    /// Walks the tables that are marked, until stopped.
    pub(super) async fn run_resyncs(self: Arc<Self>) {
        while !self.is_stopped() {
            let marks = self.queue.resync_requests(self.name()).unwrap_or_default();
            // A secondary that is away needs no walk yet, and would let the
            // log fill up with what the walk finds.
            let may_walk = self.queue.is_available() && !self.is_paused();
            if marks.is_empty() || !may_walk || self.manager.session().is_none() {
                tokio::time::sleep(TICK).await;
                continue;
            }
            for mark in marks {
                let table = mark.table.clone();
                let scanned = catch_panic("a resync", self.walk(mark)).await;
                self.progress.scan_ends(&table);
                if let Err(error) = scanned {
                    tracing::warn!(secondary = %self.name(), %error, "a resync waits");
                    tokio::time::sleep(TICK * 10).await;
                }
            }
        }
    }

    async fn walk(&self, mark: ResyncRequest) -> StorageResult<()> {
        if mark.table == EVERY_TABLE {
            return self.mark_every_table(&mark).await;
        }
        let mut mark = mark;
        if mark.cursor.is_none() && !self.may_begin(&mark.table).await? {
            return self
                .queue
                .clear_resync(self.name(), &mark)
                .map_err(log_failure);
        }
        let total = self.count(&mark.table).await?;
        self.progress.scan_begins(&mark.table, total);
        // What is queued already must not come after what the walk finds: a
        // row may have changed its key, and keys are in order only each with
        // itself.
        let ends = self.queue.ends();
        loop {
            if self.is_stopped() || self.is_paused() || self.manager.session().is_none() {
                return Ok(());
            }
            let waits = mark.cursor.is_none() && !self.queue.has_passed(self.name(), &ends);
            if waits || self.queue.backlog_operations(self.name()) > ENOUGH {
                tokio::time::sleep(TICK).await;
                continue;
            }
            let page = self.page(&mark).await?;
            let Some(last) = page.last() else {
                tracing::info!(
                    secondary = %self.name(), table = %mark.table, rows = mark.scanned,
                    "a table has been scanned"
                );
                return self
                    .queue
                    .clear_resync(self.name(), &mark)
                    .map_err(log_failure);
            };
            mark.cursor = Some(last.id.clone());
            mark.scanned += page.len() as u64;
            // A document's chunks are one key.
            let keys: BTreeSet<_> = page
                .iter()
                .map(|row| order_key(&mark.table, &row.id, &row.columns))
                .collect();
            let refreshes: Vec<_> = keys
                .into_iter()
                .map(|key| SyncOperation::refresh(key).only_for(self.name()))
                .collect();
            // Where the table was marked again meanwhile, this walk goes on and
            // the next one follows: one that is marked often would otherwise
            // never be scanned to its end.
            self.queue
                .append_scan_page(self.name(), &refreshes, &mark)
                .map_err(log_failure)?;
            if let Some(first) = refreshes.first() {
                fail_points::pass_with("after_page", &first.key);
            }
        }
    }

    /// Is the table replicated? A raw query may write to others.
    async fn may_begin(&self, table: &str) -> StorageResult<bool> {
        if schema::table(table).is_some() {
            return Ok(true);
        }
        let tables = self.replicated_tables().await?;
        Ok(tables.iter().any(|replicated| replicated == table))
    }

    /// Replaces the mark for every table by one for each.
    async fn mark_every_table(&self, mark: &ResyncRequest) -> StorageResult<()> {
        for table in self.replicated_tables().await? {
            if self.config.tables.selects(&table) {
                self.queue.request_resync(self.name(), &table, &mark.reason);
            }
        }
        self.queue
            .clear_resync(self.name(), mark)
            .map_err(log_failure)
    }

    /// The primary's tables that hold memories.
    async fn replicated_tables(&self) -> StorageResult<Vec<String>> {
        let primary = self.primary.clone();
        let context = CallContext::with_timeout(self.config.operation_timeout);
        blocking(move || replicated_tables(&primary, &context)).await
    }

    /// How many rows a table of the primary has.
    async fn count(&self, table: &str) -> StorageResult<u64> {
        let parameters = Object::new().with("table", table);
        let sql = "SELECT count() AS rows FROM type::table($table) GROUP ALL";
        let answer = self.ask(sql.to_owned(), parameters).await?;
        let rows = answer.first().and_then(|row| row.as_object()?.get("rows"));
        Ok(rows
            .and_then(Value::as_int)
            .and_then(|rows| u64::try_from(rows).ok())
            .unwrap_or(0))
    }

    /// The rows of the table behind the mark's cursor, without their large columns.
    async fn page(&self, mark: &ResyncRequest) -> StorageResult<Vec<crate::sync_types::RowImage>> {
        let mut parameters = Object::new()
            .with("table", mark.table.as_str())
            .with("page", PAGE);
        let after = match &mark.cursor {
            Some(id) => {
                parameters.insert("after", id.clone());
                "WHERE id > $after"
            }
            None => "",
        };
        let sql = format!(
            "SELECT * OMIT {} FROM type::table($table) {after} ORDER BY id LIMIT $page",
            schema::LARGE_COLUMNS.join(", ")
        );
        let rows = self.ask(sql, parameters).await?;
        rows.iter().map(refresh::row).collect()
    }

    /// The rows of one statement on the primary; none if there is no such
    /// table: the write that was to make it did not happen.
    async fn ask(&self, sql: String, parameters: Object) -> StorageResult<Vec<Value>> {
        let primary = self.primary.clone();
        let context = CallContext::with_timeout(self.config.operation_timeout);
        match blocking(move || primary.query(&context, &sql, &parameters)).await {
            Err(error) if error.kind == ErrorKind::NOT_FOUND => Ok(Vec::new()),
            answer => Ok(answer?.first_rows().to_vec()),
        }
    }
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> StorageResult<T> + Send + 'static,
) -> StorageResult<T> {
    tokio::task::spawn_blocking(call)
        .await
        .map_err(|error| StorageError::internal(format!("reading the primary: {error}")))?
}
