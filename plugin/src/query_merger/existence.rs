//! Which rows a database has: one query for any number of them.

use super::{
    QueryMerger,
    backend::Backend,
    read_specs::ReadMethod,
    row::{Identity, PartialRow},
};
use crate::dedup::Key;
use plugin_api::{
    error::StorageResult,
    storage::CallContext,
    value::{Object, Value},
};
use std::collections::{BTreeMap, HashSet};
use surreal_storage::schema::Table;

/// Which lookup keys of these rows the database has.
///
/// # Errors
/// The database's.
pub(super) fn existing(
    backend: &dyn Backend,
    context: &CallContext,
    rows: &[Identity],
) -> StorageResult<HashSet<Key>> {
    let mut ids = Vec::new();
    let mut by_table: BTreeMap<String, Vec<(&Key, Value)>> = BTreeMap::new();
    let lookup_keys: HashSet<&Key> = rows.iter().flat_map(Identity::lookup_keys).collect();
    for key in lookup_keys {
        let (table, values) = key.parts();
        match values.as_slice() {
            [id @ Value::RecordId(_)] => ids.push(id.clone()),
            _ => by_table
                .entry(table)
                .or_default()
                .push((key, Value::from(values))),
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
        let values: Value = keys.iter().map(|(_, values)| values.clone()).collect();
        parameters.insert(table.as_str(), values);
    }
    let sql = format!("RETURN {{ {} }}", fields.join(", "));
    let answer = backend.query(context, &sql, &parameters)?;

    let answer = answer.as_array().and_then(<[Value]>::first);
    let field = |name: &str| {
        answer
            .and_then(|answer| answer.as_object()?.get(name)?.as_array())
            .unwrap_or_default()
    };
    let ids = field("ids").iter().filter_map(Value::as_record_id);
    let mut existing: HashSet<Key> = ids.map(Key::of_id).collect();
    for (table, keys) in &by_table {
        let found = keys.iter().zip(field(table));
        let found = found.filter(|(_, exists)| **exists == Value::Bool(true));
        existing.extend(found.map(|((key, _), _)| (*key).clone()));
    }
    Ok(existing)
}

impl QueryMerger {
    /// The row of this key that a merged read would return, with its table, where
    /// the primary has none; whole, with its id.
    ///
    /// # Errors
    /// The primary's.
    pub(crate) fn row_of_secondary(
        &self,
        context: &CallContext,
        key: &Key,
    ) -> StorageResult<Option<(String, Object)>> {
        let (table, values) = key.parts();
        let names = (0..values.len()).map(|at| format!("k{at}"));
        let parameters: Object = names.zip(values).collect();
        let sql = match Table::of(&table).key {
            ["id"] => "SELECT * FROM $k0".to_owned(),
            columns => {
                let columns = columns.iter().enumerate();
                let conditions: Vec<String> = columns
                    .map(|(at, column)| format!("{column} = $k{at}"))
                    .collect();
                format!("SELECT * FROM {table} WHERE {}", conditions.join(" AND "))
            }
        };
        let row = self.point(ReadMethod::update, context, {
            let table = table.clone();
            move |backend: &dyn Backend, context: &CallContext| {
                let answer = backend.query(context, &sql, &parameters)?;
                let row = answer.first_rows().first();
                Ok(row.and_then(|row| PartialRow::of_query(&table, row)))
            }
        })?;
        Ok(row.map(|row| (table, row.columns)))
    }
}

/// A closure from the values of a key to whether `table` has the row. It does
/// one index lookup per column or key: one condition for all keys would scan the
/// table.
fn has_row(table: &str) -> String {
    let has = |condition: &str| {
        format!("!array::is_empty((SELECT VALUE id FROM {table} WHERE {condition} LIMIT 1))")
    };
    let Table { key, group_by, .. } = Table::of(table);
    let body = if group_by.is_empty() {
        let columns = key.iter().enumerate();
        let conditions: Vec<_> = columns
            .map(|(index, column)| format!("{column} = $k[{index}]"))
            .collect();
        has(&conditions.join(" AND "))
    } else {
        // The key is that of a group, which exists if any row of it does.
        let columns = group_by.iter();
        let conditions: Vec<_> = columns
            .map(|column| has(&format!("{column} = $k[0]")))
            .collect();
        conditions.join(" OR ")
    };
    format!("|$k| {body}")
}
