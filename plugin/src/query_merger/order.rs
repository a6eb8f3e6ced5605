//! The orders that the methods promise: which of two rows comes first.

use super::row::{MergeableRow, PartialRow};
use plugin_api::{
    records::{
        CodeChunk, CodeFile, CodeProject, CodeSymbol, Entity, Event, FoundDocument, FoundEvent,
        FoundVector, IndexingJob, Relationship, Scored, Stored,
    },
    value::{RecordId, RecordKey},
};
use std::cmp::Ordering;

/// As the database orders record ids: by table, numbers before text.
pub(super) fn ids(a: &RecordId, b: &RecordId) -> Ordering {
    a.table.cmp(&b.table).then_with(|| match (&a.key, &b.key) {
        (RecordKey::Int(a), RecordKey::Int(b)) => a.cmp(b),
        (RecordKey::String(a), RecordKey::String(b)) => a.cmp(b),
        (RecordKey::Int(_), _) | (RecordKey::String(_), RecordKey::Other(_)) => Ordering::Less,
        (_, RecordKey::Int(_)) | (RecordKey::Other(_), RecordKey::String(_)) => Ordering::Greater,
        (RecordKey::Other(_), RecordKey::Other(_)) => a.to_string().cmp(&b.to_string()),
    })
}

fn by_id<T: MergeableRow>(a: &T, b: &T) -> Ordering {
    match (a.id(), b.id()) {
        (Some(a), Some(b)) => ids(a, b),
        _ => Ordering::Equal,
    }
}

/// What a search scores rows by.
pub(super) trait Score: MergeableRow {
    /// Higher is nearer.
    fn score(&self) -> f64;
}

macro_rules! scores {
    ($($type:ty: $field:ident),*) => {
        $(
            impl Score for $type {
                fn score(&self) -> f64 {
                    self.$field
                }
            }
        )*
    };
}

scores!(
    FoundVector: similarity,
    FoundDocument: similarity,
    Scored<Stored<CodeSymbol>>: similarity,
    Scored<Stored<CodeChunk>>: similarity
);

/// The highest score first, then by id.
pub(super) fn nearest<T: Score>(a: &T, b: &T) -> Ordering {
    b.score().total_cmp(&a.score()).then_with(|| by_id(a, b))
}

/// The highest score first, then the newest.
pub(super) fn event(a: &FoundEvent, b: &FoundEvent) -> Ordering {
    let newest = || b.event.created_at.cmp(&a.event.created_at);
    b.relevance
        .total_cmp(&a.relevance)
        .then_with(newest)
        .then_with(|| by_id(a, b))
}

pub(super) fn oldest_event(a: &Event, b: &Event) -> Ordering {
    a.created_at.cmp(&b.created_at).then_with(|| by_id(a, b))
}

pub(super) fn entity(a: &Entity, b: &Entity) -> Ordering {
    by_id(a, b)
}

/// By type, then by id.
pub(super) fn edge(a: &Relationship, b: &Relationship) -> Ordering {
    by_id(a, b)
}

pub(super) fn id_text(a: &RecordId, b: &RecordId) -> Ordering {
    a.to_string().cmp(&b.to_string())
}

pub(super) fn project(a: &Stored<CodeProject>, b: &Stored<CodeProject>) -> Ordering {
    let name = |project: &Stored<CodeProject>| {
        (
            project.record.name.clone(),
            project.record.project_id.clone(),
        )
    };
    name(a).cmp(&name(b))
}

pub(super) fn file(a: &Stored<CodeFile>, b: &Stored<CodeFile>) -> Ordering {
    a.record.file_path.cmp(&b.record.file_path)
}

pub(super) fn symbol_name(a: &Stored<CodeSymbol>, b: &Stored<CodeSymbol>) -> Ordering {
    a.record.name_path.cmp(&b.record.name_path)
}

pub(super) fn symbol_line(a: &Stored<CodeSymbol>, b: &Stored<CodeSymbol>) -> Ordering {
    a.record
        .start_line
        .cmp(&b.record.start_line)
        .then_with(|| symbol_name(a, b))
}

pub(super) fn chunk(a: &Stored<CodeChunk>, b: &Stored<CodeChunk>) -> Ordering {
    a.record.chunk_index.cmp(&b.record.chunk_index)
}

pub(super) fn job(a: &Stored<IndexingJob>, b: &Stored<IndexingJob>) -> Ordering {
    let started = |job: &Stored<IndexingJob>| job.record.started_at.into_option();
    started(b).cmp(&started(a)).then_with(|| by_id(a, b))
}

pub(super) fn fact(a: &PartialRow, b: &PartialRow) -> Ordering {
    a.text("key").cmp(b.text("key"))
}

pub(super) fn path(a: &PartialRow, b: &PartialRow) -> Ordering {
    a.text("file_path").cmp(b.text("file_path"))
}
