//! [`MergedStorage`]: all 64 methods, each to whoever answers for its kind.
//!
//! | kind | goes to |
//! | --- | --- |
//! | admin | the primary |
//! | write, delete | [`SyncedStorage`]: the primary, then the log or the tombstones |
//! | read | [`QueryMerger`]: the primary and the secondaries |

use crate::{query_merger::QueryMerger, synced_storage::SyncedStorage};
use plugin_api::{
    abi_stable::std_types::{RString, RVec},
    error::StorageResult,
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

/// The storage that replicates what is written and merges what is read.
pub struct MergedStorage {
    primary: FullStorage,
    synced: Arc<SyncedStorage>,
    merger: Arc<QueryMerger>,
}

impl MergedStorage {
    /// Puts the write path and the read path over `primary` together.
    pub fn new(primary: FullStorage, synced: Arc<SyncedStorage>, merger: Arc<QueryMerger>) -> Self {
        Self {
            primary,
            synced,
            merger,
        }
    }
}

/// Which field answers for a kind of method.
macro_rules! by_kind {
    ($storage:ident admin) => {
        $storage.primary
    };
    ($storage:ident write) => {
        $storage.synced
    };
    ($storage:ident delete) => {
        $storage.synced
    };
    ($storage:ident read) => {
        $storage.merger
    };
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
                        by_kind!(this $kind).$method(context, $($argument),*)
                    }
                )*
            }
        )*
    };
}

storage_methods!(dispatch);
