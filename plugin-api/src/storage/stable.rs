//! The storage traits as they cross the boundary.
//!
//! Each is a table of function pointers with a fixed layout, in the order of
//! the list. Only its first entry, `contract_version`, is there for certain
//! (`last_prefix_field`). All others may be missing from the table of a side
//! that was built against an older contract: a call then runs the default body
//! below, whose `MISSING` the caller's side turns into `Unsupported`. abi_stable allows 62 entries in a table.
#![allow(
    unused_variables,
    reason = "the default bodies do not use the arguments"
)]

use super::{
    Argument, CallContext, Chunks, CodeStorage, Events, Files, FoundChunks, FoundDocuments,
    FoundEvents, FoundSymbols, FoundVectors, GraphResults, Ids, Jobs, MaybeDocument, MaybeEntity,
    MaybeFile, MaybeJob, MaybeProject, MaybeSymbol, MaybeValue, Names, Projects, StatsProvider,
    Storage, Symbols, Unit, UserCounts,
};
use crate::{
    error::{ErrorKind, StorageError},
    ffi::{List, Outcome, Text, TextRef},
    loading::CONTRACT_VERSION,
    panic,
    records::{
        CodeChunk, CodeFile, CodeProject, CodeSymbol, EventSearch, HybridResult, IndexingJob,
        MemoryStats, ProjectStats, WriteReceipt,
    },
    value::{Object, Value},
};
use abi_stable::sabi_trait;

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
            pub(super) trait $stable: Send + Sync {
                #[sabi(last_prefix_field)]
                fn contract_version(&self) -> TextRef<'static>;

                $(
                    fn $method(
                        &self,
                        context: &CallContext,
                        $($argument: <$type as Argument>::Stable<'_>),*
                    ) -> Outcome<$answer, StorageError> {
                        Outcome::RErr(StorageError::new(ErrorKind::MISSING, ""))
                    }
                )*
            }

            impl<T: $name> $stable for T {
                fn contract_version(&self) -> TextRef<'static> {
                    CONTRACT_VERSION.into()
                }

                $(
                    fn $method(
                        &self,
                        context: &CallContext,
                        $($argument: <$type as Argument>::Stable<'_>),*
                    ) -> Outcome<$answer, StorageError> {
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
