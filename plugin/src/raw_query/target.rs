//! [`Target`]: a table, as a text names it and as parameters complete it.

use plugin_api::value::{Object, Value};
use std::collections::BTreeSet;
use surreal_storage::schema::identifier;
use surrealdb_sql::{Expr, Function, Literal, Mock};

/// Parameters that the database binds itself while a statement runs.
const BOUND_BY_STATEMENT: &[&str] = &[
    "access", "after", "auth", "before", "event", "input", "parent", "request", "session", "this",
    "token", "value",
];

/// The target of a statement.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A table, or records of it.
    Table(String),
    /// The records, or the table, that this parameter holds.
    Records(String),
    /// The table whose name this parameter holds.
    Named(String),
    /// The record that this parameter holds, as an id or as the text of one.
    Identified(String),
    /// Not known: any table.
    Unknown,
}

impl Target {
    /// What an expression stands for where a statement names its target.
    pub(super) fn of(expression: &Expr) -> Vec<Self> {
        let one = match expression {
            Expr::Table(name) => Self::Table(name.as_str().to_owned()),
            Expr::Literal(Literal::RecordId(id)) => Self::Table(id.table.as_str().to_owned()),
            Expr::Mock(Mock::Count(name, _) | Mock::Range(name, _)) => {
                Self::Table(name.as_str().to_owned())
            }
            Expr::Param(name) if !is_bound_by_statement(name.as_str()) => {
                Self::Records(name.as_str().to_owned())
            }
            Expr::Literal(Literal::Array(items)) => {
                return items.iter().flat_map(Self::of).collect();
            }
            Expr::FunctionCall(call) => match (&call.receiver, call.arguments.as_slice()) {
                (Function::Normal(name), [id]) if takes_an_id(name) => Self::of_id(id),
                (Function::Normal(name), [table, ..]) if names_a_table(name, &call.arguments) => {
                    match table {
                        Expr::Literal(Literal::String(name)) => {
                            Self::Table(name.as_str().to_owned())
                        }
                        Expr::Table(name) => Self::Table(name.as_str().to_owned()),
                        Expr::Param(name) if !is_bound_by_statement(name.as_str()) => {
                            Self::Named(name.as_str().to_owned())
                        }
                        _ => Self::Unknown,
                    }
                }
                _ => Self::Unknown,
            },
            _ => Self::Unknown,
        };
        vec![one]
    }

    /// What the one argument of `type::record(id)` stands for.
    fn of_id(id: &Expr) -> Self {
        match id {
            Expr::Literal(Literal::String(text)) => {
                table_of_id(text).map_or(Self::Unknown, Self::Table)
            }
            Expr::Literal(Literal::RecordId(id)) => Self::Table(id.table.as_str().to_owned()),
            Expr::Param(name) if !is_bound_by_statement(name.as_str()) => {
                Self::Identified(name.as_str().to_owned())
            }
            _ => Self::Unknown,
        }
    }

    /// The tables that it is with these parameters; none if any.
    pub fn tables(&self, parameters: &Object) -> Option<BTreeSet<String>> {
        match self {
            Self::Table(name) => Some([name.clone()].into()),
            Self::Named(parameter) => named(parameters.get(parameter)?.as_str()?),
            Self::Identified(parameter) => match parameters.get(parameter)? {
                Value::RecordId(id) => Some([id.table.to_string()].into()),
                Value::String(text) => Some([table_of_id(text)?].into()),
                _ => None,
            },
            Self::Records(parameter) => match parameters.get(parameter)? {
                Value::RecordId(id) => Some([id.table.to_string()].into()),
                Value::Array(items) => items
                    .iter()
                    .map(|item| item.as_record_id().map(|id| id.table.to_string()))
                    .collect(),
                Value::String(name) => named(name),
                Value::Extension(it) if it.kind == "table" => named(&it.text),
                _ => None,
            },
            Self::Unknown => None,
        }
    }
}

/// A table's name; none if the text is something else.
fn named(name: &str) -> Option<BTreeSet<String>> {
    let name = identifier("a table", name).ok()?;
    Some([name.to_owned()].into())
}

/// The table of the record id in a text, parsed as the database parses it.
fn table_of_id(text: &str) -> Option<String> {
    let id = surrealdb_syn::record_id(text).ok()?;
    Some(id.table.as_str().to_owned())
}

/// `type::record(id)`.
fn takes_an_id(function: &str) -> bool {
    matches!(function, "type::record" | "type::thing")
}

/// `type::table(name)` and `type::record(name, key)`.
fn names_a_table(function: &str, arguments: &[Expr]) -> bool {
    match function {
        "type::table" => arguments.len() == 1,
        "type::record" | "type::thing" => arguments.len() == 2,
        _ => false,
    }
}

fn is_bound_by_statement(parameter: &str) -> bool {
    BOUND_BY_STATEMENT.contains(&parameter)
}
