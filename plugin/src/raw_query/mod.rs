//! Raw SurrealQL: what a text that the host sends to `query` does.
//!
//! The text is read by SurrealQL's own parser, of the same version as the
//! client. Whether it writes is that crate's own judgement, which is one-sided:
//! what might write counts as a write. The walk here only adds *where*.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`effects`] | the walk over a statement: which tables it writes |
//! | [`target`] | a table, as a text names it and as parameters complete it |
//! | [`returned_rows`] | statements whose answer tells which rows they wrote |
//! | [`deletion`] | statements that delete rows which can be told beforehand |
//! | [`select`] | the plain SELECT, which can be merged |
//!
//! Writing is done by [`SyncedStorage::query`](crate::synced_storage::SyncedStorage::query),
//! merging by [`QueryMerger::select`](crate::query_merger::QueryMerger::select).

mod deletion;
mod effects;
mod returned_rows;
mod select;
mod target;
#[cfg(test)]
mod tests;

pub use deletion::Deletion;
pub use effects::Effects;
pub use returned_rows::ReturnedRows;
pub use select::{Form, META_COLUMN, PlainSelect, VALUE, Window};
pub use target::Target;

use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};
use surrealdb_sql::{Ast, Expr, ast::TopLevelExpr};

/// How deep a text may nest; the database's own limits. Deeper ones it refuses,
/// unless it was set up to take them: then they count as writes.
const OBJECT_DEPTH: usize = 100;
const QUERY_DEPTH: usize = 20;
const EXPRESSION_DEPTH: usize = 128;

/// How many verdicts are kept.
const KEPT: usize = 64;

/// The longest text whose classification is kept, in bytes.
const LONGEST_KEPT: usize = 16 << 10;

/// What a text does.
#[derive(Debug)]
pub enum Classification {
    /// It reads.
    Read,
    /// It is a single plain SELECT, where those are of interest.
    Select(Arc<PlainSelect>),
    /// It may write.
    Write(Box<Effects>),
}

/// Says what `text` does; with `selects`, whether it is a plain SELECT, too.
/// Never fails: a text that is no SurrealQL is a write of unknown tables, in
/// case the database knows better.
pub fn classify(text: &str, selects: bool) -> Classification {
    let Some(statements) = parse(text) else {
        return Classification::Write(Box::new(Effects::of_unknown_text()));
    };
    if statements.iter().all(TopLevelExpr::read_only) {
        return match statements.as_slice() {
            [TopLevelExpr::Expr(Expr::Select(select))] if selects => PlainSelect::of(select)
                .map_or(Classification::Read, |it| {
                    Classification::Select(Arc::new(it))
                }),
            _ => Classification::Read,
        };
    }
    let effects = Effects::of(&statements);
    if effects.is_none() {
        Classification::Read
    } else {
        Classification::Write(Box::new(effects))
    }
}

/// May `text` write?
pub fn writes(text: &str) -> bool {
    matches!(classify(text, false), Classification::Write(_))
}

/// The statements of a text; none if it is no SurrealQL.
fn parse(text: &str) -> Option<Vec<TopLevelExpr>> {
    let settings = surrealdb_syn::ParserSettings {
        object_recursion_limit: OBJECT_DEPTH,
        query_recursion_limit: QUERY_DEPTH,
        expr_recursion_limit: EXPRESSION_DEPTH,
        files_enabled: true,
        surrealism_enabled: true,
        ..Default::default()
    };
    let parsed: Result<Ast, _> =
        surrealdb_syn::parse_with_settings(text.as_bytes(), settings, async |parser, stack| {
            parser.parse_query(stack).await
        });
    parsed.ok().map(|ast| ast.expressions)
}

/// The verdicts on the texts that came last: hosts send the same few texts with
/// other parameters.
pub struct QueryClassifier {
    selects: bool,
    /// The latest last.
    kept: Mutex<VecDeque<(Arc<str>, Arc<Classification>)>>,
}

impl QueryClassifier {
    /// One that tells plain SELECTs from other reads if `selects` says so.
    pub fn new(selects: bool) -> Self {
        Self {
            selects,
            kept: Mutex::default(),
        }
    }

    /// What `text` does.
    pub fn classify(&self, text: &str) -> Arc<Classification> {
        if let Some(classification) = self.known(text) {
            return classification;
        }
        let classification = Arc::new(classify(text, self.selects));
        if text.len() <= LONGEST_KEPT {
            let mut kept = self.kept.lock();
            if kept.len() >= KEPT {
                kept.pop_front();
            }
            kept.push_back((text.into(), Arc::clone(&classification)));
        }
        classification
    }

    fn known(&self, text: &str) -> Option<Arc<Classification>> {
        let mut kept = self.kept.lock();
        let at = kept.iter().rposition(|(known, _)| &**known == text)?;
        let entry = kept.remove(at)?;
        let classification = Arc::clone(&entry.1);
        kept.push_back(entry);
        Some(classification)
    }
}
