//! Documents of the knowledge base, whole or in chunks.
//!
//! A whole document is one row under its path. A chunked one is the rows
//! `path#chunk0`, `path#chunk1`, …, each with the path as its source file.

use super::{facts::sorted_texts, limit_or, parameters};
use crate::{
    rows::{Row, stored_embedding, with_zero_embeddings},
    schema::DOCUMENTS,
    storage::Call,
};
use abi_stable::std_types::{RString, RVec};
use plugin_api::{
    error::{StorageError, StorageResult},
    records::{Document, FoundDocument, WriteReceipt},
    storage::{FoundDocuments, MaybeDocument, Names},
    value::Object,
};

/// Removes the other rows of the document at `$path`: its chunks when it is
/// stored whole, and chunks that it no longer has.
const REMOVE_OTHER_ROWS: &str = "DELETE knowledge_base
    WHERE (file_path = $path OR source_file = $path) AND file_path NOT IN $keys.file_path;";

/// Checks that a document may be saved under this path: the names of chunks are
/// those of another document's rows, which would have two owners then.
///
/// # Errors
/// `InvalidInput` for the name of a chunk, with the path of its document.
pub fn check_document_path(path: &str) -> StorageResult<()> {
    let document = path
        .rsplit_once("#chunk")
        .filter(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
    match document {
        None => Ok(()),
        Some((document, _)) => Err(StorageError::invalid_input(format!(
            "{path:?} is the name of a chunk of the document {document:?}: save the document \
             under its own path, or choose a path that does not end in #chunk and a number"
        ))),
    }
}

fn document(row: &Row) -> StorageResult<Document> {
    Ok(Document {
        id: row.id()?,
        file_path: row.text("file_path"),
        content: row.text("content"),
        embedding: row.embedding(),
        metadata: row.object("metadata"),
        source_file: row.optional_text("source_file"),
        chunk_index: row.number("chunk_index"),
        chunk_count: row.number("chunk_count"),
        created_at: row.time("created_at"),
        updated_at: row.time("updated_at"),
    })
}

impl Call {
    pub(crate) async fn save_document(
        self,
        file_path: String,
        content: String,
        embedding: Vec<f32>,
        metadata: Object,
    ) -> StorageResult<WriteReceipt> {
        check_document_path(&file_path)?;
        let row = parameters! {
            file_path: file_path.as_str(),
            content: content,
            embedding: stored_embedding(&embedding),
            metadata: metadata,
            chunk_index: 0,
            chunk_count: 0,
        };
        let receipt = self.replace_document(&file_path, vec![row]).await?;
        Ok(with_zero_embeddings(receipt, |_| embedding.is_empty()))
    }

    pub(crate) async fn save_document_chunks(
        self,
        file_path: String,
        chunks: Vec<RString>,
        embeddings: Vec<RVec<f32>>,
        metadata: Object,
    ) -> StorageResult<WriteReceipt> {
        check_document_path(&file_path)?;
        if chunks.is_empty() || chunks.len() != embeddings.len() {
            return Err(StorageError::invalid_input(format!(
                "{} chunks with {} embeddings: give one embedding (it may be empty) for each chunk, and at least one chunk",
                chunks.len(),
                embeddings.len()
            )));
        }
        let count = i64::try_from(chunks.len()).unwrap_or(i64::MAX);
        let rows = chunks.into_iter().zip(&embeddings).zip(0_i64..);
        let rows = rows.map(|((content, embedding), index)| {
            let metadata = metadata
                .clone()
                .with("chunk_index", index)
                .with("chunk_count", count);
            parameters! {
                file_path: format!("{file_path}#chunk{index}"),
                source_file: file_path.as_str(),
                content: content,
                embedding: stored_embedding(embedding),
                metadata: metadata,
                chunk_index: index,
                chunk_count: count,
            }
        });
        let receipt = self.replace_document(&file_path, rows.collect()).await?;
        Ok(with_zero_embeddings(receipt, |at| {
            embeddings[at].is_empty()
        }))
    }

    async fn replace_document(&self, path: &str, rows: Vec<Object>) -> StorageResult<WriteReceipt> {
        self.upsert_after(
            REMOVE_OTHER_ROWS,
            parameters! { path: path },
            &DOCUMENTS,
            rows,
        )
        .await
    }

    pub(crate) async fn search_documents(
        self,
        query_embedding: Vec<f32>,
        limit: u32,
    ) -> StorageResult<FoundDocuments> {
        let limit = limit_or(limit, 10);
        let rows = self
            .nearest(
                DOCUMENTS.name,
                "true",
                Object::new(),
                &query_embedding,
                limit,
            )
            .await?;
        let found = rows.iter().map(|(row, similarity)| {
            Ok(FoundDocument {
                document: document(row)?,
                similarity: *similarity,
            })
        });
        found.collect::<StorageResult<RVec<_>>>()
    }

    pub(crate) async fn delete_document(self, file_path: String) -> StorageResult<()> {
        self.write(
            "DELETE knowledge_base WHERE file_path = $path OR source_file = $path",
            parameters! { path: file_path },
        )
        .await
        .map(drop)
    }

    pub(crate) async fn get_document(self, file_path: String) -> StorageResult<MaybeDocument> {
        let answer = self
            .ask(
                "SELECT * FROM knowledge_base WHERE file_path = $path OR source_file = $path
                 ORDER BY chunk_index ASC, file_path ASC LIMIT 1",
                parameters! { path: file_path },
            )
            .await?;
        let found = Row::first(answer).as_ref().map(document).transpose()?;
        Ok(found.into())
    }

    pub(crate) async fn list_document_paths(self) -> StorageResult<Names> {
        let answer = self
            .ask(
                "RETURN array::distinct(SELECT VALUE source_file ?: file_path FROM knowledge_base)",
                Object::new(),
            )
            .await?;
        Ok(sorted_texts(&answer))
    }
}
