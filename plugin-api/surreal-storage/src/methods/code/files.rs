//! Files of a project.

use super::{all_stored, stored};
use crate::{
    methods::parameters,
    rows::Row,
    schema::{CHUNKS, FILES, SYMBOLS},
    storage::Call,
};
use abi_stable::std_types::ROption;
use plugin_api::{
    error::StorageResult,
    records::{CodeFile, WriteReceipt},
    storage::{Files, MaybeFile},
};

fn file(row: &Row) -> CodeFile {
    CodeFile {
        project_id: row.text("project_id"),
        file_path: row.text("file_path"),
        language: row.text("language"),
        file_hash: row.text("file_hash"),
        symbols_count: row.number("symbols_count"),
        indexed_at: row.optional_time("indexed_at"),
    }
}

impl Call {
    pub(crate) async fn save_code_file(self, file: CodeFile) -> StorageResult<WriteReceipt> {
        let row = parameters! {
            project_id: file.project_id,
            file_path: file.file_path,
            language: file.language,
            file_hash: file.file_hash,
            symbols_count: file.symbols_count,
            indexed_at: file.indexed_at.into_option(),
        };
        self.upsert(&FILES, vec![row]).await
    }

    pub(crate) async fn get_code_file(
        self,
        project_id: String,
        file_path: String,
    ) -> StorageResult<MaybeFile> {
        let answer = self
            .ask(
                "SELECT * FROM code_files WHERE project_id = $project AND file_path = $path LIMIT 1",
                parameters! { project: project_id, path: file_path },
            )
            .await?;
        let found = Row::first(answer).map(|row| stored(&row, file(&row)));
        found.transpose().map(ROption::from)
    }

    pub(crate) async fn list_code_files(self, project_id: String) -> StorageResult<Files> {
        let answer = self
            .ask(
                "SELECT * FROM code_files WHERE project_id = $project ORDER BY file_path ASC",
                parameters! { project: project_id },
            )
            .await?;
        all_stored(answer, file)
    }

    pub(crate) async fn delete_code_file(
        self,
        project_id: String,
        file_path: String,
    ) -> StorageResult<()> {
        // Whoever watches files relies on it that nothing of a file stays.
        let parts = [CHUNKS, SYMBOLS, FILES].map(|table| table.name);
        let deletes: String = parts
            .map(|table| {
                format!("DELETE {table} WHERE project_id = $project AND file_path = $path; ")
            })
            .concat();
        self.write(
            &format!("{{ {deletes} }}"),
            parameters! { project: project_id, path: file_path },
        )
        .await
        .map(drop)
    }
}
