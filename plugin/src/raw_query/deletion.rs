//! [`Deletion`]: statements that delete rows which can be read beforehand.

use super::Target;
use surreal_storage::schema::LARGE_COLUMNS;
use surrealdb::types::ToSql as _;
use surrealdb_sql::{
    Expr, Fields, Idiom, Limit, Literal, ast::TopLevelExpr, statements::SelectStatement,
};

/// A single DELETE.
#[derive(Debug)]
pub struct Deletion {
    /// What it deletes from.
    pub target: Target,
    /// A query for the rows that it would delete, at most
    /// [`Deletion::MAX_ROWS`] and one; none if that is the whole table.
    pub rows: Option<String>,
}

impl Deletion {
    /// The most rows of one DELETE that get a tombstone each.
    pub const MAX_ROWS: usize = 10_000;

    pub(super) fn of(statement: &Expr) -> Option<Self> {
        let Expr::Delete(delete) = statement else {
            return None;
        };
        let [what] = delete.what.as_slice() else {
            return None;
        };
        let target = match Target::of(what).as_slice() {
            [Target::Unknown] => return None,
            [target] => target.clone(),
            _ => return None,
        };
        if delete.explain.is_some() {
            return None;
        }
        if delete.cond.is_none() && matches!(what, Expr::Table(_)) {
            return Some(Self { target, rows: None });
        }
        let none = || Expr::Literal(Literal::None);
        let limit = i64::try_from(Self::MAX_ROWS).unwrap_or(i64::MAX);
        let select = Expr::Select(Box::new(SelectStatement {
            fields: Fields::all(),
            omit: LARGE_COLUMNS
                .iter()
                .map(|name| Expr::Idiom(Idiom::field(*name)))
                .collect(),
            only: false,
            what: delete.what.clone(),
            with: None,
            cond: delete.cond.clone(),
            split: None,
            group: None,
            order: None,
            limit: Some(Limit(Expr::Literal(Literal::Integer(
                limit.saturating_add(1),
            )))),
            start: None,
            fetch: None,
            version: none(),
            timeout: none(),
            explain: None,
            tempfiles: false,
            for_update: false,
        }));
        Some(Self {
            target,
            rows: Some(rendered(select)?),
        })
    }
}

/// The text of a statement that was built here; none unless it parses as the
/// same statement and is read-only.
pub(super) fn rendered(statement: Expr) -> Option<String> {
    let text = statement.to_sql();
    let statement = TopLevelExpr::Expr(statement);
    let same = statement.read_only() && super::parse(&text)?.as_slice() == [statement];
    same.then_some(text)
}
