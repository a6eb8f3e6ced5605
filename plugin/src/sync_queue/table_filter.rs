//! [`TableFilterRecord`]: which tables the log has recorded the writes of.
//!
//! A write to a table that is not replicated leaves no trace in the log. So the
//! filter is stored with it, and a table that is added to the filter gets a
//! resync request: a backfill finds what was written to it meanwhile.

use super::{
    EVERY_TABLE, QueueConfig, QueueError,
    store::{Store, WriteBatch},
};
use std::collections::BTreeSet;
use surreal_storage::schema;

/// The key of the filter that all writes since were logged by.
const KEY: &str = "tables";

/// Stands for all of the host's tables; no table has this name.
const ALL: &str = "*";

/// The names of the tables.
type Tables = BTreeSet<String>;

/// The configured table filter, and its record in the store.
pub(super) struct TableFilterRecord {
    configured: Tables,
}

impl TableFilterRecord {
    pub(super) fn new(config: &QueueConfig) -> Self {
        let of_host = config.tables.clone();
        let mut configured = of_host.unwrap_or_else(|| Tables::from([ALL.to_owned()]));
        configured.extend(config.other_tables.iter().cloned());
        Self { configured }
    }

    /// False if all of the host's tables are replicated.
    pub(super) fn is_restricted(&self) -> bool {
        !self.configured.contains(ALL)
    }

    /// Records the configured filter as the one that the log is kept by.
    pub(super) fn record(&self, store: &Store) -> Result<(), QueueError> {
        Ok(store.state.insert(KEY, encode(&self.configured))?)
    }

    /// Records the filter of a new log.
    pub(super) fn record_in(&self, batch: &mut WriteBatch<'_>) {
        batch.insert_state(KEY, encode(&self.configured));
    }

    /// The tables that need a resync because they are new in the filter. The
    /// removal of a table is recorded at once: from here on the log misses its
    /// writes.
    pub(super) fn added_tables(&self, store: &Store) -> Result<BTreeSet<String>, QueueError> {
        let former = recorded(store)?;
        let present = &self.configured;
        let kept_of = |tables: &Tables, by: &Tables| {
            let kept = tables.iter().filter(|name| covers(by, name));
            kept.cloned().collect::<Tables>()
        };
        let kept = &kept_of(&former, present) | &kept_of(present, &former);
        if kept != former {
            store.state.insert(KEY, encode(&kept))?;
        }
        let added = present.iter().filter(|name| !covers(&former, name));
        Ok(added
            // A name that stands for several tables: only the primary can list them.
            .map(|name| match stands_for_several(name) {
                true => EVERY_TABLE.to_owned(),
                false => name.clone(),
            })
            .collect())
    }
}

fn stands_for_several(name: &str) -> bool {
    name == ALL || name == schema::RELATIONSHIPS.name
}

/// Is this name, or what it stands for, among these tables?
fn covers(tables: &Tables, name: &str) -> bool {
    let of_host = schema::table(name).is_some() || stands_for_several(name);
    tables.contains(name) || (of_host && tables.contains(ALL))
}

fn encode(tables: &Tables) -> String {
    let names: Vec<&str> = tables.iter().map(String::as_str).collect();
    names.join(",")
}

fn decode(text: &str) -> Tables {
    let names = text.split(',').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// The filter that the log was kept by. A log without a record is older than
/// filters were recorded, and may have missed every table.
fn recorded(store: &Store) -> Result<Tables, QueueError> {
    let Some(stored) = store.state.get(KEY)? else {
        return Ok(Tables::new());
    };
    std::str::from_utf8(&stored)
        .map(decode)
        .map_err(|_| QueueError::Corrupt("the table filter is not text"))
}
