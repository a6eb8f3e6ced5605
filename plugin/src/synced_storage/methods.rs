//! The writes and deletes, one by one: their tables, keys and rows.

use super::{DeleteSpec, DeleteTarget, LockScope, ReceiptKind, SyncedStorage, WriteSpec};
use crate::{dedup::Key, sync_types::document_key, tombstones::Scope};
use abi_stable::std_types::{RString, RVec};
use plugin_api::{
    error::StorageResult,
    records::{CodeChunk, CodeFile, CodeProject, CodeSymbol, IndexingJob, WriteReceipt},
    storage::{CallContext, CodeStorage as _, Storage as _},
    value::{Object, RecordId, Value},
};

type Receipt = StorageResult<WriteReceipt>;

const RELATIONSHIPS: &str = "relationships";

fn key<const N: usize>(table: &str, values: [Value; N]) -> Key {
    Key::new(table, &values)
}

fn fact_key(user_id: &str, name: &str) -> Key {
    key("kv_memories", [user_id.into(), name.into()])
}

fn project_key(project_id: &str) -> Key {
    key("code_projects", [project_id.into()])
}

fn file_key(project_id: &str, file_path: &str) -> Key {
    key("code_files", [project_id.into(), file_path.into()])
}

fn symbol_key(symbol: &CodeSymbol) -> Key {
    key(
        "code_symbols",
        [
            symbol.project_id.as_str().into(),
            symbol.name_path.as_str().into(),
        ],
    )
}

fn chunk_key(chunk: &CodeChunk) -> Key {
    key(
        "code_chunks",
        [chunk.symbol_id.as_str().into(), chunk.chunk_index.into()],
    )
}

/// The id that the storage reads in a text; none where it will refuse it.
fn record_id(table: &str, text: &str) -> Option<RecordId> {
    surreal_storage::record_id(table, text).ok()
}

fn id_key(table: &str, text: &str) -> Option<Key> {
    record_id(table, text).map(|id| Key::of_id(&id))
}

/// An embedding that may be left out.
fn optional(embedding: &[f32]) -> Option<&[f32]> {
    (!embedding.is_empty()).then_some(embedding)
}

impl<'a> WriteSpec<'a> {
    /// A write of rows whose keys are known.
    fn keyed(table: &'a str, keys: Vec<Key>) -> Self {
        Self {
            table,
            lock_scope: LockScope::Keys(keys),
            receipt_kind: ReceiptKind::Rows,
            embeddings: Vec::new(),
        }
    }

    /// A write that makes a row with an id of its own.
    fn new_row(table: &'a str) -> Self {
        Self {
            lock_scope: LockScope::NewRow,
            ..Self::keyed(table, Vec::new())
        }
    }

    /// A write of a row by its id.
    fn by_id(table: &'a str, id: &str) -> Self {
        Self {
            lock_scope: LockScope::ById(id_key(table, id)),
            ..Self::keyed(table, Vec::new())
        }
    }

    /// A write of a document, whole or in chunks.
    fn document(path: &'a str) -> Self {
        Self {
            receipt_kind: ReceiptKind::Document(path),
            ..Self::keyed("knowledge_base", vec![document_key(path)])
        }
    }

    fn with_embeddings(self, given: impl IntoIterator<Item = Option<&'a [f32]>>) -> Self {
        Self {
            embeddings: given.into_iter().collect(),
            ..self
        }
    }
}

impl<'a> DeleteSpec<'a> {
    /// A delete of rows whose keys are known.
    fn of_keys(table: &'a &'a str, keys: Vec<Key>) -> Self {
        Self {
            lock_scope: LockScope::Keys(keys.clone()),
            ..Self::wide(std::slice::from_ref(table), keys, [])
        }
    }

    /// A delete of these rows and all that is within `scopes`.
    fn wide(
        tables: &'a [&'a str],
        keys: Vec<Key>,
        scopes: impl IntoIterator<Item = Scope>,
    ) -> Self {
        Self {
            tables,
            lock_scope: LockScope::ById(None),
            target: DeleteTarget::Keys(keys),
            scopes: scopes.into_iter().collect(),
        }
    }

    /// A delete of what a file of code has in a table.
    fn of_file(
        tables: &'a [&'a str],
        project_id: &'a str,
        file_path: &'a str,
        scope: Scope,
    ) -> Self {
        Self {
            target: DeleteTarget::InFile {
                project_id,
                file_path,
            },
            ..Self::wide(tables, Vec::new(), [scope])
        }
    }
}

/// The methods of the contract that write or delete, with their signatures.
#[allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "as in the contract"
)]
impl SyncedStorage {
    pub fn save_fact(
        &self,
        context: &CallContext,
        user_id: &str,
        name: &str,
        value: &Value,
    ) -> Receipt {
        let write = WriteSpec::keyed("kv_memories", vec![fact_key(user_id, name)]);
        self.write(&write, |primary| {
            primary.save_fact(context, user_id, name, value)
        })
    }

    pub fn update_fact(
        &self,
        context: &CallContext,
        user_id: &str,
        name: &str,
        value: &Value,
    ) -> Receipt {
        let write = WriteSpec::keyed("kv_memories", vec![fact_key(user_id, name)]);
        self.write(&write, |primary| {
            primary.update_fact(context, user_id, name, value)
        })
    }

    pub fn delete_fact(
        &self,
        context: &CallContext,
        user_id: &str,
        name: &str,
    ) -> StorageResult<()> {
        let keys = vec![fact_key(user_id, name)];
        let delete = DeleteSpec::of_keys(&"kv_memories", keys);
        self.delete(context, &delete, |primary| {
            primary.delete_fact(context, user_id, name)
        })
    }

    pub fn index_vector(
        &self,
        context: &CallContext,
        user_id: &str,
        content: &str,
        embedding: &[f32],
        metadata: &Object,
    ) -> Receipt {
        let write = WriteSpec::new_row("vector_memories").with_embeddings([Some(embedding)]);
        self.write(&write, |primary| {
            primary.index_vector(context, user_id, content, embedding, metadata)
        })
    }

    pub fn update_vector(
        &self,
        context: &CallContext,
        id: &str,
        user_id: &str,
        content: &str,
        embedding: &[f32],
        metadata: &Object,
    ) -> Receipt {
        let write = WriteSpec::by_id("vector_memories", id).with_embeddings([Some(embedding)]);
        self.write(&write, |primary| {
            primary.update_vector(context, id, user_id, content, embedding, metadata)
        })
    }

    pub fn delete_vector(
        &self,
        context: &CallContext,
        id: &str,
        user_id: &str,
    ) -> StorageResult<()> {
        let table = "vector_memories";
        self.delete_of_user(context, table, (id, user_id), |primary| {
            primary.delete_vector(context, id, user_id)
        })
    }

    pub fn create_entity(
        &self,
        context: &CallContext,
        entity_type: &str,
        name: &str,
        properties: &Object,
    ) -> Receipt {
        self.write(&WriteSpec::new_row("entities"), |primary| {
            primary.create_entity(context, entity_type, name, properties)
        })
    }

    pub fn create_relationship(
        &self,
        context: &CallContext,
        from: &str,
        to: &str,
        relationship_type: &str,
        properties: &Object,
    ) -> Receipt {
        self.write(&WriteSpec::new_row(relationship_type), |primary| {
            primary.create_relationship(context, from, to, relationship_type, properties)
        })
    }

    pub fn delete_entity(&self, context: &CallContext, id: &str) -> StorageResult<()> {
        let entity = record_id("entities", id);
        let keys: Vec<Key> = entity.iter().map(Key::of_id).collect();
        let scopes: Vec<Scope> = entity.iter().flat_map(Scope::edges_of).collect();
        let delete = DeleteSpec::wide(&["entities", RELATIONSHIPS], keys, scopes);
        self.delete(context, &delete, |primary| {
            primary.delete_entity(context, id)
        })
    }

    pub fn save_document(
        &self,
        context: &CallContext,
        file_path: &str,
        content: &str,
        embedding: &[f32],
        metadata: &Object,
    ) -> Receipt {
        let write = WriteSpec::document(file_path).with_embeddings([Some(embedding)]);
        self.write(&write, |primary| {
            primary.save_document(context, file_path, content, embedding, metadata)
        })
    }

    pub fn save_document_chunks(
        &self,
        context: &CallContext,
        file_path: &str,
        chunks: &[RString],
        embeddings: &[RVec<f32>],
        metadata: &Object,
    ) -> Receipt {
        let given = embeddings
            .iter()
            .map(|embedding| Some(embedding.as_slice()));
        let write = WriteSpec::document(file_path).with_embeddings(given);
        self.write(&write, |primary| {
            primary.save_document_chunks(context, file_path, chunks, embeddings, metadata)
        })
    }

    pub fn delete_document(&self, context: &CallContext, file_path: &str) -> StorageResult<()> {
        let delete = DeleteSpec {
            lock_scope: LockScope::Keys(vec![document_key(file_path)]),
            ..DeleteSpec::wide(&["knowledge_base"], vec![], Scope::of_document(file_path))
        };
        self.delete(context, &delete, |primary| {
            primary.delete_document(context, file_path)
        })
    }

    pub fn save_event(
        &self,
        context: &CallContext,
        user_id: &str,
        subject: &str,
        content: &str,
        embedding: &[f32],
        metadata: &Object,
    ) -> Receipt {
        let write = WriteSpec::new_row("events").with_embeddings([Some(embedding)]);
        self.write(&write, |primary| {
            primary.save_event(context, user_id, subject, content, embedding, metadata)
        })
    }

    pub fn delete_event(
        &self,
        context: &CallContext,
        id: &str,
        user_id: &str,
    ) -> StorageResult<()> {
        self.delete_of_user(context, "events", (id, user_id), |primary| {
            primary.delete_event(context, id, user_id)
        })
    }

    pub fn create_code_project(&self, context: &CallContext, project: &CodeProject) -> Receipt {
        let write = WriteSpec::keyed("code_projects", vec![project_key(&project.project_id)]);
        self.write(&write, |primary| {
            primary.create_code_project(context, project)
        })
    }

    pub fn update_project_status(
        &self,
        context: &CallContext,
        project_id: &str,
        status: &str,
    ) -> Receipt {
        let write = WriteSpec::keyed("code_projects", vec![project_key(project_id)]);
        self.write(&write, |primary| {
            primary.update_project_status(context, project_id, status)
        })
    }

    pub fn update_project_watcher(
        &self,
        context: &CallContext,
        project_id: &str,
        enabled: bool,
    ) -> Receipt {
        let write = WriteSpec::keyed("code_projects", vec![project_key(project_id)]);
        self.write(&write, |primary| {
            primary.update_project_watcher(context, project_id, enabled)
        })
    }

    pub fn delete_code_project(
        &self,
        context: &CallContext,
        project_id: &str,
    ) -> StorageResult<()> {
        let tables = [
            "code_projects",
            "code_files",
            "code_symbols",
            "code_chunks",
            "code_indexing_jobs",
        ];
        let keys = vec![project_key(project_id)];
        let delete = DeleteSpec::wide(&tables, keys, Scope::of_project(project_id));
        self.delete(context, &delete, |primary| {
            primary.delete_code_project(context, project_id)
        })
    }

    pub fn save_code_file(&self, context: &CallContext, file: &CodeFile) -> Receipt {
        let keys = vec![file_key(&file.project_id, &file.file_path)];
        self.write(&WriteSpec::keyed("code_files", keys), |primary| {
            primary.save_code_file(context, file)
        })
    }

    pub fn delete_code_file(
        &self,
        context: &CallContext,
        project_id: &str,
        file_path: &str,
    ) -> StorageResult<()> {
        let keys = vec![file_key(project_id, file_path)];
        let delete = DeleteSpec::of_keys(&"code_files", keys);
        self.delete(context, &delete, |primary| {
            primary.delete_code_file(context, project_id, file_path)
        })
    }

    pub fn save_code_symbol(&self, context: &CallContext, symbol: &CodeSymbol) -> Receipt {
        let write = WriteSpec::keyed("code_symbols", vec![symbol_key(symbol)])
            .with_embeddings([optional(&symbol.embedding)]);
        self.write(&write, |primary| primary.save_code_symbol(context, symbol))
    }

    pub fn save_code_symbols(&self, context: &CallContext, symbols: &[CodeSymbol]) -> Receipt {
        let keys = symbols.iter().map(symbol_key).collect();
        let given = symbols.iter().map(|symbol| optional(&symbol.embedding));
        let write = WriteSpec::keyed("code_symbols", keys).with_embeddings(given);
        self.write(&write, |primary| {
            primary.save_code_symbols(context, symbols)
        })
    }

    pub fn delete_symbols_by_file(
        &self,
        context: &CallContext,
        project_id: &str,
        file_path: &str,
    ) -> StorageResult<()> {
        let scope = Scope::symbols_of_file(project_id, file_path);
        let delete = DeleteSpec::of_file(&["code_symbols"], project_id, file_path, scope);
        self.delete(context, &delete, |primary| {
            primary.delete_symbols_by_file(context, project_id, file_path)
        })
    }

    pub fn save_code_chunk(&self, context: &CallContext, chunk: &CodeChunk) -> Receipt {
        let write = WriteSpec::keyed("code_chunks", vec![chunk_key(chunk)])
            .with_embeddings([optional(&chunk.embedding)]);
        self.write(&write, |primary| primary.save_code_chunk(context, chunk))
    }

    pub fn save_code_chunks(&self, context: &CallContext, chunks: &[CodeChunk]) -> Receipt {
        let keys = chunks.iter().map(chunk_key).collect();
        let given = chunks.iter().map(|chunk| optional(&chunk.embedding));
        let write = WriteSpec::keyed("code_chunks", keys).with_embeddings(given);
        self.write(&write, |primary| primary.save_code_chunks(context, chunks))
    }

    pub fn delete_chunks_by_symbol(
        &self,
        context: &CallContext,
        symbol_id: &str,
    ) -> StorageResult<()> {
        let scopes = [Scope::chunks_of_symbol(symbol_id)];
        let delete = DeleteSpec::wide(&["code_chunks"], vec![], scopes);
        self.delete(context, &delete, |primary| {
            primary.delete_chunks_by_symbol(context, symbol_id)
        })
    }

    pub fn delete_chunks_by_file(
        &self,
        context: &CallContext,
        project_id: &str,
        file_path: &str,
    ) -> StorageResult<()> {
        let scope = Scope::chunks_of_file(project_id, file_path);
        let delete = DeleteSpec::of_file(&["code_chunks"], project_id, file_path, scope);
        self.delete(context, &delete, |primary| {
            primary.delete_chunks_by_file(context, project_id, file_path)
        })
    }

    pub fn create_indexing_job(&self, context: &CallContext, job: &IndexingJob) -> Receipt {
        self.write(&WriteSpec::new_row("code_indexing_jobs"), |primary| {
            primary.create_indexing_job(context, job)
        })
    }

    pub fn update_indexing_job(
        &self,
        context: &CallContext,
        job_id: &str,
        status: &str,
        progress: f64,
        files_indexed: u32,
        error: &str,
    ) -> Receipt {
        let write = WriteSpec::by_id("code_indexing_jobs", job_id);
        self.write(&write, |primary| {
            primary.update_indexing_job(context, job_id, status, progress, files_indexed, error)
        })
    }

    fn delete_of_user(
        &self,
        context: &CallContext,
        table: &str,
        (id, user_id): (&str, &str),
        call: impl FnOnce(&plugin_api::storage::FullStorage) -> StorageResult<()>,
    ) -> StorageResult<()> {
        let tables = [table];
        let delete = DeleteSpec {
            target: DeleteTarget::OfUser {
                id: record_id(table, id),
                user_id,
            },
            ..DeleteSpec::wide(&tables, Vec::new(), [])
        };
        self.delete(context, &delete, call)
    }
}
