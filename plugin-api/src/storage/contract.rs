//! The list of all storage methods, and the traits made from it.

use super::{
    CallContext, Chunks, Events, Files, FoundChunks, FoundDocuments, FoundEvents, FoundSymbols,
    FoundVectors, GraphResults, Ids, Jobs, MaybeDocument, MaybeEntity, MaybeFile, MaybeJob,
    MaybeProject, MaybeSymbol, MaybeValue, Names, Projects, Symbols, Unit, UserCounts,
};
use crate::{
    error::StorageResult,
    ffi::{List, Text},
    records::{
        CodeChunk, CodeFile, CodeProject, CodeSymbol, EventSearch, HybridResult, IndexingJob,
        MemoryStats, ProjectStats, WriteReceipt,
    },
    value::{Object, Value},
};

/// Calls the macro `$callback` with the list of all storage methods.
///
/// The list is made of
/// `trait Name via StableName { #[doc = …] [kind "table"] fn method(argument: type, …) -> answer; … }`
/// where `kind` is `admin`, `write`, `read` or `delete`. Whatever needs the same
/// code for each method is a callback of this macro.
///
/// # Adding a method
///
/// Append it to its trait, with the version of this crate that it comes with:
///
/// ```ignore
/// /// How many facts a user has.
/// #[since = "0.2.2"]
/// [read "kv_memories"] fn count_facts(user_id: str) -> Value;
/// ```
///
/// A side that was built before answers `Unsupported`. The order of the list is
/// the layout: nothing may be inserted, moved, removed or changed.
#[macro_export]
macro_rules! storage_methods {
    ($callback:path) => { $callback! {
        /// The three memories: facts, vectors and the graph; with documents and events.
        trait Storage via StableStorage {
            /// Opens the connection to the database. Does nothing if it is open.
            [admin ""] fn connect() -> Unit;
            /// Closes the connection. Later calls fail with kind `Closed`.
            [admin ""] fn close() -> Unit;
            /// Checks that the database answers.
            [admin ""] fn ping() -> Unit;
            /// Creates missing tables, fields and indexes, and corrects fields
            /// that would overwrite timestamps. Idempotent; existing rows stay
            /// as they are.
            [admin ""] fn initialize_schema() -> Unit;
            /// Runs SurrealQL with bound parameters. The answer is an array
            /// with one result for each statement.
            [admin ""] fn query(sql: str, parameters: Object) -> Value;

            /// Stores a fact under `(user_id, key)`, replacing an existing one.
            [write "kv_memories"] fn save_fact(user_id: str, key: str, value: Value) -> WriteReceipt;
            /// The fact's value, if there is one.
            [read "kv_memories"] fn get_fact(user_id: str, key: str) -> MaybeValue;
            /// Replaces a fact that exists; `NotFound` if there is none.
            [write "kv_memories"] fn update_fact(user_id: str, key: str, value: Value) -> WriteReceipt;
            /// Deletes a fact; no error if there is none.
            [delete "kv_memories"] fn delete_fact(user_id: str, key: str) -> Unit;
            /// All facts of a user, key to value.
            [read "kv_memories"] fn list_facts(user_id: str) -> Object;
            /// The keys of all facts of a user, sorted.
            [read "kv_memories"] fn list_fact_keys(user_id: str) -> Names;
            /// The users that have rows in a table, sorted.
            [read "*"] fn list_user_ids(table: str) -> Names;

            /// Stores a text with its embedding (768 floats) as a new vector memory.
            [write "vector_memories"] fn index_vector(user_id: str, content: str, embedding: [f32], metadata: Object) -> WriteReceipt;
            /// The `limit` memories of a user that are nearest to the embedding
            /// (cosine), the nearest first; `limit` 0 means 10.
            [read "vector_memories"] fn search_similar(user_id: str, query_embedding: [f32], limit: u32) -> FoundVectors;
            /// Replaces a vector memory of this user; `NotFound` if there is none.
            [write "vector_memories"] fn update_vector(id: str, user_id: str, content: str, embedding: [f32], metadata: Object) -> WriteReceipt;
            /// Deletes a vector memory of this user; no error if there is none.
            [delete "vector_memories"] fn delete_vector(id: str, user_id: str) -> Unit;

            /// Adds an entity to the graph. Names need not be unique.
            [write "entities"] fn create_entity(entity_type: str, name: str, properties: Object) -> WriteReceipt;
            /// Adds an edge between two entities, each named by id or by name.
            /// The type is an identifier and names the edge's table. `NotFound`
            /// if an end does not exist.
            [write "*"] fn create_relationship(from: str, to: str, relationship_type: str, properties: Object) -> WriteReceipt;
            /// Walks the graph from an entity (id or name), breadth-first and in
            /// the direction of the edges, up to `depth` steps over edges of one
            /// type, or of any if the type is empty. Each entity appears
            /// once, by its shortest path, the start first with depth 0. The result
            /// is empty if there is no such start.
            [read "*"] fn traverse_graph(start: str, relationship_type: str, depth: u32) -> GraphResults;
            /// An entity by id, or else by name: of several with that name the
            /// one with the smallest id.
            [read "entities"] fn get_entity(id_or_name: str) -> MaybeEntity;
            /// Deletes an entity with all edges from and to it.
            [delete "entities"] fn delete_entity(id: str) -> Unit;
            /// The ids of all entities, sorted.
            [read "entities"] fn list_entity_ids() -> Ids;

            /// Stores a document under its path, replacing an existing one.
            [write "knowledge_base"] fn save_document(file_path: str, content: str, embedding: [f32], metadata: Object) -> WriteReceipt;
            /// Stores a document in chunks: replaces all rows of that path by
            /// rows `path#chunkN` with chunk_index, chunk_count and source_file.
            /// As many embeddings as chunks.
            [write "knowledge_base"] fn save_document_chunks(file_path: str, chunks: [Text], embeddings: [List<f32>], metadata: Object) -> WriteReceipt;
            /// The `limit` documents and chunks nearest to the embedding
            /// (cosine), the nearest first; `limit` 0 means 10.
            [read "knowledge_base"] fn search_documents(query_embedding: [f32], limit: u32) -> FoundDocuments;
            /// Deletes a document with its chunks.
            [delete "knowledge_base"] fn delete_document(file_path: str) -> Unit;
            /// A document by path; of a chunked document its first chunk.
            [read "knowledge_base"] fn get_document(file_path: str) -> MaybeDocument;
            /// The paths of all documents, each once, sorted.
            [read "knowledge_base"] fn list_document_paths() -> Names;

            /// The nearest vectors, the neighbourhood (two steps) of the given
            /// entities, and the facts of a user, in one answer.
            [read "*"] fn hybrid_search(user_id: str, query_embedding: [f32], entities: [Text], limit: u32) -> HybridResult;

            /// Stores an event; the receipt has its id and created_at.
            [write "events"] fn save_event(user_id: str, subject: str, content: str, embedding: [f32], metadata: Object) -> WriteReceipt;
            /// Finds events of a user by text (BM25), by embedding (cosine), by
            /// both (half and half), or, with neither, the newest first.
            [read "events"] fn search_events(search: EventSearch) -> FoundEvents;
            /// Deletes an event of this user; no error if there is none.
            [delete "events"] fn delete_event(id: str, user_id: str) -> Unit;
            /// The events of a user under a subject, the oldest first; `limit` 0 means 100.
            [read "events"] fn get_events_by_subject(user_id: str, subject: str, limit: u32) -> Events;
        }

        /// Counts across the tables.
        trait StatsProvider via StableStatsProvider {
            /// How much is stored for a user; for all if the id is empty or `global`.
            [read "*"] fn get_stats(user_id: str) -> MemoryStats;
            /// How many rows of a table each user has, sorted by user.
            [read "*"] fn count_by_user_id(table: str) -> UserCounts;
        }

        /// Indexed code: projects, files, symbols, chunks, jobs.
        trait CodeStorage via StableCodeStorage {
            /// Stores a project, replacing one with the same project_id. The
            /// `watcher_enabled` of an existing one stays as it is, and its
            /// `last_indexed_at` unless one is given.
            [write "code_projects"] fn create_code_project(project: CodeProject) -> WriteReceipt;
            /// A project, if there is one.
            [read "code_projects"] fn get_code_project(project_id: str) -> MaybeProject;
            /// All projects, sorted by name, then by project_id.
            [read "code_projects"] fn list_code_projects() -> Projects;
            /// Deletes a project with its files, symbols, chunks and jobs.
            [delete "code_projects"] fn delete_code_project(project_id: str) -> Unit;
            /// Sets a project's indexing_status; `completed` also sets
            /// last_indexed_at. `NotFound` if there is no such project.
            [write "code_projects"] fn update_project_status(project_id: str, status: str) -> WriteReceipt;
            /// Sets whether a project is watched; `NotFound` if there is no such project.
            [write "code_projects"] fn update_project_watcher(project_id: str, enabled: bool) -> WriteReceipt;
            /// What is indexed of a project, counted; zeros for an unknown one.
            [read "*"] fn get_code_project_stats(project_id: str) -> ProjectStats;

            /// Stores a file, replacing one with the same project and path.
            [write "code_files"] fn save_code_file(file: CodeFile) -> WriteReceipt;
            /// A file, if there is one.
            [read "code_files"] fn get_code_file(project_id: str, file_path: str) -> MaybeFile;
            /// The files of a project, sorted by path.
            [read "code_files"] fn list_code_files(project_id: str) -> Files;
            /// Deletes a file with its symbols and chunks; no error if there is none.
            [delete "code_files"] fn delete_code_file(project_id: str, file_path: str) -> Unit;

            /// Stores a symbol, replacing one with the same project and name_path. What
            /// is not given (source_code, signature, doc_string, embedding, parent_id,
            /// metadata) stays as it is.
            [write "code_symbols"] fn save_code_symbol(symbol: CodeSymbol) -> WriteReceipt;
            /// Stores several symbols, all or none.
            [write "code_symbols"] fn save_code_symbols(symbols: [CodeSymbol]) -> WriteReceipt;
            /// A symbol, if there is one.
            [read "code_symbols"] fn get_code_symbol(project_id: str, name_path: str) -> MaybeSymbol;
            /// Symbols whose name contains `name`, of the given types (any if
            /// there are none), sorted by name_path; `limit` 0 means 50.
            [read "code_symbols"] fn find_symbols_by_name(project_id: str, name: str, symbol_types: [Text], limit: u32) -> Symbols;
            /// The symbols of a file, sorted by line, then by name_path.
            [read "code_symbols"] fn find_symbols_by_file(project_id: str, file_path: str) -> Symbols;
            /// The symbols inside another, sorted by line, then by name_path.
            [read "code_symbols"] fn find_child_symbols(project_id: str, parent_id: str) -> Symbols;
            /// The `limit` symbols nearest to the embedding (cosine) of the given
            /// types (any if there are none), the nearest first; `limit` 0 means 10.
            [read "code_symbols"] fn search_symbols_by_similarity(project_id: str, query_embedding: [f32], symbol_types: [Text], limit: u32) -> FoundSymbols;
            /// Deletes the symbols of a file.
            [delete "code_symbols"] fn delete_symbols_by_file(project_id: str, file_path: str) -> Unit;

            /// Stores a chunk, replacing one with the same symbol and index.
            [write "code_chunks"] fn save_code_chunk(chunk: CodeChunk) -> WriteReceipt;
            /// Stores several chunks, all or none.
            [write "code_chunks"] fn save_code_chunks(chunks: [CodeChunk]) -> WriteReceipt;
            /// The chunks of a symbol, in order.
            [read "code_chunks"] fn get_chunks_by_symbol(symbol_id: str) -> Chunks;
            /// The `limit` chunks of a project nearest to the embedding
            /// (cosine), the nearest first; `limit` 0 means 10.
            [read "code_chunks"] fn search_chunks_by_similarity(project_id: str, query_embedding: [f32], limit: u32) -> FoundChunks;
            /// Deletes the chunks of a symbol.
            [delete "code_chunks"] fn delete_chunks_by_symbol(symbol_id: str) -> Unit;
            /// Deletes the chunks of a file.
            [delete "code_chunks"] fn delete_chunks_by_file(project_id: str, file_path: str) -> Unit;

            /// Starts a job; the receipt has its id.
            [write "code_indexing_jobs"] fn create_indexing_job(job: IndexingJob) -> WriteReceipt;
            /// Updates a job: status, progress 0 to 1, files indexed, and the
            /// error (empty for none). `completed` and `failed` also set
            /// completed_at. `NotFound` if there is no such job.
            [write "code_indexing_jobs"] fn update_indexing_job(job_id: str, status: str, progress: f64, files_indexed: u32, error: str) -> WriteReceipt;
            /// A job, if there is one.
            [read "code_indexing_jobs"] fn get_indexing_job(job_id: str) -> MaybeJob;
            /// The jobs that are pending or in progress, the newest first.
            [read "code_indexing_jobs"] fn list_active_indexing_jobs() -> Jobs;
        }
    } };
}

/// A method of a Rust trait: required if it came with the first version, else
/// with a default, so that an implementation of before still compiles.
macro_rules! trait_method {
    ($(#[$attribute:meta])* fn $method:ident $parameters:tt -> $answer:ty;) => {
        $(#[$attribute])*
        fn $method $parameters -> $answer;
    };
    ($(#[$attribute:meta])* fn $method:ident $parameters:tt -> $answer:ty; $since:literal) => {
        $(#[$attribute])*
        ///
        #[doc = concat!("Since ", $since, "; without an implementation, `Unsupported`.")]
        #[allow(unused_variables, reason = "the default does not use the arguments")]
        fn $method $parameters -> $answer {
            Err($crate::error::StorageError::unsupported(concat!(
                stringify!($method), " is not implemented by this storage; plugin-api has it since ",
                $since,
            )))
        }
    };
}

/// The traits that an implementation implements.
macro_rules! rust_traits {
    ($(
        $(#[$about:meta])*
        trait $name:ident via $stable:ident {
            $(
                $(#[doc = $doc:literal])*
                $(#[since = $since:literal])?
                [$kind:ident $table:literal]
                fn $method:ident($($argument:ident: $type:tt),*) -> $answer:ident;
            )*
        }
    )*) => {
        $(
            $(#[$about])*
            ///
            /// Every method fails with the kinds of
            /// [`ErrorKind`](crate::error::ErrorKind): `InvalidInput` for an
            /// argument that is wrong, `Timeout` past the context's deadline,
            /// `Connection` for a database that cannot be reached, `Closed`
            /// after `close`, and what its own text says.
            pub trait $name: Send + Sync {
                $(
                    trait_method! {
                        $(#[doc = $doc])*
                        ///
                        #[doc = concat!("Table: `", $table, "`; ", stringify!($kind), ".")]
                        #[allow(clippy::missing_errors_doc, reason = "said once, at the trait")]
                        fn $method(
                            &self,
                            context: &CallContext,
                            $($argument: rust_type!($type)),*
                        ) -> StorageResult<$answer>;
                        $($since)?
                    }
                )*
            }
        )*
    };
}

storage_methods!(rust_traits);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    trait Grown {
        trait_method! {
            /// A method of a later version.
            fn count_facts(&self, user_id: &str) -> StorageResult<Unit>;
            "0.2.1"
        }
    }

    /// An implementation from before that version.
    struct Before;

    impl Grown for Before {}

    #[test]
    fn an_implementation_from_before_a_method_answers_unsupported() {
        let error = Before.count_facts("ada").map_err(|error| {
            assert_eq!(error.kind, ErrorKind::UNSUPPORTED);
            error.to_string()
        });
        assert_eq!(
            error,
            Err(
                "count_facts is not implemented by this storage; plugin-api has it since 0.2.1 \
                 (Unsupported)"
                    .to_owned()
            )
        );
    }
}
