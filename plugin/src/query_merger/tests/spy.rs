//! A real database that records its calls, and can be made to wait or fail.

use super::SurrealStorage;
use parking_lot::Mutex;
use plugin_api::rust_type;
use plugin_api::{
    error::StorageResult,
    ffi::{List, Text},
    records::*,
    storage::*,
    storage_methods,
    value::{Object, Value},
};
use std::sync::Arc;

type Hook = dyn Fn(&str) -> StorageResult<()> + Send + Sync;

/// Calls a hook before each method, and keeps the methods' names.
#[derive(Clone)]
pub(super) struct Spy {
    database: SurrealStorage,
    hook: Arc<Hook>,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Spy {
    pub(super) fn on(
        database: &SurrealStorage,
        hook: impl Fn(&str) -> StorageResult<()> + Send + Sync + 'static,
    ) -> Self {
        Self {
            database: database.clone(),
            hook: Arc::new(hook),
            calls: Arc::default(),
        }
    }

    /// The methods that were called since the last time.
    pub(super) fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock())
    }
}

macro_rules! spied {
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
            impl $trait for Spy {
                $(
                    fn $method(
                        &self,
                        context: &CallContext,
                        $($argument: rust_type!($type)),*
                    ) -> StorageResult<$answer> {
                        self.calls.lock().push(stringify!($method).to_owned());
                        (self.hook)(stringify!($method))?;
                        self.database.$method(context, $($argument),*)
                    }
                )*
            }
        )*
    };
}

storage_methods!(spied);
