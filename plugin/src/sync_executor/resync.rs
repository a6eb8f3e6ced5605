//! [`ResyncScanner`]: scans the primary's tables for a secondary that needs them.
//!
//! A table with a resync request is scanned in pages by record id, and a refresh
//! of each row is appended to the log. The scan waits while the secondary has
//! a long backlog, and continues after a restart where it was.

use super::{catch_panic::catch_panic, context::Context};
use crate::{
    fail_points,
    sync_queue::{EVERY_TABLE, ResyncRequest},
    sync_types::{SyncOperation, order_key},
    table_scan::{ScannedRow, TableScan},
};
use plugin_api::{
    error::{StorageError, StorageResult},
    storage::CallContext,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use surreal_storage::schema::{self, relationships::replicated_tables};

/// Rows of one page.
const PAGE: usize = 500;

/// The backlog at which a scan waits, in operations.
const MAX_BACKLOG: u64 = 2_000;

/// The wait after a scan has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Scans tables for one secondary.
pub(super) struct ResyncScanner {
    context: Arc<Context>,
}

impl ResyncScanner {
    pub(super) fn new(context: Arc<Context>) -> Self {
        Self { context }
    }

    /// Scans the tables that have a resync request, until stopped.
    pub(super) async fn run(self) {
        let Context { queue, manager, .. } = &*self.context;
        let secondary = self.context.name();
        let mut states = manager.subscribe();
        while !self.context.is_stopped() {
            states.mark_unchanged();
            // Also when nothing can be scanned: the state follows the requests.
            let requests = self.context.resync_requests().unwrap_or_default();
            // For a secondary that is not connected a scan would only fill the
            // log.
            if requests.is_empty() || !self.context.may_replicate() {
                tokio::select! {
                    () = queue.resync_requested(secondary) => {}
                    _ = states.changed() => {}
                }
                continue;
            }
            for request in requests {
                let table = request.table.clone();
                let scanned = catch_panic("scanning a table", self.scan(request)).await;
                self.context.progress.scan_ends(&table);
                if let Err(error) = scanned {
                    tracing::warn!(secondary, table, %error, "a resync failed; it is retried");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn scan(&self, mut request: ResyncRequest) -> StorageResult<()> {
        let Context {
            queue,
            progress,
            manager,
            ..
        } = &*self.context;
        let secondary = self.context.name();
        if request.table == EVERY_TABLE {
            return self.request_every_table(&request).await;
        }
        if request.cursor.is_none() && !self.is_replicated(&request.table).await? {
            return Ok(queue.clear_resync(secondary, &request)?);
        }
        progress.scan_begins(&request.table, self.count(&request.table).await?);
        // What is in the log already must be applied before what the scan finds:
        // a row may have changed its key, and the log only keeps the order of
        // operations with the same key.
        let ends = queue.ends();
        let mut states = manager.subscribe();
        loop {
            states.mark_unchanged();
            let (progressed, reopened) = (queue.progressed(secondary), queue.reopened());
            if !self.context.may_replicate() {
                return Ok(());
            }
            let waits = request.cursor.is_none() && !queue.has_passed(secondary, &ends);
            if waits || queue.backlog_operations(secondary) > MAX_BACKLOG {
                tokio::select! {
                    () = progressed => {}
                    () = reopened => {}
                    _ = states.changed() => {}
                }
                continue;
            }
            let page = self.page(&request).await?;
            let Some(last) = page.last() else {
                tracing::info!(
                    secondary,
                    table = request.table,
                    rows = request.scanned,
                    "a table has been scanned for a resync"
                );
                return Ok(queue.clear_resync(secondary, &request)?);
            };
            request.cursor = Some(last.id.clone());
            request.scanned += page.len() as u64;
            // A document's chunks are one key.
            let keys: BTreeSet<_> = page
                .iter()
                .map(|row| order_key(&request.table, &row.id, &row.columns))
                .collect();
            let refreshes: Vec<_> = keys
                .into_iter()
                .map(|key| SyncOperation::refresh(key).only_for(secondary))
                .collect();
            // If the table was requested again meanwhile, this scan goes on and
            // the next one follows: a table that is requested often would
            // otherwise never be scanned to its end.
            queue.append_scan_page(secondary, &refreshes, &request)?;
            if let Some(first) = refreshes.first() {
                fail_points::pass_with("after_page", &first.key);
            }
        }
    }

    /// Is the table replicated? A raw query may write to others.
    async fn is_replicated(&self, table: &str) -> StorageResult<bool> {
        if schema::table(table).is_some() {
            return Ok(true);
        }
        let tables = self.replicated_tables().await?;
        Ok(tables.iter().any(|replicated| replicated == table))
    }

    /// Replaces the request for every table by one for each.
    async fn request_every_table(&self, request: &ResyncRequest) -> StorageResult<()> {
        let Context { queue, config, .. } = &*self.context;
        let secondary = self.context.name();
        for table in self.replicated_tables().await? {
            if config.tables.selects(&table) {
                queue.request_resync(secondary, &table, &request.reason);
            }
        }
        Ok(queue.clear_resync(secondary, request)?)
    }

    /// The primary's tables that hold memories.
    async fn replicated_tables(&self) -> StorageResult<Vec<String>> {
        let primary = self.context.primary.clone();
        let context = CallContext::with_timeout(self.context.config.operation_timeout);
        blocking(move || replicated_tables(&primary, &context)).await
    }

    /// How many rows a table of the primary has.
    async fn count(&self, table: &str) -> StorageResult<u64> {
        let (scan, primary) = (TableScan::new(table, PAGE), self.context.primary.clone());
        let context = CallContext::with_timeout(self.context.config.operation_timeout);
        blocking(move || scan.count(&primary, &context)).await
    }

    /// The next page of a scan, without the large columns. Empty if there is no
    /// such table: the write that was to create it did not happen.
    async fn page(&self, request: &ResyncRequest) -> StorageResult<Vec<ScannedRow>> {
        let scan = TableScan::new(&request.table, PAGE).omit(schema::LARGE_COLUMNS);
        let (primary, after) = (self.context.primary.clone(), request.cursor.clone());
        let context = CallContext::with_timeout(self.context.config.operation_timeout);
        blocking(move || scan.page(&primary, &context, after.as_ref())).await
    }
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> StorageResult<T> + Send + 'static,
) -> StorageResult<T> {
    tokio::task::spawn_blocking(call)
        .await
        .map_err(|error| StorageError::internal(format!("reading the primary: {error}")))?
}
