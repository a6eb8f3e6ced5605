//! Writes of every kind.

use plugin_api::{
    records::{CodeChunk, CodeFile, CodeProject, CodeSymbol, IndexingJob},
    storage::{CallContext, CodeStorage as _, FullStorage, Storage as _},
    value::Object,
};

/// An embedding that differs from text to text.
pub fn embedding(text: &str) -> Vec<f32> {
    host_harness::embedder::embed(text)
}

/// Calls each of the methods that write, at least once, with names that begin
/// with `prefix`. With updates, so that a row changes in every possible way.
pub fn one_of_each(storage: &FullStorage, prefix: &str) {
    let context = &CallContext::new();
    let name = |what: &str| format!("{prefix}-{what}");
    let metadata = &Object::new()
        .with("from", "a test")
        .with("nested", Object::new().with("deep", 1.5));
    let vector = embedding(prefix);

    storage
        .save_fact(context, &name("user"), "colour", &"green".into())
        .unwrap();
    storage
        .save_fact(context, &name("user"), "colour", &"blue".into())
        .unwrap();
    storage
        .save_fact(
            context,
            &name("user"),
            "sizes",
            &vec![1i64.into(), 2.5.into()].into(),
        )
        .unwrap();
    storage
        .update_fact(context, &name("user"), "sizes", &metadata.clone().into())
        .unwrap();

    let receipt = storage
        .index_vector(context, &name("user"), "first", &vector, metadata)
        .unwrap();
    storage
        .index_vector(
            context,
            &name("user"),
            "without an embedding",
            &[],
            metadata,
        )
        .unwrap();
    let id = receipt.rows[0].id.to_string();
    storage
        .update_vector(
            context,
            &id,
            &name("user"),
            "changed",
            &vector[..10],
            metadata,
        )
        .unwrap();

    for entity in ["here", "there"] {
        storage
            .create_entity(context, "place", &name(entity), metadata)
            .unwrap();
    }
    storage
        .create_relationship(context, &name("here"), &name("there"), "leads_to", metadata)
        .unwrap();

    storage
        .save_document(context, &name("whole.md"), "as one", &vector, metadata)
        .unwrap();
    let three = ["one", "two", "three"].map(Into::into);
    let embeddings = ["one", "two", "three"].map(|text| embedding(text).into());
    storage
        .save_document_chunks(context, &name("parts.md"), &three, &embeddings, metadata)
        .unwrap();
    storage
        .save_document_chunks(
            context,
            &name("parts.md"),
            &three[..2],
            &embeddings[..2],
            metadata,
        )
        .unwrap();
    storage
        .save_event(
            context,
            &name("user"),
            "log:build",
            "it built",
            &vector,
            metadata,
        )
        .unwrap();

    let project_id = name("project");
    storage
        .create_code_project(
            context,
            &CodeProject {
                project_id: project_id.as_str().into(),
                name: "A project".into(),
                root_path: "/src".into(),
                language_stats: Object::new().with("rust", 3i64),
                indexing_status: "pending".into(),
                ..CodeProject::default()
            },
        )
        .unwrap();
    storage
        .update_project_status(context, &project_id, "completed")
        .unwrap();
    storage
        .update_project_watcher(context, &project_id, true)
        .unwrap();
    storage
        .save_code_file(
            context,
            &CodeFile {
                project_id: project_id.as_str().into(),
                file_path: "lib.rs".into(),
                language: "rust".into(),
                file_hash: "abc".into(),
                symbols_count: 2,
                ..CodeFile::default()
            },
        )
        .unwrap();
    let symbol = |path: &str, given: &[f32]| CodeSymbol {
        project_id: project_id.as_str().into(),
        file_path: "lib.rs".into(),
        language: "rust".into(),
        symbol_type: "function".into(),
        name: path.into(),
        name_path: path.into(),
        start_line: 1,
        end_line: 9,
        end_byte: 99,
        signature: Some("fn it()".into()).into(),
        embedding: given.into(),
        metadata: Some(metadata.clone()).into(),
        ..CodeSymbol::default()
    };
    storage
        .save_code_symbol(context, &symbol("one", &vector))
        .unwrap();
    let several = [
        symbol("two", &[]),
        symbol("three", &vector),
        symbol("one", &[]),
    ];
    storage.save_code_symbols(context, &several).unwrap();
    let chunk = |index| CodeChunk {
        symbol_id: name("symbol").into(),
        project_id: project_id.as_str().into(),
        file_path: "lib.rs".into(),
        chunk_index: index,
        chunk_count: 3,
        content: "a piece".into(),
        end_offset: 7,
        embedding: vector.as_slice().into(),
        symbol_name: "one".into(),
        symbol_type: "function".into(),
        language: "rust".into(),
        ..CodeChunk::default()
    };
    storage.save_code_chunk(context, &chunk(0)).unwrap();
    storage
        .save_code_chunks(context, &[chunk(1), chunk(2), chunk(0)])
        .unwrap();
    let job = storage
        .create_indexing_job(
            context,
            &IndexingJob {
                project_id: project_id.as_str().into(),
                project_path: "/src".into(),
                status: "pending".into(),
                files_total: 10,
                ..IndexingJob::default()
            },
        )
        .unwrap();
    let job = job.rows[0].id.to_string();
    storage
        .update_indexing_job(context, &job, "in_progress", 0.5, 5, "")
        .unwrap();
    storage
        .update_indexing_job(context, &job, "failed", 0.7, 7, "no space")
        .unwrap();
}
