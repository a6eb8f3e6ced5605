//! [`ResyncScanner`]: copies the primary's tables to a secondary that needs them.
//!
//! A table with a resync request is read page by page, by ranges of record ids, and
//! each page is copied to the secondary, beside the log. Reading the next page
//! and copying one happen at the same time, and several tables are copied at once. The
//! request's cursor moves behind a page once all of it is copied, so a restart
//! continues there.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`page`] | reading a page, and what is to be done for each of its rows |
//! | [`copy`] | copying it, in parts by partition; what fails is isolated |
//! | [`transaction`] | one transaction of that, which never replaces a newer state |

mod copy;
mod page;
mod transaction;

pub(super) use copy::Copier;

use super::{catch_panic::catch_panic, context::Context};
use crate::{
    fail_points,
    sync_queue::{EVERY_TABLE, ResyncRequest},
};
use copy::Copied;
use page::{CopiedPage, PageReader};
use plugin_api::{
    error::{StorageError, StorageResult},
    storage::CallContext,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use surreal_storage::{schema, table_scan::TableScan};
use tokio::{sync::Mutex, task::JoinSet};

/// Tables that are copied at the same time: what one spends on waiting for an answer,
/// another uses. All share the connections of the [`Copier`].
const TABLES_AT_ONCE: usize = 4;

/// The wait after a scan has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Copies tables to one secondary.
pub(super) struct ResyncScanner {
    context: Arc<Context>,
    copier: Arc<Copier>,
    /// Held while a page is read: however many tables are copied, the host shares its
    /// primary with one reader.
    reading: Mutex<()>,
}

impl ResyncScanner {
    pub(super) fn new(context: Arc<Context>, copier: Arc<Copier>) -> Self {
        Self {
            context,
            copier,
            reading: Mutex::default(),
        }
    }

    /// Copies the tables that have a resync request, until stopped.
    pub(super) async fn run(self: Arc<Self>) {
        let Context { queue, manager, .. } = &*self.context;
        let secondary = self.context.name();
        let mut states = manager.subscribe();
        while !self.context.is_stopped() {
            states.mark_unchanged();
            // Also when nothing can be copied: the state follows the requests.
            let requests = self.context.resync_requests().unwrap_or_default();
            if requests.is_empty() || !self.context.may_replicate() {
                tokio::select! {
                    () = queue.resync_requested(secondary) => {}
                    _ = states.changed() => {}
                }
                continue;
            }
            // Before any table is copied, because it requests each of them anew.
            match requests.iter().find(|it| it.table == EVERY_TABLE) {
                Some(every) => self.complete(every.clone()).await,
                None => self.copy_all(requests).await,
            }
        }
    }

    /// Copies these tables. All of it ends when this is dropped.
    async fn copy_all(self: &Arc<Self>, requests: Vec<ResyncRequest>) {
        let mut requests = requests.into_iter();
        let mut copying = JoinSet::new();
        loop {
            for request in requests
                .by_ref()
                .take(TABLES_AT_ONCE.saturating_sub(copying.len()))
            {
                let scanner = Arc::clone(self);
                copying.spawn(async move { scanner.complete(request).await });
            }
            if copying.join_next().await.is_none() {
                break;
            }
        }
        self.copier.close_connections();
    }

    /// Does what a request asks for, as far as that is possible now. One that was
    /// interrupted goes on when the secondary is there again.
    async fn complete(&self, request: ResyncRequest) {
        let (secondary, table) = (self.context.name(), request.table.clone());
        let scanned = catch_panic("copying a table", self.scan(request)).await;
        self.context.progress.scan_ends(&table);
        if let Err(error) = scanned {
            tracing::warn!(secondary, table, %error, "a resync failed; it is retried");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn scan(&self, mut request: ResyncRequest) -> StorageResult<Copied> {
        let queue = &self.context.queue;
        let secondary = self.context.name();
        let table = request.table.clone();
        if table == EVERY_TABLE {
            self.request_every_table(&request).await?;
            return Ok(Copied::All);
        }
        let began = Instant::now();
        let metrics = &self.context.progress.metrics;
        let is_new = request.cursor.is_none();
        if is_new && !self.is_replicated(&table).await? {
            queue.clear_resync(secondary, &request)?;
            return Ok(Copied::All);
        }
        self.context
            .progress
            .scan_begins(&table, self.count(&table).await);
        if is_new && self.log_is_passed().await == Copied::Interrupted {
            return Ok(Copied::Interrupted);
        }
        let creates = is_new && self.is_empty_on_secondary(&table).await;
        let after = request.cursor.clone();
        let mut reader = PageReader::new(&self.context, &table, after, creates);
        let mut next = self.read(&mut reader).await?;
        while let Some(page) = next {
            let (end, rows) = (page.end.clone(), page.rows);
            let first = page.parts.values().flatten().next();
            let first = first.map(|change| change.operation.key.clone());
            let (copied, following) = tokio::join!(self.copier.copy(page), self.read(&mut reader));
            if copied.map_err(|failure| failure.error)? == Copied::Interrupted {
                return Ok(Copied::Interrupted);
            }
            request.cursor = end;
            request.scanned += rows;
            metrics.resync_rows.inc_by(rows);
            // If the table was requested again meanwhile, this scan goes on and the
            // next one follows: a table that is requested often would otherwise
            // never be scanned to its end.
            queue.advance_resync(secondary, &request)?;
            if let Some(key) = first {
                fail_points::pass_with("after_page", &key);
            }
            next = following?;
        }
        metrics
            .resync_seconds
            .observe(began.elapsed().as_secs_f64());
        let rows = request.scanned;
        tracing::info!(secondary, table, rows, "a table has been resynced");
        queue.clear_resync(secondary, &request)?;
        Ok(Copied::All)
    }

    async fn read(&self, reader: &mut PageReader) -> StorageResult<Option<CopiedPage>> {
        let _reading = self.reading.lock().await;
        reader.next().await
    }

    /// Waits until the secondary has what is in the log now: a row may have changed
    /// its key, and the log only keeps the order of operations with the same key.
    async fn log_is_passed(&self) -> Copied {
        let Context { queue, manager, .. } = &*self.context;
        let ends = queue.ends();
        let mut states = manager.subscribe();
        loop {
            states.mark_unchanged();
            let (progressed, reopened) = (queue.progressed(self.context.name()), queue.reopened());
            if !self.context.may_replicate() {
                return Copied::Interrupted;
            }
            if queue.has_passed(self.context.name(), &ends) {
                return Copied::All;
            }
            tokio::select! {
                () = progressed => {}
                () = reopened => {}
                _ = states.changed() => {}
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
        let queue = &self.context.queue;
        let secondary = self.context.name();
        for table in self.replicated_tables().await? {
            queue.request_resync(secondary, &table, &request.reason);
        }
        Ok(queue.clear_resync(secondary, request)?)
    }

    /// The primary's tables that are replicated.
    async fn replicated_tables(&self) -> StorageResult<Vec<String>> {
        let (primary, config) = (self.context.primary.clone(), &self.context.config);
        let tables = config.tables.clone();
        let context = CallContext::with_timeout(config.operation_timeout);
        blocking(move || tables.tables_of(&primary, &context)).await
    }

    /// How many rows a table of the primary has, for people; 0 if it cannot be told
    /// in time.
    async fn count(&self, table: &str) -> u64 {
        let (scan, primary) = (scan(table), self.context.primary.clone());
        let context = CallContext::with_timeout(self.context.read_timeout());
        let count = blocking(move || scan.count(&primary, &context)).await;
        count.unwrap_or_default()
    }

    /// Has the secondary no row of the table? If in doubt, it has.
    async fn is_empty_on_secondary(&self, table: &str) -> bool {
        let (_, Some(session)) = self.context.manager.state_and_session() else {
            return false;
        };
        let scan = TableScan::new(table, 1).columns([]);
        let context = CallContext::with_timeout(self.context.config.operation_timeout);
        let first = blocking(move || scan.page(&session.storage, &context, None)).await;
        first.is_ok_and(|rows| rows.is_empty())
    }
}

/// A scan of a whole table.
fn scan(table: &str) -> TableScan {
    TableScan::new(table, usize::MAX)
}

async fn blocking<T: Send + 'static>(
    call: impl FnOnce() -> StorageResult<T> + Send + 'static,
) -> StorageResult<T> {
    tokio::task::spawn_blocking(call)
        .await
        .map_err(|error| StorageError::internal(format!("reading a database: {error}")))?
}
