//! The read path: what one database holding the union would have returned.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`reads`] | every read method as data: order, limit, what merging means |
//! | `memory`, `code` | the methods, each a line or a few |
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
pub mod reads;
mod row;
mod seat;
mod side;

pub use side::{Secondary, Side};

use crate::{dedup::Key, tombstones::Tombstones};
use abi_stable::std_types::RVec;
use merge::{Lookups, Order, Page, Pages, Source};
use panel::{Panel, Place, Question};
use plugin_api::{
    error::StorageResult,
    storage::{CallContext, FullStorage},
};
use row::{Identity, Row};
use seat::Seat;
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
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

    /// A list or a search: asks all sides at once and merges.
    fn list<T: Row>(
        &self,
        context: &CallContext,
        order: Order<T>,
        limit: Option<u32>,
        ask: impl Fn(&dyn Side, &CallContext, u32) -> StorageResult<RVec<T>>
        + Clone
        + Send
        + 'static,
    ) -> StorageResult<RVec<T>> {
        let mut panel = Panel::new(self, context);
        let first = limit.unwrap_or(0);
        let pending = {
            let ask = ask.clone();
            panel.begin_all(move |side, context| ask(side, context, first))
        };
        let primary = ask(&self.primary, context, first)?;
        let pages: Pages<T> = panel
            .collect(pending)
            .into_iter()
            .map(|(place, rows)| (place, page(rows, limit)))
            .collect();
        if pages.is_empty() {
            return Ok(primary);
        }
        let mut sides = Sides {
            merger: self,
            panel,
            ask,
        };
        let merged = merge::merge(&mut sides, primary.into(), pages, order, limit)?;
        Ok(merged.into())
    }

    /// A point read: the primary's row, or else, in the order of precedence,
    /// the first of the secondaries' that shows.
    fn point<T: Row>(
        &self,
        context: &CallContext,
        ask: impl Fn(&dyn Side, &CallContext) -> StorageResult<Option<T>> + Clone + Send + 'static,
    ) -> StorageResult<Option<T>> {
        if let Some(found) = ask(&self.primary, context)? {
            return Ok(Some(found));
        }
        let by_precedence: Order<T> = |_, _| std::cmp::Ordering::Equal;
        let found = self.beyond_primary(context, by_precedence, None, move |side, context, _| {
            Ok(ask(side, context)?.into_iter().collect())
        })?;
        Ok(found.into_iter().next())
    }

    /// What the secondaries add to a primary that has found nothing.
    fn beyond_primary<T: Row>(
        &self,
        context: &CallContext,
        order: Order<T>,
        limit: Option<u32>,
        ask: impl Fn(&dyn Side, &CallContext, u32) -> StorageResult<RVec<T>>
        + Clone
        + Send
        + 'static,
    ) -> StorageResult<Vec<T>> {
        let mut panel = Panel::new(self, context);
        let first = limit.unwrap_or(0);
        let question = ask.clone();
        let pages: Pages<T> = panel
            .ask_all(move |side, context| question(side, context, first))
            .into_iter()
            .map(|(place, rows)| (place, page(rows, limit)))
            .collect();
        let mut sides = Sides {
            merger: self,
            panel,
            ask,
        };
        merge::merge(&mut sides, Vec::new(), pages, order, limit)
    }

    /// Is a secondary's row deleted?
    fn hides(&self, row: &impl Row, identity: &Identity) -> bool {
        self.tombstones.as_ref().is_some_and(|tombstones| {
            !tombstones.is_empty()
                && tombstones.hides(row.table(), &identity.key, &row.columns())
        })
    }
}

fn page<T>(rows: RVec<T>, asked: Option<u32>) -> Page<T> {
    Page {
        rows: rows.into(),
        asked,
    }
}

/// The databases as the merge sees them.
struct Sides<'m, F> {
    merger: &'m QueryMerger,
    panel: Panel<'m>,
    ask: F,
}

impl<T, F> Source<T> for Sides<'_, F>
where
    T: Row,
    F: Fn(&dyn Side, &CallContext, u32) -> StorageResult<RVec<T>> + Clone + Send + 'static,
{
    fn more(&mut self, limits: Vec<(Place, u32)>) -> Pages<T> {
        let asked: BTreeMap<_, _> = limits.iter().copied().collect();
        let questions = limits.into_iter().map(|(place, limit)| {
            let ask = self.ask.clone();
            let question: Question<RVec<T>> = Box::new(move |side, context| ask(side, context, limit));
            (place, question)
        });
        let pending = self.panel.begin(questions);
        self.panel
            .collect(pending)
            .into_iter()
            .map(|(place, rows)| (place, page(rows, asked.get(&place).copied())))
            .collect()
    }

    fn in_primary(&mut self, rows: &[Identity]) -> StorageResult<HashSet<Key>> {
        presence::present(self.panel.primary(), &self.panel.context(), rows)
    }

    fn in_secondaries(&mut self, rows: Lookups) -> BTreeMap<Place, HashSet<Key>> {
        self.panel.present(rows)
    }

    fn hides(&self, row: &T, identity: &Identity) -> bool {
        self.merger.hides(row, identity)
    }
}

#[cfg(test)]
mod tests;
