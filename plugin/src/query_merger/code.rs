//! Indexed code: projects, files, symbols, chunks and indexing jobs.

use super::{backend::Backend, methods::merged_reads, order};
use abi_stable::std_types::RString;
use plugin_api::{
    error::StorageResult,
    rust_type,
    storage::{
        CallContext, Chunks, Files, FoundChunks, FoundSymbols, Jobs, MaybeFile, MaybeJob,
        MaybeProject, MaybeSymbol, Projects, Symbols,
    },
};

merged_reads! {
    point get_code_project(project_id: str) -> MaybeProject;
    list list_code_projects() -> Projects, order::project;
    point get_code_file(project_id: str, file_path: str) -> MaybeFile;
    list list_code_files(project_id: str) -> Files, order::file;
    point get_code_symbol(project_id: str, name_path: str) -> MaybeSymbol;
    top find_symbols_by_name(project_id: str, name: str, symbol_types: [RString]) -> Symbols, order::symbol_name;
    list find_symbols_by_file(project_id: str, file_path: str) -> Symbols, order::symbol_line;
    list find_child_symbols(project_id: str, parent_id: str) -> Symbols, order::symbol_line;
    top search_symbols_by_similarity(project_id: str, query_embedding: [f32], symbol_types: [RString]) -> FoundSymbols, order::nearest;
    list get_chunks_by_symbol(symbol_id: str) -> Chunks, order::chunk;
    top search_chunks_by_similarity(project_id: str, query_embedding: [f32]) -> FoundChunks, order::nearest;
    point get_indexing_job(job_id: str) -> MaybeJob;
    list list_active_indexing_jobs() -> Jobs, order::job;
}
