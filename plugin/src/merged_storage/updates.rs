//! [`Updates`]: updates of rows that only a secondary has.
//!
//! Whoever reads such a row expects to be able to update it. So an update that
//! finds no row on the primary copies the row that a merged read would return to
//! the primary, and is repeated there.

use super::RawQueries;
use crate::{dedup::Key, query_merger::QueryMerger, synced_storage::SyncedStorage};
use plugin_api::{
    error::{ErrorKind, StorageResult},
    records::WriteReceipt,
    rust_type,
    storage::CallContext,
    value::{Object, Value},
};
use std::sync::Arc;
use surreal_storage::schema::{FACTS, JOBS, PROJECTS, VECTORS};

/// The methods that update an existing row.
pub(super) struct Updates {
    synced: Arc<SyncedStorage>,
    merger: Arc<QueryMerger>,
    raw: Arc<RawQueries>,
}

/// `method(argument: type, …) of the key of its row;`
macro_rules! updates {
    ($($method:ident($($argument:ident: $type:tt),*) of $key:expr;)*) => {
        $(
            pub(super) fn $method(
                &self,
                context: &CallContext,
                $($argument: rust_type!($type)),*
            ) -> StorageResult<WriteReceipt> {
                self.update(context, || $key, || self.synced.$method(context, $($argument),*))
            }
        )*
    };
}

impl Updates {
    pub(super) fn new(
        synced: Arc<SyncedStorage>,
        merger: Arc<QueryMerger>,
        raw: Arc<RawQueries>,
    ) -> Self {
        Self {
            synced,
            merger,
            raw,
        }
    }

    updates! {
        update_fact(user_id: str, key: str, value: Value)
            of Some(Key::new(FACTS.name, [&user_id.into(), &key.into()]));
        update_vector(id: str, user_id: str, content: str, embedding: [f32], metadata: Object)
            of by_id(VECTORS.name, id);
        update_project_status(project_id: str, status: str)
            of Some(Key::new(PROJECTS.name, [&project_id.into()]));
        update_project_watcher(project_id: str, enabled: bool)
            of Some(Key::new(PROJECTS.name, [&project_id.into()]));
        update_indexing_job(job_id: str, status: str, progress: f64, files_indexed: u32, error: str)
            of by_id(JOBS.name, job_id);
    }

    fn update(
        &self,
        context: &CallContext,
        key: impl FnOnce() -> Option<Key>,
        update: impl Fn() -> StorageResult<WriteReceipt>,
    ) -> StorageResult<WriteReceipt> {
        let not_found = match update() {
            Err(error) if error.kind == ErrorKind::NOT_FOUND => error,
            answer => return answer,
        };
        let row = match key() {
            Some(key) => self.merger.row_of_secondary(context, &key)?,
            None => None,
        };
        let Some((table, row)) = row else {
            return Err(not_found);
        };
        let parameters = Object::new().with("row", row);
        let insert = format!("INSERT INTO {table} $row");
        match self.raw.query(context, &insert, &parameters) {
            // Another call was faster.
            Err(error) if error.kind != ErrorKind::CONFLICT => Err(error),
            _ => update(),
        }
    }
}

/// The key of a row by its id; none where the id is not valid.
fn by_id(table: &str, id: &str) -> Option<Key> {
    let id = surreal_storage::record_id(table, id).ok()?;
    Some(Key::of_id(&id))
}
