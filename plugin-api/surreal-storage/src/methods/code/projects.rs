//! Projects, and what is indexed of one.

use super::{all_stored, stored};
use crate::{
    methods::{parameters, updated},
    rows::Row,
    schema::{PROJECT_PARTS, PROJECTS},
    storage::Call,
};
use abi_stable::std_types::ROption;
use plugin_api::{
    error::StorageResult,
    records::{CodeProject, ProjectStats, WriteReceipt},
    storage::{MaybeProject, Projects},
    value::{Object, Value},
};

fn project(row: &Row) -> CodeProject {
    CodeProject {
        project_id: row.text("project_id"),
        name: row.text("name"),
        root_path: row.text("root_path"),
        language_stats: row.object("language_stats"),
        last_indexed_at: row.optional_time("last_indexed_at"),
        indexing_status: row.text("indexing_status"),
        watcher_enabled: row.flag("watcher_enabled"),
    }
}

impl Call {
    pub(crate) async fn create_code_project(
        self,
        project: CodeProject,
    ) -> StorageResult<WriteReceipt> {
        let row = parameters! {
            project_id: project.project_id,
            name: project.name,
            root_path: project.root_path,
            language_stats: project.language_stats,
            last_indexed_at: project.last_indexed_at.into_option(),
            indexing_status: project.indexing_status,
            watcher_enabled: project.watcher_enabled,
        };
        self.upsert(&PROJECTS, vec![row]).await
    }

    pub(crate) async fn get_code_project(self, project_id: String) -> StorageResult<MaybeProject> {
        let answer = self
            .ask(
                "SELECT * FROM code_projects WHERE project_id = $project LIMIT 1",
                parameters! { project: project_id },
            )
            .await?;
        let found = Row::first(answer).map(|row| stored(&row, project(&row)));
        found.transpose().map(ROption::from)
    }

    pub(crate) async fn list_code_projects(self) -> StorageResult<Projects> {
        let answer = self
            .ask(
                "SELECT * FROM code_projects ORDER BY name ASC, project_id ASC",
                Object::new(),
            )
            .await?;
        all_stored(answer, project)
    }

    pub(crate) async fn delete_code_project(self, project_id: String) -> StorageResult<()> {
        let parts = PROJECT_PARTS.iter().chain([&PROJECTS]);
        let deletes: String = parts
            .map(|table| format!("DELETE {} WHERE project_id = $project; ", table.name))
            .collect();
        self.write(
            &format!("{{ {deletes} }}"),
            parameters! { project: project_id },
        )
        .await
        .map(drop)
    }

    pub(crate) async fn update_project_status(
        self,
        project_id: String,
        status: String,
    ) -> StorageResult<WriteReceipt> {
        let answer = self
            .write(
                "UPDATE code_projects SET
                    indexing_status = $status,
                    last_indexed_at = IF $status = 'completed' { time::now() } ELSE { last_indexed_at },
                    updated_at = time::now()
                 WHERE project_id = $project RETURN AFTER",
                parameters! { project: project_id.as_str(), status: status },
            )
            .await?;
        updated(answer, || format!("code project {project_id:?}"))
    }

    pub(crate) async fn update_project_watcher(
        self,
        project_id: String,
        enabled: bool,
    ) -> StorageResult<WriteReceipt> {
        let answer = self
            .write(
                "UPDATE code_projects SET watcher_enabled = $enabled, updated_at = time::now()
                 WHERE project_id = $project RETURN AFTER",
                parameters! { project: project_id.as_str(), enabled: enabled },
            )
            .await?;
        updated(answer, || format!("code project {project_id:?}"))
    }

    pub(crate) async fn get_code_project_stats(
        self,
        project_id: String,
    ) -> StorageResult<ProjectStats> {
        let answer = self
            .ask(
                "RETURN {
                    chunks: (SELECT count() FROM code_chunks WHERE project_id = $project GROUP ALL)[0].count ?? 0,
                    symbols: (SELECT symbol_type AS name, count() AS count FROM code_symbols
                        WHERE project_id = $project GROUP BY name),
                    files: (SELECT language AS name, count() AS count FROM code_files
                        WHERE project_id = $project GROUP BY name),
                }",
                parameters! { project: project_id.as_str() },
            )
            .await?;
        let mut counts = Row::first(answer).unwrap_or_default();
        let (symbol_count, symbols_by_type) = tally(counts.take("symbols"));
        let (file_count, files_by_language) = tally(counts.take("files"));
        Ok(ProjectStats {
            project_id: project_id.into(),
            file_count,
            symbol_count,
            chunk_count: counts.count("chunks"),
            symbols_by_type,
            files_by_language,
        })
    }
}

/// Counts by name: their sum, and each.
fn tally(groups: Value) -> (u64, Object) {
    let groups = Row::all(groups);
    let sum = groups.iter().map(|group| group.count("count")).sum();
    let each = groups
        .iter()
        .map(|group| (group.text("name"), group.number("count")));
    (sum, each.collect())
}
