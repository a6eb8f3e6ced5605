//! Raw SurrealQL: what a text that the host sends to `query` does.
//!
//! The text is parsed by SurrealQL's own parser, of the same version as the
//! client. Whether it writes is decided by that crate, conservatively: what
//! might write counts as a write. The visitor here only adds *where*.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`effects`] | the visitor: which tables a statement writes |
//! | [`target`] | a table, as a text names it and as parameters complete it |
//! | [`returned_rows`] | statements whose answer shows which rows they wrote |
//! | [`deletion`] | statements that delete rows which can be read beforehand |
//! | [`select`] | the plain SELECT, which can be merged |
//! | [`plain_expressions`] | the expressions that may stand in one |
//!
//! Writing is done by [`SyncedStorage::query`](crate::synced_storage::SyncedStorage::query),
//! merging by [`QueryMerger::select`](crate::query_merger::QueryMerger::select).

mod deletion;
mod effects;
mod plain_expressions;
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

/// How deep a text may nest: the database's default limits. It rejects deeper
/// ones, unless it is configured to accept them; here they count as writes.
const OBJECT_DEPTH: usize = 100;
const QUERY_DEPTH: usize = 20;
const EXPRESSION_DEPTH: usize = 128;

/// How many classifications are cached.
const MAX_CACHED: usize = 64;

/// The longest text whose classification is cached, in bytes.
const MAX_CACHED_BYTES: usize = 16 << 10;

/// What a text does.
#[derive(Debug)]
pub enum Classification {
    /// It reads.
    Read,
    /// It is a single plain SELECT, where the classifier looks for those.
    Select(Arc<PlainSelect>),
    /// It may write.
    Write(Box<Effects>),
}

/// What `text` does; with `selects`, also whether it is a plain SELECT. Never
/// fails: a text that cannot be parsed is a write of unknown tables, since the
/// database may be able to parse it.
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

/// The statements of a text; none if it cannot be parsed.
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

/// Classifies texts and caches the latest results: hosts send the same few texts
/// with other parameters.
pub struct QueryClassifier {
    selects: bool,
    /// The most recently used last.
    cache: Mutex<VecDeque<(Arc<str>, Arc<Classification>)>>,
}

impl QueryClassifier {
    /// A classifier; with `selects`, it distinguishes plain SELECTs from other
    /// reads.
    pub fn new(selects: bool) -> Self {
        Self {
            selects,
            cache: Mutex::default(),
        }
    }

    /// What `text` does.
    pub fn classify(&self, text: &str) -> Arc<Classification> {
        if let Some(classification) = self.cached(text) {
            return classification;
        }
        let classification = Arc::new(classify(text, self.selects));
        if text.len() <= MAX_CACHED_BYTES {
            let mut cache = self.cache.lock();
            if cache.len() >= MAX_CACHED {
                cache.pop_front();
            }
            cache.push_back((text.into(), Arc::clone(&classification)));
        }
        classification
    }

    fn cached(&self, text: &str) -> Option<Arc<Classification>> {
        let mut cache = self.cache.lock();
        let at = cache.iter().rposition(|(cached, _)| &**cached == text)?;
        let entry = cache.remove(at)?;
        let classification = Arc::clone(&entry.1);
        cache.push_back(entry);
        Some(classification)
    }
}
