//! The merge against a model: the union computed by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{super::row::PartialRow, *};
use plugin_api::value::{Object, RecordId};
use proptest::prelude::*;
use std::borrow::Cow;

/// A row of one database: its id, its place in the order, and whether it matches
/// the read's filter.
#[derive(Clone, Debug, PartialEq)]
struct Ranked {
    id: RecordId,
    rank: u8,
    matches: bool,
}

impl MergeableRow for Ranked {
    fn table(&self) -> &str {
        "events"
    }

    fn id(&self) -> Option<&RecordId> {
        Some(&self.id)
    }

    fn columns(&self) -> Cow<'_, Object> {
        Cow::Owned(Object::new())
    }
}

fn by_rank(a: &Ranked, b: &Ranked) -> Ordering {
    a.rank
        .cmp(&b.rank)
        .then_with(|| a.id.to_string().cmp(&b.id.to_string()))
}

type Rows = BTreeMap<u8, (u8, bool)>;

/// Databases in memory, the primary first.
#[derive(Clone, Debug)]
struct Databases {
    backends: Vec<Vec<Ranked>>,
    hidden: HashSet<Key>,
    /// How many requests each secondary still answers.
    answers: Vec<u32>,
    failed: HashSet<Rank>,
    lookups: usize,
    deletes: u64,
    /// A row that is deleted just before the primary is queried, and written
    /// again before the tombstones are read.
    rewritten: Option<Ranked>,
}

impl Databases {
    fn new(backends: Vec<Rows>, hidden: Vec<u8>, answers: Vec<u32>) -> Self {
        let id = |n: u8| RecordId::new("events", format!("e{n:02}"));
        let rows = |rows: Rows| {
            let rows = rows.into_iter();
            rows.map(|(n, (rank, matches))| Ranked {
                id: id(n),
                rank,
                matches,
            })
            .collect()
        };
        Self {
            backends: backends.into_iter().map(rows).collect(),
            hidden: hidden.into_iter().map(|n| Key::of_id(&id(n))).collect(),
            answers,
            failed: HashSet::new(),
            lookups: 0,
            deletes: 0,
            rewritten: None,
        }
    }

    fn page(&self, backend: usize, limit: Option<u32>) -> Vec<Ranked> {
        let rows = self.backends[backend].iter().filter(|row| row.matches);
        let mut rows: Vec<_> = rows.cloned().collect();
        rows.sort_by(by_rank);
        rows.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        rows
    }

    /// Does this secondary answer one more request?
    fn answers(&mut self, rank: Rank) -> bool {
        match self.answers[rank].checked_sub(1) {
            Some(left) => self.answers[rank] = left,
            None => {
                self.failed.insert(rank);
            }
        }
        !self.failed.contains(&rank)
    }

    fn pages(&mut self, limits: Vec<(Rank, Option<u32>)>) -> Pages<Ranked> {
        limits
            .into_iter()
            .filter(|(rank, _)| self.answers(*rank))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|(rank, limit)| {
                let rows = self.page(rank + 1, limit);
                (rank, Page { rows, limit })
            })
            .collect()
    }

    fn existing(&self, backend: usize, rows: &[Identity]) -> HashSet<Key> {
        let has: HashSet<Key> = self.backends[backend]
            .iter()
            .map(|row| Key::of_id(&row.id))
            .collect();
        let keys = rows.iter().flat_map(Identity::lookup_keys);
        keys.filter(|key| has.contains(key)).cloned().collect()
    }

    fn merge(&mut self, limit: Option<u32>) -> Vec<Ranked> {
        let primary = self.page(0, limit);
        let all = (0..self.backends.len() - 1)
            .map(|rank| (rank, limit))
            .collect();
        let pages = self.pages(all);
        merge(self, primary, pages, by_rank, limit, |databases, limits| {
            let limits = limits.into_iter();
            databases.pages(limits.map(|(rank, limit)| (rank, Some(limit))).collect())
        })
        .unwrap()
    }

    /// What one database holding the union would return.
    fn union(&self, limit: Option<u32>) -> Vec<Ranked> {
        let mut union: BTreeMap<String, (usize, Ranked)> = BTreeMap::new();
        for (backend, rows) in self.backends.iter().enumerate() {
            if backend > 0 && self.failed.contains(&(backend - 1)) {
                continue;
            }
            for row in rows {
                union
                    .entry(row.id.to_string())
                    .or_insert_with(|| (backend, row.clone()));
            }
        }
        let mut rows: Vec<_> = union
            .into_values()
            .filter(|(backend, row)| *backend == 0 || !self.hidden.contains(&Key::of_id(&row.id)))
            .map(|(_, row)| row)
            .filter(|row| row.matches)
            .collect();
        rows.sort_by(by_rank);
        rows.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        rows
    }
}

impl RowLookup for Databases {
    fn in_primary(&mut self, rows: &[Identity]) -> StorageResult<HashSet<Key>> {
        self.lookups += 1;
        let existing = self.existing(0, rows);
        if let Some(row) = self.rewritten.take() {
            self.deletes += 1;
            self.backends[0].push(row);
        }
        Ok(existing)
    }

    fn in_secondaries(&mut self, rows: Lookups) -> BTreeMap<Rank, HashSet<Key>> {
        rows.into_iter()
            .filter(|(rank, _)| self.answers(*rank))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|(rank, rows)| (rank, self.existing(rank + 1, &rows)))
            .collect()
    }

    fn delete_count(&self) -> u64 {
        self.deletes
    }

    fn is_deleted(&self, _: &impl MergeableRow, identity: &Identity) -> bool {
        self.hidden.contains(&identity.key)
    }
}

const ALWAYS: u32 = u32::MAX;

fn rows() -> impl Strategy<Value = Rows> {
    proptest::collection::btree_map(0..20u8, (0..8u8, proptest::bool::weighted(0.8)), 0..20)
}

fn limit() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![Just(None), (0..8u32).prop_map(Some)]
}

proptest! {
    #[test]
    fn a_merge_returns_what_the_union_contains(
        backends in proptest::collection::vec(rows(), 1..5),
        hidden in proptest::collection::vec(0..20u8, 0..10),
        limit in limit(),
    ) {
        let mut databases = Databases::new(backends, hidden, vec![ALWAYS; 4]);
        prop_assert_eq!(databases.merge(limit), databases.union(limit));
    }

    #[test]
    fn a_secondary_that_stops_answering_is_left_out_entirely(
        backends in proptest::collection::vec(rows(), 2..5),
        answers in proptest::collection::vec(prop_oneof![0..3u32, Just(ALWAYS)], 4),
        limit in limit(),
    ) {
        let mut databases = Databases::new(backends, vec![], answers);
        let merged = databases.merge(limit);
        prop_assert_eq!(merged, databases.union(limit));
    }

    #[test]
    fn databases_that_agree_are_queried_once(rows in rows(), limit in limit()) {
        let mut databases = Databases::new(vec![rows.clone(), rows.clone(), rows], vec![], vec![1, 1]);
        databases.merge(limit);
        prop_assert!(databases.failed.is_empty(), "a second request was sent");
        prop_assert_eq!(databases.lookups, 0);
    }
}

#[test]
fn a_row_that_the_primary_orders_lower_now_keeps_that_place() {
    let primary = Rows::from([(1, (1, true)), (2, (9, true))]);
    let stale = Rows::from([(2, (0, true)), (3, (5, true))]);
    let mut databases = Databases::new(vec![primary, stale], vec![], vec![ALWAYS]);
    let found: Vec<_> = databases
        .merge(Some(2))
        .into_iter()
        .map(|row| row.rank)
        .collect();
    assert_eq!(found, [1, 5]);
}

#[test]
fn a_row_that_is_deleted_and_written_again_during_a_read_is_not_returned_in_an_old_version() {
    let stale: Rows = [(0, (1, true))].into();
    let mut databases = Databases::new(vec![Rows::new(), stale], vec![], vec![ALWAYS]);
    databases.rewritten = Some(Ranked {
        matches: false,
        ..databases.backends[1][0].clone()
    });
    assert_eq!(databases.merge(None), []);
    assert_eq!(databases.lookups, 2);
}

#[test]
fn rows_behind_a_page_full_of_deleted_ones_are_fetched() {
    let archive: Rows = (0..20).map(|n| (n, (n, true))).collect();
    let mut databases = Databases::new(vec![Rows::new(), archive], (0..18).collect(), vec![ALWAYS]);
    let found: Vec<_> = databases
        .merge(Some(2))
        .into_iter()
        .map(|row| row.rank)
        .collect();
    assert_eq!(found, [18, 19]);
}

#[test]
fn a_document_is_one_group_with_its_chunks() {
    let row = |path: &str, source: &str| {
        let columns = Object::new()
            .with("file_path", path)
            .with("source_file", source);
        PartialRow::new("knowledge_base", columns)
    };
    let whole = Identity::of(&row("a.md", ""), &row("a.md", "").columns);
    let chunk = Identity::of(
        &row("a.md#chunk3", "a.md"),
        &row("a.md#chunk3", "a.md").columns,
    );
    let other = Identity::of(
        &row("b.md#chunk3", "b.md"),
        &row("b.md#chunk3", "b.md").columns,
    );
    assert_eq!(whole.group_key, chunk.group_key);
    assert_ne!(whole.key, chunk.key);
    assert_ne!(chunk.group_key, other.group_key);
}
