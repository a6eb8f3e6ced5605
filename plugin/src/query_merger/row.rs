//! What a merge needs to know of a row: its table, its key, its columns.

use crate::dedup::Key;
use plugin_api::{
    records::{
        CodeChunk, CodeFile, CodeProject, CodeSymbol, Document, Entity, Event, FoundDocument,
        FoundEvent, FoundVector, IndexingJob, Scored, Stored,
    },
    storage::Names,
    value::{Object, RecordId, Value},
};
use std::borrow::Cow;
use surreal_storage::schema::{self, Table};

/// A row as a read returns it, whole or in part.
pub(super) trait MergeableRow: Clone + Send + 'static {
    /// Its table.
    fn table(&self) -> &str;

    /// Its record id, if the read returns it.
    fn id(&self) -> Option<&RecordId>;

    /// The columns that identify it: its key and what deletes of several rows
    /// select by.
    fn columns(&self) -> Cow<'_, Object>;
}

/// The keys by which a row is found in another database.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// Its key.
    pub(super) key: Key,
    /// The key of its group: the document of a chunk. A database that has any
    /// row of the group has all of it. A row without a group is its own.
    pub(super) group_key: Key,
    /// Its record id as a key, where that is not its key already.
    pub(super) record_id: Option<Key>,
}

impl Identity {
    pub(super) fn of(row: &impl MergeableRow, columns: &Object) -> Self {
        let table = row.table();
        let id = row.id();
        let key = match id {
            Some(id) => Key::of_row(table, id, columns),
            None => Key::of_columns(table, columns),
        };
        let group = Table::of(table).group_of(columns);
        let group_key = match group {
            Some(group) if group.as_str().is_some_and(|text| !text.is_empty()) => {
                Key::new(table, [group])
            }
            _ => key.clone(),
        };
        Self {
            record_id: id.map(Key::of_id).filter(|id| *id != key),
            group_key,
            key,
        }
    }

    /// The keys to look up in another database: if it has one of them, it
    /// has the row.
    pub(super) fn lookup_keys(&self) -> impl Iterator<Item = &Key> {
        [&self.group_key].into_iter().chain(&self.record_id)
    }
}

/// `TABLE: Type { column: row => expression, … }`, with the record id in `.id`.
macro_rules! rows {
    ($($table:ident: $type:ty { $($column:literal: $row:ident => $value:expr),* $(,)? })*) => {
        $(
            impl MergeableRow for $type {
                fn table(&self) -> &str {
                    schema::$table.name
                }

                fn id(&self) -> Option<&RecordId> {
                    Some(&self.id)
                }

                fn columns(&self) -> Cow<'_, Object> {
                    Cow::Owned(
                        Object::new()
                            $(.with($column, { let $row = self; Value::from($value.clone()) }))*
                    )
                }
            }
        )*
    };
}

rows! {
    VECTORS: FoundVector {}
    ENTITIES: Entity {}
    DOCUMENTS: Document {
        "file_path": row => row.file_path,
        "source_file": row => row.source_file.clone().into_option(),
    }
    EVENTS: Event {}
    PROJECTS: Stored<CodeProject> { "project_id": row => row.record.project_id }
    FILES: Stored<CodeFile> {
        "project_id": row => row.record.project_id,
        "file_path": row => row.record.file_path,
    }
    SYMBOLS: Stored<CodeSymbol> {
        "project_id": row => row.record.project_id,
        "name_path": row => row.record.name_path,
        "file_path": row => row.record.file_path,
    }
    CHUNKS: Stored<CodeChunk> {
        "symbol_id": row => row.record.symbol_id,
        "chunk_index": row => row.record.chunk_index,
        "project_id": row => row.record.project_id,
        "file_path": row => row.record.file_path,
    }
    JOBS: Stored<IndexingJob> { "project_id": row => row.record.project_id }
}

/// A search's result is the row inside it.
macro_rules! search_results {
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

search_results!(
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

/// A row with some of its columns.
#[derive(Clone, Debug)]
pub(super) struct PartialRow {
    pub(super) table: String,
    pub(super) id: Option<RecordId>,
    pub(super) columns: Object,
}

impl PartialRow {
    /// A row without its record id.
    pub(super) fn new(table: &str, columns: Object) -> Self {
        Self {
            table: table.to_owned(),
            id: None,
            columns,
        }
    }

    /// A row as a query returns it, with its record id as the column `id`.
    pub(super) fn of_query(table: &str, row: &Value) -> Option<Self> {
        let columns = row.as_object()?.clone();
        Some(Self {
            table: table.to_owned(),
            id: columns.get("id").and_then(Value::as_record_id).cloned(),
            columns,
        })
    }

    /// The text in a column; empty if it holds none.
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

/// One column of the rows, for a method that returns names.
pub(super) fn column_texts(rows: &[PartialRow], column: &str) -> Names {
    rows.iter().map(|row| row.text(column).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi_stable::std_types::ROption;

    fn stored<T: Default>(record: T) -> Stored<T> {
        Stored {
            id: RecordId::new("any", "row"),
            created_at: ROption::RNone,
            updated_at: ROption::RNone,
            record,
        }
    }

    #[test]
    fn a_row_of_indexed_code_has_the_columns_that_identify_it() {
        fn check(row: &impl MergeableRow) {
            let columns = row.columns();
            let mut names: Vec<&str> = columns.keys().collect();
            let mut expected = Table::of(row.table()).identity.to_vec();
            names.sort_unstable();
            expected.sort_unstable();
            assert_eq!(names, expected, "{}", row.table());
        }
        check(&stored(CodeProject::default()));
        check(&stored(CodeFile::default()));
        check(&stored(CodeSymbol::default()));
        check(&stored(CodeChunk::default()));
        check(&stored(IndexingJob::default()));
    }
}
