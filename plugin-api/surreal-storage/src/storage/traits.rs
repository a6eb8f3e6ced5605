//! The contract's traits: each method takes its arguments along to the runtime.

use super::SurrealStorage;
use abi_stable::std_types::{RString, RVec};
use plugin_api::{
    error::{StorageError, StorageResult},
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

macro_rules! stubs {
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
                    fn $method(&self, context: &CallContext, $($argument: rust_type!($type)),*) -> StorageResult<$answer> {
                        $(let _ = $argument;)*
                        self.run(context, stringify!($method), |call| async move {
                            match stringify!($method) {
                                "connect" => { call.shared().connection(call.left()?, true).await?; }
                                "close" => call.shared().close(),
                                _ => {}
                            }
                            Err(StorageError::unsupported("not yet"))
                        })
                    }
                )*
            }
        )*
    };
}
storage_methods!(stubs);
