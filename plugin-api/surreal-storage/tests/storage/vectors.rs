use crate::support::{assert_stored, cx, embedding, object, one, rows, run, storage, time};
use plugin_api::{
    error::ErrorKind,
    storage::Storage,
    value::{Object, Value},
};

#[test]
fn a_search_returns_the_users_own_memories_nearest_first() {
    let s = storage();
    let metadata = object([
        ("tag", "x".into()),
        ("deep", object([("n", 1_i64.into())]).into()),
    ]);
    let mut ids = Vec::new();
    for (content, vector) in [
        ("same", embedding(&[(0, 2.0)])),
        ("near", embedding(&[(0, 1.0), (1, 1.0)])),
        ("across", embedding(&[(1, 1.0)])),
        ("opposite", embedding(&[(0, -1.0)])),
    ] {
        let receipt = s
            .index_vector(&cx(), "ada", content, &vector, &metadata)
            .unwrap();
        assert_stored(&s, "vector_memories", &receipt);
        assert!(one(&receipt).columns.get("embedding").is_none());
        ids.push(one(&receipt).id.clone());
    }
    s.index_vector(&cx(), "bob", "his", &embedding(&[(0, 1.0)]), &Object::new())
        .unwrap();

    let found = s
        .search_similar(&cx(), "ada", &embedding(&[(0, 1.0)]), 0)
        .unwrap();
    let contents: Vec<_> = found.iter().map(|f| f.content.as_str()).collect();
    assert_eq!(contents, ["same", "near", "across", "opposite"]);
    for (found, similarity) in found.iter().zip([1.0, 0.5_f64.sqrt(), 0.0, -1.0]) {
        assert!((found.similarity - similarity).abs() < 1e-6, "{found:?}");
    }
    assert_eq!(found[0].id, ids[0]);
    assert_eq!(found[0].metadata, metadata);
    assert_eq!(found[0].user_id, Some("ada".into()).into());

    let found = s
        .search_similar(&cx(), "ada", &embedding(&[(0, 1.0)]), 2)
        .unwrap();
    assert_eq!(found.len(), 2);
    assert!(
        s.search_similar(&cx(), "nobody", &embedding(&[(0, 1.0)]), 2)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn limit_0_means_10_and_ties_are_sorted_by_id() {
    let s = storage();
    for _ in 0..12 {
        s.index_vector(
            &cx(),
            "ada",
            "same",
            &embedding(&[(3, 1.0)]),
            &Object::new(),
        )
        .unwrap();
    }
    let found = s
        .search_similar(&cx(), "ada", &embedding(&[(3, 1.0)]), 0)
        .unwrap();
    let ids: Vec<_> = found.iter().map(|f| f.id.to_string()).collect();
    assert_eq!(ids.len(), 10);
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!(
        s.search_similar(&cx(), "ada", &[1.0], u32::MAX)
            .unwrap()
            .len(),
        12
    );
}

#[test]
fn embeddings_of_other_widths_are_padded_or_cut_and_nan_has_similarity_0() {
    let s = storage();
    let long: Vec<f32> = (0..1000_u16).map(f32::from).collect();
    for (content, vector) in [
        ("short", &[1.0_f32][..]),
        ("long", &long),
        ("none", &[]),
        ("zeros", &[0.0; 768]),
        ("no number", &[f32::NAN, 1.0]),
        ("endless", &[f32::INFINITY, 1.0]),
        ("against", &[-1.0]),
    ] {
        let receipt = s
            .index_vector(&cx(), "ada", content, vector, &Object::new())
            .unwrap();
        assert_eq!(
            one(&receipt).columns.get("embedding").is_some(),
            vector.is_empty()
        );
        if vector.iter().all(|v| v.is_finite()) {
            assert_stored(&s, "vector_memories", &receipt);
        }
    }
    for row in rows(&s, "vector_memories") {
        assert_eq!(
            row.get("embedding")
                .and_then(Value::as_array)
                .unwrap()
                .len(),
            768
        );
    }
    let found = s.search_similar(&cx(), "ada", &[1.0], 10).unwrap();
    assert_eq!(found.len(), 7);
    assert_eq!(found[0].content, "short");
    assert_eq!(found[6].content, "against");
    for found in &found[1..6] {
        assert!(
            found.similarity == 0.0 || found.content == "long",
            "{found:?}"
        );
    }
    for odd in [&[][..], &[0.0; 768], &[f32::NAN]] {
        let found = s.search_similar(&cx(), "ada", odd, 10).unwrap();
        assert_eq!(found.len(), 7);
        assert!(found.iter().all(|f| f.similarity == 0.0));
    }
}

#[test]
fn a_memory_is_updated_and_deleted_by_its_user_alone() {
    let s = storage();
    let saved = s
        .index_vector(
            &cx(),
            "ada",
            "old",
            &embedding(&[(0, 1.0)]),
            &object([("a", 1_i64.into())]),
        )
        .unwrap();
    let id = one(&saved).id.to_string();
    let update = |user: &str, id: &str| {
        let metadata = object([("b", 2_i64.into())]);
        s.update_vector(&cx(), id, user, "new", &embedding(&[(1, 1.0)]), &metadata)
    };
    assert_eq!(update("bob", &id).unwrap_err().kind, ErrorKind::NOT_FOUND);
    assert_eq!(
        update("ada", "vector_memories:absent").unwrap_err().kind,
        ErrorKind::NOT_FOUND
    );
    assert_eq!(
        update("ada", "events:x").unwrap_err().kind,
        ErrorKind::INVALID_INPUT
    );
    assert_eq!(rows(&s, "vector_memories").len(), 1);

    let updated = update("ada", &id).unwrap();
    assert_stored(&s, "vector_memories", &updated);
    assert_eq!(one(&updated).id, one(&saved).id);
    assert_eq!(
        time(one(&updated), "created_at"),
        time(one(&saved), "created_at")
    );
    let found = s
        .search_similar(&cx(), "ada", &embedding(&[(1, 1.0)]), 1)
        .unwrap();
    assert_eq!(found[0].content, "new");
    assert!((found[0].similarity - 1.0).abs() < 1e-9);
    assert_eq!(found[0].metadata, object([("b", 2_i64.into())]));

    s.delete_vector(&cx(), &id, "bob").unwrap();
    assert_eq!(rows(&s, "vector_memories").len(), 1);
    // The id without its table will do.
    let key = id.split_once(':').unwrap().1;
    s.delete_vector(&cx(), key, "ada").unwrap();
    s.delete_vector(&cx(), key, "ada").unwrap();
    assert!(rows(&s, "vector_memories").is_empty());
}

#[test]
fn an_empty_user_of_a_vector_is_none_and_finds_updates_and_deletes_it() {
    let s = storage();
    let near = embedding(&[(0, 1.0)]);
    let saved = s
        .index_vector(&cx(), "", "nobody's", &near, &Object::new())
        .unwrap();
    assert_stored(&s, "vector_memories", &saved);
    let users = run(&s, "SELECT VALUE user_id FROM vector_memories");
    assert_eq!(users[0], Value::from(vec![Value::None]));
    // As an older version stored it.
    let older = s
        .index_vector(&cx(), "older", "old", &near, &Object::new())
        .unwrap();
    assert_stored(&s, "vector_memories", &older);
    run(
        &s,
        "UPDATE vector_memories SET user_id = '' WHERE user_id = 'older'",
    );
    assert_eq!(s.search_similar(&cx(), "", &near, 10).unwrap().len(), 2);
    assert_eq!(s.search_similar(&cx(), "ada", &near, 10).unwrap().len(), 0);
    let id = one(&saved).id.to_string();
    s.update_vector(&cx(), &id, "", "new", &near, &Object::new())
        .unwrap();
    s.delete_vector(&cx(), &id, "").unwrap();
    assert_eq!(rows(&s, "vector_memories").len(), 1);
}
