//! Steering replication while it works.

use super::{Replication, log_error};
use crate::{
    config::{nearest, selectable},
    sync_queue::{DeadLetter, EVERY_TABLE, SyncQueue},
};
use plugin_api::{
    error::{StorageError, StorageResult},
    storage::CallContext,
};
use surreal_storage::schema::{RELATIONSHIPS, relationships::replicated_tables};

impl Replication {
    /// Stops copying. Without effect where nothing is copied.
    pub fn pause(&self) {
        if let Some(pipeline) = &self.pipeline {
            pipeline.executor.pause();
            tracing::info!("copying is paused");
        }
    }

    /// Goes on copying.
    pub fn resume(&self) {
        if let Some(pipeline) = &self.pipeline {
            pipeline.executor.resume();
            tracing::info!("copying goes on");
        }
    }

    pub(super) fn queue(&self) -> StorageResult<&SyncQueue> {
        match &self.pipeline {
            Some(pipeline) => Ok(&pipeline.queue),
            None => Err(StorageError::unsupported(
                "nothing is copied: set sync_enabled to true",
            )),
        }
    }

    /// What a secondary refused for good.
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn dead_letters(&self, secondary: &str) -> StorageResult<Vec<DeadLetter>> {
        self.queue()?.dead_letters(secondary).map_err(log_error)
    }

    /// Queues dead letters again; all for no ids. Returns how many.
    ///
    /// # Errors
    /// If the log cannot be read or written.
    pub fn replay(&self, secondaries: &[String], ids: &[String]) -> StorageResult<usize> {
        let queue = self.queue()?;
        let replayed = secondaries.iter().map(|name| queue.replay(name, ids));
        replayed.sum::<Result<usize, _>>().map_err(log_error)
    }

    /// Drops dead letters; all for no ids. Returns how many.
    ///
    /// # Errors
    /// If the log cannot be read or written.
    pub fn discard(&self, secondaries: &[String], ids: &[String]) -> StorageResult<usize> {
        let queue = self.queue()?;
        let discarded = secondaries.iter().map(|name| queue.discard(name, ids));
        discarded.sum::<Result<usize, _>>().map_err(log_error)
    }

    /// Has tables copied again, in the background; all for no tables.
    ///
    /// # Errors
    /// A table that is not replicated, or the primary does not list its tables.
    pub fn resync(&self, secondaries: &[String], tables: &[String]) -> StorageResult<()> {
        let queue = self.queue()?;
        let tables = match tables {
            [] => vec![EVERY_TABLE.to_owned()],
            named => self.replicated(named)?,
        };
        for secondary in secondaries {
            for table in &tables {
                queue.request_resync(secondary, table, "asked for");
            }
        }
        Ok(())
    }

    /// The tables of these names; all that are replicated for no names.
    /// `relationships` stands for the tables of all relationship types.
    pub(super) fn replicated(&self, names: &[String]) -> StorageResult<Vec<String>> {
        let context = CallContext::with_timeout(self.config.settings.operation_timeout);
        let existing = replicated_tables(&self.primary, &context)?;
        let all = existing.iter().filter(|table| self.tables.selects(table));
        if names.is_empty() {
            return Ok(all.cloned().collect());
        }
        let fixed = |table: &str| selectable().any(|known| known == table);
        let mut chosen = Vec::new();
        for name in names {
            if name == RELATIONSHIPS.name {
                chosen.extend(all.clone().filter(|table| !fixed(table)).cloned());
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
