//! Chunks of large symbols.

use super::{all_stored, stored};
use crate::{
    methods::{limit_or, parameters},
    rows::{Row, optional_embedding},
    schema::CHUNKS,
    storage::Call,
};
use abi_stable::std_types::RVec;
use plugin_api::{
    error::StorageResult,
    records::{CodeChunk, Scored, WriteReceipt},
    storage::{Chunks, FoundChunks},
    value::Object,
};

fn chunk(row: &Row) -> CodeChunk {
    CodeChunk {
        symbol_id: row.text("symbol_id"),
        project_id: row.text("project_id"),
        file_path: row.text("file_path"),
        chunk_index: row.number("chunk_index"),
        chunk_count: row.number("chunk_count"),
        content: row.text("content"),
        start_offset: row.number("start_offset"),
        end_offset: row.number("end_offset"),
        embedding: row.embedding(),
        symbol_name: row.text("symbol_name"),
        symbol_type: row.text("symbol_type"),
        language: row.text("language"),
    }
}

fn row(chunk: CodeChunk) -> Object {
    parameters! {
        symbol_id: chunk.symbol_id,
        project_id: chunk.project_id,
        file_path: chunk.file_path,
        chunk_index: chunk.chunk_index,
        chunk_count: chunk.chunk_count,
        content: chunk.content,
        start_offset: chunk.start_offset,
        end_offset: chunk.end_offset,
        embedding: optional_embedding(&chunk.embedding),
        symbol_name: chunk.symbol_name,
        symbol_type: chunk.symbol_type,
        language: chunk.language,
    }
}

impl Call {
    pub(crate) async fn save_code_chunk(self, chunk: CodeChunk) -> StorageResult<WriteReceipt> {
        self.upsert(&CHUNKS, vec![row(chunk)]).await
    }

    pub(crate) async fn save_code_chunks(
        self,
        chunks: Vec<CodeChunk>,
    ) -> StorageResult<WriteReceipt> {
        self.upsert(&CHUNKS, chunks.into_iter().map(row).collect())
            .await
    }

    pub(crate) async fn get_chunks_by_symbol(self, symbol_id: String) -> StorageResult<Chunks> {
        let answer = self
            .ask(
                "SELECT * FROM code_chunks WHERE symbol_id = $symbol ORDER BY chunk_index ASC",
                parameters! { symbol: symbol_id },
            )
            .await?;
        all_stored(answer, chunk)
    }

    pub(crate) async fn search_chunks_by_similarity(
        self,
        project_id: String,
        query_embedding: Vec<f32>,
        limit: u32,
    ) -> StorageResult<FoundChunks> {
        let parameters = parameters! { project: project_id };
        let rows = self
            .nearest(
                CHUNKS.name,
                "project_id = $project",
                parameters,
                &query_embedding,
                limit_or(limit, 10),
            )
            .await?;
        let found = rows.iter().map(|(row, similarity)| {
            Ok(Scored {
                found: stored(row, chunk(row))?,
                similarity: *similarity,
            })
        });
        found.collect::<StorageResult<RVec<_>>>()
    }

    pub(crate) async fn delete_chunks_by_symbol(self, symbol_id: String) -> StorageResult<()> {
        self.write(
            "DELETE code_chunks WHERE symbol_id = $symbol",
            parameters! { symbol: symbol_id },
        )
        .await
        .map(drop)
    }

    pub(crate) async fn delete_chunks_by_file(
        self,
        project_id: String,
        file_path: String,
    ) -> StorageResult<()> {
        self.write(
            "DELETE code_chunks WHERE project_id = $project AND file_path = $path",
            parameters! { project: project_id, path: file_path },
        )
        .await
        .map(drop)
    }
}
