//! The methods of the contract that write or delete: two tables of what differs
//! between them, and the code that they share, once.

use super::{
    SyncedStorage,
    spec::{
        DeleteSpec,
        DeleteTarget::{self, Locked},
        LockScope::{self, Document, NewRow, Tables},
        WriteSpec,
    },
};
use crate::{dedup::Key, sync_types::document_key, tombstones::Scope};
use plugin_api::{
    error::StorageResult,
    ffi::{List, Text},
    records::{CodeChunk, CodeFile, CodeProject, CodeSymbol, IndexingJob, WriteReceipt},
    rust_type,
    storage::{CallContext, CodeStorage as _, Storage as _, Unit},
    storage_methods,
    value::{Object, RecordId, Value},
};
use surreal_storage::schema::{
    CHUNKS, DOCUMENTS, ENTITIES, EVENTS, FACTS, FILES, JOBS, PROJECTS, RELATIONSHIPS, SYMBOLS,
    Table, VECTORS,
};

/// Makes `write_spec!(method arguments…)`, the [`WriteSpec`] of a call.
macro_rules! write_methods {
    ($d:tt $(
        $method:ident($($argument:pat),*) => $table:expr, $lock_scope:expr, $embeddings:expr;
    )*) => {
        macro_rules! write_spec {
            $(($method $d($d given:ident)*) => {{
                let ($($argument,)*) = ($d($d given,)*);
                WriteSpec {
                    table: $table,
                    lock_scope: $lock_scope,
                    embeddings: $embeddings,
                }
            }};)*
        }
    };
}

/// Makes `delete_spec!(method arguments…)`, the [`DeleteSpec`] of a call.
macro_rules! delete_methods {
    ($d:tt $(
        $method:ident($($argument:pat),*) =>
            [$($table:expr),*], $lock_scope:expr, $target:expr, $scopes:expr;
    )*) => {
        macro_rules! delete_spec {
            $(($method $d($d given:ident)*) => {{
                let ($($argument,)*) = ($d($d given,)*);
                DeleteSpec {
                    tables: &[$($table.name),*],
                    lock_scope: $lock_scope,
                    target: $target,
                    scopes: $scopes,
                }
            }};)*
        }
    };
}

// Of `Document`, the rows of the receipt replace the document on the
// secondaries; otherwise each is an upsert. An embedding is `optional` where an
// empty one is stored as none, not as zeros.
write_methods! { $
//  method(arguments)                         => table,          rows and lock scope,                       embeddings
    save_fact(user, key, _)                   => FACTS.name,     keys([fact(user, key)]),                   none();
    update_fact(user, key, _)                 => FACTS.name,     keys([fact(user, key)]),                   none();
    index_vector(_, _, embedding, _)          => VECTORS.name,   NewRow,                                    required([embedding]);
    update_vector(id, _, _, embedding, _)     => VECTORS.name,   row_by_id(VECTORS, id),                    required([embedding]);
    create_entity(_, _, _)                    => ENTITIES.name,  NewRow,                                    none();
    create_relationship(_, _, its_type, _)    => its_type,       NewRow,                                    none();
    save_document(path, _, embedding, _)      => DOCUMENTS.name, Document(document_key(path)),              required([embedding]);
    save_document_chunks(path, _, each, _)    => DOCUMENTS.name, Document(document_key(path)),              required(each.iter().map(List::as_slice));
    save_event(_, _, _, embedding, _)         => EVENTS.name,    NewRow,                                    required([embedding]);
    create_code_project(it)                   => PROJECTS.name,  keys([project(&it.project_id)]),           none();
    update_project_status(id, _)              => PROJECTS.name,  keys([project(id)]),                       none();
    update_project_watcher(id, _)             => PROJECTS.name,  keys([project(id)]),                       none();
    save_code_file(it)                        => FILES.name,     keys([file(&it.project_id, &it.file_path)]), none();
    save_code_symbol(it)                      => SYMBOLS.name,   keys([symbol(it)]),                        optional([&it.embedding]);
    save_code_symbols(all)                    => SYMBOLS.name,   keys(all.iter().map(symbol)),              optional(all.iter().map(|it| &it.embedding));
    save_code_chunk(it)                       => CHUNKS.name,    keys([chunk(it)]),                         optional([&it.embedding]);
    save_code_chunks(all)                     => CHUNKS.name,    keys(all.iter().map(chunk)),               optional(all.iter().map(|it| &it.embedding));
    create_indexing_job(_)                    => JOBS.name,      NewRow,                                    none();
    update_indexing_job(id, _, _, _, _)       => JOBS.name,      row_by_id(JOBS, id),                       none();
}

// `rows by key` get a tombstone each; the scopes cover the rest.
delete_methods! { $
//  method(arguments)                         => tables,         rows and lock scope,                       rows by key,                          scopes
    delete_fact(user, key)                    => [FACTS],        keys([fact(user, key)]),                   Locked,                               vec![];
    delete_vector(id, user)                   => [VECTORS],      Tables,                                    row_of_user(VECTORS, id, user),       vec![];
    delete_entity(id)                         => [ENTITIES, RELATIONSHIPS], Tables,                         rows(id_key(ENTITIES, id)),           edges_of(id);
    delete_document(path)                     => [DOCUMENTS],    Document(document_key(path)),              rows([]),                             Scope::of_document(path);
    delete_event(id, user)                    => [EVENTS],       Tables,                                    row_of_user(EVENTS, id, user),        vec![];
    delete_code_project(id)                   => [PROJECTS, FILES, SYMBOLS, CHUNKS, JOBS], Tables,          rows([project(id)]),                  Scope::of_project(id);
    delete_code_file(project_id, path)        => [FILES, SYMBOLS, CHUNKS], Tables,                        in_file([FILES, SYMBOLS, CHUNKS], project_id, path), Scope::of_file(project_id, path);
    delete_symbols_by_file(project_id, path)  => [SYMBOLS],      Tables,                                    in_file([SYMBOLS], project_id, path),   vec![Scope::symbols_of_file(project_id, path)];
    delete_chunks_by_symbol(symbol_id)        => [CHUNKS],       Tables,                                    rows([]),                             vec![Scope::chunks_of_symbol(symbol_id)];
    delete_chunks_by_file(project_id, path)   => [CHUNKS],       Tables,                                    in_file([CHUNKS], project_id, path),    vec![Scope::chunks_of_file(project_id, path)];
}

fn fact(user_id: &str, key: &str) -> Key {
    Key::new(FACTS.name, &[user_id.into(), key.into()])
}

fn project(project_id: &str) -> Key {
    Key::new(PROJECTS.name, &[project_id.into()])
}

fn file(project_id: &str, file_path: &str) -> Key {
    Key::new(FILES.name, &[project_id.into(), file_path.into()])
}

fn symbol(symbol: &CodeSymbol) -> Key {
    let [project, path] = [&symbol.project_id, &symbol.name_path].map(|it| it.as_str().into());
    Key::new(SYMBOLS.name, &[project, path])
}

fn chunk(chunk: &CodeChunk) -> Key {
    let symbol = chunk.symbol_id.as_str().into();
    Key::new(CHUNKS.name, &[symbol, chunk.chunk_index.into()])
}

/// The id that the storage reads in a text; none where it will reject it.
fn record_id(table: Table, text: &str) -> Option<RecordId> {
    surreal_storage::record_id(table.name, text).ok()
}

fn id_key(table: Table, text: &str) -> Option<Key> {
    record_id(table, text).map(|id| Key::of_id(&id))
}

fn keys(keys: impl IntoIterator<Item = Key>) -> LockScope {
    LockScope::Keys(keys.into_iter().collect())
}

fn row_by_id(table: Table, id: &str) -> LockScope {
    LockScope::RowById(id_key(table, id))
}

fn none<'a>() -> Vec<Option<&'a [f32]>> {
    Vec::new()
}

fn required<'a>(given: impl IntoIterator<Item = &'a [f32]>) -> Vec<Option<&'a [f32]>> {
    given.into_iter().map(Some).collect()
}

fn optional<'a>(given: impl IntoIterator<Item = &'a List<f32>>) -> Vec<Option<&'a [f32]>> {
    let given = given.into_iter().map(List::as_slice);
    given.map(|it| (!it.is_empty()).then_some(it)).collect()
}

fn rows<'a>(keys: impl IntoIterator<Item = Key>) -> DeleteTarget<'a> {
    DeleteTarget::Keys(keys.into_iter().collect())
}

fn row_of_user<'a>(table: Table, id: &str, user_id: &'a str) -> DeleteTarget<'a> {
    DeleteTarget::OfUser {
        id: record_id(table, id),
        user_id,
    }
}

fn in_file<'a, const N: usize>(
    tables: [Table; N],
    project_id: &'a str,
    file_path: &'a str,
) -> DeleteTarget<'a> {
    DeleteTarget::InFile {
        tables: tables.map(|table| table.name).into(),
        project_id,
        file_path,
    }
}

fn edges_of(entity: &str) -> Vec<Scope> {
    let entity = record_id(ENTITIES, entity);
    entity.iter().flat_map(Scope::edges_of).collect()
}

/// Runs one method of the contract as its specification says.
macro_rules! run {
    (admin $($rest:tt)*) => {};
    (read $($rest:tt)*) => {};
    (write $method:ident($($argument:ident: $type:tt),*) -> $answer:ident) => {
        pub fn $method(
            &self,
            context: &CallContext,
            $($argument: rust_type!($type)),*
        ) -> StorageResult<$answer> {
            let spec = write_spec!($method $($argument)*);
            self.write(&spec, |primary| primary.$method(context, $($argument),*))
        }
    };
    (delete $method:ident($($argument:ident: $type:tt),*) -> $answer:ident) => {
        pub fn $method(
            &self,
            context: &CallContext,
            $($argument: rust_type!($type)),*
        ) -> StorageResult<$answer> {
            let spec = delete_spec!($method $($argument)*);
            self.delete(context, &spec, |primary| primary.$method(context, $($argument),*))
        }
    };
}

macro_rules! run_all {
    ($(
        $(#[$($about:tt)*])*
        trait $trait:ident via $stable:ident {
            $(
                $(#[$($doc:tt)*])*
                [$kind:ident $table:literal]
                fn $method:ident($($argument:ident: $type:tt),*) -> $answer:ident;
            )*
        }
    )*) => {
        /// The methods of the contract that write or delete, with their
        /// signatures.
        #[allow(missing_docs, clippy::missing_errors_doc, reason = "as in the contract")]
        impl SyncedStorage {
            $($(run!($kind $method($($argument: $type),*) -> $answer);)*)*
        }
    };
}

storage_methods!(run_all);
