//! The knowledge base: documents, whole or in chunks.

use super::{
    QueryMerger,
    backend::Backend,
    methods::merged_reads,
    order,
    read_specs::ReadMethod,
    row::{PartialRow, column_texts},
};
use plugin_api::{
    error::StorageResult,
    rust_type,
    storage::{CallContext, FoundDocuments, MaybeDocument, Names},
    value::Object,
};
use surreal_storage::schema;

merged_reads! {
    top search_documents(query_embedding: [f32]) -> FoundDocuments, order::nearest;
    point get_document(file_path: str) -> MaybeDocument;
}

/// A document as a whole: a delete of it covers both columns.
fn document(path: &str) -> PartialRow {
    let columns = Object::new()
        .with("file_path", path)
        .with("source_file", path);
    PartialRow::new(schema::DOCUMENTS.name, columns)
}

impl QueryMerger {
    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn list_document_paths(&self, context: &CallContext) -> StorageResult<Names> {
        let documents = self.list(
            ReadMethod::list_document_paths,
            context,
            order::path,
            None,
            |backend, context, _| {
                let paths = backend.list_document_paths(context)?;
                Ok(paths.iter().map(|path| document(path)).collect())
            },
        )?;
        Ok(column_texts(&documents, "file_path"))
    }
}
