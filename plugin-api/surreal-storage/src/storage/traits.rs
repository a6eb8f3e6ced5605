//! The contract's traits for [`SurrealStorage`]: each method runs on the runtime,
//! as the method of [`Call`] with its name.

use super::{Call, SurrealStorage};
use plugin_api::{
    error::StorageResult,
    ffi::{List, Text},
    records::*,
    rust_type,
    storage::*,
    storage_methods,
    value::{Object, Value},
};

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
