//! What an operator can ask of replication while it works.

use super::{Pipeline, Replication};
use crate::{
    config::{nearest, selectable},
    sync_executor::SyncExecutor,
    sync_queue::{DeadLetter, EVERY_TABLE, QueueError, SyncQueue},
};
use plugin_api::{
    error::{StorageError, StorageResult},
    storage::CallContext,
};
use std::sync::Arc;
use surreal_storage::schema::RELATIONSHIPS;

impl Replication {
    /// Pauses replication. Without effect if `sync_enabled` is false.
    pub fn pause(&self) {
        if let Some(pipeline) = &self.pipeline {
            pipeline.executor.pause();
            tracing::info!("replication is paused; writes wait in the log");
        }
    }

    /// Resumes replication.
    pub fn resume(&self) {
        if let Some(pipeline) = &self.pipeline {
            pipeline.executor.resume();
            tracing::info!("replication is resumed");
        }
    }

    pub(super) fn queue(&self) -> StorageResult<&Arc<SyncQueue>> {
        self.pipeline().map(|pipeline| &pipeline.queue)
    }

    pub(super) fn executor(&self) -> StorageResult<&Arc<SyncExecutor>> {
        self.pipeline().map(|pipeline| &pipeline.executor)
    }

    fn pipeline(&self) -> StorageResult<&Pipeline> {
        self.pipeline.as_ref().ok_or_else(|| {
            StorageError::unsupported("replication is disabled; set sync_enabled to true")
        })
    }

    /// Up to `limit` dead letters of a secondary, in the order of their ids, with
    /// ids after `after`.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn dead_letters(
        &self,
        secondary: &str,
        after: Option<&str>,
        limit: usize,
    ) -> StorageResult<Vec<DeadLetter>> {
        Ok(self.queue()?.dead_letters(secondary, after, limit)?)
    }

    /// Retries dead letters with these ids; all if there are none. Returns how
    /// many.
    ///
    /// # Errors
    /// If the log cannot be read or written.
    pub fn replay(&self, secondaries: &[String], ids: &[String]) -> StorageResult<usize> {
        let queue = self.queue()?;
        let replayed = secondaries.iter().map(|name| queue.replay(name, ids));
        Ok(replayed.sum::<Result<usize, QueueError>>()?)
    }

    /// Drops dead letters with these ids; all if there are none. Returns how
    /// many.
    ///
    /// # Errors
    /// If the log cannot be read or written.
    pub fn discard(&self, secondaries: &[String], ids: &[String]) -> StorageResult<usize> {
        let queue = self.queue()?;
        let discarded = secondaries.iter().map(|name| queue.discard(name, ids));
        Ok(discarded.sum::<Result<usize, QueueError>>()?)
    }

    /// Requests a resync of these tables, which runs in the background; of all
    /// tables if none are named.
    ///
    /// # Errors
    /// If a table is not replicated, or the primary cannot list its tables.
    pub fn resync(&self, secondaries: &[String], tables: &[String]) -> StorageResult<()> {
        let queue = self.queue()?;
        let tables = match tables {
            [] => vec![EVERY_TABLE.to_owned()],
            named => self.replicated(named)?,
        };
        for secondary in secondaries {
            for table in &tables {
                queue.request_resync(secondary, table, "requested by an operator");
            }
        }
        Ok(())
    }

    /// The tables with these names; all that are replicated if none are named.
    /// `relationships` stands for the tables of all relationship types.
    pub(super) fn replicated(&self, names: &[String]) -> StorageResult<Vec<String>> {
        let context = CallContext::with_timeout(self.config.settings.operation_timeout);
        let existing = self.tables.tables_of(&self.primary, &context)?;
        if names.is_empty() {
            return Ok(existing);
        }
        let fixed = |table: &str| selectable().any(|known| known == table);
        let mut chosen = Vec::new();
        for name in names {
            if name == RELATIONSHIPS.name {
                let of_types = |table: &&String| !fixed(table) && !self.tables.is_other(table);
                chosen.extend(existing.iter().filter(of_types).cloned());
            } else if !self.tables.selects(name) {
                return Err(StorageError::invalid_input(format!(
                    "{name} is not replicated; add it to tables in the configuration"
                )));
            } else if fixed(name) || existing.contains(name) {
                chosen.push(name.clone());
            } else {
                let mut known: Vec<&str> = selectable().collect();
                known.extend(existing.iter().map(String::as_str));
                let hint = nearest(name, known.into_iter())
                    .map(|near| format!("; did you mean {near}?"))
                    .unwrap_or_default();
                return Err(StorageError::invalid_input(format!(
                    "there is no table {name}{hint}"
                )));
            }
        }
        Ok(chosen)
    }
}
