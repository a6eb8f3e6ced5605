//! [`TableFilterRecord`]: which tables the log has recorded the writes of.
//!
//! A write to a table that is not replicated leaves no trace in the log. So the
//! filter is stored with it, and a table that is added to the filter gets a
//! resync request: a backfill finds what was written to it meanwhile.

use super::{
    EVERY_TABLE, QueueError,
    store::{Store, WriteBatch},
};
use std::collections::BTreeSet;
use surreal_storage::schema;

/// The key of the filter that all writes since were logged by.
const KEY: &str = "tables";

/// Stands for every table; no table has this name.
const ALL: &str = "*";

/// The names of the tables; `None` for all.
type Tables = Option<BTreeSet<String>>;

/// The configured table filter, and its record in the store.
pub(super) struct TableFilterRecord {
    configured: Tables,
}

impl TableFilterRecord {
    pub(super) fn new(configured: Tables) -> Self {
        Self { configured }
    }

    /// False if every table is replicated.
    pub(super) fn is_restricted(&self) -> bool {
        self.configured.is_some()
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
        let kept = match (&former, &self.configured) {
            (None, kept) | (kept, None) => kept.clone(),
            (Some(former), Some(present)) => Some(former & present),
        };
        if kept != former {
            store.state.insert(KEY, encode(&kept))?;
        }
        Ok(match (former, &self.configured) {
            (None, _) => BTreeSet::new(),
            (Some(_), None) => BTreeSet::from([EVERY_TABLE.to_owned()]),
            (Some(former), Some(present)) => present
                .difference(&former)
                // A name that is not a table's stands for several tables, which
                // only the primary can list.
                .map(|name| schema::table(name).map_or(EVERY_TABLE, |_| name))
                .map(str::to_owned)
                .collect(),
        })
    }
}

fn encode(tables: &Tables) -> String {
    let Some(names) = tables else {
        return ALL.to_owned();
    };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.join(",")
}

fn decode(text: &str) -> Tables {
    (text != ALL).then(|| {
        let names = text.split(',').filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    })
}

/// The filter that the log was kept by. A log without a record is older than
/// filters were recorded, and may have missed every table.
fn recorded(store: &Store) -> Result<Tables, QueueError> {
    let Some(stored) = store.state.get(KEY)? else {
        return Ok(Some(BTreeSet::new()));
    };
    std::str::from_utf8(&stored)
        .map(decode)
        .map_err(|_| QueueError::Corrupt("the table filter is not text"))
}
