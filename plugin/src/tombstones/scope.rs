//! [`Scope`]: the rows that a delete of several rows covers.

use crate::dedup::Key;
use plugin_api::value::{Object, RecordId, Value};
use std::collections::{HashMap, HashSet};
use surreal_storage::schema::{CHUNKS, DOCUMENTS, PROJECT_PARTS, RELATIONSHIPS, SYMBOLS};

/// All rows of a table whose columns have given values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope(Key);

impl Scope {
    /// The rows of `table` that have these values in these columns. A row
    /// without one of the columns is outside.
    pub fn new(table: &str, conditions: &[(&str, Value)]) -> Self {
        let mut sorted: Vec<_> = conditions.iter().collect();
        sorted.sort_by_key(|(column, _)| *column);
        let parts: Vec<Value> = sorted
            .into_iter()
            .flat_map(|(column, value)| [Value::from(*column), value.clone()])
            .collect();
        Self(Key::new(table, &parts))
    }

    /// The files, symbols, chunks and jobs of a code project.
    pub fn of_project(project_id: &str) -> Vec<Self> {
        PROJECT_PARTS
            .map(|table| Self::new(table.name, &[("project_id", project_id.into())]))
            .into()
    }

    /// The symbols of a file.
    pub fn symbols_of_file(project_id: &str, file_path: &str) -> Self {
        Self::in_file(SYMBOLS.name, project_id, file_path)
    }

    /// The chunks of a file's symbols.
    pub fn chunks_of_file(project_id: &str, file_path: &str) -> Self {
        Self::in_file(CHUNKS.name, project_id, file_path)
    }

    /// The symbols and chunks of a file.
    pub fn of_file(project_id: &str, file_path: &str) -> Vec<Self> {
        vec![
            Self::symbols_of_file(project_id, file_path),
            Self::chunks_of_file(project_id, file_path),
        ]
    }

    fn in_file(table: &str, project_id: &str, file_path: &str) -> Self {
        let conditions = [
            ("project_id", project_id.into()),
            ("file_path", file_path.into()),
        ];
        Self::new(table, &conditions)
    }

    /// The chunks of a symbol.
    pub fn chunks_of_symbol(symbol_id: &str) -> Self {
        Self::new(CHUNKS.name, &[("symbol_id", symbol_id.into())])
    }

    /// A document, whole or in chunks.
    pub fn of_document(file_path: &str) -> Vec<Self> {
        let columns = DOCUMENTS.group_by.iter();
        columns
            .map(|column| Self::new(DOCUMENTS.name, &[(column, file_path.into())]))
            .collect()
    }

    /// The edges from and to an entity, in every relationship table.
    pub fn edges_of(entity: &RecordId) -> Vec<Self> {
        let end = Value::from(entity.to_string());
        let columns = RELATIONSHIPS.identity.iter();
        columns
            .map(|column| Self::new(RELATIONSHIPS.name, &[(column, end.clone())]))
            .collect()
    }

    pub(super) fn from_key(key: Key) -> Self {
        Self(key)
    }

    pub(super) fn key(&self) -> &Key {
        &self.0
    }

    /// The table and the names of the columns.
    fn shape(&self) -> (String, Vec<String>) {
        let (table, parts) = self.0.parts();
        let columns = parts
            .iter()
            .step_by(2)
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect();
        (table, columns)
    }
}

/// All scopes, each with the sequence number of its last mark.
///
/// A row is looked up by building the scopes that would cover it, one for each
/// combination of columns in use: the cost does not grow with their number.
#[derive(Default)]
pub(super) struct Scopes {
    /// By table: the combinations of columns in use.
    shapes: HashMap<String, HashSet<Vec<String>>>,
    marks: HashMap<Scope, u64>,
    last_sequence: u64,
}

impl Scopes {
    /// The highest sequence number given out.
    pub(super) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Scope, u64)> {
        self.marks
            .iter()
            .map(|(scope, sequence)| (scope, *sequence))
    }

    /// The sequence number of the last mark of this very scope.
    pub(super) fn sequence_of(&self, scope: &Scope) -> Option<u64> {
        self.marks.get(scope).copied()
    }

    /// Removes a scope; its sequence number is not given out again.
    pub(super) fn remove(&mut self, scope: &Scope) {
        self.marks.remove(scope);
    }

    pub(super) fn insert(&mut self, scope: Scope, sequence: u64) {
        let (table, columns) = scope.shape();
        self.shapes.entry(table).or_default().insert(columns);
        self.marks.insert(scope, sequence);
        self.last_sequence = self.last_sequence.max(sequence);
    }

    /// The sequence numbers of the scopes that cover this row.
    pub(super) fn covering<'a>(
        &'a self,
        table: &'a str,
        row: &'a Object,
    ) -> impl Iterator<Item = u64> + 'a {
        [table, RELATIONSHIPS.name]
            .into_iter()
            .filter_map(|table| Some((table, self.shapes.get(table)?)))
            .flat_map(|(table, shapes)| shapes.iter().map(move |shape| (table, shape)))
            .filter_map(|(table, shape)| {
                let conditions: Option<Vec<_>> = shape
                    .iter()
                    .map(|column| Some((column.as_str(), row.get(column)?.clone())))
                    .collect();
                self.marks.get(&Scope::new(table, &conditions?)).copied()
            })
    }
}
