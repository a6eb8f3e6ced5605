//! Histories: steps of a primary and its secondaries, and what one database
//! holding their union contains at the end.

use super::rows::{self, RECORDS, entity, rows};
use crate::{
    dedup::Key,
    tombstones::{Scope, Tombstones},
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// One step.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The host writes a record in a version.
    Write(u8, u8),
    /// The record's last write is replicated to a secondary. The record may have
    /// been deleted since.
    Replicate(u8, usize),
    /// The last write of every record is replicated to a secondary.
    CatchUp(usize),
    /// Another host writes a record to a secondary alone.
    ForeignWrite(u8, u8, usize),
    /// The host deletes through the module.
    Delete(Delete),
    /// A record of the primary is deleted without the module.
    ForeignDelete(u8),
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

/// A record as a backend contains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) number: u8,
    pub(super) origin: usize,
}

/// The records of a backend.
pub(super) type Contents = BTreeMap<u8, Version>;

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
            .prop_map(|(record, version, backend)| Step::ForeignWrite(record, version, backend)),
        2 => delete().prop_map(Step::Delete),
        1 => record()
            .prop_filter("its copies may differ in the columns that wide deletes select by", |record| {
                !rows::DOCUMENTS.contains(record)
                    && !rows::SYMBOLS.contains(record)
                    && !rows::CHUNKS.contains(record)
            })
            .prop_map(Step::ForeignDelete),
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
    /// Does it delete this record in this version?
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

    /// Writes its tombstones as the write path does. `deleted` are the records of
    /// the primary that it deletes.
    fn mark(&self, tombstones: &Tombstones, deleted: &Contents) {
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
            deleted
                .iter()
                .flat_map(|(&record, found)| keys_of(record, found.number))
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
        tombstones.delete(&keys, &scopes);
    }
}

/// What the databases contain after a history.
pub(super) struct Outcome {
    /// The primary, then the secondaries.
    pub(super) backends: Vec<Contents>,
    /// One database holding their union.
    pub(super) union: Contents,
}

/// What the steps so far have done.
#[derive(Default)]
struct Past {
    now: usize,
    /// The ends of an edge never change: there is no method for it.
    first_versions: BTreeMap<u8, u8>,
    /// The last write of each record on the primary, and when it was.
    written: BTreeMap<u8, (usize, Version)>,
    /// The deletes, when they were, and which records of the primary they deleted.
    deletes: Vec<(usize, Delete, BTreeSet<u8>)>,
}

impl Past {
    fn version(&mut self, record: u8, version: u8) -> u8 {
        let first = *self.first_versions.entry(record).or_insert(version);
        rows::with_ends_of(record, version, first)
    }

    /// A copy is hidden if it was deleted after its record's last write.
    fn hides(&self, record: u8, found: Version) -> bool {
        let written = self.written.get(&record).map_or(0, |(when, _)| *when);
        self.deletes
            .iter()
            .filter(|(when, ..)| *when > written)
            .any(|(_, delete, deleted)| {
                deleted.contains(&record) || delete.covers(record, found.number)
            })
    }
}

impl History {
    /// Carries out the steps in order. Deletes and writes update `tombstones` as
    /// the write path does.
    pub(super) fn replay(&self, tombstones: &Tombstones) -> Outcome {
        let mut backends = vec![Contents::new(); self.secondaries + 1];
        let mut past = Past::default();
        for step in &self.steps {
            past.now += 1;
            match *step {
                Step::Write(record, version) => {
                    let version = past.version(record, version);
                    let found = Version {
                        number: version,
                        origin: 0,
                    };
                    backends[0].insert(record, found);
                    past.written.insert(record, (past.now, found));
                    for (table, row) in rows(record, version, 0) {
                        let id = row.get("id").unwrap().as_record_id().unwrap();
                        let key = Key::of_row(table, id, &row);
                        tombstones.clear(&key, table, &row).unwrap();
                    }
                }
                Step::Replicate(record, backend) => {
                    if let Some((_, found)) = past.written.get(&record) {
                        backends[backend].insert(record, *found);
                    }
                }
                Step::CatchUp(backend) => {
                    let written = past.written.iter();
                    backends[backend].extend(written.map(|(record, (_, found))| (*record, *found)));
                }
                Step::ForeignWrite(record, version, backend) => {
                    let version = past.version(record, version);
                    let origin = backend;
                    backends[backend].insert(
                        record,
                        Version {
                            number: version,
                            origin,
                        },
                    );
                }
                Step::Delete(ref delete) => {
                    let (deleted, kept): (Contents, Contents) = std::mem::take(&mut backends[0])
                        .into_iter()
                        .partition(|(record, found)| delete.covers(*record, found.number));
                    delete.mark(tombstones, &deleted);
                    backends[0] = kept;
                    let deleted = deleted.into_keys().collect();
                    past.deletes.push((past.now, delete.clone(), deleted));
                }
                Step::ForeignDelete(record) => {
                    backends[0].remove(&record);
                }
            }
        }
        let union = (0..RECORDS)
            .filter_map(|record| {
                let has = |(backend, contents): (usize, &Contents)| {
                    Some((backend, *contents.get(&record)?))
                };
                let (backend, found) = backends.iter().enumerate().find_map(has)?;
                (backend == 0 || !past.hides(record, found)).then_some((record, found))
            })
            .collect();
        Outcome { backends, union }
    }
}
