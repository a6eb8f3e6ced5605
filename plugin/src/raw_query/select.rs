//! [`PlainSelect`]: the SELECT that can be merged like any list.
//!
//! One table; a projection, a condition and an order that depend on nothing but
//! the row and the parameters; no group, split, fetch or graph. It is sent to
//! every database with one more column, [`META_COLUMN`], which has the columns
//! that identify the row and those values of the order that the result does not
//! show. START and LIMIT hold for the merged rows, so each database is asked for
//! the rows up to their end.

use super::{deletion::rendered, plain_expressions::PlainExpressions};
use crate::dedup::identity_columns;
use plugin_api::value::{Object, Value};
use std::collections::BTreeSet;
use surreal_storage::schema;
use surrealdb_sql::{
    Expr, Field, Fields, Idiom, Limit, Literal, Param, Part, With, field::Selector,
    literal::ObjectEntry, order::Ordering, statements::SelectStatement,
};

/// The column that is added, and the parameter that holds the limit.
pub const META_COLUMN: &str = "__db_sync";

/// Where a result's rows have one value and no columns: the column it is in.
pub const VALUE: &str = "__db_sync_value";

/// What the rows of a result are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Objects.
    Objects,
    /// The values of one expression: `SELECT VALUE`.
    Values,
}

/// A number in a statement: a literal, or the name of a parameter.
#[derive(Debug)]
enum NumberOrParam {
    Number(u32),
    Param(String),
}

impl NumberOrParam {
    fn of(expression: &Expr) -> Option<Self> {
        match expression {
            Expr::Literal(Literal::Integer(number)) => {
                u32::try_from(*number).ok().map(Self::Number)
            }
            Expr::Param(name) => Some(Self::Param(name.as_str().to_owned())),
            _ => None,
        }
    }

    fn resolve(&self, parameters: &Object) -> Option<u32> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Param(name) => u32::try_from(parameters.get(name)?.as_int()?).ok(),
        }
    }
}

/// Which rows of the merged list are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many come before them.
    pub start: usize,
    /// How many rows there are up to their end; none for all.
    pub end: Option<u32>,
}

/// One key of the order.
#[derive(Debug)]
struct SortKey {
    /// The column of the result, if it is one; otherwise it is in the meta column.
    column: Option<String>,
    ascending: bool,
}

/// A SELECT that can be merged.
#[derive(Debug)]
pub struct PlainSelect {
    /// The table.
    pub table: String,
    /// What the rows of its result are.
    pub form: Form,
    /// The statement for one database.
    pub text: String,
    order: Vec<SortKey>,
    limit: Option<NumberOrParam>,
    start: Option<NumberOrParam>,
    /// The parameters that it reads beside these two.
    parameters: BTreeSet<String>,
}

impl PlainSelect {
    /// The statement as one that can be merged; none if it cannot be.
    pub(super) fn of(select: &SelectStatement) -> Option<Self> {
        let [Expr::Table(table)] = select.what.as_slice() else {
            return None;
        };
        let table = table.as_str();
        let is_ours = schema::table(table).is_some()
            || schema::relationships::relationship_type(table).is_ok();
        let none = |expression: &Expr| matches!(expression, Expr::Literal(Literal::None));
        let alone = !select.only
            && select.split.is_none()
            && select.group.is_none()
            && select.fetch.is_none()
            && select.explain.is_none()
            && !select.for_update
            && none(&select.version)
            && !matches!(select.with, Some(With::Index(_)));
        let mut expressions = PlainExpressions::default();
        let reads_the_row = select
            .cond
            .as_ref()
            .is_none_or(|it| expressions.is_plain(&it.0))
            && expressions.all(&select.omit)
            && expressions.is_plain(&select.timeout);
        if !is_ours || !alone || !reads_the_row {
            return None;
        }

        let (form, mut fields) = fields(&select.fields, table, &mut expressions)?;
        let (order, in_meta) = order(select, form)?;
        fields.push(Field::Single(Selector {
            expr: meta_column(table, in_meta),
            alias: Some(Idiom::field(META_COLUMN)),
        }));
        let amount = |expression: Option<&Expr>| match expression {
            Some(expression) => NumberOrParam::of(expression).map(Some),
            None => Some(None),
        };
        let limit = amount(select.limit.as_ref().map(|it| &it.0))?;
        let start = amount(select.start.as_ref().map(|it| &it.0))?;
        let text = rendered(Expr::Select(Box::new(SelectStatement {
            fields: Fields::Select(fields),
            limit: limit
                .is_some()
                .then(|| Limit(Expr::Param(Param::new(META_COLUMN)))),
            start: None,
            ..select.clone()
        })))?;
        Some(Self {
            table: table.to_owned(),
            form,
            text,
            order,
            limit,
            start,
            parameters: expressions.parameters,
        })
    }

    /// Which of the merged rows are wanted with these parameters; none where the
    /// query is left to the primary: START or LIMIT is not a number, or a
    /// parameter is not bound and may be defined in each database differently.
    pub fn window(&self, parameters: &Object) -> Option<Window> {
        if !self
            .parameters
            .iter()
            .all(|it| parameters.get(it).is_some())
        {
            return None;
        }
        let start = match &self.start {
            Some(start) => start.resolve(parameters)?,
            None => 0,
        };
        let end = match &self.limit {
            Some(limit) => Some(limit.resolve(parameters)?.checked_add(start)?),
            None => None,
        };
        Some(Window {
            start: usize::try_from(start).ok()?,
            end,
        })
    }

    /// The values that a row of the result is sorted by, each with whether the
    /// order is ascending.
    pub fn order_of<'a>(
        &'a self,
        row: &'a Object,
        in_meta: &'a [Value],
    ) -> impl Iterator<Item = (&'a Value, bool)> {
        let mut in_meta = in_meta.iter();
        self.order.iter().map(move |by| {
            let value = match &by.column {
                Some(column) => row.get(column),
                None => in_meta.next(),
            };
            (value.unwrap_or(&Value::None), by.ascending)
        })
    }
}

/// The projection; none if it cannot be merged, or redefines a column that
/// identifies the row.
fn fields(
    fields: &Fields,
    table: &str,
    expressions: &mut PlainExpressions,
) -> Option<(Form, Vec<Field>)> {
    let reserved = |name: &str| {
        name.starts_with(META_COLUMN) || name == "id" || identity_columns(table).contains(&name)
    };
    match fields {
        Fields::Value(selector) => {
            let plain = selector.alias.is_none() && expressions.is_plain(&selector.expr);
            let field = Field::Single(Selector {
                expr: selector.expr.clone(),
                alias: Some(Idiom::field(VALUE)),
            });
            plain.then(|| (Form::Values, vec![field]))
        }
        Fields::Select(list) => {
            let good = list.iter().all(|field| match field {
                Field::All => true,
                Field::Single(Selector { expr, alias }) => {
                    expressions.is_plain(expr)
                        && alias.as_ref().is_none_or(|alias| {
                            name_of(alias).is_some_and(|name| {
                                !reserved(name) || *expr == Expr::Idiom(Idiom::field(name))
                            })
                        })
                }
            });
            good.then(|| (Form::Objects, list.clone()))
        }
    }
}

/// The order, and those of its expressions that go into the meta column.
fn order(select: &SelectStatement, form: Form) -> Option<(Vec<SortKey>, Vec<Expr>)> {
    let list = match &select.order {
        None => return Some(Default::default()),
        Some(Ordering::Random) => return None,
        Some(Ordering::Order(list)) => list,
    };
    let aliased = |place: &Idiom| {
        let Fields::Select(fields) = &select.fields else {
            return None;
        };
        fields.iter().find_map(|field| match field {
            Field::Single(Selector {
                expr,
                alias: Some(alias),
            }) if alias == place => Some(expr),
            _ => None,
        })
    };
    let (mut order, mut in_meta) = (Vec::new(), Vec::new());
    for one in &list.0 {
        if one.collate || one.numeric {
            return None;
        }
        if !one
            .value
            .0
            .iter()
            .all(|part| matches!(part, Part::Field(_)))
        {
            return None;
        }
        // As in the database, an alias takes precedence over a column.
        let expression = aliased(&one.value);
        let column = name_of(&one.value)
            .filter(|_| expression.is_some() && select.omit.is_empty() && form == Form::Objects)
            .map(str::to_owned);
        if column.is_none() {
            let own = || Expr::Idiom(one.value.clone());
            in_meta.push(expression.cloned().unwrap_or_else(own));
        }
        order.push(SortKey {
            column,
            ascending: one.direction,
        });
    }
    Some((order, in_meta))
}

/// `{ row: { id: id, … }, by: […] }`
fn meta_column(table: &str, in_meta: Vec<Expr>) -> Expr {
    let entry = |key: &str, value: Expr| ObjectEntry {
        key: key.into(),
        value,
    };
    let columns = ["id"].iter().chain(identity_columns(table));
    let row = columns
        .map(|name| entry(name, Expr::Idiom(Idiom::field(*name))))
        .collect();
    Expr::Literal(Literal::Object(vec![
        entry("row", Expr::Literal(Literal::Object(row))),
        entry("by", Expr::Literal(Literal::Array(in_meta))),
    ]))
}

fn name_of(idiom: &Idiom) -> Option<&str> {
    match idiom.0.as_slice() {
        [Part::Field(name)] => Some(name.as_str()),
        _ => None,
    }
}
