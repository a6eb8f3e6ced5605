//! What the host holds: a storage that the module can close.
//!
//! The host may keep its storage for longer than the module lives, and may
//! call it while the module is cleaned up. So its handle, a [`WrappedStorage`],
//! goes through a [`ClosableStorage`]. While that is open, calls go to the
//! module's storage. Once it is closed, reads go to the primary alone, and
//! writes and deletes fail with `Closed`, since nothing would replicate them.
//! Closing waits for the calls in flight.

use crate::{logging::Log, raw_query};
use arc_swap::ArcSwapOption;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use plugin_api::{
    error::{StorageError, StorageResult},
    ffi::{List, Text},
    records::*,
    rust_type,
    storage::*,
    storage_methods,
    value::{Object, Value},
};
use std::{convert::Infallible, sync::Arc, time::Duration};

/// A storage with all 64 methods.
pub trait AllMethods: Storage + StatsProvider + CodeStorage + 'static {}

impl<T: Storage + StatsProvider + CodeStorage + 'static> AllMethods for T {}

/// A storage that can be closed for good.
pub struct ClosableStorage<S> {
    primary: FullStorage,
    open: ArcSwapOption<Open<S>>,
    /// Disconnected when the last call in flight ends.
    drained: Mutex<Receiver<Infallible>>,
}

struct Open<S> {
    storage: S,
    log: Arc<Log>,
    /// Dropped with the last call in flight.
    _in_flight: Sender<Infallible>,
}

/// The host's handle on a closable storage.
pub struct WrappedStorage<S>(Arc<ClosableStorage<S>>);

impl<S: AllMethods> ClosableStorage<S> {
    /// Opens `storage`, which wraps `primary`.
    pub fn new(primary: FullStorage, storage: S, log: Arc<Log>) -> Arc<Self> {
        let (in_flight, drained) = bounded(0);
        Arc::new(Self {
            primary,
            open: ArcSwapOption::from_pointee(Open {
                storage,
                log,
                _in_flight: in_flight,
            }),
            drained: Mutex::new(drained),
        })
    }

    /// The storage for the host.
    pub fn storage(self: &Arc<Self>) -> FullStorage {
        FullStorage::new(WrappedStorage(Arc::clone(self)))
    }

    /// Accepts no more calls for the module's storage, and waits for those in
    /// flight; false if some have not ended within `timeout`. They go on.
    pub fn close(&self, timeout: Duration) -> bool {
        self.open.store(None);
        self.drained.lock().recv_timeout(timeout) == Err(RecvTimeoutError::Disconnected)
    }
}

/// What a call does once the storage is closed.
macro_rules! when_closed {
    (write $method:ident $call:tt $primary:expr) => {
        Err(closed(stringify!($method)))
    };
    (delete $method:ident $call:tt $primary:expr) => {
        Err(closed(stringify!($method)))
    };
    (admin query $call:tt $primary:expr) => {
        raw_when_closed $call
    };
    ($other:ident $method:ident $call:tt $primary:expr) => {
        $primary
    };
}

/// What raw SurrealQL does once the storage is closed.
fn raw_when_closed(
    primary: &FullStorage,
    context: &CallContext,
    text: &str,
    parameters: &Object,
) -> StorageResult<Value> {
    if raw_query::writes(text) {
        return Err(closed("query"));
    }
    primary.query(context, text, parameters)
}

fn closed(method: &str) -> StorageError {
    StorageError::closed(format!(
        "{method}: the replication module was cleaned up, so this write would not be replicated; load the module again, or write to the host's own storage"
    ))
}

macro_rules! while_open {
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
            impl<S: AllMethods> $trait for WrappedStorage<S> {
                $(
                    fn $method(
                        &self,
                        context: &CallContext,
                        $($argument: rust_type!($type)),*
                    ) -> StorageResult<$answer> {
                        // Held through the call: this is what closing waits for.
                        match self.0.open.load_full() {
                            Some(open) => open.log.scope(|| {
                                $trait::$method(&open.storage, context, $($argument),*)
                            }),
                            None => when_closed!(
                                $kind $method (&self.0.primary, context, $($argument),*)
                                $trait::$method(&self.0.primary, context, $($argument),*)
                            ),
                        }
                    }
                )*
            }
        )*
    };
}

storage_methods!(while_open);
