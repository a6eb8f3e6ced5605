//! The contract's traits for [`SurrealStorage`]: each method takes its
//! arguments along to the runtime and runs there as the method of [`Call`] that
//! has its name.

use super::{Call, SurrealStorage};
use abi_stable::std_types::{RString, RVec};
use plugin_api::{
    error::StorageResult,
    records::*,
    storage::*,
    storage_methods,
    value::{Object, Value},
};

/// The type of an argument of the contract as Rust sees it.
macro_rules! rust_type {
    (str) => {
        &str
    };
    (bool) => {
        bool
    };
    (u32) => {
        u32
    };
    (f64) => {
        f64
    };
    ([$item:ty]) => {
        &[$item]
    };
    ($record:ident) => {
        &$record
    };
}

macro_rules! on_the_runtime {
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
            impl $name for SurrealStorage {
                $(
                    fn $method(
                        &self,
                        context: &CallContext,
                        $($argument: rust_type!($type)),*
                    ) -> StorageResult<$answer> {
                        $(let $argument = $argument.to_owned();)*
                        self.run(context, stringify!($method), |call| {
                            Call::$method(call, $($argument),*)
                        })
                    }
                )*
            }
        )*
    };
}

storage_methods!(on_the_runtime);
