//! The read path over real databases, built in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod behaviour;
mod examples;
mod history;
mod model;
mod questions;
mod rows;
mod spy;

use super::{Backend, QueryMerger, ReadSettings, Secondary};
use crate::tombstones::Tombstones;
use parking_lot::Mutex;
use plugin_api::{
    error::StorageError,
    storage::{CallContext, FullStorage, Storage},
    value::{Object, Value},
};
use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use surreal_storage::{SurrealStorage, Target, Timeouts};
use tokio::runtime::{Builder, Runtime};

/// One for all tests, as the databases want it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(10 << 20)
        .enable_all()
        .build()
        .unwrap()
});

/// Long enough that nobody is late.
pub(super) const PATIENT: Duration = Duration::from_secs(60);

fn context() -> CallContext {
    CallContext::new()
}

/// An empty database in memory with the schema in place.
pub(super) fn database() -> SurrealStorage {
    let target = Target {
        url: "mem://".to_owned(),
        credentials: None,
        namespace: "test".to_owned(),
        database: "test".to_owned(),
    };
    let storage = SurrealStorage::new(target, Timeouts::default(), RUNTIME.handle().clone());
    storage.connect(&context()).unwrap();
    storage.initialize_schema(&context()).unwrap();
    storage
}

pub(super) fn run(storage: &SurrealStorage, sql: &str, parameters: &Object) -> Value {
    let answer = storage.query(&context(), sql, parameters);
    answer.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// A secondary that a test can take away.
pub(super) struct Participant {
    name: &'static str,
    priority: u32,
    storage: Mutex<Option<Arc<dyn Backend>>>,
    pub(super) lost: Mutex<Vec<StorageError>>,
    gone: AtomicBool,
}

impl Participant {
    pub(super) fn new(
        name: &'static str,
        priority: u32,
        storage: impl Backend + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            priority,
            storage: Mutex::new(Some(Arc::new(storage))),
            lost: Mutex::default(),
            gone: AtomicBool::new(false),
        })
    }
}

impl Secondary for Participant {
    fn name(&self) -> &str {
        self.name
    }

    fn priority(&self) -> u32 {
        self.priority
    }

    fn storage(&self) -> Option<(Arc<dyn Backend>, u64)> {
        Some((self.storage.lock().clone()?, 1))
    }

    fn is_gone(&self) -> Option<StorageError> {
        let gone = self.gone.load(Ordering::SeqCst);
        gone.then(|| StorageError::connection("nobody listens"))
    }

    fn lost(&self, _: u64, error: &StorageError) {
        self.lost.lock().push(error.clone());
    }
}

pub(super) fn merger(
    primary: impl Backend + 'static,
    secondaries: &[Arc<Participant>],
    tombstones: Option<Arc<Tombstones>>,
    query_timeout: Duration,
) -> QueryMerger {
    QueryMerger::new(
        FullStorage::new(primary),
        secondaries
            .iter()
            .map(|participant| Arc::clone(participant) as Arc<dyn Secondary>),
        tombstones,
        ReadSettings {
            merge: true,
            query_timeout,
        },
        RUNTIME.handle().clone(),
    )
}

/// Tombstones in a directory of their own, which goes with the first value.
fn tombstones() -> (tempfile::TempDir, Arc<Tombstones>) {
    let directory = tempfile::tempdir().unwrap();
    let database = fjall::Database::builder(directory.path()).open().unwrap();
    (directory, Arc::new(Tombstones::open(&database).unwrap()))
}
