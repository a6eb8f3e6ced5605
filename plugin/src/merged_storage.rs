//! [`MergedStorage`]: routes each of the 64 methods to the read or the write path.
//!
//! | kind | goes to |
//! | --- | --- |
//! | admin | the primary |
//! | write, delete | [`SyncedStorage`]: the primary, then the log or the tombstones |
//! | read | [`QueryMerger`]: the primary and the secondaries |
//!
//! Raw SurrealQL may be any of them: [`RawQueries`] routes it by what it does. A
//! write that updates a row goes through [`Updates`], as only a secondary may have
//! the row.

mod updates;

use crate::{
    query_merger::QueryMerger,
    raw_query::{Classification, QueryClassifier},
    synced_storage::SyncedStorage,
};
use plugin_api::{
    error::StorageResult,
    ffi::{List, Text},
    records::{
        CodeChunk, CodeFile, CodeProject, CodeSymbol, EventSearch, HybridResult, IndexingJob,
        MemoryStats, ProjectStats, WriteReceipt,
    },
    rust_type,
    storage::{
        CallContext, Chunks, CodeStorage, Events, Files, FoundChunks, FoundDocuments, FoundEvents,
        FoundSymbols, FoundVectors, FullStorage, GraphResults, Ids, Jobs, MaybeDocument,
        MaybeEntity, MaybeFile, MaybeJob, MaybeProject, MaybeSymbol, MaybeValue, Names, Projects,
        StatsProvider, Storage, Symbols, Unit, UserCounts,
    },
    storage_methods,
    value::{Object, Value},
};
use std::sync::Arc;
use tracing::Span;
use updates::Updates;

/// The storage that replicates writes and merges reads.
pub struct MergedStorage {
    primary: FullStorage,
    synced: Arc<SyncedStorage>,
    merger: Arc<QueryMerger>,
    updates: Updates,
    raw: Arc<RawQueries>,
}

impl MergedStorage {
    /// Combines the write path and the read path over `primary`. With
    /// `merge_raw_queries` a plain SELECT is merged as well.
    pub fn new(
        primary: FullStorage,
        synced: Arc<SyncedStorage>,
        merger: Arc<QueryMerger>,
        merge_raw_queries: bool,
    ) -> Self {
        let raw = Arc::new(RawQueries {
            primary: primary.clone(),
            synced: Arc::clone(&synced),
            merger: Arc::clone(&merger),
            classifier: QueryClassifier::new(merge_raw_queries),
        });
        Self {
            updates: Updates::new(Arc::clone(&synced), Arc::clone(&merger), Arc::clone(&raw)),
            raw,
            primary,
            synced,
            merger,
        }
    }
}

/// Routes raw SurrealQL by what the text does.
struct RawQueries {
    primary: FullStorage,
    synced: Arc<SyncedStorage>,
    merger: Arc<QueryMerger>,
    classifier: QueryClassifier,
}

impl RawQueries {
    fn query(
        &self,
        context: &CallContext,
        text: &str,
        parameters: &Object,
    ) -> StorageResult<Value> {
        match &*self.classifier.classify(text) {
            Classification::Read => self.primary.query(context, text, parameters),
            Classification::Select(plain) => self.merger.select(context, text, parameters, plain),
            Classification::Write(effects) => self.synced.query(context, text, parameters, effects),
        }
    }
}

/// The field that implements a kind of method.
macro_rules! by_kind {
    ($storage:ident admin query) => {
        $storage.raw
    };
    ($storage:ident admin $method:ident) => {
        $storage.primary
    };
    ($storage:ident write create_relationship) => {
        $storage.updates
    };
    ($storage:ident write update_fact) => {
        $storage.updates
    };
    ($storage:ident write update_vector) => {
        $storage.updates
    };
    ($storage:ident write update_project_status) => {
        $storage.updates
    };
    ($storage:ident write update_project_watcher) => {
        $storage.updates
    };
    ($storage:ident write update_indexing_job) => {
        $storage.updates
    };
    ($storage:ident write $method:ident) => {
        $storage.synced
    };
    ($storage:ident delete $method:ident) => {
        $storage.synced
    };
    ($storage:ident read $method:ident) => {
        $storage.merger
    };
}

/// The span in which a call of a kind runs; events inside have its fields.
macro_rules! call_span {
    (admin query $context:ident) => {
        call_span!(@ "query" query $context)
    };
    (admin $method:ident $context:ident) => {
        Span::none()
    };
    (read $method:ident $context:ident) => {
        call_span!(@ "merge" $method $context)
    };
    ($write:ident $method:ident $context:ident) => {
        call_span!(@ "replicate" $method $context)
    };
    (@ $name:literal $method:ident $context:ident) => {
        tracing::debug_span!(
            $name,
            request_id = request_id($context),
            method = stringify!($method)
        )
    };
}

/// The host's id of a call; none if it gave none.
fn request_id(context: &CallContext) -> Option<&str> {
    Some(&*context.request_id).filter(|id| !id.is_empty())
}

macro_rules! dispatch {
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
        $(
            impl $trait for MergedStorage {
                $(
                    fn $method(
                        &self,
                        context: &CallContext,
                        $($argument: rust_type!($type)),*
                    ) -> StorageResult<$answer> {
                        let this = self;
                        let _span = call_span!($kind $method context).entered();
                        by_kind!(this $kind $method).$method(context, $($argument),*)
                    }
                )*
            }
        )*
    };
}

storage_methods!(dispatch);
