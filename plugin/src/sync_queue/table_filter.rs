//! Which tables the log hears of, and which it heard of before.
//!
//! A write to a table that is not replicated leaves no trace here. So the log
//! keeps the selection, and a table that is new in it is marked: what was
//! written to it meanwhile is found by a walk.

use super::{EVERY_TABLE, QueueError, store::Store};
use fjall::OwnedWriteBatch as WriteBatch;
use std::collections::BTreeSet;
use surreal_storage::schema;

/// Under it lies the selection that all writes since were logged by.
const KEY: &str = "tables";

/// Stands for every table; no table's name.
const ALL: &str = "*";

/// The names of the tables; none for all.
pub(super) type Selection = Option<BTreeSet<String>>;

fn encode(selection: &Selection) -> String {
    let Some(names) = selection else {
        return ALL.to_owned();
    };
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.join(",")
}

fn decode(text: &str) -> Selection {
    (text != ALL).then(|| {
        let names = text.split(',').filter(|name| !name.is_empty());
        names.map(str::to_owned).collect()
    })
}

/// The selection that the log was kept by. One that was made before selections
/// were kept may have missed every table.
fn former(store: &Store) -> Result<Selection, QueueError> {
    let Some(stored) = store.state.get(KEY)? else {
        return Ok(Some(BTreeSet::new()));
    };
    std::str::from_utf8(&stored)
        .map(decode)
        .map_err(|_| QueueError::Damaged("its tables are no text"))
}

/// Notes that the log is kept by this selection from now on.
pub(super) fn note(store: &Store, selection: &Selection) -> Result<(), QueueError> {
    Ok(store.state.insert(KEY, encode(selection))?)
}

/// Notes the selection of a new log.
pub(super) fn begin(store: &Store, batch: &mut WriteBatch, selection: &Selection) {
    batch.insert(&store.state, KEY, encode(selection));
}

/// Which tables have to be marked, since they are new in the selection. What is
/// no longer in it is noted at once: from here on the log misses it.
pub(super) fn added(store: &Store, selection: &Selection) -> Result<BTreeSet<String>, QueueError> {
    let former = former(store)?;
    let kept = match (&former, selection) {
        (None, kept) | (kept, None) => kept.clone(),
        (Some(former), Some(present)) => Some(former & present),
    };
    if kept != former {
        note(store, &kept)?;
    }
    Ok(match (former, selection) {
        (None, _) => BTreeSet::new(),
        (Some(_), None) => BTreeSet::from([EVERY_TABLE.to_owned()]),
        (Some(former), Some(present)) => present
            .difference(&former)
            // A name that is no table's stands for several, which the primary
            // knows.
            .map(|name| schema::table(name).map_or(EVERY_TABLE, |_| name))
            .map(str::to_owned)
            .collect(),
    })
}
