//! What agents do with what they have read.

use super::reaches;
use host_harness::admin::AdminClient;
use plugin_api::{
    error::ErrorKind,
    records::{CodeChunk, CodeFile, CodeProject, CodeSymbol, EventSearch, IndexingJob},
    storage::{CallContext, CodeStorage as _, Storage as _},
    value::{Object, Value},
};
use replication_tests::site::{Site, caught_up, rows, run};
use serde_json::json;

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

#[test]
fn an_edge_may_lead_to_an_entity_that_only_a_secondary_has() {
    let site = Site::new();
    let server = site.server("a");
    let archive = site.database(&server);
    let context = CallContext::new();
    archive.initialize_schema(&context).unwrap();
    let nothing = Object::new();
    for name in ["there", "gone"] {
        archive
            .create_entity(&context, "place", name, &Object::new().with("old", true))
            .unwrap();
    }
    let host = site.host(&[("a", &server)], &[]);
    reaches(&host, "streaming");
    let storage = host.storage();
    storage
        .create_entity(&context, "place", "here", &nothing)
        .unwrap();
    let there = storage.get_entity(&context, "there").unwrap().unwrap();
    let relate = |to: &str| storage.create_relationship(&context, "here", to, "leads_to", &nothing);
    relate("there").unwrap();
    relate(&there.id.to_string()).unwrap();
    // It is the primary's now, whole.
    let found = host.primary().get_entity(&context, "there").unwrap();
    assert_eq!(found.into_option().as_ref(), Some(&there));
    let reached = storage.traverse_graph(&context, "here", "", 1).unwrap();
    assert_eq!(reached.len(), 2);

    // What nobody has, and what was deleted, is not found.
    let gone = storage.get_entity(&context, "gone").unwrap().unwrap();
    storage
        .delete_entity(&context, &gone.id.to_string())
        .unwrap();
    for name in ["gone", "never"] {
        let error = relate(name).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NOT_FOUND, "{error}");
    }
    caught_up(&host);
    let copies = rows(&archive, "SELECT * FROM leads_to");
    assert_eq!(copies.len(), 2);
    host.shutdown().unwrap();
}

#[test]
fn a_deleted_file_takes_its_symbols_and_chunks_out_of_merged_reads() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    let (storage, context) = (host.storage(), CallContext::new());
    for file in ["gone.rs", "kept.rs"] {
        let indexed = CodeFile {
            project_id: "p".into(),
            file_path: file.into(),
            ..CodeFile::default()
        };
        storage.save_code_file(&context, &indexed).unwrap();
        let symbol = CodeSymbol {
            project_id: "p".into(),
            file_path: file.into(),
            name: "f".into(),
            name_path: file.into(),
            ..CodeSymbol::default()
        };
        storage.save_code_symbol(&context, &symbol).unwrap();
        let chunk = CodeChunk {
            symbol_id: file.into(),
            project_id: "p".into(),
            file_path: file.into(),
            ..CodeChunk::default()
        };
        storage.save_code_chunk(&context, &chunk).unwrap();
    }
    caught_up(&host);
    storage.delete_code_file(&context, "p", "gone.rs").unwrap();
    let left = |file: &str| {
        let files = storage.list_code_files(&context, "p").unwrap();
        [
            files
                .iter()
                .filter(|it| it.record.file_path == file)
                .count(),
            storage
                .find_symbols_by_file(&context, "p", file)
                .unwrap()
                .len(),
            storage.get_chunks_by_symbol(&context, file).unwrap().len(),
        ]
    };
    assert_eq!(left("gone.rs"), [0; 3]);
    assert_eq!(left("kept.rs"), [1; 3]);
    let stats = storage.get_code_project_stats(&context, "p").unwrap();
    assert_eq!(
        (stats.file_count, stats.symbol_count, stats.chunk_count),
        (1, 1, 1)
    );
    caught_up(&host);
    // The secondary keeps them as an archive.
    for table in ["code_files", "code_symbols", "code_chunks"] {
        let copies = rows(&site.database(&server), &format!("SELECT * FROM {table}"));
        assert_eq!(copies.len(), 2, "{table}");
    }
    host.shutdown().unwrap();
}

#[test]
fn a_row_with_nan_equals_its_copy() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    let context = CallContext::new();
    let value = Value::from(vec![Value::from(f64::NAN), Value::from(0.0)]);
    host.storage()
        .save_fact(&context, "ada", "k", &value)
        .unwrap();
    caught_up(&host);
    site.assert_equal(&host, &server);
    // The text of the rows differs, so that their values are compared.
    run(
        &site.database(&server),
        "UPDATE kv_memories SET value = [NaN, -0f]",
    );
    let report = AdminClient::local(&host)
        .unwrap()
        .post("verify", &json!({}))
        .unwrap();
    assert_eq!(report["equal"], true, "{report:#}");
    let found = host.storage().get_fact(&context, "ada", "k").unwrap();
    assert_eq!(found.into_option(), Some(value));
    host.shutdown().unwrap();
}

#[test]
fn a_search_of_the_last_very_many_hours_finds_what_it_finds_without_the_module() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &[]);
    let context = CallContext::new();
    let nothing = Object::new();
    host.storage()
        .save_event(&context, "ada", "s", "now", &[], &nothing)
        .unwrap();
    caught_up(&host);
    let past = "CREATE events SET user_id = 'ada', subject = 's', content = 'before 1970', \
                created_at = d'1950-01-01T00:00:00Z'";
    run(host.primary(), past);
    for hours in [1, 500_000, 600_000, u32::MAX] {
        let edits: [fn(&mut EventSearch, u32); 3] = [
            |search, count| search.last_hours = count,
            |search, count| search.last_days = count,
            |search, count| search.last_months = count,
        ];
        for edit in edits {
            let mut search = EventSearch {
                user_id: "ada".into(),
                ..EventSearch::default()
            };
            edit(&mut search, hours);
            let bare = host.primary().search_events(&context, &search).unwrap();
            let merged = host.storage().search_events(&context, &search).unwrap();
            assert_eq!(merged, bare, "{search:?}");
        }
    }
    host.shutdown().unwrap();
}
