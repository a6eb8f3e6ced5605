//! [`ReturnedRows`]: statements whose answer shows which rows they wrote.
//!
//! These are the single CREATE, UPDATE, UPSERT, INSERT and RELATE that return
//! the rows as they are afterwards. Each such row is then refreshed by its key.
//!
//! A row must keep its key: an operation still queued for the old key could be
//! applied after the refresh of the new one. Where a statement may have changed
//! a key column, or reused an id, the table is resynced instead.

use plugin_api::value::{Object, RecordId, Value};
use std::collections::BTreeSet;
use surreal_storage::schema::Table;
use surrealdb_sql::{BinaryOperator, Cond, Data, Expr, Function, Idiom, Literal, Output, Part};

/// A statement whose answer is the rows that it wrote.
#[derive(Debug)]
pub struct ReturnedRows {
    /// The columns that it sets in new rows.
    given: Vec<Columns>,
    /// The columns that it changes in existing rows.
    changed: Vec<Columns>,
}

/// Columns that a statement sets.
#[derive(Debug)]
enum Columns {
    Named(BTreeSet<String>),
    /// Those of the object, or of the objects in the list, that this parameter
    /// holds.
    Of(String),
    Any,
}

impl ReturnedRows {
    pub(super) fn of(statement: &Expr) -> Option<Self> {
        let (output, rows) = match statement {
            Expr::Create(it) => {
                let given = match it.what.as_slice() {
                    [what] if is_table(what) => Columns::of(it.data.as_ref(), None),
                    [_] => Columns::Any,
                    _ => return None,
                };
                (&it.output, Self::new([given], []))
            }
            Expr::Update(it) if it.explain.is_none() && it.what.len() == 1 => {
                let changed = Columns::changed(it.data.as_ref(), it.cond.as_ref());
                (&it.output, Self::new([], [changed]))
            }
            Expr::Upsert(it) if it.explain.is_none() => {
                let (given, condition) = match it.what.as_slice() {
                    [what] if is_table(what) => {
                        (Columns::of(it.data.as_ref(), None), it.cond.as_ref())
                    }
                    // The caller chose the id: if a key column is set, the row
                    // may be a new one that no condition has checked; otherwise
                    // none is created.
                    [_] => (Columns::none(), None),
                    _ => return None,
                };
                let changed = Columns::changed(it.data.as_ref(), condition);
                (&it.output, Self::new([given], [changed]))
            }
            Expr::Insert(it) => {
                let given = Columns::of(Some(&it.data), None);
                let changed = Columns::of(it.update.as_ref(), None);
                (&it.output, Self::new([given], [changed]))
            }
            Expr::Relate(it) => (&it.output, Self::new([Columns::Any], [Columns::Any])),
            _ => return None,
        };
        matches!(output, None | Some(Output::After)).then_some(rows)
    }

    fn new<const G: usize, const C: usize>(given: [Columns; G], changed: [Columns; C]) -> Self {
        Self {
            given: given.into(),
            changed: changed.into(),
        }
    }

    /// Does every row of `table` that it wrote keep its key, and its id belong
    /// to the same key as before?
    pub fn keeps_keys(&self, table: &str, parameters: &Object) -> bool {
        let table = Table::of(table);
        if table.is_keyed_by_id() {
            return true;
        }
        let spares = |columns: &Columns, spared: &dyn Fn(&str) -> bool| {
            columns
                .resolve(parameters)
                .is_some_and(|names| names.iter().all(|name| spared(name)))
        };
        let is_id = |name: &str| name == "id";
        // The document that a chunk belongs to is part of its order key.
        let is_key =
            |name: &str| is_id(name) || table.key.contains(&name) || table.group_by.contains(&name);
        self.given.iter().all(|it| spares(it, &|name| !is_id(name)))
            && self
                .changed
                .iter()
                .all(|it| spares(it, &|name| !is_key(name)))
    }

    /// The rows of an answer of the primary, each with its id; none if it
    /// contains anything else.
    pub fn rows(answer: &Value) -> Option<Vec<(RecordId, Object)>> {
        let row = |value: &Value| {
            let columns = value.as_object()?.clone();
            let id = columns.get("id")?.as_record_id()?.clone();
            Some((id, columns))
        };
        match answer.as_array()? {
            [Value::Array(items)] => items.iter().map(row).collect(),
            [one @ Value::Object(_)] => Some(vec![row(one)?]),
            [nothing] if nothing.is_nullish() => Some(Vec::new()),
            _ => None,
        }
    }
}

impl Columns {
    fn none() -> Self {
        Self::Named(BTreeSet::new())
    }

    /// The columns that an UPDATE changes, without those that it sets to the
    /// value that its condition requires.
    fn changed(data: Option<&Data>, condition: Option<&Cond>) -> Self {
        match data {
            Some(Data::ContentExpression(_) | Data::ReplaceExpression(_)) => Self::Any,
            _ => Self::of(data, condition),
        }
    }

    fn of(data: Option<&Data>, condition: Option<&Cond>) -> Self {
        let named = |names: Option<BTreeSet<String>>| names.map_or(Self::Any, Self::Named);
        match data {
            None | Some(Data::EmptyExpression) => Self::none(),
            Some(Data::SetExpression(items) | Data::UpdateExpression(items)) => named(
                items
                    .iter()
                    .filter(|item| {
                        let kept = item.operator == surrealdb_sql::AssignOperator::Assign
                            && condition.is_some_and(|it| pins(&it.0, &item.place, &item.value));
                        !kept
                    })
                    .map(|item| column(&item.place))
                    .collect(),
            ),
            Some(Data::UnsetExpression(places)) => named(places.iter().map(column).collect()),
            Some(Data::ValuesExpression(rows)) => named(
                rows.iter()
                    .flatten()
                    .map(|(place, _)| column(place))
                    .collect(),
            ),
            Some(
                Data::MergeExpression(it)
                | Data::ContentExpression(it)
                | Data::SingleExpression(it),
            ) => match it {
                Expr::Param(name) => Self::Of(name.as_str().to_owned()),
                other => named(names(other)),
            },
            Some(Data::PatchExpression(_) | Data::ReplaceExpression(_)) => Self::Any,
        }
    }

    /// Their names with these parameters; none if they are not known.
    fn resolve(&self, parameters: &Object) -> Option<BTreeSet<String>> {
        let keys = |value: &Value| {
            let object = value.as_object()?;
            Some(object.keys().map(str::to_owned).collect::<Vec<_>>())
        };
        match self {
            Self::Named(names) => Some(names.clone()),
            Self::Of(parameter) => match parameters.get(parameter)? {
                Value::Array(items) => {
                    let names: Option<Vec<_>> = items.iter().map(keys).collect();
                    Some(names?.into_iter().flatten().collect())
                }
                one => Some(keys(one)?.into_iter().collect()),
            },
            Self::Any => None,
        }
    }
}

/// Is it a whole table, for whose new rows the database assigns the ids?
fn is_table(target: &Expr) -> bool {
    match target {
        Expr::Table(_) => true,
        Expr::FunctionCall(call) => {
            matches!(&call.receiver, Function::Normal(name) if name == "type::table")
        }
        _ => false,
    }
}

/// The names in an object literal, or in a list of them.
fn names(expression: &Expr) -> Option<BTreeSet<String>> {
    match expression {
        Expr::Literal(Literal::Object(entries)) => Some(
            entries
                .iter()
                .map(|entry| entry.key.as_str().to_owned())
                .collect(),
        ),
        Expr::Literal(Literal::Array(items)) => {
            let names: Option<Vec<_>> = items.iter().map(names).collect();
            Some(names?.into_iter().flatten().collect())
        }
        _ => None,
    }
}

/// The column that an idiom begins with.
fn column(place: &Idiom) -> Option<String> {
    match place.0.first()? {
        Part::Field(name) => Some(name.as_str().to_owned()),
        _ => None,
    }
}

/// Does the condition hold only where `place` is `value` already?
fn pins(condition: &Expr, place: &Idiom, value: &Expr) -> bool {
    match condition {
        Expr::Binary {
            left,
            op: BinaryOperator::And,
            right,
        } => pins(left, place, value) || pins(right, place, value),
        Expr::Binary {
            left,
            op: BinaryOperator::Equal | BinaryOperator::ExactEqual,
            right,
        } => {
            let fixed = matches!(&**right, Expr::Param(_))
                || matches!(
                    &**right,
                    Expr::Literal(Literal::String(_) | Literal::Integer(_))
                );
            fixed && matches!(&**left, Expr::Idiom(it) if it == place) && **right == *value
        }
        _ => false,
    }
}
