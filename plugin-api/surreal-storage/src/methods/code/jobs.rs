//! Runs of the indexer.

use super::{all_stored, stored};
use crate::{
    methods::{parameters, updated},
    rows::{Row, record_id},
    schema::JOBS,
    storage::Call,
};
use abi_stable::std_types::ROption;
use plugin_api::{
    error::{StorageError, StorageResult},
    records::{IndexingJob, WriteReceipt},
    storage::{Jobs, MaybeJob},
    value::Object,
};

fn job(row: &Row) -> IndexingJob {
    IndexingJob {
        project_id: row.text("project_id"),
        project_path: row.text("project_path"),
        status: row.text("status"),
        progress: row.float("progress"),
        files_total: row.number("files_total"),
        files_indexed: row.number("files_indexed"),
        started_at: row.optional_time("started_at"),
        completed_at: row.optional_time("completed_at"),
        error: row.optional_text("error"),
    }
}

fn checked(progress: f64) -> StorageResult<f64> {
    if progress.is_finite() {
        Ok(progress)
    } else {
        Err(StorageError::invalid_input(format!(
            "the progress is {progress}; give a number from 0 to 1"
        )))
    }
}

impl Call {
    pub(crate) async fn create_indexing_job(self, job: IndexingJob) -> StorageResult<WriteReceipt> {
        let row = parameters! {
            project_id: job.project_id,
            project_path: job.project_path,
            status: job.status,
            progress: checked(job.progress)?,
            files_total: job.files_total,
            files_indexed: job.files_indexed,
            started_at: job.started_at.into_option(),
            completed_at: job.completed_at.into_option(),
            error: job.error.into_option(),
        };
        self.upsert(&JOBS, vec![row]).await
    }

    pub(crate) async fn update_indexing_job(
        self,
        job_id: String,
        status: String,
        progress: f64,
        files_indexed: u32,
        error: String,
    ) -> StorageResult<WriteReceipt> {
        let parameters = parameters! {
            id: record_id(JOBS.name, &job_id)?,
            status: status,
            progress: checked(progress)?,
            files_indexed: files_indexed,
            error: Some(error).filter(|error| !error.is_empty()),
        };
        let answer = self
            .write(
                "UPDATE $id SET
                    status = $status, progress = $progress, files_indexed = $files_indexed, error = $error,
                    completed_at = IF $status IN ['completed', 'failed'] { time::now() } ELSE { completed_at }
                 RETURN AFTER",
                parameters,
            )
            .await?;
        updated(answer, || format!("indexing job {job_id:?}"))
    }

    pub(crate) async fn get_indexing_job(self, job_id: String) -> StorageResult<MaybeJob> {
        let id = record_id(JOBS.name, &job_id)?;
        let answer = self
            .ask("SELECT * FROM $id", parameters! { id: id })
            .await?;
        let found = Row::first(answer).map(|row| stored(&row, job(&row)));
        found.transpose().map(ROption::from)
    }

    pub(crate) async fn list_active_indexing_jobs(self) -> StorageResult<Jobs> {
        let answer = self
            .ask(
                "SELECT * FROM code_indexing_jobs WHERE status IN ['pending', 'in_progress']
                 ORDER BY started_at DESC, id ASC",
                Object::new(),
            )
            .await?;
        all_stored(answer, job)
    }
}
