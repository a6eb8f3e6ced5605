//! A host's own plain SELECT, over the union.
//!
//! Each database is queried for one more column, which identifies the row. The
//! rows are merged like those of any list, and the column is removed again.

use super::{
    QueryMerger,
    backend::Backend,
    fan_out::FanOut,
    read_specs::ReadMethod,
    row::{MergeableRow, PartialRow},
};
use crate::raw_query::{Form, META_COLUMN, PlainSelect, VALUE, Window};
use abi_stable::std_types::RVec;
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::CallContext,
    value::{Object, RecordId, Value},
};
use std::{borrow::Cow, cmp::Ordering, sync::Arc};
use surreal_storage::value::to_database;
use surrealdb::types;

impl QueryMerger {
    /// Answers `text`, which is the SELECT `plain`, from the union: one result,
    /// as the primary would return.
    ///
    /// # Errors
    /// The primary's.
    pub fn select(
        &self,
        context: &CallContext,
        text: &str,
        parameters: &Object,
        plain: &Arc<PlainSelect>,
    ) -> StorageResult<Value> {
        let mut fan_out = FanOut::new(self, ReadMethod::query, context);
        let window = plain.window(parameters).filter(|_| !fan_out.is_empty());
        let Some(window) = window else {
            return self.primary().query(context, text, parameters);
        };
        let from_primary = {
            let (plain, parameters) = (Arc::clone(plain), parameters.clone());
            move |backend: &dyn Backend, context: &CallContext, limit: u32| {
                rows(backend, context, &plain, &parameters, limit)
            }
        };
        let from_secondary = {
            let fetch = from_primary.clone();
            move |backend: &dyn Backend, context: &CallContext, limit: u32| match fetch(
                backend, context, limit,
            ) {
                // No row of that table was replicated to it yet.
                Err(error) if error.kind == ErrorKind::NOT_FOUND => Ok(RVec::new()),
                answer => answer,
            }
        };
        let rows = self.list_with(
            &mut fan_out,
            compare,
            window.end,
            from_primary,
            from_secondary,
        )?;
        Ok(result(rows, plain.form, window))
    }
}

/// A row of the result, with its identity and the values that it is ordered by.
#[derive(Clone, Debug)]
struct RawRow {
    identity: PartialRow,
    /// Each with whether the order by it is ascending.
    sort_values: Vec<(types::Value, bool)>,
    columns: Object,
}

impl MergeableRow for RawRow {
    fn table(&self) -> &str {
        self.identity.table()
    }

    fn id(&self) -> Option<&RecordId> {
        self.identity.id()
    }

    fn columns(&self) -> Cow<'_, Object> {
        self.identity.columns()
    }
}

/// As the database orders values. Rows with equal values have no order.
fn compare(a: &RawRow, b: &RawRow) -> Ordering {
    a.sort_values
        .iter()
        .zip(&b.sort_values)
        .map(|((a, ascending), (b, _))| if *ascending { a.cmp(b) } else { b.cmp(a) })
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn rows(
    backend: &dyn Backend,
    context: &CallContext,
    plain: &PlainSelect,
    parameters: &Object,
    limit: u32,
) -> StorageResult<RVec<RawRow>> {
    let mut parameters = parameters.clone();
    parameters.insert(META_COLUMN, limit);
    let answer = backend.query(context, &plain.text, &parameters)?;
    let rows = match answer.as_array() {
        Some([Value::Array(rows)]) => rows,
        _ => return Err(unexpected_answer()),
    };
    rows.iter().map(|row| raw_row(plain, row)).collect()
}

fn raw_row(plain: &PlainSelect, row: &Value) -> StorageResult<RawRow> {
    let mut columns = row.as_object().cloned().ok_or_else(unexpected_answer)?;
    let meta = columns.remove(META_COLUMN).unwrap_or_default();
    let part = |name: &str| meta.as_object().and_then(|meta| meta.get(name));
    let identity = part("row")
        .and_then(|row| PartialRow::of_query(&plain.table, row))
        .filter(|row| row.id.is_some())
        .ok_or_else(unexpected_answer)?;
    let hidden = part("by").and_then(Value::as_array).unwrap_or_default();
    let sort_values = plain
        .order_of(&columns, hidden)
        .map(|(value, ascending)| Ok((to_database(value.clone())?, ascending)))
        .collect::<StorageResult<_>>()?;
    Ok(RawRow {
        identity,
        sort_values,
        columns,
    })
}

fn unexpected_answer() -> StorageError {
    StorageError::internal(format!(
        "a merged SELECT returned something other than rows with the column {META_COLUMN}"
    ))
}

/// The merged rows as the answer to one statement.
fn result(rows: RVec<RawRow>, form: Form, window: Window) -> Value {
    let rows = rows.into_iter().skip(window.start);
    let rows: Value = match form {
        Form::Objects => rows.map(|row| row.columns).collect(),
        Form::Values => rows
            .map(|mut row| row.columns.remove(VALUE).unwrap_or_default())
            .collect(),
    };
    Value::from(vec![rows])
}

#[cfg(test)]
mod tests;
