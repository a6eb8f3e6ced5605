//! The read path: what one database holding the union would have returned.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`reads`] | every read method as data: order, limit, what merging means |
//! | `memory`, `code` | the methods, each a line or a few |
//! | `raw` | a plain SELECT of the host's own |
//! | `merge` | the one way in which lists and searches are merged |
//! | `row`, `order` | which row is which, and which comes first |
//! | `presence` | does a side have these rows? |
//! | `graph` | the walk over the union of the graphs |
//! | `counts` | each record once |
//! | `side`, `seat`, `panel` | whom to ask, who answers how, asking all at once |
//!
//! `docs/merged-reads.md` tells the same for the person who runs it.

mod code;
mod counts;
mod graph;
mod memory;
mod merge;
mod order;
mod panel;
mod presence;
mod raw;
pub mod reads;
mod row;
mod seat;
mod side;

pub use side::{Secondary, Side};

use crate::{dedup::Key, tombstones::Tombstones};
use abi_stable::std_types::RVec;
use merge::{Lookups, Order, Page, Source};
use panel::{Panel, Place, Question};
use plugin_api::{
    error::StorageResult,
    storage::{CallContext, FullStorage},
};
use row::{Identity, Row};
use seat::Seat;
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
    seats: Vec<Arc<Seat>>,
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
        let mut seats: Vec<_> = secondaries
            .into_iter()
            .filter(|_| settings.merge)
            .map(|secondary| Arc::new(Seat::new(secondary, settings.query_timeout)))
            .collect();
        seats.sort_by_key(|seat| seat.priority());
        Self {
            primary,
            seats,
            tombstones,
            settings,
            runtime,
        }
    }

    fn primary(&self) -> &dyn Side {
        &self.primary
    }

    /// A list or a search: asks all sides at once and merges.
    fn list<T: Row>(
        &self,
        context: &CallContext,
        order: Order<T>,
        limit: Option<u32>,
        ask: impl Ask<T>,
    ) -> StorageResult<RVec<T>> {
        self.list_on(&mut Panel::new(self, context), order, limit, ask)
    }

    /// The same with a panel that takes part in more than this.
    fn list_on<T: Row>(
        &self,
        panel: &mut Panel<'_>,
        order: Order<T>,
        limit: Option<u32>,
        ask: impl Ask<T>,
    ) -> StorageResult<RVec<T>> {
        let first = limit.unwrap_or(0);
        let question = ask.clone();
        let pending = panel.begin_all(move |side, context| question(side, context, first));
        let primary = ask(self.primary(), &panel.context(), first)?;
        let answers = panel.collect(pending);
        if answers.is_empty() {
            return Ok(primary);
        }
        Ok(merge_answers(panel, primary.into(), answers, order, limit, ask)?.into())
    }

    /// What the secondaries add to a primary that has found nothing.
    fn beyond_primary<T: Row>(
        &self,
        panel: &mut Panel<'_>,
        order: Order<T>,
        limit: Option<u32>,
        ask: impl Ask<T>,
    ) -> StorageResult<Vec<T>> {
        let first = limit.unwrap_or(0);
        let question = ask.clone();
        let answers = panel.ask_all(move |side, context| question(side, context, first));
        merge_answers(panel, Vec::new(), answers, order, limit, ask)
    }

    /// A point read: the primary's row, or else, in the order of precedence,
    /// the first of the secondaries' that shows.
    fn point<T: Row>(
        &self,
        context: &CallContext,
        ask: impl Fn(&dyn Side, &CallContext) -> StorageResult<Option<T>> + Clone + Send + 'static,
    ) -> StorageResult<Option<T>> {
        let started = Instant::now();
        if let Some(found) = ask(self.primary(), context)? {
            return Ok(Some(found));
        }
        let as_it_comes: Order<T> = |_, _| Ordering::Equal;
        let mut panel = Panel::new(self, context).since(started);
        let found =
            self.beyond_primary(&mut panel, as_it_comes, None, move |side, context, _| {
                Ok(ask(side, context)?.into_iter().collect())
            })?;
        Ok(found.into_iter().next())
    }
}

/// How a list is asked of a side: with the limit, which a list without one
/// ignores.
trait Ask<T>:
    Fn(&dyn Side, &CallContext, u32) -> StorageResult<RVec<T>> + Clone + Send + 'static
{
}

impl<T, F> Ask<T> for F where
    F: Fn(&dyn Side, &CallContext, u32) -> StorageResult<RVec<T>> + Clone + Send + 'static
{
}

fn merge_answers<T: Row>(
    panel: &mut Panel<'_>,
    primary: Vec<T>,
    answers: BTreeMap<Place, RVec<T>>,
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
        .map(|(place, rows)| (place, page(rows, limit)))
        .collect();
    merge::merge(panel, primary, pages, order, limit, |panel, limits| {
        let asked: BTreeMap<Place, u32> = limits.iter().copied().collect();
        let pending = panel.begin(limits.into_iter().map(|(place, limit)| {
            let ask = ask.clone();
            let question: Question<RVec<T>> =
                Box::new(move |side, context| ask(side, context, limit));
            (place, question)
        }));
        let answers = panel.collect(pending).into_iter();
        answers
            .map(|(place, rows)| (place, page(rows, asked.get(&place).copied())))
            .collect()
    })
}

impl Source for Panel<'_> {
    fn in_primary(&mut self, rows: &[Identity]) -> StorageResult<HashSet<Key>> {
        presence::present(self.merger().primary(), &self.context(), rows)
    }

    fn in_secondaries(&mut self, rows: Lookups) -> BTreeMap<Place, HashSet<Key>> {
        let pending = self.begin(rows.into_iter().map(|(place, rows)| {
            let question: Question<HashSet<Key>> =
                Box::new(move |side, context| presence::present(side, context, &rows));
            (place, question)
        }));
        self.collect(pending)
    }

    fn deletes(&self) -> u64 {
        let tombstones = self.merger().tombstones.as_ref();
        tombstones.map_or(0, |tombstones| tombstones.marks())
    }

    fn hides(&self, row: &impl Row, identity: &Identity) -> bool {
        self.merger().tombstones.as_ref().is_some_and(|tombstones| {
            !tombstones.is_empty() && tombstones.hides(row.table(), &identity.key, &row.columns())
        })
    }
}

#[cfg(test)]
mod tests;
