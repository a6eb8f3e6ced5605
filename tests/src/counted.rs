//! [`Counted`]: a storage that counts what is written and deleted through it.

use parking_lot::Mutex;
use plugin_api::{
    error::StorageResult,
    ffi::{List, Text},
    records::*,
    rust_type,
    storage::*,
    storage_methods,
    value::{Object, Value},
};
use std::{collections::BTreeSet, sync::Arc};

/// Passes each call on, and keeps the names of the methods that write or delete.
#[derive(Clone)]
pub struct Counted {
    storage: FullStorage,
    calls: Arc<Mutex<Vec<&'static str>>>,
}

impl Counted {
    /// Around this storage.
    pub fn new(storage: &FullStorage) -> Self {
        Self {
            storage: storage.clone(),
            calls: Arc::default(),
        }
    }

    /// How many calls there were.
    pub fn calls(&self) -> usize {
        self.calls.lock().len()
    }

    /// The methods that write or delete and were not called.
    pub fn not_called(&self) -> BTreeSet<&'static str> {
        let called = self.calls.lock();
        let changes = METHODS
            .iter()
            .filter(|method| matches!(method.kind, MethodKind::Write | MethodKind::Delete));
        let names = changes.map(|method| method.name);
        names.filter(|name| !called.contains(name)).collect()
    }
}

macro_rules! counted {
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
            impl $trait for Counted {
                $(
                    fn $method(
                        &self,
                        context: &CallContext,
                        $($argument: rust_type!($type)),*
                    ) -> StorageResult<$answer> {
                        if matches!(stringify!($kind), "write" | "delete") {
                            self.calls.lock().push(stringify!($method));
                        }
                        self.storage.$method(context, $($argument),*)
                    }
                )*
            }
        )*
    };
}

storage_methods!(counted);
