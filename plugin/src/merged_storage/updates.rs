//! [`Updates`]: updates of rows that only a secondary has, and edges between them.
//!
//! Whoever reads such a row expects to be able to update it, or to relate another
//! one to it. So a call that finds no row on the primary copies the row that a merged
//! read would return to the primary, and is repeated there.

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

/// The methods that need an existing row.
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
        match key() {
            Some(key) if self.copy_to_primary(context, &key)? => update(),
            _ => Err(not_found),
        }
    }

    /// An edge: either of its ends may be an entity that only a secondary has.
    pub(super) fn create_relationship(
        &self,
        context: &CallContext,
        from: &str,
        to: &str,
        relationship_type: &str,
        properties: &Object,
    ) -> StorageResult<WriteReceipt> {
        let create = || {
            let synced = &self.synced;
            synced.create_relationship(context, from, to, relationship_type, properties)
        };
        let not_found = match create() {
            Err(error) if error.kind == ErrorKind::NOT_FOUND => error,
            answer => return answer,
        };
        let mut copied = false;
        for end in [from, to] {
            if let Some(id) = self.merger.entity_of_secondary(context, end)? {
                copied |= self.copy_to_primary(context, &Key::of_id(&id))?;
            }
        }
        match copied {
            true => create(),
            false => Err(not_found),
        }
    }

    /// Copies the row of this key that a merged read would return to the primary.
    /// False if no secondary has it.
    fn copy_to_primary(&self, context: &CallContext, key: &Key) -> StorageResult<bool> {
        let Some((table, row)) = self.merger.row_of_secondary(context, key)? else {
            return Ok(false);
        };
        let parameters = Object::new().with("row", row);
        let insert = format!("INSERT INTO {table} $row");
        match self.raw.query(context, &insert, &parameters) {
            // Another call was faster.
            Err(error) if error.kind != ErrorKind::CONFLICT => Err(error),
            _ => Ok(true),
        }
    }
}

/// The key of a row by its id; none where the id is not valid.
fn by_id(table: &str, id: &str) -> Option<Key> {
    let id = surreal_storage::record_id(table, id).ok()?;
    Some(Key::of_id(&id))
}
