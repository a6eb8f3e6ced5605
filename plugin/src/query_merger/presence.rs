//! Does a side have these rows? One query for any number of them.

use super::{row::Identity, side::Side};
use crate::dedup::{Key, key_columns};
use plugin_api::{
    error::StorageResult,
    storage::CallContext,
    value::{Object, Value},
};
use std::collections::{BTreeMap, HashSet};

/// What a statement's results are.
enum Found {
    /// Record ids.
    Ids,
    /// The last key column of rows that share the others.
    Last { table: String, others: Vec<Value> },
}

/// One query of many statements, and how to read its answer.
#[derive(Default)]
struct Lookup {
    sql: String,
    parameters: Object,
    found: Vec<Found>,
}

impl Lookup {
    fn of(rows: &[Identity]) -> Self {
        let mut lookup = Self::default();
        // Rows that share all key columns but the last are one statement.
        let mut groups: BTreeMap<(String, Vec<u8>), (Vec<Value>, Vec<Value>)> = BTreeMap::new();
        let mut ids = Vec::new();
        let names: HashSet<&Key> = rows.iter().flat_map(Identity::names).collect();
        for name in names {
            let (table, mut values) = name.parts();
            let Some(last) = values.pop() else { continue };
            if values.is_empty() && last.as_record_id().is_some() {
                ids.push(last);
                continue;
            }
            let others = Key::new(&table, &values).as_bytes().to_vec();
            let (_, lasts) = groups
                .entry((table, others))
                .or_insert_with(|| (values, Vec::new()));
            lasts.push(last);
        }
        for ((table, _), (others, lasts)) in groups {
            lookup.rows(&table, others, lasts);
        }
        if !ids.is_empty() {
            lookup.statement("SELECT VALUE id FROM $ids", Found::Ids);
            lookup.parameters.insert("ids", ids);
        }
        lookup
    }

    fn statement(&mut self, sql: &str, found: Found) {
        self.sql.push_str(sql);
        self.sql.push_str("; ");
        self.found.push(found);
    }

    fn parameter(&mut self, value: impl Into<Value>) -> String {
        let name = format!("p{}", self.parameters.len());
        self.parameters.insert(name.as_str(), value);
        name
    }

    fn rows(&mut self, table: &str, others: Vec<Value>, lasts: Vec<Value>) {
        let columns = key_columns(table);
        let Some((last, others_columns)) = columns.split_last() else {
            return;
        };
        let conditions: String = others_columns
            .iter()
            .zip(&others)
            .map(|(column, value)| {
                format!("{column} = ${} AND ", self.parameter(value.clone()))
            })
            .collect();
        let lasts = self.parameter(lasts);
        // A document is there if it is whole or if there is a chunk of it.
        let columns: &[&str] = match table {
            "knowledge_base" => &["file_path", "source_file"],
            _ => std::slice::from_ref(last),
        };
        for column in columns {
            let sql = format!(
                "SELECT VALUE {column} FROM {table} WHERE {conditions}{column} IN ${lasts}"
            );
            let found = Found::Last {
                table: table.to_owned(),
                others: others.clone(),
            };
            self.statement(&sql, found);
        }
    }

    fn read(self, answer: &Value) -> HashSet<Key> {
        let results = answer.as_array().unwrap_or_default();
        let mut names = HashSet::new();
        for (result, found) in results.iter().zip(&self.found) {
            for value in result.as_array().unwrap_or_default() {
                match found {
                    Found::Ids => names.extend(value.as_record_id().map(Key::of_id)),
                    Found::Last { table, others } => {
                        names.insert(Key::new(table, others.iter().chain([value])));
                    }
                }
            }
        }
        names
    }
}

/// Which names of these rows `side` has.
///
/// # Errors
/// The side's.
pub(super) fn present(
    side: &dyn Side,
    context: &CallContext,
    rows: &[Identity],
) -> StorageResult<HashSet<Key>> {
    let mut lookup = Lookup::of(rows);
    if lookup.found.is_empty() {
        return Ok(HashSet::new());
    }
    let parameters = std::mem::take(&mut lookup.parameters);
    let answer = side.query(context, &lookup.sql, &parameters)?;
    Ok(lookup.read(&answer))
}
