//! [`FullStorage`]: an implementation of all 64 methods, across the boundary.

use super::{
    Argument, CallContext, Chunks, CodeStorage, Events, Files, FoundChunks, FoundDocuments,
    FoundEvents, FoundSymbols, FoundVectors, GraphResults, Ids, Jobs, MaybeDocument, MaybeEntity,
    MaybeFile, MaybeJob, MaybeProject, MaybeSymbol, MaybeValue, Names, Projects, StatsProvider,
    Storage, Symbols, Unit, UserCounts, method,
    stable::{StableCodeStorage_TO, StableStatsProvider_TO, StableStorage_TO},
};
use crate::{
    error::{ErrorKind, StorageError, StorageResult},
    ffi::{List, Shared, Text},
    loading::CONTRACT_VERSION,
    records::{
        CodeChunk, CodeFile, CodeProject, CodeSymbol, EventSearch, HybridResult, IndexingJob,
        MemoryStats, ProjectStats, WriteReceipt,
    },
    value::{Object, Value},
};
use abi_stable::{StableAbi, erased_types::TD_Opaque};

/// An implementation of all 64 methods, in the form that crosses the boundary.
///
/// It implements [`Storage`], [`StatsProvider`] and [`CodeStorage`] itself, so
/// the side that receives it calls it like any other storage. A method that the
/// other side's contract does not have answers
/// [`UNSUPPORTED`](crate::error::ErrorKind::UNSUPPORTED). Cloning it shares the
/// implementation behind it.
#[repr(C)]
#[derive(StableAbi)]
pub struct FullStorage {
    storage: StableStorage_TO<'static, Shared<()>>,
    stats: StableStatsProvider_TO<'static, Shared<()>>,
    code: StableCodeStorage_TO<'static, Shared<()>>,
}

impl FullStorage {
    /// Wraps `implementation` for the boundary. Panics inside it become errors.
    pub fn new<T>(implementation: T) -> Self
    where
        T: Storage + StatsProvider + CodeStorage + 'static,
    {
        let shared = Shared::new(implementation);
        Self {
            storage: StableStorage_TO::from_ptr(Shared::clone(&shared), TD_Opaque),
            stats: StableStatsProvider_TO::from_ptr(Shared::clone(&shared), TD_Opaque),
            code: StableCodeStorage_TO::from_ptr(shared, TD_Opaque),
        }
    }

    /// The version of the contract that the implementation was built against.
    pub fn contract_version(&self) -> &'static str {
        self.storage.contract_version().as_str()
    }

    /// The error of a call; says what is wrong if the other side does not have
    /// the method.
    #[cold]
    fn explain(&self, name: &str, error: StorageError) -> StorageError {
        if error.kind != ErrorKind::MISSING {
            return error;
        }
        let theirs = self.contract_version();
        let since = method(name).map_or("later", |method| method.since);
        StorageError::unsupported(format!(
            "{name} is missing from the storage that was called, which was built against \
             plugin-api {theirs}; the caller was built against plugin-api {CONTRACT_VERSION}, and \
             the method exists since {since}; update the side with the older version"
        ))
    }
}

impl Clone for FullStorage {
    fn clone(&self) -> Self {
        Self {
            storage: StableStorage_TO::from_sabi(self.storage.obj.shallow_clone()),
            stats: StableStatsProvider_TO::from_sabi(self.stats.obj.shallow_clone()),
            code: StableCodeStorage_TO::from_sabi(self.code.obj.shallow_clone()),
        }
    }
}

/// Which field of [`FullStorage`] holds a trait.
macro_rules! field {
    ($storage:ident Storage) => {
        $storage.storage
    };
    ($storage:ident StatsProvider) => {
        $storage.stats
    };
    ($storage:ident CodeStorage) => {
        $storage.code
    };
}

/// The receiving side: the Rust traits, implemented by the stable ones.
macro_rules! across_the_boundary {
    ($(
        $(#[$($about:tt)*])*
        trait $name:ident via $stable:ident {
            $(
                $(#[$($doc:tt)*])*
                [$kind:ident $table:literal]
                fn $method:ident($($argument:ident: $type:tt),*) -> $answer:ident;
            )*
        }
    )*) => {
        $(
            impl $name for FullStorage {
                $(
                    fn $method(
                        &self,
                        context: &CallContext,
                        $($argument: rust_type!($type)),*
                    ) -> StorageResult<$answer> {
                        let this = self;
                        field!(this $name)
                            .$method(context, $(<$type as Argument>::lower($argument)),*)
                            .into_result()
                            .map_err(|error| self.explain(stringify!($method), error))
                    }
                )*
            }
        )*
    };
}

storage_methods!(across_the_boundary);
