//! Which tables of the primary are not replicated, for the status.

use crate::{status::UnreplicatedTable, sync_executor::TableFilter};
use parking_lot::Mutex;
use plugin_api::{
    error::StorageResult,
    storage::{CallContext, FullStorage},
};
use std::{sync::Arc, time::Duration};
use surreal_storage::schema::relationships::tables_with_other_rows;

/// From one look to the next: tables are rarely added, and the look counts rows.
const INTERVAL: Duration = Duration::from_secs(600);

/// What was found last.
pub(super) type NotReplicated = Arc<Mutex<Vec<UnreplicatedTable>>>;

/// The primary's tables with rows that are not replicated.
///
/// # Errors
/// The primary's.
pub(super) fn find(
    primary: &FullStorage,
    tables: &TableFilter,
    timeout: Duration,
) -> StorageResult<Vec<UnreplicatedTable>> {
    let context = CallContext::with_timeout(timeout);
    let found = tables_with_other_rows(primary, &context, tables.others())?;
    let tables = found.into_iter();
    Ok(tables
        .map(|(table, rows)| UnreplicatedTable { table, rows })
        .collect())
}

/// Looks from time to time, for the status, which never waits for the primary.
/// Ends with the runtime.
pub(super) async fn watch(
    primary: FullStorage,
    tables: TableFilter,
    timeout: Duration,
    found: NotReplicated,
) {
    loop {
        let (primary, tables) = (primary.clone(), tables.clone());
        match tokio::task::spawn_blocking(move || find(&primary, &tables, timeout)).await {
            Ok(Ok(tables)) => *found.lock() = tables,
            Ok(Err(error)) => tracing::debug!(%error, "cannot list the primary's tables"),
            Err(_) => return,
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
