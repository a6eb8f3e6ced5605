use crate::support::{cx, embedding, object, storage};
use abi_stable::std_types::{RString, RVec};
use plugin_api::{
    error::ErrorKind,
    records::{MemoryStats, UserCount},
    storage::{StatsProvider, Storage},
    value::Object,
};

#[test]
fn stats_count_one_user_or_all() {
    let s = storage();
    s.save_fact(&cx(), "ada", "k", &"vé".into()).unwrap();
    s.save_fact(&cx(), "bob", "k", &object([("a", 1_i64.into())]).into())
        .unwrap();
    s.index_vector(&cx(), "ada", "four", &[1.0], &Object::new())
        .unwrap();
    s.save_event(&cx(), "ada", "s", "12345", &[], &Object::new())
        .unwrap();
    s.create_entity(&cx(), "t", "x", &Object::new()).unwrap();
    s.create_entity(&cx(), "t", "y", &Object::new()).unwrap();
    s.create_relationship(&cx(), "x", "y", "knows", &Object::new())
        .unwrap();
    s.save_document(&cx(), "a.md", "whole", &[], &Object::new())
        .unwrap();
    let chunks: [RString; 2] = ["ab".into(), "cd".into()];
    let embeddings: [RVec<f32>; 2] = Default::default();
    s.save_document_chunks(&cx(), "b.md", &chunks, &embeddings, &Object::new())
        .unwrap();

    let ada = s.get_stats(&cx(), "ada").unwrap();
    let expected = MemoryStats {
        key_value_count: 1,
        vector_count: 1,
        entity_count: 2,
        relationship_count: 1,
        document_count: 2,
        event_count: 1,
        // k + vé, four, 12345, whole + ab + cd.
        total_size_bytes: 4 + 4 + 5 + 9,
    };
    assert_eq!(ada, expected);
    let all = s.get_stats(&cx(), "").unwrap();
    assert_eq!(all.key_value_count, 2);
    assert!(all.total_size_bytes > ada.total_size_bytes);
    assert_eq!(s.get_stats(&cx(), "global").unwrap(), all);
    let nobody = s.get_stats(&cx(), "nobody").unwrap();
    assert_eq!(
        (
            nobody.key_value_count,
            nobody.vector_count,
            nobody.event_count
        ),
        (0, 0, 0)
    );
    assert_eq!(nobody.document_count, 2);

    let counts = s.count_by_user_id(&cx(), "kv_memories").unwrap();
    let count = |user: &str, count| UserCount {
        user_id: user.into(),
        count,
    };
    assert_eq!(counts.as_slice(), [count("ada", 1), count("bob", 1)]);
    assert!(s.count_by_user_id(&cx(), "entities").unwrap().is_empty());
    assert!(
        s.count_by_user_id(&cx(), "no_such_table")
            .unwrap()
            .is_empty()
    );
    let error = s
        .count_by_user_id(&cx(), "kv; DELETE kv_memories")
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::INVALID_INPUT);
}

#[test]
fn an_empty_database_counts_nothing() {
    let s = storage();
    assert_eq!(s.get_stats(&cx(), "").unwrap(), MemoryStats::default());
}

#[test]
fn a_hybrid_search_covers_vectors_graph_and_facts() {
    let s = storage();
    s.save_fact(&cx(), "ada", "k", &1_i64.into()).unwrap();
    s.index_vector(
        &cx(),
        "ada",
        "near",
        &embedding(&[(0, 1.0)]),
        &Object::new(),
    )
    .unwrap();
    for name in ["x", "y", "z"] {
        s.create_entity(&cx(), "t", &format!("n_{name}"), &Object::new())
            .unwrap();
    }
    s.create_relationship(&cx(), "n_x", "n_y", "knows", &Object::new())
        .unwrap();
    let entities: [RString; 2] = ["n_x".into(), "nobody".into()];
    let found = s
        .hybrid_search(&cx(), "ada", &embedding(&[(0, 1.0)]), &entities, 5)
        .unwrap();
    assert_eq!(found.vectors[0].content, "near");
    let names: Vec<_> = found.graph.iter().map(|g| g.entity.name.as_str()).collect();
    assert_eq!(names, ["n_x", "n_y"]);
    assert_eq!(found.facts, object([("k", 1_i64.into())]));
    assert_eq!(found.total, 4);
    assert!(found.query_time_us > 0);
}
