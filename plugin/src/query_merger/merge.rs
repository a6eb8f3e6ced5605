//! How lists, searches and counts are merged: one algorithm for all.
//!
//! The databases have an order of precedence: the primary, then the secondaries
//! by priority. A row of a database is part of the result if no database before
//! it has the row, in whatever version, and if it was not deleted. A limited or
//! filtered page does not tell what a database has, so rows that only a later
//! database returned are looked up in those before it, all in one query.
//!
//! A limited page may be full of rows that are not part of the result, and so be
//! truncated before one that is. As long as a full page ends before the merged
//! list does, a longer one is fetched: the result is exact, and in the steady
//! state, when the databases agree, nothing is fetched twice.

use super::{
    fan_out::Rank,
    row::{Identity, MergeableRow},
};
use crate::dedup::Key;
use plugin_api::error::StorageResult;
use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashSet},
};

/// The order that a method promises, total, so that it is the same every time.
pub(super) type Order<T> = fn(&T, &T) -> Ordering;

/// By how much a truncated page grows.
const PAGE_GROWTH: u32 = 4;

/// How often rows are looked up again because of concurrent deletes: a read must
/// end even if deletes never do.
const MAX_RECHECKS: u32 = 3;

/// The rows that a secondary returned.
#[derive(Clone, Debug)]
pub(super) struct Page<T> {
    /// In order.
    pub(super) rows: Vec<T>,
    /// The limit of the request; none if there was none.
    pub(super) limit: Option<u32>,
}

impl<T> Page<T> {
    /// Could there be more rows behind the last?
    fn is_full(&self) -> bool {
        self.limit
            .is_some_and(|limit| self.rows.len() >= limit as usize)
    }
}

/// The secondaries' pages, in the order of precedence.
pub(super) type Pages<T> = BTreeMap<Rank, Page<T>>;

/// The rows to look up in each secondary.
pub(super) type Lookups = BTreeMap<Rank, Vec<Identity>>;

/// What the merge asks about rows.
pub(super) trait RowLookup {
    /// Which lookup keys of these rows the primary has.
    ///
    /// # Errors
    /// The primary's.
    fn in_primary(&mut self, rows: &[Identity]) -> StorageResult<HashSet<Key>>;

    /// Which lookup keys of these rows these secondaries have. One that does
    /// not answer is missing from the result.
    fn in_secondaries(&mut self, rows: Lookups) -> BTreeMap<Rank, HashSet<Key>>;

    /// How many deletes there have been so far.
    fn delete_count(&self) -> u64;

    /// Is the row hidden by a tombstone?
    fn is_deleted(&self, row: &impl MergeableRow, identity: &Identity) -> bool;
}

/// Merges the primary's rows with the secondaries' pages, both in order.
///
/// `fetch_longer` fetches pages with a higher limit; a secondary that does not
/// answer is missing from what it returns.
///
/// # Errors
/// The primary's.
pub(super) fn merge<S: RowLookup, T: MergeableRow>(
    source: &mut S,
    primary: Vec<T>,
    mut pages: Pages<T>,
    order: Order<T>,
    limit: Option<u32>,
    mut fetch_longer: impl FnMut(&mut S, Vec<(Rank, u32)>) -> Pages<T>,
) -> StorageResult<Vec<T>> {
    loop {
        let added = secondary_only_rows(source, &primary, &mut pages)?;
        // In the steady state the primary's list is the result as it is.
        let merged = (!added.is_empty()).then(|| interleave(&primary, added, order, limit));
        let result = merged.as_ref().unwrap_or(&primary);
        let truncated_pages: Vec<(Rank, u32)> = pages
            .iter()
            .filter(|(_, page)| is_truncated(page, result, order, limit))
            .filter_map(|(rank, page)| Some((*rank, page.limit?.saturating_mul(PAGE_GROWTH))))
            .collect();
        if truncated_pages.is_empty() {
            return Ok(merged.unwrap_or(primary));
        }
        let ranks: Vec<Rank> = truncated_pages.iter().map(|(rank, _)| *rank).collect();
        let mut longer = fetch_longer(source, truncated_pages);
        for rank in ranks {
            match longer.remove(&rank) {
                Some(page) => pages.insert(rank, page),
                None => pages.remove(&rank),
            };
        }
    }
}

/// Could a row behind this page's last one belong in the merged list?
fn is_truncated<T>(page: &Page<T>, merged: &[T], order: Order<T>, limit: Option<u32>) -> bool {
    let Some(limit) = limit.filter(|_| page.is_full() && page.limit < Some(u32::MAX)) else {
        return false;
    };
    match (page.rows.last(), merged.last()) {
        (Some(last), Some(merged_last)) => {
            merged.len() < limit as usize || order(last, merged_last) == Ordering::Less
        }
        (Some(_), None) => limit > 0,
        _ => false,
    }
}

/// The rows of the pages that belong in the result: those that no database
/// before theirs has, and that are not deleted. The pages of secondaries that
/// fail a lookup are removed.
///
/// # Errors
/// The primary's.
pub(super) fn secondary_only_rows<T: MergeableRow>(
    source: &mut impl RowLookup,
    primary: &[T],
    pages: &mut Pages<T>,
) -> StorageResult<Vec<T>> {
    let mut rechecks = 0;
    loop {
        let deletes = source.delete_count();
        let mut candidates = candidates(source, primary, pages);
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let identities: Vec<Identity> = candidates.iter().map(|c| c.identity.clone()).collect();
        let existing = source.in_primary(&identities)?;
        candidates.retain(|c| !c.is_among(&existing));

        let lookups: Lookups = pages
            .keys()
            .map(|&rank| {
                let later = candidates.iter().filter(|c| c.rank > rank);
                (rank, later.map(|c| c.identity.clone()).collect::<Vec<_>>())
            })
            .filter(|(_, rows)| !rows.is_empty())
            .collect();
        if !lookups.is_empty() {
            let asked: Vec<Rank> = lookups.keys().copied().collect();
            let existing = source.in_secondaries(lookups);
            let participants = pages.len();
            pages.retain(|rank, _| !asked.contains(rank) || existing.contains_key(rank));
            if pages.len() < participants {
                // The rows of one that failed have replaced those of others.
                continue;
            }
            candidates.retain(|c| {
                !existing
                    .iter()
                    .any(|(rank, existing)| *rank < c.rank && c.is_among(existing))
            });
        }
        // A row may have been deleted since the primary was queried.
        candidates.retain(|c| !source.is_deleted(&c.row, &c.identity));
        if !candidates.is_empty() && source.delete_count() != deletes && rechecks < MAX_RECHECKS {
            // It may even have been written again: then the primary has it, and
            // its tombstone is gone.
            rechecks += 1;
            continue;
        }
        return Ok(candidates.into_iter().map(|c| c.row).collect());
    }
}

struct Candidate<T> {
    rank: Rank,
    identity: Identity,
    row: T,
}

impl<T> Candidate<T> {
    fn is_among(&self, existing: &HashSet<Key>) -> bool {
        self.identity
            .lookup_keys()
            .any(|key| existing.contains(key))
    }
}

/// The rows that no page before theirs holds, and that are not deleted.
fn candidates<T: MergeableRow>(
    source: &impl RowLookup,
    primary: &[T],
    pages: &Pages<T>,
) -> Vec<Candidate<T>> {
    let identity = |row: &T| Identity::of(row, &row.columns());
    let mut earlier: HashSet<Key> = primary
        .iter()
        .flat_map(|row| identity(row).lookup_keys().cloned().collect::<Vec<_>>())
        .collect();
    let mut candidates = Vec::new();
    for (&rank, page) in pages {
        let mut lookup_keys = Vec::new();
        let mut keys = HashSet::new();
        for row in &page.rows {
            let identity = identity(row);
            lookup_keys.extend(identity.lookup_keys().cloned());
            let is_first = keys.insert(identity.key.clone());
            if is_first
                && !identity.lookup_keys().any(|key| earlier.contains(key))
                && !source.is_deleted(row, &identity)
            {
                let row = row.clone();
                candidates.push(Candidate {
                    rank,
                    identity,
                    row,
                });
            }
        }
        earlier.extend(lookup_keys);
    }
    candidates
}

/// Inserts `added` among the primary's rows, whose own order stays as it is.
fn interleave<T: Clone>(
    primary: &[T],
    mut added: Vec<T>,
    order: Order<T>,
    limit: Option<u32>,
) -> Vec<T> {
    let limit = limit.map_or(usize::MAX, |limit| limit as usize);
    added.sort_by(order);
    let mut merged = Vec::with_capacity(primary.len() + added.len());
    let mut added = added.into_iter().peekable();
    for row in primary {
        while let Some(before) = added.next_if(|other| order(other, row) == Ordering::Less) {
            merged.push(before);
        }
        merged.push(row.clone());
    }
    merged.extend(added);
    merged.truncate(limit);
    merged
}

#[cfg(test)]
mod tests;
