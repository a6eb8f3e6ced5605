//! Histories: what happens to a primary and its secondaries, step by step, and
//! what one database holding the union has at the end.

use super::rows::{self, RECORDS, entity, rows};
use crate::{
    dedup::Key,
    tombstones::{Scope, Tombstones},
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// What happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The host writes a record in a version.
    Write(u8, u8),
    /// A secondary hears of the record's last write. It may be late: the record
    /// may have been deleted since.
    Replicate(u8, usize),
    /// A secondary hears of everything that was ever written.
    CatchUp(usize),
    /// A record is written on a secondary alone, by another host.
    Stray(u8, u8, usize),
    /// The host deletes through the module.
    Delete(Delete),
    /// A record goes behind the module's back.
    Vanish(u8),
}

/// A delete through the module.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Delete {
    Record(u8),
    Project(u8),
    SymbolsOfFile(u8, u8),
    ChunksOfFile(u8, u8),
    ChunksOfSymbol(u8),
    Entity(u8),
    Document(u8),
}

/// A record as a backend has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) version: u8,
    pub(super) origin: usize,
}

/// Which records a backend has.
pub(super) type Holding = BTreeMap<u8, Held>;

/// Steps over a primary and secondaries.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) secondaries: usize,
    pub(super) steps: Vec<Step>,
}

pub(super) fn history() -> impl Strategy<Value = History> {
    // Few steps and many: sparse backends and dense ones.
    let steps = || prop_oneof![0..20usize, 20..150usize];
    (1..4usize, steps()).prop_flat_map(|(secondaries, steps)| {
        proptest::collection::vec(step(secondaries), 0..=steps)
            .prop_map(move |steps| History { secondaries, steps })
    })
}

fn step(secondaries: usize) -> impl Strategy<Value = Step> {
    let record = || 0..RECORDS;
    // Few versions, so that they collide.
    let version = || 0..50u8;
    let backend = move || 1..=secondaries;
    prop_oneof![
        8 => (record(), version()).prop_map(|(record, version)| Step::Write(record, version)),
        4 => (record(), backend()).prop_map(|(record, backend)| Step::Replicate(record, backend)),
        1 => backend().prop_map(Step::CatchUp),
        6 => (record(), version(), backend())
            .prop_map(|(record, version, backend)| Step::Stray(record, version, backend)),
        2 => delete().prop_map(Step::Delete),
        1 => record()
            .prop_filter("its copies may differ in what a wide delete goes by", |record| {
                !rows::DOCUMENTS.contains(record)
                    && !rows::SYMBOLS.contains(record)
                    && !rows::CHUNKS.contains(record)
            })
            .prop_map(Step::Vanish),
    ]
}

fn delete() -> impl Strategy<Value = Delete> {
    let files = || (0..2u8, 0..3u8);
    prop_oneof![
        3 => prop_oneof![rows::FACTS, rows::VECTORS, rows::EVENTS, rows::FILES]
            .prop_map(Delete::Record),
        1 => (0..2u8).prop_map(Delete::Project),
        1 => files().prop_map(|(project, file)| Delete::SymbolsOfFile(project, file)),
        1 => files().prop_map(|(project, file)| Delete::ChunksOfFile(project, file)),
        1 => (0..2u8).prop_map(Delete::ChunksOfSymbol),
        2 => (0..5u8).prop_map(Delete::Entity),
        2 => (0..3u8).prop_map(Delete::Document),
    ]
}

impl Delete {
    /// Does it take this record in this version with it?
    fn covers(&self, record: u8, version: u8) -> bool {
        let is = |records: &std::ops::Range<u8>, n: u8| record == records.start + n;
        let file = |(project, file): (u8, u8)| rows::file(record, version) == Some((project, file));
        match *self {
            Self::Record(deleted) => record == deleted,
            Self::Document(n) => is(&rows::DOCUMENTS, n),
            Self::Entity(n) => {
                is(&rows::ENTITIES, n)
                    || rows::ends(record, version).is_some_and(|ends| ends.contains(&n))
            }
            Self::SymbolsOfFile(project, name) => {
                rows::SYMBOLS.contains(&record) && file((project, name))
            }
            Self::ChunksOfFile(project, name) => {
                rows::CHUNKS.contains(&record) && file((project, name))
            }
            Self::ChunksOfSymbol(n) => {
                rows::CHUNKS.contains(&record) && (record - rows::CHUNKS.start) / 3 == n
            }
            Self::Project(project) => rows::project(record) == Some(project),
        }
    }

    /// Marks it as the write path does; `gone` are the records that the primary
    /// had and that go with it.
    fn mark(&self, tombstones: &Tombstones, gone: &Holding) {
        let keys_of = |record: u8, version: u8| {
            rows(record, version, 0)
                .into_iter()
                .map(|(table, row)| {
                    let id = row.get("id").unwrap().as_record_id().unwrap();
                    Key::of_row(table, id, &row)
                })
                .collect::<Vec<_>>()
        };
        let named = || {
            gone.iter()
                .flat_map(|(&record, held)| keys_of(record, held.version))
                .collect()
        };
        let (keys, scopes) = match *self {
            Self::Record(record) => (keys_of(record, 0), vec![]),
            Self::Project(n) => (
                keys_of(rows::PROJECTS.start + n, 0),
                Scope::of_project(&format!("p{n}")),
            ),
            Self::SymbolsOfFile(project, file) => (
                named(),
                vec![Scope::symbols_of_file(
                    &format!("p{project}"),
                    &format!("f{file}"),
                )],
            ),
            Self::ChunksOfFile(project, file) => (
                named(),
                vec![Scope::chunks_of_file(
                    &format!("p{project}"),
                    &format!("f{file}"),
                )],
            ),
            Self::ChunksOfSymbol(n) => (vec![], vec![Scope::chunks_of_symbol(&format!("sym{n}"))]),
            Self::Entity(n) => (
                keys_of(rows::ENTITIES.start + n, 0),
                Scope::edges_of(&entity(n)).to_vec(),
            ),
            Self::Document(n) => (vec![], Scope::of_document(&format!("d{n}.md")).to_vec()),
        };
        tombstones.mark(&keys, &scopes).unwrap();
    }
}

/// A history that has come to pass.
pub(super) struct Outcome {
    /// What the primary has, then what each secondary has.
    pub(super) backends: Vec<Holding>,
    /// What one database holding the union has.
    pub(super) union: Holding,
}

/// What is known of the steps so far.
#[derive(Default)]
struct Chronicle {
    now: usize,
    /// The ends of an edge never change: there is no method for it.
    first_versions: BTreeMap<u8, u8>,
    /// The last write of each record on the primary, and when it was.
    written: BTreeMap<u8, (usize, Held)>,
    /// The deletes, when they were, and what the primary lost to them.
    deletes: Vec<(usize, Delete, BTreeSet<u8>)>,
}

impl Chronicle {
    fn version(&mut self, record: u8, version: u8) -> u8 {
        let first = *self.first_versions.entry(record).or_insert(version);
        rows::with_ends_of(record, version, first)
    }

    /// A copy does not show if it was deleted after its record's last write.
    fn hides(&self, record: u8, held: Held) -> bool {
        let written = self.written.get(&record).map_or(0, |(when, _)| *when);
        self.deletes
            .iter()
            .filter(|(when, ..)| *when > written)
            .any(|(_, delete, gone)| gone.contains(&record) || delete.covers(record, held.version))
    }
}

impl History {
    /// Takes the steps, one after the other. Deletes and writes are told to
    /// `tombstones` as the write path does.
    pub(super) fn take_place(&self, tombstones: &Tombstones) -> Outcome {
        let mut backends = vec![Holding::new(); self.secondaries + 1];
        let mut past = Chronicle::default();
        for step in &self.steps {
            past.now += 1;
            match *step {
                Step::Write(record, version) => {
                    let version = past.version(record, version);
                    let held = Held { version, origin: 0 };
                    backends[0].insert(record, held);
                    past.written.insert(record, (past.now, held));
                    for (table, row) in rows(record, version, 0) {
                        let id = row.get("id").unwrap().as_record_id().unwrap();
                        let key = Key::of_row(table, id, &row);
                        tombstones.clear(&key, table, &row).unwrap();
                    }
                }
                Step::Replicate(record, backend) => {
                    if let Some((_, held)) = past.written.get(&record) {
                        backends[backend].insert(record, *held);
                    }
                }
                Step::CatchUp(backend) => {
                    let written = past.written.iter();
                    backends[backend].extend(written.map(|(record, (_, held))| (*record, *held)));
                }
                Step::Stray(record, version, backend) => {
                    let version = past.version(record, version);
                    let origin = backend;
                    backends[backend].insert(record, Held { version, origin });
                }
                Step::Delete(ref delete) => {
                    let (gone, left): (Holding, Holding) = std::mem::take(&mut backends[0])
                        .into_iter()
                        .partition(|(record, held)| delete.covers(*record, held.version));
                    delete.mark(tombstones, &gone);
                    backends[0] = left;
                    let gone = gone.into_keys().collect();
                    past.deletes.push((past.now, delete.clone(), gone));
                }
                Step::Vanish(record) => {
                    backends[0].remove(&record);
                }
            }
        }
        let union = (0..RECORDS)
            .filter_map(|record| {
                let has =
                    |(backend, holding): (usize, &Holding)| Some((backend, *holding.get(&record)?));
                let (backend, held) = backends.iter().enumerate().find_map(has)?;
                (backend == 0 || !past.hides(record, held)).then_some((record, held))
            })
            .collect();
        Outcome { backends, union }
    }
}
