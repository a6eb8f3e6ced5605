//! The one way in which lists, searches and counts are merged.
//!
//! The sides stand in an order of precedence: the primary, then the secondaries
//! by priority. A side's row shows if no side before it has it, whatever that
//! side's version looks like, and if it is not deleted. Since a limited or
//! filtered page does not tell what a side has, rows that only a later side
//! returned are looked up in those before it, all in one query.
//!
//! A page's rows that turn out not to show may have truncated_pages out one that would.
//! So as long as a full page ends before the merged list does, a longer one is
//! asked for: the result is exact, and in the steady state, when the sides
//! agree, nothing is asked twice.

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

/// By how much a page grows that was truncated_pages.
const GROWTH: u32 = 4;

/// How often the sides are looked through again because of deletes meanwhile: a
/// read must end among deletes that do not.
const MAX_RECHECKS: u32 = 4;

/// A secondary's answer.
#[derive(Clone, Debug)]
pub(super) struct Page<T> {
    /// In order.
    pub(super) rows: Vec<T>,
    /// How many were asked for; none for all.
    pub(super) asked: Option<u32>,
}

impl<T> Page<T> {
    /// Could there be more rows behind the last?
    fn full(&self) -> bool {
        self.asked
            .is_some_and(|asked| self.rows.len() >= asked as usize)
    }
}

/// Pages by rank in the order of precedence, without the primary.
pub(super) type Pages<T> = BTreeMap<Rank, Page<T>>;

/// Whether a side has what these identities name.
pub(super) type Lookups = BTreeMap<Rank, Vec<Identity>>;

/// What the merge asks of the databases.
pub(super) trait RowLookup {
    /// Which names of these rows the primary has.
    ///
    /// # Errors
    /// The primary's.
    fn in_primary(&mut self, rows: &[Identity]) -> StorageResult<HashSet<Key>>;

    /// Which names of these rows these secondaries have. One that does not
    /// answer is missing from the result.
    fn in_secondaries(&mut self, rows: Lookups) -> BTreeMap<Rank, HashSet<Key>>;

    /// How many deletes there were so far.
    fn deletes(&self) -> u64;

    /// Is the row deleted?
    fn hides(&self, row: &impl MergeableRow, identity: &Identity) -> bool;
}

/// Merges the primary's rows with the secondaries' pages, both in order.
///
/// `more` asks secondaries for longer pages; one that does not answer is
/// missing from what it returns.
///
/// # Errors
/// The primary's.
pub(super) fn merge<S: RowLookup, T: MergeableRow>(
    source: &mut S,
    primary: Vec<T>,
    mut pages: Pages<T>,
    order: Order<T>,
    limit: Option<u32>,
    mut more: impl FnMut(&mut S, Vec<(Rank, u32)>) -> Pages<T>,
) -> StorageResult<Vec<T>> {
    loop {
        let theirs = secondary_only_rows(source, &primary, &mut pages)?;
        // In the steady state the primary's list is the result as it is.
        let merged = (!theirs.is_empty()).then(|| interleave(&primary, theirs, order, limit));
        let shown = merged.as_ref().unwrap_or(&primary);
        let truncated_pages: Vec<(Rank, u32)> = pages
            .iter()
            .filter(|(_, page)| may_hold_more(page, shown, order, limit))
            .filter_map(|(rank, page)| Some((*rank, page.asked?.saturating_mul(GROWTH))))
            .collect();
        if truncated_pages.is_empty() {
            return Ok(merged.unwrap_or(primary));
        }
        let ranks: Vec<Rank> = truncated_pages.iter().map(|(rank, _)| *rank).collect();
        let mut longer = more(source, truncated_pages);
        for rank in ranks {
            match longer.remove(&rank) {
                Some(page) => pages.insert(rank, page),
                None => pages.remove(&rank),
            };
        }
    }
}

/// Could a row behind this page's last belong into the merged list?
fn may_hold_more<T>(page: &Page<T>, merged: &[T], order: Order<T>, limit: Option<u32>) -> bool {
    let Some(limit) = limit.filter(|_| page.full() && page.asked < Some(u32::MAX)) else {
        return false;
    };
    match (page.rows.last(), merged.last()) {
        (Some(last), Some(lowest)) => {
            merged.len() < limit as usize || order(last, lowest) == Ordering::Less
        }
        (Some(_), None) => limit > 0,
        _ => false,
    }
}

/// The rows of the pages that show: those that no side before theirs has. The
/// pages of secondaries that fail to tell are removed.
///
/// # Errors
/// The primary's.
pub(super) fn secondary_only_rows<T: MergeableRow>(
    source: &mut impl RowLookup,
    primary: &[T],
    pages: &mut Pages<T>,
) -> StorageResult<Vec<T>> {
    let mut looks = 0;
    loop {
        looks += 1;
        let deletes = source.deletes();
        let mut candidates = candidates(source, primary, pages);
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let identities: Vec<Identity> = candidates.iter().map(|c| c.identity.clone()).collect();
        let taken = source.in_primary(&identities)?;
        candidates.retain(|c| !c.is_in(&taken));

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
            let taken = source.in_secondaries(lookups);
            let participants = pages.len();
            pages.retain(|rank, _| !asked.contains(rank) || taken.contains_key(rank));
            if pages.len() < participants {
                // Who fails here has hidden rows of others behind its own.
                continue;
            }
            candidates.retain(|c| {
                !taken
                    .iter()
                    .any(|(rank, taken)| *rank < c.rank && c.is_in(taken))
            });
        }
        // Once more: a row may have been deleted since the primary was asked.
        candidates.retain(|c| !source.hides(&c.row, &c.identity));
        if !candidates.is_empty() && source.deletes() != deletes && looks < MAX_RECHECKS {
            // One may even have been written again: then the primary has it,
            // and nothing says any more that it was deleted.
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
    fn is_in(&self, names: &HashSet<Key>) -> bool {
        self.identity.lookup_keys().any(|name| names.contains(name))
    }
}

/// The rows that no page before theirs has, and that are not deleted.
fn candidates<T: MergeableRow>(
    source: &impl RowLookup,
    primary: &[T],
    pages: &Pages<T>,
) -> Vec<Candidate<T>> {
    let identity = |row: &T| Identity::of(row, &row.columns());
    let mut at_hand: HashSet<Key> = primary
        .iter()
        .flat_map(|row| identity(row).lookup_keys().cloned().collect::<Vec<_>>())
        .collect();
    let mut candidates = Vec::new();
    for (&rank, page) in pages {
        let mut names = Vec::new();
        let mut keys = HashSet::new();
        for row in &page.rows {
            let identity = identity(row);
            names.extend(identity.lookup_keys().cloned());
            let first = keys.insert(identity.key.clone());
            if first
                && !identity.lookup_keys().any(|name| at_hand.contains(name))
                && !source.hides(row, &identity)
            {
                let row = row.clone();
                candidates.push(Candidate {
                    rank,
                    identity,
                    row,
                });
            }
        }
        at_hand.extend(names);
    }
    candidates
}

/// Puts `theirs` among the primary's rows, whose own order stays as it is.
fn interleave<T: Clone>(
    primary: &[T],
    mut theirs: Vec<T>,
    order: Order<T>,
    limit: Option<u32>,
) -> Vec<T> {
    let limit = limit.map_or(usize::MAX, |limit| limit as usize);
    theirs.sort_by(order);
    let mut theirs = theirs.into_iter().peekable();
    let mut merged = Vec::with_capacity(primary.len());
    for ours in primary {
        while let Some(their) = theirs.next_if(|their| order(their, ours) == Ordering::Less) {
            merged.push(their);
        }
        merged.push(ours.clone());
    }
    merged.extend(theirs);
    merged.truncate(limit);
    merged
}

#[cfg(test)]
mod tests;
