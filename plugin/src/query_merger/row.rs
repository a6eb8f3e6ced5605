//! What a merge needs to know of a row: which one it is.

use crate::dedup::Key;
use plugin_api::{
    records::{
        CodeChunk, CodeFile, CodeProject, CodeSymbol, Document, Entity, Event, FoundDocument,
        FoundEvent, FoundVector, IndexingJob, Scored, Stored,
    },
    value::{Object, RecordId, Value},
};
use std::borrow::Cow;

/// A row as a read returns it, whole or in part.
pub(super) trait MergeableRow: Clone + Send + 'static {
    /// Its table.
    fn table(&self) -> &str;

    /// Its record id, where the read tells it.
    fn id(&self) -> Option<&RecordId>;

    /// The columns that are its key and those that a wide delete goes by.
    fn columns(&self) -> Cow<'_, Object>;
}

/// The names by which a row is known.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// Its key columns.
    pub(super) key: Key,
    /// What the sides agree or disagree on as a whole: the row, or, of a
    /// document in chunks, the document. Whoever has it decides about it.
    pub(super) unit: Key,
    /// Its record id, where that is not the key already.
    pub(super) id: Option<Key>,
}

const DOCUMENTS: &str = "knowledge_base";

impl Identity {
    pub(super) fn of(row: &impl MergeableRow, columns: &Object) -> Self {
        let table = row.table();
        let id = row.id();
        let key = match id {
            Some(id) => Key::of_row(table, id, columns),
            None => Key::of_columns(table, columns),
        };
        let unit = match columns.get("source_file").and_then(Value::as_str) {
            Some(document) if table == DOCUMENTS && !document.is_empty() => {
                Key::new(DOCUMENTS, [&Value::from(document)])
            }
            _ => key.clone(),
        };
        Self {
            id: id.map(Key::of_id).filter(|id| *id != key),
            unit,
            key,
        }
    }

    /// What another side is asked for.
    pub(super) fn lookup_keys(&self) -> impl Iterator<Item = &Key> {
        [&self.unit].into_iter().chain(&self.id)
    }
}

/// `table: Type { column: expression, … }` with the row's id in `.id`.
macro_rules! rows {
    ($($table:literal: $type:ty { $($column:literal: $this:ident => $value:expr),* $(,)? })*) => {
        $(
            impl MergeableRow for $type {
                fn table(&self) -> &str {
                    $table
                }

                fn id(&self) -> Option<&RecordId> {
                    Some(&self.id)
                }

                fn columns(&self) -> Cow<'_, Object> {
                    Cow::Owned(
                        Object::new()
                            $(.with($column, { let $this = self; Value::from($value.clone()) }))*
                    )
                }
            }
        )*
    };
}

rows! {
    "vector_memories": FoundVector {}
    "entities": Entity {}
    "knowledge_base": Document {
        "file_path": row => row.file_path,
        "source_file": row => row.source_file.clone().into_option(),
    }
    "events": Event {}
    "code_projects": Stored<CodeProject> { "project_id": row => row.record.project_id }
    "code_files": Stored<CodeFile> {
        "project_id": row => row.record.project_id,
        "file_path": row => row.record.file_path,
    }
    "code_symbols": Stored<CodeSymbol> {
        "project_id": row => row.record.project_id,
        "name_path": row => row.record.name_path,
        "file_path": row => row.record.file_path,
    }
    "code_chunks": Stored<CodeChunk> {
        "symbol_id": row => row.record.symbol_id,
        "chunk_index": row => row.record.chunk_index,
        "project_id": row => row.record.project_id,
        "file_path": row => row.record.file_path,
    }
    "code_indexing_jobs": Stored<IndexingJob> { "project_id": row => row.record.project_id }
}

/// A row found by a search is the row inside.
macro_rules! found_rows {
    ($($field:ident of $type:ty),*) => {
        $(
            impl MergeableRow for $type {
                fn table(&self) -> &str {
                    self.$field.table()
                }

                fn id(&self) -> Option<&RecordId> {
                    self.$field.id()
                }

                fn columns(&self) -> Cow<'_, Object> {
                    self.$field.columns()
                }
            }
        )*
    };
}

found_rows!(
    document of FoundDocument,
    event of FoundEvent,
    found of Scored<Stored<CodeSymbol>>,
    found of Scored<Stored<CodeChunk>>
);

impl MergeableRow for RecordId {
    fn table(&self) -> &str {
        &self.table
    }

    fn id(&self) -> Option<&RecordId> {
        Some(self)
    }

    fn columns(&self) -> Cow<'_, Object> {
        Cow::Owned(Object::new())
    }
}

/// A row of which only some columns were asked for.
#[derive(Clone, Debug)]
pub(super) struct PartialRow {
    pub(super) table: String,
    pub(super) id: Option<RecordId>,
    pub(super) columns: Object,
}

impl PartialRow {
    /// A row known by its columns alone.
    pub(super) fn new(table: &str, columns: Object) -> Self {
        Self {
            table: table.to_owned(),
            id: None,
            columns,
        }
    }

    /// A row as a query returned it, with its `id` among the columns.
    pub(super) fn of_query(table: &str, row: &Value) -> Option<Self> {
        let columns = row.as_object()?.clone();
        Some(Self {
            table: table.to_owned(),
            id: columns.get("id").and_then(Value::as_record_id).cloned(),
            columns,
        })
    }

    /// The text in a column; empty if there is none.
    pub(super) fn text(&self, column: &str) -> &str {
        self.columns
            .get(column)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

impl MergeableRow for PartialRow {
    fn table(&self) -> &str {
        &self.table
    }

    fn id(&self) -> Option<&RecordId> {
        self.id.as_ref()
    }

    fn columns(&self) -> Cow<'_, Object> {
        Cow::Borrowed(&self.columns)
    }
}
