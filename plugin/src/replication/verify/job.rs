//! [`VerifyJob`]: the comparison that runs, or the latest one: its progress and its
//! result. One runs at a time.

use super::{VerifyOptions, VerifyReport};
use crate::replication::{Replication, STACK_SIZE};
use parking_lot::Mutex;
use plugin_api::{
    error::{StorageError, StorageResult},
    value::Timestamp,
};
use serde::Serialize;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// What becomes of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VerifyState {
    /// It reads both sides.
    Running,
    /// It has a result.
    Finished,
    /// An operator or the end of the module stopped it: its result is of a part.
    Cancelled,
    /// It has an error.
    Failed,
}

/// A comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyJob {
    /// Counts the comparisons of this process from 1.
    pub id: u64,
    /// What becomes of it.
    pub state: VerifyState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Are rows that differ replicated again?
    pub repair: bool,
    /// How far it is.
    pub progress: VerifyProgress,
    /// Its result, unless it runs or failed.
    pub report: Option<VerifyReport>,
    /// Why it failed.
    pub error: Option<String>,
}

/// How far a comparison is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyProgress {
    /// Tables to compare, each once for each secondary.
    pub tables: usize,
    /// Of these, tables that are done.
    pub tables_done: usize,
    /// The secondary that is being compared.
    pub secondary: String,
    /// The table that is being compared.
    pub table: String,
    /// Rows of it that are compared.
    pub rows: usize,
    /// Rows that the primary had in it at the beginning.
    pub total_rows: u64,
    /// Rows of all tables that are compared, each once for each secondary.
    pub all_rows_done: u64,
    /// Rows that the primary had in all tables at the beginning, each once for each
    /// secondary.
    pub all_rows: u64,
    /// Was it cancelled? Then it ends after the present page of rows.
    pub cancelling: bool,
}

impl VerifyProgress {
    /// A table begins.
    pub(super) fn begin(&mut self, secondary: &str, table: &str, total_rows: u64) {
        secondary.clone_into(&mut self.secondary);
        table.clone_into(&mut self.table);
        self.total_rows = total_rows;
        self.rows = 0;
    }

    /// So many rows of the table are compared.
    pub(super) fn compared(&mut self, rows: usize) {
        self.all_rows_done += rows.saturating_sub(self.rows) as u64;
        self.rows = rows;
    }
}

/// The comparison that runs, or the latest one.
#[derive(Default)]
pub(in crate::replication) struct Verification {
    job: Mutex<Option<VerifyJob>>,
    is_cancelled: AtomicBool,
}

impl Verification {
    /// Has the running comparison end after the present page. False if none runs.
    pub(in crate::replication) fn cancel(&self) -> bool {
        let mut job = self.job.lock();
        let Some(running) = job.as_mut().filter(|job| job.is_running()) else {
            return false;
        };
        running.progress.cancelling = true;
        self.is_cancelled.store(true, Ordering::Relaxed);
        true
    }

    fn begin(&self, repair: bool) -> StorageResult<()> {
        let mut job = self.job.lock();
        if job.as_ref().is_some_and(VerifyJob::is_running) {
            return Err(StorageError::conflict(
                "a comparison is running; wait for it, or POST /api/db-sync/verify/cancel",
            ));
        }
        self.is_cancelled.store(false, Ordering::Relaxed);
        *job = Some(VerifyJob {
            id: job.as_ref().map_or(1, |former| former.id + 1),
            state: VerifyState::Running,
            started_at: Timestamp::now(),
            finished_at: None,
            repair,
            progress: VerifyProgress::default(),
            report: None,
            error: None,
        });
        Ok(())
    }

    /// Notes progress. False if the comparison is to end.
    pub(super) fn goes_on(&self, note: impl FnOnce(&mut VerifyProgress)) -> bool {
        if let Some(job) = &mut *self.job.lock() {
            note(&mut job.progress);
        }
        !self.is_cancelled.load(Ordering::Relaxed)
    }

    fn end(&self, result: &StorageResult<VerifyReport>) {
        if let Some(job) = &mut *self.job.lock() {
            job.finished_at = Some(Timestamp::now());
            match result {
                Ok(report) => {
                    job.state = match report.cancelled {
                        true => VerifyState::Cancelled,
                        false => VerifyState::Finished,
                    };
                    job.report = Some(report.clone());
                }
                Err(error) => {
                    job.state = VerifyState::Failed;
                    job.error = Some(error.message.to_string());
                }
            }
        }
    }
}

impl VerifyJob {
    /// The same without the values of rows.
    #[must_use]
    pub fn without_values(mut self) -> Self {
        self.report = self.report.map(VerifyReport::without_values);
        self
    }

    fn is_running(&self) -> bool {
        self.state == VerifyState::Running
    }
}

/// A comparison that has begun. One that panics has failed.
struct Begun<'a>(&'a Verification);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let error = StorageError::internal("the comparison panicked; please report this");
            self.0.end(&Err(error));
        }
    }
}

impl Replication {
    /// Compares tables, and copies the rows that differ again if asked to; all
    /// tables if none are named. Rows that only a secondary has stay as they are.
    ///
    /// Takes as long as reading the tables on both sides does.
    ///
    /// # Errors
    /// If a comparison is running, a table is not replicated, or the primary or the
    /// log fails.
    pub fn verify(
        &self,
        secondaries: &[String],
        tables: &[String],
        options: VerifyOptions,
    ) -> StorageResult<VerifyReport> {
        let tables = self.replicated_by_queue(tables)?;
        self.verification.begin(options.repair)?;
        self.run_verification(secondaries, &tables, options)
    }

    /// The same in the background; [`Self::verify_job`] has its progress and result.
    ///
    /// # Errors
    /// If a comparison is running, a table is not replicated, or a thread cannot be
    /// started.
    pub fn start_verify(
        self: &Arc<Self>,
        secondaries: Vec<String>,
        tables: &[String],
        options: VerifyOptions,
    ) -> StorageResult<()> {
        let tables = self.replicated_by_queue(tables)?;
        self.verification.begin(options.repair)?;
        let replication = Arc::clone(self);
        let compare = move || {
            replication.log.scope(|| {
                if let Err(error) = replication.run_verification(&secondaries, &tables, options) {
                    tracing::error!(%error, "the comparison of the secondaries failed");
                }
            });
        };
        let started = thread::Builder::new()
            .name("db-sync-verify".to_owned())
            .stack_size(STACK_SIZE)
            .spawn(compare);
        started.map(drop).map_err(|error| {
            let error = StorageError::internal(format!("a thread cannot be started: {error}"));
            self.verification.end(&Err(error.clone()));
            error
        })
    }

    /// The comparison that runs, or the latest one since the module started.
    pub fn verify_job(&self) -> Option<VerifyJob> {
        self.verification.job.lock().clone()
    }

    /// Has the running comparison end after the present page of rows.
    ///
    /// # Errors
    /// If none is running.
    pub fn cancel_verify(&self) -> StorageResult<()> {
        match self.verification.cancel() {
            true => Ok(()),
            false => Err(StorageError::conflict("no comparison is running")),
        }
    }

    fn replicated_by_queue(&self, tables: &[String]) -> StorageResult<Vec<String>> {
        // Without a log nothing is replicated.
        self.queue()?;
        self.replicated(tables)
    }

    fn run_verification(
        &self,
        secondaries: &[String],
        tables: &[String],
        options: VerifyOptions,
    ) -> StorageResult<VerifyReport> {
        let begun = Begun(&self.verification);
        let result = self.compare_all(secondaries, tables, options);
        begun.0.end(&result);
        result
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn one_comparison_runs_at_a_time_and_its_end_is_kept() {
        let verification = Verification::default();
        assert!(!verification.cancel());
        verification.begin(true).unwrap();
        assert!(verification.begin(true).is_err());
        assert!(verification.goes_on(|progress| progress.rows = 7));
        assert!(verification.cancel());
        assert!(!verification.goes_on(|_| {}));
        let report = VerifyReport {
            cancelled: true,
            ..VerifyReport::default()
        };
        verification.end(&Ok(report));
        verification.begin(false).unwrap();
        assert!(verification.goes_on(|_| {}), "the former one was cancelled");
        verification.end(&Err(StorageError::internal("gone")));
        let job = verification.job.lock().clone().unwrap();
        assert_eq!(
            (job.id, job.state, job.repair),
            (2, VerifyState::Failed, false)
        );
        assert_eq!(job.error.as_deref(), Some("gone"));
    }

    #[test]
    fn a_comparison_that_panics_has_failed() {
        let verification = Verification::default();
        verification.begin(true).unwrap();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _begun = Begun(&verification);
            std::panic::resume_unwind(Box::new("a panic"));
        }));
        assert!(panicked.is_err());
        let job = verification.job.lock().clone().unwrap();
        assert_eq!(job.state, VerifyState::Failed);
        verification.begin(true).unwrap();
    }
}
