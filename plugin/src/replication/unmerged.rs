//! [`Unmerged`]: writes go through the write path, all else to the primary.

use crate::synced_storage::SyncedStorage;
use plugin_api::{
    abi_stable::std_types::{RString, RVec},
    error::StorageResult,
    records::*,
    storage::*,
    storage_methods,
    value::{Object, Value},
};
use std::sync::Arc;

/// A storage whose writes are replicated and whose reads are the primary's.
pub struct Unmerged {
    pub(super) primary: FullStorage,
    pub(super) synced: Arc<SyncedStorage>,
}

macro_rules! rust_type {
    (str) => { &str };
    (bool) => { bool };
    (u32) => { u32 };
    (f64) => { f64 };
    ([$item:ty]) => { &[$item] };
    ($record:ident) => { &$record };
}

macro_rules! by_kind {
    (write $this:ident $trait:ident $method:ident $($argument:expr),*) => {
        $this.synced.$method($($argument),*)
    };
    (delete $this:ident $trait:ident $method:ident $($argument:expr),*) => {
        $this.synced.$method($($argument),*)
    };
    ($other:ident $this:ident $trait:ident $method:ident $($argument:expr),*) => {
        $trait::$method(&$this.primary, $($argument),*)
    };
}

macro_rules! implement {
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
            impl $trait for Unmerged {
                $(
                    fn $method(
                        &self,
                        context: &CallContext,
                        $($argument: rust_type!($type)),*
                    ) -> StorageResult<$answer> {
                        let this = self;
                        by_kind!($kind this $trait $method context $(, $argument)*)
                    }
                )*
            }
        )*
    };
}

storage_methods!(implement);
