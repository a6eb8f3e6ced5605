//! Indexed code: projects, files, symbols, chunks, and the jobs that index.

use crate::{
    ffi::{List, Maybe, Text},
    value::{Object, RecordId, Timestamp},
};
use abi_stable::StableAbi;
use serde::{Deserialize, Serialize};

/// A record with the columns that the database adds.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stored<T> {
    /// The row's id.
    pub id: RecordId,
    /// When the row was created; none where the table does not keep it.
    pub created_at: Maybe<Timestamp>,
    /// When it was last written; none where the table does not keep it.
    pub updated_at: Maybe<Timestamp>,
    /// The record.
    pub record: T,
}

/// A record found by similarity.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored<T> {
    /// What was found.
    pub found: T,
    /// Cosine similarity to the query, -1 to 1.
    pub similarity: f64,
}

/// A code base that is indexed. Its key is `project_id`.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CodeProject {
    /// The id that files, symbols, chunks and jobs refer to.
    pub project_id: Text,
    /// Its name for people.
    pub name: Text,
    /// Its root directory.
    pub root_path: Text,
    /// The number of files by language: `rust` to 7.
    pub language_stats: Object,
    /// When its indexing last finished.
    pub last_indexed_at: Maybe<Timestamp>,
    /// `pending`, `in_progress`, `completed` or `failed`.
    pub indexing_status: Text,
    /// Whether its directory is watched for changes.
    pub watcher_enabled: bool,
}

/// A file of a project. Its key is `(project_id, file_path)`.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CodeFile {
    /// The project.
    pub project_id: Text,
    /// The path relative to the project's root.
    pub file_path: Text,
    /// `rust`, `go`, `python`, …
    pub language: Text,
    /// A hash of the content, to detect changes.
    pub file_hash: Text,
    /// The number of symbols in it.
    pub symbols_count: u32,
    /// When it was indexed; none means now.
    pub indexed_at: Maybe<Timestamp>,
}

/// A function, type, method, … Its key is `(project_id, name_path)`.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CodeSymbol {
    /// The project.
    pub project_id: Text,
    /// The file that it is in.
    pub file_path: Text,
    /// `rust`, `go`, `python`, …
    pub language: Text,
    /// `function`, `class`, `method`, …
    pub symbol_type: Text,
    /// Its own name.
    pub name: Text,
    /// Its name, qualified by those of the enclosing symbols: `Server/handle`.
    pub name_path: Text,
    /// First line, from 1.
    pub start_line: u32,
    /// Last line.
    pub end_line: u32,
    /// First byte in the file.
    pub start_byte: u32,
    /// The byte after the last.
    pub end_byte: u32,
    /// The source text.
    pub source_code: Maybe<Text>,
    /// Its declaration.
    pub signature: Maybe<Text>,
    /// Its documentation.
    pub doc_string: Maybe<Text>,
    /// 768 floats, or empty for none.
    pub embedding: List<f32>,
    /// The id of the enclosing symbol.
    pub parent_id: Maybe<Text>,
    /// Free-form data of the indexer.
    pub metadata: Maybe<Object>,
}

/// A piece of a large symbol. Its key is `(symbol_id, chunk_index)`.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CodeChunk {
    /// The symbol.
    pub symbol_id: Text,
    /// The project.
    pub project_id: Text,
    /// The file that it is in.
    pub file_path: Text,
    /// Its position, from 0.
    pub chunk_index: u32,
    /// The number of chunks that the symbol has.
    pub chunk_count: u32,
    /// The text.
    pub content: Text,
    /// First byte within the symbol.
    pub start_offset: u32,
    /// The byte after the last.
    pub end_offset: u32,
    /// 768 floats, or empty for none.
    pub embedding: List<f32>,
    /// The symbol's name.
    pub symbol_name: Text,
    /// The symbol's type.
    pub symbol_type: Text,
    /// `rust`, `go`, `python`, …
    pub language: Text,
}

/// One run of the indexer.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IndexingJob {
    /// The project.
    pub project_id: Text,
    /// The directory that is indexed.
    pub project_path: Text,
    /// `pending`, `in_progress`, `completed` or `failed`.
    pub status: Text,
    /// Its progress, 0 to 1.
    pub progress: f64,
    /// The number of files in all.
    pub files_total: u32,
    /// The number of files done.
    pub files_indexed: u32,
    /// When it started; none means now.
    pub started_at: Maybe<Timestamp>,
    /// When it ended.
    pub completed_at: Maybe<Timestamp>,
    /// Why it failed.
    pub error: Maybe<Text>,
}
