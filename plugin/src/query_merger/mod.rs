//! The read path: what one database holding the union would have returned.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`read_specs`] | every read method as data: order, limit, what merging means |
//! | `memory`, `code` | the methods, each a line or a few |
//! | `raw` | a plain SELECT of the host's own |
//! | `merge` | the one way in which lists and searches are merged |
//! | `row`, `order` | which row is which, and which comes first |
//! | `existence` | does a side have these rows? |
//! | `graph` | the walk over the union of the graphs |
//! | `counts` | each record once |
//! | `side`, `breaker`, `fan_out` | whom to ask, who answers how, asking all at once |
//!
//! `docs/merged-reads.md` tells the same for the person who runs it.

mod backend;
mod circuit_breaker;
mod code;
mod counts;
mod existence;
mod fan_out;
mod graph;
mod memory;
mod merge;
mod order;
mod raw;
pub mod read_specs;
mod row;

pub use backend::{Backend, Secondary};

use crate::{dedup::Key, tombstones::Tombstones};
use abi_stable::std_types::RVec;
use circuit_breaker::CircuitBreaker;
use fan_out::{FanOut, Question, Rank};
use merge::{Lookups, Order, Page, RowLookup};
use plugin_api::{
    error::StorageResult,
    storage::{CallContext, FullStorage},
};
use row::{Identity, MergeableRow};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// How reads are merged.
#[derive(Clone, Debug)]
pub struct ReadSettings {
    /// False: every read is the primary's alone.
    pub merge: bool,
    /// How long a secondary is waited for.
    pub query_timeout: Duration,
}

/// Answers the read methods from the primary and the secondaries.
///
/// Each read method of the contract is an inherent method of the same name and
/// signature. They block, and may be called from any thread. The primary is
/// asked on the caller's thread, the secondaries at the same time on `runtime`.
/// The primary must answer: its error is the method's. A secondary that fails
/// or is late is left out.
pub struct QueryMerger {
    primary: FullStorage,
    /// In the order of precedence.
    breakers: Vec<Arc<CircuitBreaker>>,
    /// None if deleted rows are shown.
    tombstones: Option<Arc<Tombstones>>,
    settings: ReadSettings,
    runtime: Handle,
}

impl QueryMerger {
    /// Merges reads from `primary` with those from `secondaries`, leaving out
    /// what `tombstones` hide (none: deleted rows are shown as far as a
    /// secondary has them).
    pub fn new(
        primary: FullStorage,
        secondaries: impl IntoIterator<Item = Arc<dyn Secondary>>,
        tombstones: Option<Arc<Tombstones>>,
        settings: ReadSettings,
        runtime: Handle,
    ) -> Self {
        let mut breakers: Vec<_> = secondaries
            .into_iter()
            .filter(|_| settings.merge)
            .map(|secondary| Arc::new(CircuitBreaker::new(secondary, settings.query_timeout)))
            .collect();
        breakers.sort_by_key(|breaker| breaker.priority());
        Self {
            primary,
            breakers,
            tombstones,
            settings,
            runtime,
        }
    }

    fn primary(&self) -> &dyn Backend {
        &self.primary
    }

    /// A list or a search: asks all sides at once and merges.
    fn list<T: MergeableRow>(
        &self,
        context: &CallContext,
        order: Order<T>,
        limit: Option<u32>,
        ask: impl Ask<T>,
    ) -> StorageResult<RVec<T>> {
        self.list_on(&mut FanOut::new(self, context), order, limit, ask)
    }

    /// The same with a fan_out that takes part in more than this.
    fn list_on<T: MergeableRow>(
        &self,
        fan_out: &mut FanOut<'_>,
        order: Order<T>,
        limit: Option<u32>,
        ask: impl Ask<T>,
    ) -> StorageResult<RVec<T>> {
        let first = limit.unwrap_or(0);
        let question = ask.clone();
        let pending = fan_out.begin_all(move |backend, context| question(backend, context, first));
        let primary = ask(self.primary(), &fan_out.context(), first)?;
        let answers = fan_out.collect(pending);
        if answers.is_empty() {
            return Ok(primary);
        }
        Ok(merge_answers(fan_out, primary.into(), answers, order, limit, ask)?.into())
    }

    /// What the secondaries add to a primary that has found nothing.
    fn beyond_primary<T: MergeableRow>(
        &self,
        fan_out: &mut FanOut<'_>,
        order: Order<T>,
        limit: Option<u32>,
        ask: impl Ask<T>,
    ) -> StorageResult<Vec<T>> {
        let first = limit.unwrap_or(0);
        let question = ask.clone();
        let answers = fan_out.ask_all(move |backend, context| question(backend, context, first));
        merge_answers(fan_out, Vec::new(), answers, order, limit, ask)
    }

    /// A point read: the primary's row, or else, in the order of precedence,
    /// the first of the secondaries' that shows.
    fn point<T: MergeableRow>(
        &self,
        context: &CallContext,
        ask: impl Fn(&dyn Backend, &CallContext) -> StorageResult<Option<T>> + Clone + Send + 'static,
    ) -> StorageResult<Option<T>> {
        let started = Instant::now();
        if let Some(found) = ask(self.primary(), context)? {
            return Ok(Some(found));
        }
        let as_it_comes: Order<T> = |_, _| Ordering::Equal;
        let mut fan_out = FanOut::new(self, context).since(started);
        let found = self.beyond_primary(
            &mut fan_out,
            as_it_comes,
            None,
            move |backend, context, _| Ok(ask(backend, context)?.into_iter().collect()),
        )?;
        Ok(found.into_iter().next())
    }
}

/// How a list is asked of a backend: with the limit, which a list without one
/// ignores.
trait Ask<T>:
    Fn(&dyn Backend, &CallContext, u32) -> StorageResult<RVec<T>> + Clone + Send + 'static
{
}

impl<T, F> Ask<T> for F where
    F: Fn(&dyn Backend, &CallContext, u32) -> StorageResult<RVec<T>> + Clone + Send + 'static
{
}

fn merge_answers<T: MergeableRow>(
    fan_out: &mut FanOut<'_>,
    primary: Vec<T>,
    answers: BTreeMap<Rank, RVec<T>>,
    order: Order<T>,
    limit: Option<u32>,
    ask: impl Ask<T>,
) -> StorageResult<Vec<T>> {
    let page = |rows: RVec<T>, asked| Page {
        rows: rows.into(),
        asked,
    };
    let pages = answers
        .into_iter()
        .map(|(rank, rows)| (rank, page(rows, limit)))
        .collect();
    merge::merge(fan_out, primary, pages, order, limit, |fan_out, limits| {
        let asked: BTreeMap<Rank, u32> = limits.iter().copied().collect();
        let pending = fan_out.begin(limits.into_iter().map(|(rank, limit)| {
            let ask = ask.clone();
            let question: Question<RVec<T>> =
                Box::new(move |backend, context| ask(backend, context, limit));
            (rank, question)
        }));
        let answers = fan_out.collect(pending).into_iter();
        answers
            .map(|(rank, rows)| (rank, page(rows, asked.get(&rank).copied())))
            .collect()
    })
}

impl RowLookup for FanOut<'_> {
    fn in_primary(&mut self, rows: &[Identity]) -> StorageResult<HashSet<Key>> {
        existence::present(self.merger().primary(), &self.context(), rows)
    }

    fn in_secondaries(&mut self, rows: Lookups) -> BTreeMap<Rank, HashSet<Key>> {
        let pending = self.begin(rows.into_iter().map(|(rank, rows)| {
            let question: Question<HashSet<Key>> =
                Box::new(move |backend, context| existence::present(backend, context, &rows));
            (rank, question)
        }));
        self.collect(pending)
    }

    fn deletes(&self) -> u64 {
        let tombstones = self.merger().tombstones.as_ref();
        tombstones.map_or(0, |tombstones| tombstones.marks())
    }

    fn hides(&self, row: &impl MergeableRow, identity: &Identity) -> bool {
        self.merger().tombstones.as_ref().is_some_and(|tombstones| {
            !tombstones.is_empty() && tombstones.hides(row.table(), &identity.key, &row.columns())
        })
    }
}

#[cfg(test)]
mod tests;
