//! [`LoopDetector`]: finds a secondary that is the primary itself, by whatever
//! name, or the primary of a host that replicates to this one's primary.
//!
//! Each running module is an *instance* with a random name. It marks its primary
//! as that, and each database to which it replicates as downstream of it, and it
//! passes on the downstream marks that its own primary has. A secondary that is
//! marked as the primary of an instance which this primary is downstream of, or of
//! this instance, would be sent its own writes.
//!
//! Marks expire and are renewed with each health check. So a database whose host
//! is gone may become a secondary, and the marks in a copied database soon mean
//! nothing.

use parking_lot::Mutex;
use plugin_api::{
    error::{ErrorKind, StorageError, StorageResult},
    storage::{CallContext, FullStorage, Storage as _},
    value::{Object, RecordId, Timestamp, Value},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use surreal_storage::{Connection, schema::INSTANCE_TABLE};
use tokio::task::spawn_blocking;

/// How long either side may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The shortest time that marks are valid for.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(5);

/// How often a statement is tried that conflicts with another host's.
const ATTEMPTS: u32 = 5;

const PRIMARY: &str = "primary";
const DOWNSTREAM: &str = "downstream";

/// One module's marks, in its primary and its secondaries.
pub(crate) struct LoopDetector {
    primary: FullStorage,
    instance: String,
    lifetime: Duration,
    /// Held while the primary is marked: its secondaries would conflict.
    marking: Mutex<()>,
    /// Was the primary ever marked?
    is_marked: AtomicBool,
    is_reported: AtomicBool,
}

impl LoopDetector {
    /// Marks are renewed once per `health_check_interval`.
    pub(crate) fn new(primary: FullStorage, health_check_interval: Duration) -> Arc<Self> {
        Arc::new(Self {
            primary,
            instance: format!("{:032x}", fastrand::u128(..)),
            lifetime: health_check_interval
                .saturating_mul(3)
                .max(SHORTEST_LIFETIME),
            marking: Mutex::new(()),
            is_marked: AtomicBool::new(false),
            is_reported: AtomicBool::new(false),
        })
    }

    /// Checks a secondary, and marks it if the module replicates to it. Nothing is
    /// written to one that fails the check.
    ///
    /// # Errors
    /// `InvalidInput` if the secondary is part of a loop; `Connection` if the
    /// primary does not answer; else those of the secondary.
    pub(crate) async fn check(
        self: &Arc<Self>,
        connection: &Connection,
        replicates: bool,
    ) -> StorageResult<()> {
        let this = Arc::clone(self);
        let upstream = spawn_blocking(move || this.mark_primary())
            .await
            .map_err(|error| StorageError::internal(error.to_string()))?;
        let upstream = match upstream {
            Ok(upstream) => upstream,
            Err(error) => return self.without_marks(error),
        };
        let sql = format!(
            "SELECT VALUE instance FROM {INSTANCE_TABLE} WHERE role = $role AND until > $now"
        );
        let parameters = Object::new()
            .with("role", PRIMARY)
            .with("now", Timestamp::now());
        let primary_of = match connection.query(&sql, parameters, TIMEOUT).await {
            Ok(answer) => names(answer.first()),
            // No module has ever marked it.
            Err(error) if error.kind == ErrorKind::NOT_FOUND => Vec::new(),
            Err(error) => return Err(error.context("looking for a replication loop")),
        };
        let address = connection.address().as_str();
        if primary_of.contains(&self.instance) {
            return Err(StorageError::invalid_input(format!(
                "{address} is the primary itself: the host already uses this database; give the \
                 secondary another server, namespace or database"
            )));
        }
        if primary_of.iter().any(|name| upstream.contains(name)) {
            return Err(StorageError::invalid_input(format!(
                "{address} is the primary of another host, which replicates to this host's \
                 primary: every write would return to where it came from; remove one of the two \
                 directions"
            )));
        }
        if replicates {
            self.mark_downstream(connection, upstream).await?;
        }
        Ok(())
    }

    /// Removes the mark of the primary, which may become a secondary now.
    pub(crate) fn clear(&self) {
        if self.is_marked.swap(false, Ordering::Relaxed) {
            let mark = Object::new().with("mark", self.mark(PRIMARY, &self.instance).0);
            // It expires anyway.
            let _ = self.primary.query(
                &CallContext::with_timeout(TIMEOUT),
                "DELETE $mark RETURN NONE",
                &mark,
            );
        }
    }

    /// Renews the mark of the primary, and returns of which instances it is
    /// downstream.
    fn mark_primary(&self) -> StorageResult<Vec<String>> {
        let _marking = self.marking.lock();
        let (id, mark) = self.mark(PRIMARY, &self.instance);
        let parameters = Object::new()
            .with("now", Timestamp::now())
            .with("id", id)
            .with("mark", mark)
            .with("role", DOWNSTREAM);
        let sql = format!(
            "DEFINE TABLE IF NOT EXISTS {INSTANCE_TABLE} SCHEMALESS;\n\
             DELETE {INSTANCE_TABLE} WHERE until < $now RETURN NONE;\n\
             UPSERT $id CONTENT $mark RETURN NONE;\n\
             SELECT VALUE instance FROM {INSTANCE_TABLE} WHERE role = $role;"
        );
        let mut attempt = 1;
        let answer = loop {
            let context = CallContext::with_timeout(TIMEOUT);
            match self.primary.query(&context, &sql, &parameters) {
                Err(error) if error.kind == ErrorKind::CONFLICT && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                answer => break answer?,
            }
        };
        self.is_marked.store(true, Ordering::Relaxed);
        Ok(names(answer.as_array().and_then(<[Value]>::last)))
    }

    /// Marks a secondary as downstream of this instance, and of those that this
    /// one is downstream of.
    async fn mark_downstream(
        &self,
        connection: &Connection,
        upstream: Vec<String>,
    ) -> StorageResult<()> {
        let all = upstream.iter().chain([&self.instance]);
        let marks: Value = all
            .map(|instance| {
                let (id, mark) = self.mark(DOWNSTREAM, instance);
                mark.with("id", id)
            })
            .collect();
        let parameters = Object::new()
            .with("now", Timestamp::now())
            .with("marks", marks);
        let sql = format!(
            "DEFINE TABLE IF NOT EXISTS {INSTANCE_TABLE} SCHEMALESS;\n\
             DELETE {INSTANCE_TABLE} WHERE until < $now RETURN NONE;\n\
             FOR $mark IN $marks {{ UPSERT $mark.id CONTENT $mark RETURN NONE; }};"
        );
        let mut attempt = 1;
        loop {
            match connection.query(&sql, parameters.clone(), TIMEOUT).await {
                Err(error) if error.kind == ErrorKind::CONFLICT && attempt < ATTEMPTS => {
                    attempt += 1;
                }
                answer => {
                    return answer
                        .map(drop)
                        .map_err(|error| error.context("marking the secondary"));
                }
            }
        }
    }

    /// The record id and the content of a mark.
    fn mark(&self, role: &str, instance: &str) -> (RecordId, Object) {
        let id = RecordId::new(INSTANCE_TABLE, format!("{role}-{instance}"));
        let mark = Object::new()
            .with("instance", instance)
            .with("role", role)
            .with("until", Timestamp::now().after(self.lifetime));
        (id, mark)
    }

    /// What follows if the primary cannot be marked. A primary that does not
    /// answer may do so later; one that allows no writes never will, and is no
    /// reason to replicate nothing.
    fn without_marks(&self, error: StorageError) -> StorageResult<()> {
        let may_answer_later = matches!(
            error.kind,
            ErrorKind::CONNECTION | ErrorKind::TIMEOUT | ErrorKind::CLOSED
        );
        if may_answer_later && !self.is_marked.load(Ordering::Relaxed) {
            return Err(StorageError::connection(format!(
                "the primary does not answer: {}",
                error.message
            )));
        }
        if !self.is_reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %error,
                "the primary could not be marked, so a secondary that is the primary itself \
                 would not be noticed"
            );
        }
        Ok(())
    }
}

impl std::fmt::Debug for LoopDetector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoopDetector")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

/// The names of instances in the rows of an answer.
fn names(rows: Option<&Value>) -> Vec<String> {
    rows.and_then(Value::as_array)
        .unwrap_or_default()
        .iter()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}
