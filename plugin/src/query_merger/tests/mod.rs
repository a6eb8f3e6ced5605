//! The read path over real databases, embedded in the test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod behaviour;
mod examples;
mod history;
mod model;
mod reads;
mod rows;
mod spy;

use super::{Backend, Connected, QueryMerger, ReadSettings, Secondary};
use crate::{error_policy::Failure, metrics::instruments::ReadMetrics, tombstones::Tombstones};
use parking_lot::Mutex;
use plugin_api::{
    error::{StorageError, StorageResult},
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

/// One for all tests, with the stack size that the databases need.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(10 << 20)
        .enable_all()
        .build()
        .unwrap()
});

/// A query timeout that no test exceeds.
pub(super) const LONG_TIMEOUT: Duration = Duration::from_secs(60);

fn context() -> CallContext {
    CallContext::new()
}

/// An empty database in memory with the schema in place.
pub(crate) fn database() -> SurrealStorage {
    let target = Target {
        url: "mem://".to_owned(),
        credentials: None,
        ca_file: None,
        namespace: "test".to_owned(),
        database: "test".to_owned(),
    };
    let storage = SurrealStorage::new(target, Timeouts::default(), RUNTIME.handle().clone());
    storage.connect(&context()).unwrap();
    storage.initialize_schema(&context()).unwrap();
    storage
}

pub(crate) fn run(storage: &SurrealStorage, sql: &str, parameters: &Object) -> Value {
    let answer = storage.query(&context(), sql, parameters);
    answer.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// A secondary that a test can disconnect.
pub(super) struct TestSecondary {
    name: &'static str,
    priority: u32,
    storage: Mutex<Option<Arc<dyn Backend>>>,
    /// The errors with which its connection was reported lost.
    pub(super) lost: Mutex<Vec<StorageError>>,
    port_closed: AtomicBool,
    metrics: Arc<ReadMetrics>,
}

impl TestSecondary {
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
            port_closed: AtomicBool::new(false),
            metrics: Arc::default(),
        })
    }
}

impl Secondary for TestSecondary {
    fn name(&self) -> &str {
        self.name
    }

    fn priority(&self) -> u32 {
        self.priority
    }

    fn connected(&self) -> Option<Connected> {
        Some(Connected {
            backend: self.storage.lock().clone()?,
            generation: 1,
        })
    }

    fn is_check_due(&self, _: u64) -> bool {
        true
    }

    fn check_alive(&self, generation: u64) -> StorageResult<()> {
        if !self.port_closed.load(Ordering::SeqCst) {
            return Ok(());
        }
        let error = StorageError::connection("nobody listens");
        assert_eq!(generation, 1);
        self.lost.lock().push(error.clone());
        Err(error)
    }

    fn lost(&self, _: &Connected, failure: &Failure) {
        self.lost.lock().push(failure.error.clone());
    }
}

pub(super) fn merger(
    primary: impl Backend + 'static,
    secondaries: &[Arc<TestSecondary>],
    tombstones: Option<Arc<Tombstones>>,
    query_timeout: Duration,
) -> QueryMerger {
    QueryMerger::new(
        FullStorage::new(primary),
        secondaries
            .iter()
            .map(|secondary| (Arc::clone(secondary) as _, Arc::clone(&secondary.metrics))),
        tombstones,
        ReadSettings {
            merge: true,
            query_timeout,
        },
        RUNTIME.handle().clone(),
    )
}

/// Tombstones in a directory of their own, which is removed when the first value
/// is dropped.
fn tombstones() -> (tempfile::TempDir, Arc<Tombstones>) {
    let directory = tempfile::tempdir().unwrap();
    let database = fjall::Database::builder(directory.path()).open().unwrap();
    (directory, Arc::new(Tombstones::open(&database).unwrap()))
}
