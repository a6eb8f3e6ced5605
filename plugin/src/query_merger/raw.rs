//! A plain SELECT of the host's own, over the union.
//!
//! Each side is asked with one more column, which tells which row it is; the
//! rows are merged like those of any list, and the column is taken out again.

use super::{
    QueryMerger,
    backend::Backend,
    fan_out::FanOut,
    merge_answers,
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
    /// Answers `text`, which is the SELECT `plain`, from all sides: with one
    /// result, as the primary would.
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
        let mut fan_out = FanOut::new(self, context);
        let window = plain.window(parameters).filter(|_| !fan_out.is_empty());
        let Some(window) = window else {
            return self.primary().query(context, text, parameters);
        };
        let ask = {
            let (plain, parameters) = (Arc::clone(plain), parameters.clone());
            move |backend: &dyn Backend, context: &CallContext, limit: u32| {
                rows(backend, context, &plain, &parameters, limit)
            }
        };
        let on_others = {
            let ask = ask.clone();
            move |backend: &dyn Backend, context: &CallContext, limit: u32| match ask(
                backend, context, limit,
            ) {
                // It has heard of no row of that table yet.
                Err(error) if error.kind == ErrorKind::NOT_FOUND => Ok(RVec::new()),
                answer => answer,
            }
        };
        let first = window.end.unwrap_or(0);
        let question = on_others.clone();
        let pending = fan_out.begin_all(move |backend, context| question(backend, context, first));
        let primary: Vec<RawRow> = ask(self.primary(), &fan_out.context(), first)?.into();
        let answers = fan_out.collect(pending);
        let merged = match answers.is_empty() {
            true => primary,
            false => merge_answers(
                &mut fan_out,
                primary,
                answers,
                compare,
                window.end,
                on_others,
            )?,
        };
        Ok(result(merged, plain.form, window))
    }
}

/// A row of the result, with which row it is and what it is ordered by.
#[derive(Clone, Debug)]
struct RawRow {
    identity: PartialRow,
    /// Each with whether it ascends.
    by: Vec<(types::Value, bool)>,
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

/// As the database orders values. Rows that are equal in it have no order.
fn compare(a: &RawRow, b: &RawRow) -> Ordering {
    a.by.iter()
        .zip(&b.by)
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
        _ => return Err(unlike_a_list()),
    };
    rows.iter().map(|row| raw_row(plain, row)).collect()
}

fn raw_row(plain: &PlainSelect, row: &Value) -> StorageResult<RawRow> {
    let mut columns = row.as_object().cloned().ok_or_else(unlike_a_list)?;
    let mark = columns.remove(META_COLUMN).unwrap_or_default();
    let part = |name: &str| mark.as_object().and_then(|mark| mark.get(name));
    let identity = part("row")
        .and_then(|row| PartialRow::of_query(&plain.table, row))
        .filter(|row| row.id.is_some())
        .ok_or_else(unlike_a_list)?;
    let in_mark = part("by").and_then(Value::as_array).unwrap_or_default();
    let by = plain
        .order_of(&columns, in_mark)
        .map(|(value, ascending)| Ok((to_database(value.clone())?, ascending)))
        .collect::<StorageResult<_>>()?;
    Ok(RawRow {
        identity,
        by,
        columns,
    })
}

fn unlike_a_list() -> StorageError {
    StorageError::internal("the answer to a SELECT is no list of rows that say which they are")
}

/// The merged rows as the answer to one statement.
fn result(rows: Vec<RawRow>, form: Form, window: Window) -> Value {
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
