use crate::support::{assert_stored, cx, embedding, object, one, rows, storage, time};
use abi_stable::std_types::{RString, RVec};
use plugin_api::{
    error::ErrorKind,
    storage::Storage,
    value::{Object, Value},
};
use surreal_storage::SurrealStorage;

fn save_chunks(
    s: &SurrealStorage,
    path: &str,
    chunks: &[&str],
) -> plugin_api::records::WriteReceipt {
    let texts: Vec<RString> = chunks.iter().map(|&c| c.into()).collect();
    let embeddings: Vec<RVec<f32>> = (0..chunks.len())
        .map(|at| embedding(&[(at, 1.0)]).into())
        .collect();
    s.save_document_chunks(
        &cx(),
        path,
        &texts,
        &embeddings,
        &object([("kind", "md".into())]),
    )
    .unwrap()
}

#[test]
fn a_document_is_saved_replaced_read_and_deleted() {
    let s = storage();
    let metadata = object([("title", "T".into())]);
    let first = s
        .save_document(&cx(), "a.md", "one", &[1.0], &metadata)
        .unwrap();
    assert_stored(&s, "knowledge_base", &first);
    let second = s
        .save_document(&cx(), "a.md", "two", &[], &metadata)
        .unwrap();
    assert_stored(&s, "knowledge_base", &second);
    assert_eq!(one(&first).id, one(&second).id);
    assert_eq!(
        time(one(&first), "created_at"),
        time(one(&second), "created_at")
    );

    let document = s.get_document(&cx(), "a.md").unwrap().unwrap();
    assert_eq!(document.content, "two");
    assert_eq!(document.embedding.as_slice(), [0.0; 768]);
    assert_eq!(document.metadata, metadata);
    assert!(document.source_file.is_none());
    assert_eq!((document.chunk_index, document.chunk_count), (0, 0));
    assert!(s.get_document(&cx(), "b.md").unwrap().is_none());

    s.delete_document(&cx(), "a.md").unwrap();
    s.delete_document(&cx(), "a.md").unwrap();
    assert!(rows(&s, "knowledge_base").is_empty());
}

#[test]
fn saving_chunks_replaces_all_rows_of_the_document() {
    let s = storage();
    s.save_document(&cx(), "a.md", "whole", &[1.0], &Object::new())
        .unwrap();
    s.save_document(&cx(), "b.md", "other", &[1.0], &Object::new())
        .unwrap();
    let three = save_chunks(&s, "a.md", &["c0", "c1", "c2"]);
    assert_stored(&s, "knowledge_base", &three);
    let paths: Vec<_> = three
        .rows
        .iter()
        .map(|row| {
            row.columns
                .get("file_path")
                .unwrap()
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(paths, ["a.md#chunk0", "a.md#chunk1", "a.md#chunk2"]);
    assert_eq!(rows(&s, "knowledge_base").len(), 4);
    let metadata = three.rows[1]
        .columns
        .get("metadata")
        .and_then(Value::as_object)
        .unwrap();
    assert_eq!(
        *metadata,
        object([
            ("kind", "md".into()),
            ("chunk_index", 1_i64.into()),
            ("chunk_count", 3_i64.into())
        ])
    );

    let two = save_chunks(&s, "a.md", &["d0", "d1"]);
    assert_eq!(
        two.rows[0].id, three.rows[0].id,
        "a chunk that stays keeps its id"
    );
    assert_eq!(rows(&s, "knowledge_base").len(), 3);
    let first = s.get_document(&cx(), "a.md").unwrap().unwrap();
    assert_eq!(first.content, "d0");
    assert_eq!(first.source_file, Some("a.md".into()).into());
    assert_eq!((first.chunk_index, first.chunk_count), (0, 2));
    assert_eq!(
        s.get_document(&cx(), "a.md#chunk1")
            .unwrap()
            .unwrap()
            .content,
        "d1"
    );
    assert_eq!(
        s.list_document_paths(&cx()).unwrap().as_slice(),
        ["a.md", "b.md"]
    );

    // Whole again.
    s.save_document(&cx(), "a.md", "whole", &[1.0], &Object::new())
        .unwrap();
    assert_eq!(rows(&s, "knowledge_base").len(), 2);
    save_chunks(&s, "a.md", &["e0"]);
    s.delete_document(&cx(), "a.md").unwrap();
    assert_eq!(s.list_document_paths(&cx()).unwrap().as_slice(), ["b.md"]);
}

#[test]
fn chunks_without_an_embedding_each_are_rejected() {
    let s = storage();
    save_chunks(&s, "a.md", &["c0"]);
    for (chunks, embeddings) in [(2, 1), (0, 0), (1, 2)] {
        let chunks = vec![RString::from("x"); chunks];
        let embeddings = vec![RVec::<f32>::new(); embeddings];
        let error = s
            .save_document_chunks(&cx(), "a.md", &chunks, &embeddings, &Object::new())
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::INVALID_INPUT);
    }
    assert_eq!(rows(&s, "knowledge_base").len(), 1);
}

#[test]
fn documents_and_chunks_are_found_by_similarity() {
    let s = storage();
    s.save_document(
        &cx(),
        "b.md",
        "other",
        &embedding(&[(1, 1.0), (5, 1.0)]),
        &Object::new(),
    )
    .unwrap();
    save_chunks(&s, "a.md", &["c0", "c1"]);
    let found = s
        .search_documents(&cx(), &embedding(&[(1, 1.0)]), 2)
        .unwrap();
    let contents: Vec<_> = found.iter().map(|f| f.document.content.as_str()).collect();
    assert_eq!(contents, ["c1", "other"]);
    assert_eq!(
        found[0].document.embedding.as_slice(),
        embedding(&[(1, 1.0)])
    );
    assert_eq!(s.search_documents(&cx(), &[], 0).unwrap().len(), 3);
}
