//! [`FullStorage`]: an implementation of all 64 methods, across the boundary.

use super::{
    Argument, CallContext, Chunks, CodeStorage, Events, Files, FoundChunks, FoundDocuments,
    FoundEvents, FoundSymbols, FoundVectors, GraphResults, Ids, Jobs, MaybeDocument, MaybeEntity,
    MaybeFile, MaybeJob, MaybeProject, MaybeSymbol, MaybeValue, Names, Projects, StatsProvider,
    Storage, Symbols, Unit, UserCounts,
};
use crate::{
    error::{StorageError, StorageResult},
    panic,
    records::{
        CodeChunk, CodeFile, CodeProject, CodeSymbol, EventSearch, HybridResult, IndexingJob,
        MemoryStats, ProjectStats, WriteReceipt,
    },
    rust_type, storage_methods,
    value::{Object, Value},
};
use abi_stable::{
    StableAbi,
    erased_types::TD_Opaque,
    sabi_trait,
    std_types::{RArc, RResult, RString, RVec},
};

/// The stable face of the list: object-safe traits with a fixed layout.
macro_rules! stable_traits {
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
            #[sabi_trait]
            trait $stable: Send + Sync {
                $(
                    fn $method(
                        &self,
                        context: &CallContext,
                        $($argument: <$type as Argument>::Stable<'_>),*
                    ) -> RResult<$answer, StorageError>;
                )*
            }

            impl<T: $name> $stable for T {
                $(
                    fn $method(
                        &self,
                        context: &CallContext,
                        $($argument: <$type as Argument>::Stable<'_>),*
                    ) -> RResult<$answer, StorageError> {
                        panic::guard(stringify!($method), || {
                            $name::$method(self, context, $(<$type as Argument>::lift($argument)),*)
                        })
                        .into()
                    }
                )*
            }
        )*
    };
}

storage_methods!(stable_traits);

/// An implementation of all 64 methods, in the form that crosses the boundary.
///
/// It implements [`Storage`], [`StatsProvider`] and [`CodeStorage`] itself, so
/// that the side that receives it calls it like any other storage. Cloning it
/// shares the implementation behind it.
#[repr(C)]
#[derive(StableAbi)]
pub struct FullStorage {
    storage: StableStorage_TO<'static, RArc<()>>,
    stats: StableStatsProvider_TO<'static, RArc<()>>,
    code: StableCodeStorage_TO<'static, RArc<()>>,
}

impl FullStorage {
    /// Makes `implementation` ready to cross. Panics inside it become errors.
    pub fn new<T>(implementation: T) -> Self
    where
        T: Storage + StatsProvider + CodeStorage + 'static,
    {
        let shared = RArc::new(implementation);
        Self {
            storage: StableStorage_TO::from_ptr(RArc::clone(&shared), TD_Opaque),
            stats: StableStatsProvider_TO::from_ptr(RArc::clone(&shared), TD_Opaque),
            code: StableCodeStorage_TO::from_ptr(shared, TD_Opaque),
        }
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

/// The receiving side: the same Rust traits, through the stable ones.
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
                    }
                )*
            }
        )*
    };
}

storage_methods!(across_the_boundary);
