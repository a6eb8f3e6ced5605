//! A storage that passes every call through to another.

use plugin_api::{
    error::StorageResult,
    ffi::{List, Text},
    records::*,
    rust_type,
    storage::*,
    storage_methods,
    value::{Object, Value},
};

/// Passes every call through to `inner`, or panics in the method named
/// `panic_in`.
pub(crate) struct PassThroughStorage {
    /// The storage that is called.
    pub(crate) inner: FullStorage,
    /// The method that panics; empty for none.
    pub(crate) panic_in: String,
}

impl PassThroughStorage {
    #[allow(clippy::panic, reason = "it is asked to")]
    fn before(&self, method: &str) {
        if self.panic_in == method {
            panic!("asked to panic in {method}");
        }
    }
}

macro_rules! pass_through {
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
            impl $trait for PassThroughStorage {
                $(
                    fn $method(
                        &self,
                        context: &CallContext,
                        $($argument: rust_type!($type)),*
                    ) -> StorageResult<$answer> {
                        self.before(stringify!($method));
                        $trait::$method(&self.inner, context, $($argument),*)
                    }
                )*
            }
        )*
    };
}

storage_methods!(pass_through);
