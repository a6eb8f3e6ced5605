//! The read path: what one database holding the union would return.
//!
//! | module | contents |
//! | --- | --- |
//! | [`read_specs`] | every read method as data: tables, order, default limit, merging |
//! | `methods` | the read methods that differ in nothing else |
//! | `facts`, `vectors`, `documents`, `events`, `entities`, `code` | the methods by what they read |
//! | `graph`, `hybrid`, `counts`, `raw` | traversal, hybrid search, statistics, a host's own SELECT |
//! | `merge` | how the databases' rows become one list |
//! | `row`, `order`, `existence` | the identity of a row, the order of rows, which rows a database has |
//! | `backend`, `circuit_breaker`, `fan_out` | the databases, which of them respond in time, requests in parallel |
//!
//! `docs/merged-reads.md` describes the behaviour for operators.

mod backend;
mod circuit_breaker;
mod code;
mod counts;
mod documents;
mod entities;
mod events;
mod existence;
mod facts;
mod fan_out;
mod graph;
mod hybrid;
mod merge;
mod methods;
mod order;
mod raw;
pub mod read_specs;
mod row;
mod vectors;

pub use backend::{Backend, Connected, Secondary};

use crate::{
    dedup::Key,
    metrics::instruments::{ReadMetrics, ReadOutcome},
    tombstones::Tombstones,
};
use abi_stable::std_types::RVec;
use circuit_breaker::CircuitBreaker;
use fan_out::{FanOut, Rank, Request};
use merge::{Lookups, Order, Page, RowLookup};
use plugin_api::{
    error::StorageResult,
    storage::{CallContext, FullStorage},
};
use read_specs::ReadMethod;
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
    /// False: every read goes to the primary alone.
    pub merge: bool,
    /// How long a read waits for a secondary.
    pub query_timeout: Duration,
}

/// Answers the read methods from the primary and the secondaries.
///
/// Each read method of the contract is an inherent method of the same name and
/// signature. They block, and may be called from any thread. The primary is
/// queried on the caller's thread, the secondaries at the same time on
/// `runtime`. The primary must answer: its error is the method's. A secondary
/// that fails or is late is left out of the result.
pub struct QueryMerger {
    primary: FullStorage,
    /// In the order of precedence.
    breakers: Vec<Arc<CircuitBreaker>>,
    /// None if deleted rows are part of the result.
    tombstones: Option<Arc<Tombstones>>,
    settings: ReadSettings,
    runtime: Handle,
}

impl QueryMerger {
    /// Merges reads from `primary` with those from `secondaries`, without the
    /// rows that `tombstones` hide. Without tombstones, deleted rows are part of
    /// the result as long as a secondary has them.
    pub fn new(
        primary: FullStorage,
        secondaries: impl IntoIterator<Item = (Arc<dyn Secondary>, Arc<ReadMetrics>)>,
        tombstones: Option<Arc<Tombstones>>,
        settings: ReadSettings,
        runtime: Handle,
    ) -> Self {
        let mut breakers: Vec<_> = secondaries
            .into_iter()
            .filter(|_| settings.merge)
            .map(|(secondary, metrics)| {
                let timeout = settings.query_timeout;
                Arc::new(CircuitBreaker::new(secondary, timeout, metrics))
            })
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

    /// Counts a read that the primary alone has answered.
    fn not_needed(&self, method: ReadMethod) {
        for breaker in &self.breakers {
            breaker.count(method, ReadOutcome::NotNeeded);
        }
    }

    /// A list or a search: queries all databases at once and merges.
    fn list<T: MergeableRow>(
        &self,
        method: ReadMethod,
        context: &CallContext,
        order: Order<T>,
        limit: Option<u32>,
        fetch: impl Fetch<T>,
    ) -> StorageResult<RVec<T>> {
        self.list_on(&mut FanOut::new(self, method, context), order, limit, fetch)
    }

    /// The same as one step of a longer read.
    fn list_on<T: MergeableRow>(
        &self,
        fan_out: &mut FanOut<'_>,
        order: Order<T>,
        limit: Option<u32>,
        fetch: impl Fetch<T>,
    ) -> StorageResult<RVec<T>> {
        self.list_with(fan_out, order, limit, fetch.clone(), fetch)
    }

    /// The same where the secondaries are queried in another way.
    fn list_with<T: MergeableRow>(
        &self,
        fan_out: &mut FanOut<'_>,
        order: Order<T>,
        limit: Option<u32>,
        from_primary: impl Fetch<T>,
        from_secondary: impl Fetch<T>,
    ) -> StorageResult<RVec<T>> {
        let first_limit = limit.unwrap_or(0);
        let fetch = from_secondary.clone();
        let in_flight =
            fan_out.send_all(move |backend, context| fetch(backend, context, first_limit));
        let primary = from_primary(self.primary(), &fan_out.context(), first_limit)?;
        let answers = fan_out.collect(in_flight);
        if answers.is_empty() {
            return Ok(primary);
        }
        let merged = merge_answers(
            fan_out,
            primary.into(),
            answers,
            order,
            limit,
            from_secondary,
        )?;
        Ok(merged.into())
    }

    /// The secondaries' part of a list for which the primary has no row.
    fn list_secondaries<T: MergeableRow>(
        &self,
        fan_out: &mut FanOut<'_>,
        order: Order<T>,
        limit: Option<u32>,
        fetch: impl Fetch<T>,
    ) -> StorageResult<Vec<T>> {
        let first_limit = limit.unwrap_or(0);
        let first = fetch.clone();
        let answers =
            fan_out.request_all(move |backend, context| first(backend, context, first_limit));
        merge_answers(fan_out, Vec::new(), answers, order, limit, fetch)
    }

    /// A point read: the primary's row, or else that of the first secondary, in
    /// the order of precedence, that has one.
    fn point<T: MergeableRow>(
        &self,
        method: ReadMethod,
        context: &CallContext,
        fetch: impl Fn(&dyn Backend, &CallContext) -> StorageResult<Option<T>> + Clone + Send + 'static,
    ) -> StorageResult<Option<T>> {
        let started = Instant::now();
        if let Some(found) = fetch(self.primary(), context)? {
            self.not_needed(method);
            return Ok(Some(found));
        }
        let by_precedence: Order<T> = |_, _| Ordering::Equal;
        let mut fan_out = FanOut::new(self, method, context).since(started);
        let found = self.list_secondaries(
            &mut fan_out,
            by_precedence,
            None,
            move |backend, context, _| Ok(fetch(backend, context)?.into_iter().collect()),
        )?;
        Ok(found.into_iter().next())
    }
}

/// How a list is fetched from a backend, with a limit; a list without one
/// ignores it.
trait Fetch<T>:
    Fn(&dyn Backend, &CallContext, u32) -> StorageResult<RVec<T>> + Clone + Send + 'static
{
}

impl<T, F> Fetch<T> for F where
    F: Fn(&dyn Backend, &CallContext, u32) -> StorageResult<RVec<T>> + Clone + Send + 'static
{
}

fn merge_answers<T: MergeableRow>(
    fan_out: &mut FanOut<'_>,
    primary: Vec<T>,
    answers: BTreeMap<Rank, RVec<T>>,
    order: Order<T>,
    limit: Option<u32>,
    fetch: impl Fetch<T>,
) -> StorageResult<Vec<T>> {
    let page = |rows: RVec<T>, limit| Page {
        rows: rows.into(),
        limit,
    };
    let pages = answers
        .into_iter()
        .map(|(rank, rows)| (rank, page(rows, limit)))
        .collect();
    merge::merge(fan_out, primary, pages, order, limit, |fan_out, limits| {
        let limit_of: BTreeMap<Rank, u32> = limits.iter().copied().collect();
        let in_flight = fan_out.send(limits.into_iter().map(|(rank, limit)| {
            let fetch = fetch.clone();
            let request: Request<RVec<T>> =
                Box::new(move |backend, context| fetch(backend, context, limit));
            (rank, request)
        }));
        let answers = fan_out.collect(in_flight).into_iter();
        answers
            .map(|(rank, rows)| (rank, page(rows, limit_of.get(&rank).copied())))
            .collect()
    })
}

impl RowLookup for FanOut<'_> {
    fn in_primary(&mut self, rows: &[Identity]) -> StorageResult<HashSet<Key>> {
        existence::existing(self.merger().primary(), &self.context(), rows)
    }

    fn in_secondaries(&mut self, rows: Lookups) -> BTreeMap<Rank, HashSet<Key>> {
        let in_flight = self.send(rows.into_iter().map(|(rank, rows)| {
            let request: Request<HashSet<Key>> =
                Box::new(move |backend, context| existence::existing(backend, context, &rows));
            (rank, request)
        }));
        self.collect(in_flight)
    }

    fn delete_count(&self) -> u64 {
        let tombstones = self.merger().tombstones.as_ref();
        tombstones.map_or(0, |tombstones| tombstones.marks())
    }

    fn is_deleted(&self, row: &impl MergeableRow, identity: &Identity) -> bool {
        self.merger().tombstones.as_ref().is_some_and(|tombstones| {
            !tombstones.is_empty() && tombstones.hides(row.table(), &identity.key, &row.columns())
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
