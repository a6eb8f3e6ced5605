//! What agents do with what they have read.

use super::reaches;
use plugin_api::{
    error::ErrorKind,
    records::{CodeProject, IndexingJob},
    storage::{CallContext, CodeStorage as _, Storage as _},
    value::{Object, Value},
};
use replication_tests::site::{Site, caught_up};

#[test]
fn a_row_that_only_a_secondary_has_can_be_updated() {
    let site = Site::new();
    let server = site.server("a");
    let archive = site.database(&server);
    let context = CallContext::new();
    archive.initialize_schema(&context).unwrap();
    let old = Value::from("old");
    archive.save_fact(&context, "ada", "k", &old).unwrap();
    let indexed = archive.index_vector(&context, "ada", "old", &[1.0], &Object::new());
    let vector = indexed.unwrap().rows[0].id.clone();
    let project = CodeProject {
        project_id: "p".into(),
        name: "kept".into(),
        ..CodeProject::default()
    };
    archive.create_code_project(&context, &project).unwrap();
    let job = IndexingJob {
        project_id: "p".into(),
        ..IndexingJob::default()
    };
    let job = archive.create_indexing_job(&context, &job).unwrap().rows[0]
        .id
        .clone();

    let host = site.host(&[("a", &server)], &[]);
    reaches(&host, "streaming");
    let storage = host.storage();
    assert_eq!(
        storage
            .get_fact(&context, "ada", "k")
            .unwrap()
            .into_option(),
        Some(old)
    );
    let new = Value::from("new");
    storage.update_fact(&context, "ada", "k", &new).unwrap();
    storage
        .update_vector(
            &context,
            &vector.to_string(),
            "ada",
            "new",
            &[2.0],
            &Object::new(),
        )
        .unwrap();
    storage.update_project_watcher(&context, "p", true).unwrap();
    storage
        .update_project_status(&context, "p", "completed")
        .unwrap();
    storage
        .update_indexing_job(&context, &job.to_string(), "completed", 1.0, 3, "")
        .unwrap();

    let found = host.primary().get_fact(&context, "ada", "k").unwrap();
    assert_eq!(found.into_option(), Some(new.clone()));
    let found = host.primary().get_code_project(&context, "p").unwrap();
    let found = found.into_option().unwrap();
    assert_eq!(found.record.name, "kept");
    assert!(found.record.watcher_enabled);
    caught_up(&host);
    site.assert_equal(&host, &server);

    // What nobody has, and what was deleted, is not found.
    host.storage().delete_fact(&context, "ada", "k").unwrap();
    for key in ["k", "never"] {
        let error = storage.update_fact(&context, "ada", key, &new).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NOT_FOUND, "{error}");
    }
    host.shutdown().unwrap();
}

#[test]
fn a_document_cannot_be_saved_under_the_name_of_a_chunk() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    let context = CallContext::new();
    let storage = host.storage();
    let chunks = vec!["one".into(), "two".into()];
    let embeddings = vec![Default::default(); 2];
    let nothing = Object::new();
    let save =
        |path: &str| storage.save_document_chunks(&context, path, &chunks, &embeddings, &nothing);
    for _ in 0..20 {
        save("a.md").unwrap();
        for path in ["a.md#chunk0", "a.md#chunk1"] {
            let whole = storage.save_document(&context, path, "changed", &[], &nothing);
            for error in [whole.unwrap_err(), save(path).unwrap_err()] {
                assert_eq!(error.kind, ErrorKind::INVALID_INPUT);
                assert!(
                    error.message.contains("of the document \"a.md\""),
                    "{error}"
                );
            }
        }
    }
    for path in ["b.md#chunk", "b.md#chunks", "b#chunk1.md", "#c"] {
        storage
            .save_document(&context, path, "plain", &[], &nothing)
            .unwrap();
    }
    caught_up(&host);
    site.assert_equal(&host, &server);
    host.shutdown().unwrap();
}
