//! Threads that write through a storage and report what was acknowledged.
//!
//! Each thread has keys of its own, whose numbers increase: what is stored under
//! one must never be older than what was last acknowledged. All threads also write
//! a few shared keys, whose order only the primary determines.

use crate::ledger::Ledger;
use parking_lot::Mutex;
use plugin_api::{
    error::StorageResult,
    records::{CodeProject, CodeSymbol, IndexingJob},
    storage::{CallContext, CodeStorage as _, FullStorage, Storage as _},
    value::{Object, Value},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// The user, the project and the subject that the load belongs to.
pub const OWNER: &str = "load";

/// Keys of each kind that a thread writes again and again.
const OWN_KEYS: i64 = 3;

/// The distance between the numbers of two rounds.
const NUMBERS_PER_ROUND: i64 = 1_000_000;

/// The result of a write.
#[derive(Clone, Debug, PartialEq)]
pub enum WriteResult {
    /// The write of `number` under `key` succeeded.
    Acked {
        /// One of [`ledger::KINDS`](crate::ledger::KINDS).
        kind: &'static str,
        /// Which of them.
        key: String,
        /// The number that was written.
        number: i64,
    },
    /// A write failed.
    Failed {
        /// The error's kind.
        kind: &'static str,
        /// What it says.
        message: String,
    },
}

/// How much to write.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Threads that write.
    pub threads: i64,
    /// A later load on the same data needs a larger one.
    pub round: i64,
    /// The time between two writes of a thread.
    pub pace: Duration,
}

impl Load {
    /// Writes until `stop` is set, and reports every result to `report`.
    pub fn run(
        &self,
        storage: &FullStorage,
        stop: &AtomicBool,
        report: &(dyn Fn(WriteResult) + Sync),
    ) {
        thread::scope(|scope| {
            for thread in 0..self.threads {
                scope.spawn(move || {
                    let mut writing = WritingThread {
                        storage,
                        name: format!("t{thread}"),
                        number: self.round * NUMBERS_PER_ROUND,
                        report,
                    };
                    // Each thread begins with another kind of write.
                    let turn = usize::try_from(thread).unwrap_or(0);
                    let mut writes = WRITES.iter().cycle().skip(turn % WRITES.len());
                    while !stop.load(Ordering::Relaxed) {
                        writing.number += 1;
                        if let Some(Err(error)) = writes.next().map(|write| write(&writing)) {
                            report(WriteResult::Failed {
                                kind: error.kind.name(),
                                message: error.message.to_string(),
                            });
                        }
                        thread::sleep(self.pace);
                    }
                });
            }
        });
    }

    /// Writes in the background.
    pub fn start(self, storage: &FullStorage) -> Background {
        let stop = Arc::new(AtomicBool::new(false));
        let ledger = Arc::new(Mutex::new(Ledger::default()));
        let (storage, stopped, shared) = (storage.clone(), Arc::clone(&stop), Arc::clone(&ledger));
        let thread = thread::spawn(move || {
            self.run(&storage, &stopped, &|what| shared.lock().note(what));
        });
        Background {
            stop,
            ledger,
            thread: Some(thread),
        }
    }
}

/// A running load. It ends when this is dropped.
pub struct Background {
    stop: Arc<AtomicBool>,
    ledger: Arc<Mutex<Ledger>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// How many writes were acknowledged so far.
    pub fn acked(&self) -> u64 {
        self.ledger.lock().acked()
    }

    /// Ends it.
    pub fn finish(mut self) -> Ledger {
        self.end();
        std::mem::take(&mut self.ledger.lock())
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic has been printed already.
            let _ = thread.join();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.end();
    }
}

/// A writing thread.
struct WritingThread<'a> {
    storage: &'a FullStorage,
    name: String,
    number: i64,
    report: &'a (dyn Fn(WriteResult) + Sync),
}

/// The writes of a thread, in order.
const WRITES: &[fn(&WritingThread<'_>) -> StorageResult<()>] = &[
    |thread| thread.fact(),
    |thread| thread.shared_fact(),
    |thread| thread.document(),
    |thread| thread.symbols(),
    |thread| thread.fact(),
    |thread| thread.event(),
    |thread| thread.vector(),
    |thread| thread.edge(),
    |thread| thread.project(),
    |thread| thread.job(),
    |thread| thread.raw_fact(),
    |thread| thread.raw_project(),
];

impl WritingThread<'_> {
    fn acked(&self, kind: &'static str, key: String) {
        (self.report)(WriteResult::Acked {
            kind,
            key,
            number: self.number,
        });
    }

    /// A key that is written again and again.
    fn own_key(&self) -> String {
        format!("{}-{}", self.name, self.number % OWN_KEYS)
    }

    /// A key that is written once.
    fn new_key(&self) -> String {
        format!("{}-{}", self.name, self.number)
    }

    fn metadata(&self, key: &str) -> Object {
        Object::new().with("key", key).with("number", self.number)
    }

    fn fact(&self) -> StorageResult<()> {
        let key = self.own_key();
        let context = CallContext::new();
        self.storage
            .save_fact(&context, OWNER, &key, &self.number.into())?;
        self.acked("fact", key);
        Ok(())
    }

    fn shared_fact(&self) -> StorageResult<()> {
        let key = format!("shared-{}", self.number % OWN_KEYS);
        let value = self.new_key().into();
        self.storage
            .save_fact(&CallContext::new(), "everybody", &key, &value)
            .map(drop)
    }

    fn document(&self) -> StorageResult<()> {
        let path = self.own_key();
        let count = usize::try_from(1 + self.number % 5).unwrap_or(1);
        let chunks = vec![self.new_key().into(); count];
        let embeddings = vec![Default::default(); count];
        let metadata = self.metadata(&path);
        self.storage.save_document_chunks(
            &CallContext::new(),
            &path,
            &chunks,
            &embeddings,
            &metadata,
        )?;
        self.acked("document", format!("{path}#chunk0"));
        Ok(())
    }

    fn symbols(&self) -> StorageResult<()> {
        let keys = ["a", "b", "c"].map(|which| format!("{}-{which}", self.name));
        let symbols = keys.each_ref().map(|key| CodeSymbol {
            project_id: OWNER.into(),
            file_path: "lib.rs".into(),
            language: "rust".into(),
            symbol_type: "function".into(),
            name: key.as_str().into(),
            name_path: key.as_str().into(),
            metadata: Some(self.metadata(key)).into(),
            ..CodeSymbol::default()
        });
        self.storage
            .save_code_symbols(&CallContext::new(), &symbols)?;
        for key in keys {
            self.acked("symbol", key);
        }
        Ok(())
    }

    fn event(&self) -> StorageResult<()> {
        let key = self.new_key();
        let metadata = self.metadata(&key);
        self.storage
            .save_event(&CallContext::new(), OWNER, &self.name, &key, &[], &metadata)?;
        self.acked("event", key);
        Ok(())
    }

    fn vector(&self) -> StorageResult<()> {
        let context = &CallContext::new();
        let key = self.new_key();
        let metadata = self.metadata(&key);
        let receipt = self
            .storage
            .index_vector(context, OWNER, "first", &[0.5], &metadata)?;
        self.acked("vector", key.clone());
        for row in &receipt.rows {
            let id = row.id.to_string();
            self.storage
                .update_vector(context, &id, OWNER, "second", &[0.25], &metadata)?;
            self.acked("updated vector", key.clone());
        }
        Ok(())
    }

    fn edge(&self) -> StorageResult<()> {
        let context = &CallContext::new();
        let key = self.new_key();
        let metadata = &self.metadata(&key);
        self.storage
            .create_entity(context, "place", &key, metadata)?;
        self.acked("entity", key.clone());
        self.storage
            .create_relationship(context, &key, &key, "leads_to", metadata)?;
        self.acked("edge", key);
        Ok(())
    }

    fn project(&self) -> StorageResult<()> {
        let context = &CallContext::new();
        let key = self.own_key();
        let project = CodeProject {
            project_id: key.as_str().into(),
            name: key.as_str().into(),
            root_path: "/src".into(),
            indexing_status: "pending".into(),
            language_stats: self.metadata(&key),
            ..CodeProject::default()
        };
        self.storage.create_code_project(context, &project)?;
        self.acked("project", key.clone());
        self.storage
            .update_project_status(context, &key, "completed")?;
        self.acked("project", key);
        Ok(())
    }

    fn job(&self) -> StorageResult<()> {
        let context = &CallContext::new();
        let key = self.new_key();
        let job = IndexingJob {
            project_id: OWNER.into(),
            project_path: key.as_str().into(),
            status: "pending".into(),
            ..IndexingJob::default()
        };
        let receipt = self.storage.create_indexing_job(context, &job)?;
        self.acked("job", key.clone());
        for row in &receipt.rows {
            let id = row.id.to_string();
            self.storage
                .update_indexing_job(context, &id, "completed", 1.0, 7, "")?;
            self.acked("ended job", key.clone());
        }
        Ok(())
    }

    /// A raw write that is replicated by its answer.
    fn raw_fact(&self) -> StorageResult<()> {
        let key = self.own_key();
        let text = "UPSERT kv_memories SET user_id = $owner, key = $key, value = $number \
                    WHERE user_id = $owner AND key = $key";
        self.raw(text, &key)?;
        self.acked("fact", key);
        Ok(())
    }

    /// A raw write that is replicated by a resync of its table.
    fn raw_project(&self) -> StorageResult<()> {
        let key = self.own_key();
        let text = "UPDATE code_projects SET language_stats = $mark WHERE project_id = $key; \
                    RETURN array::len((SELECT id FROM code_projects WHERE project_id = $key))";
        let answer = self.raw(text, &key)?;
        // The project may not exist yet.
        if answer.as_array().and_then(<[Value]>::last) == Some(&Value::Int(1)) {
            self.acked("project", key);
        }
        Ok(())
    }

    fn raw(&self, text: &str, key: &str) -> StorageResult<Value> {
        let parameters = Object::new()
            .with("owner", OWNER)
            .with("key", key)
            .with("number", self.number)
            .with("mark", self.metadata(key));
        self.storage.query(&CallContext::new(), text, &parameters)
    }
}
