//! The read methods of indexed code.

use super::{
    QueryMerger,
    backend::Backend,
    order,
    read_specs::{FIND_SYMBOLS_BY_NAME, SEARCH_CHUNKS_BY_SIMILARITY, SEARCH_SYMBOLS_BY_SIMILARITY},
};
use abi_stable::std_types::RString;
use plugin_api::{
    error::StorageResult,
    storage::{
        CallContext, Chunks, Files, FoundChunks, FoundSymbols, Jobs, MaybeFile, MaybeJob,
        MaybeProject, MaybeSymbol, Projects, Symbols,
    },
};

impl QueryMerger {
    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn get_code_project(
        &self,
        context: &CallContext,
        project_id: &str,
    ) -> StorageResult<MaybeProject> {
        let project = project_id.to_owned();
        let found = self.point(
            context,
            move |backend: &dyn Backend, context: &CallContext| {
                Ok(backend.get_code_project(context, &project)?.into_option())
            },
        )?;
        Ok(found.into())
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn list_code_projects(&self, context: &CallContext) -> StorageResult<Projects> {
        self.list(context, order::project, None, |backend, context, _| {
            backend.list_code_projects(context)
        })
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn get_code_file(
        &self,
        context: &CallContext,
        project_id: &str,
        file_path: &str,
    ) -> StorageResult<MaybeFile> {
        let (project, path) = (project_id.to_owned(), file_path.to_owned());
        let found = self.point(
            context,
            move |backend: &dyn Backend, context: &CallContext| {
                Ok(backend
                    .get_code_file(context, &project, &path)?
                    .into_option())
            },
        )?;
        Ok(found.into())
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn list_code_files(&self, context: &CallContext, project_id: &str) -> StorageResult<Files> {
        let project = project_id.to_owned();
        self.list(context, order::file, None, move |backend, context, _| {
            backend.list_code_files(context, &project)
        })
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn get_code_symbol(
        &self,
        context: &CallContext,
        project_id: &str,
        name_path: &str,
    ) -> StorageResult<MaybeSymbol> {
        let (project, path) = (project_id.to_owned(), name_path.to_owned());
        let found = self.point(
            context,
            move |backend: &dyn Backend, context: &CallContext| {
                Ok(backend
                    .get_code_symbol(context, &project, &path)?
                    .into_option())
            },
        )?;
        Ok(found.into())
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn find_symbols_by_name(
        &self,
        context: &CallContext,
        project_id: &str,
        name: &str,
        symbol_types: &[RString],
        limit: u32,
    ) -> StorageResult<Symbols> {
        let (project, name, types) = (
            project_id.to_owned(),
            name.to_owned(),
            symbol_types.to_vec(),
        );
        let limit = FIND_SYMBOLS_BY_NAME.limit_or_default(limit);
        self.list(
            context,
            order::symbol_name,
            limit,
            move |backend, context, limit| {
                backend.find_symbols_by_name(context, &project, &name, &types, limit)
            },
        )
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn find_symbols_by_file(
        &self,
        context: &CallContext,
        project_id: &str,
        file_path: &str,
    ) -> StorageResult<Symbols> {
        let (project, path) = (project_id.to_owned(), file_path.to_owned());
        self.list(
            context,
            order::symbol_line,
            None,
            move |backend, context, _| backend.find_symbols_by_file(context, &project, &path),
        )
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn find_child_symbols(
        &self,
        context: &CallContext,
        project_id: &str,
        parent_id: &str,
    ) -> StorageResult<Symbols> {
        let (project, parent) = (project_id.to_owned(), parent_id.to_owned());
        self.list(
            context,
            order::symbol_line,
            None,
            move |backend, context, _| backend.find_child_symbols(context, &project, &parent),
        )
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn search_symbols_by_similarity(
        &self,
        context: &CallContext,
        project_id: &str,
        query_embedding: &[f32],
        symbol_types: &[RString],
        limit: u32,
    ) -> StorageResult<FoundSymbols> {
        let (project, embedding) = (project_id.to_owned(), query_embedding.to_vec());
        let types = symbol_types.to_vec();
        let limit = SEARCH_SYMBOLS_BY_SIMILARITY.limit_or_default(limit);
        self.list(
            context,
            order::nearest,
            limit,
            move |backend, context, limit| {
                backend.search_symbols_by_similarity(context, &project, &embedding, &types, limit)
            },
        )
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn get_chunks_by_symbol(
        &self,
        context: &CallContext,
        symbol_id: &str,
    ) -> StorageResult<Chunks> {
        let symbol = symbol_id.to_owned();
        self.list(context, order::chunk, None, move |backend, context, _| {
            backend.get_chunks_by_symbol(context, &symbol)
        })
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn search_chunks_by_similarity(
        &self,
        context: &CallContext,
        project_id: &str,
        query_embedding: &[f32],
        limit: u32,
    ) -> StorageResult<FoundChunks> {
        let (project, embedding) = (project_id.to_owned(), query_embedding.to_vec());
        let limit = SEARCH_CHUNKS_BY_SIMILARITY.limit_or_default(limit);
        self.list(
            context,
            order::nearest,
            limit,
            move |backend, context, limit| {
                backend.search_chunks_by_similarity(context, &project, &embedding, limit)
            },
        )
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn get_indexing_job(&self, context: &CallContext, job_id: &str) -> StorageResult<MaybeJob> {
        let job = job_id.to_owned();
        let found = self.point(
            context,
            move |backend: &dyn Backend, context: &CallContext| {
                Ok(backend.get_indexing_job(context, &job)?.into_option())
            },
        )?;
        Ok(found.into())
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn list_active_indexing_jobs(&self, context: &CallContext) -> StorageResult<Jobs> {
        self.list(context, order::job, None, |backend, context, _| {
            backend.list_active_indexing_jobs(context)
        })
    }
}
