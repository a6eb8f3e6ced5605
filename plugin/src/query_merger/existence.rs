//! Does a side have these rows? One query for any number of them.

use super::{backend::Backend, row::Identity};
use crate::dedup::{Key, key_columns};
use plugin_api::{
    error::StorageResult,
    storage::CallContext,
    value::{Object, Value},
};
use std::collections::{BTreeMap, HashSet};

/// Which names of these rows `side` has.
///
/// # Errors
/// The side's.
pub(super) fn present(
    backend: &dyn Backend,
    context: &CallContext,
    rows: &[Identity],
) -> StorageResult<HashSet<Key>> {
    let mut by_table: BTreeMap<String, Vec<(&Key, Value)>> = BTreeMap::new();
    let mut ids = Vec::new();
    let names: HashSet<&Key> = rows.iter().flat_map(Identity::lookup_keys).collect();
    for name in names {
        let (table, values) = name.parts();
        match values.as_slice() {
            [id @ Value::RecordId(_)] => ids.push(id.clone()),
            _ => by_table
                .entry(table)
                .or_default()
                .push((name, Value::from(values))),
        }
    }
    if ids.is_empty() && by_table.is_empty() {
        return Ok(HashSet::new());
    }

    // One statement with a field for each table and one for the record ids.
    let mut fields = vec!["ids: (SELECT VALUE id FROM $ids)".to_owned()];
    let mut parameters = Object::new().with("ids", ids);
    for (table, keys) in &by_table {
        fields.push(format!("{table}: ${table}.map({})", has_row(table)));
        let keys: Value = keys.iter().map(|(_, values)| values.clone()).collect();
        parameters.insert(table.as_str(), keys);
    }
    let sql = format!("RETURN {{ {} }}", fields.join(", "));
    let answer = backend.query(context, &sql, &parameters)?;

    let answer = answer.as_array().and_then(<[Value]>::first);
    let list = |field: &str| {
        answer
            .and_then(|answer| answer.as_object()?.get(field)?.as_array())
            .unwrap_or_default()
    };
    let ids = list("ids").iter().filter_map(Value::as_record_id);
    let mut names: HashSet<Key> = ids.map(Key::of_id).collect();
    for (table, keys) in &by_table {
        let found = keys.iter().zip(list(table));
        let found = found.filter(|(_, has)| **has == Value::Bool(true));
        names.extend(found.map(|((name, _), _)| (*name).clone()));
    }
    Ok(names)
}

/// A closure from the values of a key to whether `table` has the row. A lookup
/// in the index for each: a list of keys in one condition would scan.
fn has_row(table: &str) -> String {
    let has = |condition: &str| {
        format!("!array::is_empty((SELECT VALUE id FROM {table} WHERE {condition} LIMIT 1))")
    };
    let body = match table {
        // A document is there if it is whole or if a chunk of it is.
        "knowledge_base" => format!(
            "{} OR {}",
            has("file_path = $k[0]"),
            has("source_file = $k[0]")
        ),
        _ => {
            let conditions: Vec<_> = key_columns(table)
                .iter()
                .enumerate()
                .map(|(place, column)| format!("{column} = $k[{place}]"))
                .collect();
            has(&conditions.join(" AND "))
        }
    };
    format!("|$k| {body}")
}
