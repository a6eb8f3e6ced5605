//! [`PlainSelect`]: the SELECT that can be merged like any list.
//!
//! One table; a projection, a condition and an order that depend on nothing but
//! the row and the parameters; no group, split, fetch or graph. It is sent to
//! every side with one more column, [`META_COLUMN`], which tells which row it is and,
//! where the result does not, by what it is ordered. START and LIMIT hold for
//! the merged rows, so a side is asked for the rows up to their end.

use super::deletion::rendered;
use crate::dedup::identity_columns;
use plugin_api::value::{Object, Value};
use std::collections::BTreeSet;
use surreal_storage::schema;
use surrealdb_sql::{
    BinaryOperator, Expr, Field, Fields, Function, Idiom, Limit, Literal, Param, Part,
    PostfixOperator, RecordIdKeyLit, With, field::Selector, literal::ObjectEntry,
    method::is_builtin_method, order::Ordering, statements::SelectStatement,
};

/// The column that is added, and the parameter that holds the limit.
pub const META_COLUMN: &str = "__db_sync";

/// Where a result's rows have one value and no columns: the column it is in.
pub const VALUE: &str = "__db_sync_value";

/// First words of the functions whose result depends on their arguments alone.
const PLAIN_FUNCTIONS: &[&str] = &[
    "array", "bytes", "crypto", "duration", "encoding", "geo", "math", "not", "object", "parse",
    "set", "string", "time", "type", "vector",
];

/// Those among them whose result does not.
const OTHER_FUNCTIONS: &[&str] = &[
    "array::shuffle",
    "type::field",
    "type::fields",
    "vector::distance::knn",
];

/// What the rows of a result are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Objects.
    Objects,
    /// The values of one expression: `SELECT VALUE`.
    Values,
}

/// A number that a statement has as text or as a parameter.
#[derive(Debug)]
enum NumberOrParam {
    Fixed(u32),
    Of(String),
}

impl NumberOrParam {
    fn of(expression: &Expr) -> Option<Self> {
        match expression {
            Expr::Literal(Literal::Integer(number)) => u32::try_from(*number).ok().map(Self::Fixed),
            Expr::Param(name) => Some(Self::Of(name.as_str().to_owned())),
            _ => None,
        }
    }

    fn resolve(&self, parameters: &Object) -> Option<u32> {
        match self {
            Self::Fixed(number) => Some(*number),
            Self::Of(name) => u32::try_from(parameters.get(name)?.as_int()?).ok(),
        }
    }
}

/// Which rows of the merged list are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How many come before them.
    pub start: usize,
    /// How many there are up to their end; none if all that there are.
    pub end: Option<u32>,
}

/// What one place of the order goes by.
#[derive(Debug)]
struct SortKey {
    /// The column of the result, where it is one; else it is in the mark.
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
    /// The statement for one side.
    pub text: String,
    order: Vec<SortKey>,
    limit: Option<NumberOrParam>,
    start: Option<NumberOrParam>,
    /// Those that it reads beside these two.
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
        let mut reading = Reading::default();
        let reads_the_row = select
            .cond
            .as_ref()
            .is_none_or(|it| reading.is_plain(&it.0))
            && reading.all(&select.omit)
            && reading.is_plain(&select.timeout);
        if !is_ours || !alone || !reads_the_row {
            return None;
        }

        let (form, mut fields) = fields(&select.fields, table, &mut reading)?;
        let (order, in_mark) = order(select, form)?;
        fields.push(Field::Single(Selector {
            expr: mark(table, in_mark),
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
            parameters: reading.parameters,
        })
    }

    /// Which of the merged rows are wanted with these parameters; none where
    /// the primary alone can say: where they are no numbers, or where one that
    /// is not bound may be defined in a database, and in each otherwise.
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

    /// What a row of the result is ordered by, each with whether it ascends.
    pub fn order_of<'a>(
        &'a self,
        row: &'a Object,
        in_mark: &'a [Value],
    ) -> impl Iterator<Item = (&'a Value, bool)> {
        let mut in_mark = in_mark.iter();
        self.order.iter().map(move |by| {
            let value = match &by.column {
                Some(column) => row.get(column),
                None => in_mark.next(),
            };
            (value.unwrap_or(&Value::None), by.ascending)
        })
    }
}

/// The projection; none if it cannot be merged, or hides which row it is.
fn fields(fields: &Fields, table: &str, reading: &mut Reading) -> Option<(Form, Vec<Field>)> {
    let reserved = |name: &str| {
        name.starts_with(META_COLUMN) || name == "id" || identity_columns(table).contains(&name)
    };
    match fields {
        Fields::Value(selector) => {
            let plain = selector.alias.is_none() && reading.is_plain(&selector.expr);
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
                    reading.is_plain(expr)
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

/// The order, and the expressions of it that have to stand in the mark.
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
    let (mut order, mut in_mark) = (Vec::new(), Vec::new());
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
        // As the database does: an alias is meant before a column.
        let expression = aliased(&one.value);
        let column = name_of(&one.value)
            .filter(|_| expression.is_some() && select.omit.is_empty() && form == Form::Objects)
            .map(str::to_owned);
        if column.is_none() {
            let own = || Expr::Idiom(one.value.clone());
            in_mark.push(expression.cloned().unwrap_or_else(own));
        }
        order.push(SortKey {
            column,
            ascending: one.direction,
        });
    }
    Some((order, in_mark))
}

/// `{ row: { id: id, … }, by: […] }`
fn mark(table: &str, in_mark: Vec<Expr>) -> Expr {
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
        entry("by", Expr::Literal(Literal::Array(in_mark))),
    ]))
}

fn name_of(idiom: &Idiom) -> Option<&str> {
    match idiom.0.as_slice() {
        [Part::Field(name)] => Some(name.as_str()),
        _ => None,
    }
}

/// The walk over what a statement reads.
#[derive(Default)]
struct Reading {
    /// The parameters that it reads.
    parameters: BTreeSet<String>,
    /// The names that the closures around give.
    given: Vec<String>,
}

impl Reading {
    /// Does the expression depend on the row and the parameters alone?
    fn is_plain(&mut self, expression: &Expr) -> bool {
        match expression {
            Expr::Literal(literal) => match literal {
                Literal::Array(items) | Literal::Set(items) => self.all(items),
                Literal::Object(entries) => entries.iter().all(|entry| self.is_plain(&entry.value)),
                Literal::RecordId(id) => matches!(
                    id.key,
                    RecordIdKeyLit::Number(_) | RecordIdKeyLit::String(_) | RecordIdKeyLit::Uuid(_)
                ),
                _ => true,
            },
            Expr::Param(name) => {
                let name = name.as_str();
                if name != "this" && !self.given.iter().any(|given| given == name) {
                    self.parameters.insert(name.to_owned());
                }
                name != "parent"
            }
            Expr::Constant(_) => true,
            Expr::Idiom(idiom) => idiom.0.iter().all(|part| self.is_plain_part(part)),
            Expr::Prefix { expr, .. } => self.is_plain(expr),
            Expr::Binary { left, op, right } => {
                // An index answers these, and each database has its own.
                let indexed = matches!(
                    op,
                    BinaryOperator::Matches(_) | BinaryOperator::NearestNeighbor(_)
                );
                !indexed && self.is_plain(left) && self.is_plain(right)
            }
            Expr::Postfix { expr, op } => {
                self.is_plain(expr)
                    && match op {
                        PostfixOperator::Range | PostfixOperator::RangeSkip => true,
                        PostfixOperator::MethodCall(name, arguments) => {
                            is_plain_method(name) && self.all(arguments)
                        }
                        PostfixOperator::Call(_) => false,
                    }
            }
            Expr::FunctionCall(call) => {
                matches!(&call.receiver, Function::Normal(name) if is_plain_function(name))
                    && self.all(&call.arguments)
            }
            Expr::Closure(closure) => {
                let outside = self.given.len();
                let arguments = closure.args.iter();
                self.given
                    .extend(arguments.map(|(name, _)| name.as_str().to_owned()));
                let plain = self.is_plain(&closure.body);
                self.given.truncate(outside);
                plain
            }
            _ => false,
        }
    }

    fn all(&mut self, expressions: &[Expr]) -> bool {
        expressions.iter().all(|it| self.is_plain(it))
    }

    fn is_plain_part(&mut self, part: &Part) -> bool {
        match part {
            Part::All
            | Part::Flatten
            | Part::Last
            | Part::First
            | Part::Field(_)
            | Part::Optional => true,
            Part::Where(it) | Part::Value(it) | Part::Start(it) => self.is_plain(it),
            Part::Method(name, arguments) => is_plain_method(name.as_str()) && self.all(arguments),
            Part::Graph(_)
            | Part::Destructure(_)
            | Part::Recurse(..)
            | Part::Doc
            | Part::RepeatRecurse => false,
        }
    }
}

fn is_plain_function(name: &str) -> bool {
    let first = name.split("::").next().unwrap_or_default();
    PLAIN_FUNCTIONS.contains(&first) && !OTHER_FUNCTIONS.contains(&name)
}

/// Some methods look elsewhere: at other records, files, or chance.
fn is_plain_method(name: &str) -> bool {
    const OTHERS: &[&str] = &[
        "bucket",
        "copy",
        "copy_if_not_exists",
        "delete",
        "exists",
        "get",
        "head",
        "list",
        "put",
        "put_if_not_exists",
        "refs",
        "rename",
        "rename_if_not_exists",
        "shuffle",
        "vector_distance_knn",
    ];
    is_builtin_method(name) && !OTHERS.contains(&name)
}
