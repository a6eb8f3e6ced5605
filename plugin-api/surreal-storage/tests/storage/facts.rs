use crate::support::{
    assert_stored, cx, object, one, rows, runtime, storage, target, time, timeouts,
};
use plugin_api::{error::ErrorKind, storage::Storage, value::Value};
use surreal_storage::SurrealStorage;

#[test]
fn a_fact_is_saved_read_replaced_and_deleted() {
    let s = storage();
    let first = s
        .save_fact(&cx(), "ada", "colour", &"green".into())
        .unwrap();
    assert_stored(&s, "kv_memories", &first);
    assert_eq!(
        s.get_fact(&cx(), "ada", "colour").unwrap(),
        Some("green".into()).into()
    );

    let value = Value::from(object([("nested", vec![Value::from(1_i64)].into())]));
    let second = s.save_fact(&cx(), "ada", "colour", &value).unwrap();
    assert_stored(&s, "kv_memories", &second);
    assert_eq!(one(&first).id, one(&second).id);
    assert_eq!(
        time(one(&first), "created_at"),
        time(one(&second), "created_at")
    );
    assert!(time(one(&first), "updated_at") < time(one(&second), "updated_at"));
    assert_eq!(
        s.get_fact(&cx(), "ada", "colour").unwrap(),
        Some(value).into()
    );

    s.delete_fact(&cx(), "ada", "colour").unwrap();
    s.delete_fact(&cx(), "ada", "colour").unwrap();
    assert!(s.get_fact(&cx(), "ada", "colour").unwrap().is_none());
}

#[test]
fn updating_a_missing_fact_is_not_found() {
    let s = storage();
    let error = s.update_fact(&cx(), "ada", "k", &1_i64.into()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NOT_FOUND);
    assert!(rows(&s, "kv_memories").is_empty());

    let saved = s.save_fact(&cx(), "ada", "k", &1_i64.into()).unwrap();
    let updated = s.update_fact(&cx(), "ada", "k", &2_i64.into()).unwrap();
    assert_stored(&s, "kv_memories", &updated);
    assert_eq!(one(&saved).id, one(&updated).id);
    assert_eq!(
        time(one(&saved), "created_at"),
        time(one(&updated), "created_at")
    );
    assert_eq!(
        s.get_fact(&cx(), "ada", "k").unwrap(),
        Some(2_i64.into()).into()
    );
}

#[test]
fn lists_have_one_users_facts_sorted() {
    let s = storage();
    for (user, key) in [("ada", "b"), ("ada", "a"), ("bob", "c")] {
        s.save_fact(&cx(), user, key, &key.into()).unwrap();
    }
    assert_eq!(
        s.list_fact_keys(&cx(), "ada").unwrap().as_slice(),
        ["a", "b"]
    );
    assert_eq!(
        s.list_facts(&cx(), "ada").unwrap(),
        object([("a", "a".into()), ("b", "b".into())])
    );
    assert_eq!(
        s.list_user_ids(&cx(), "kv_memories").unwrap().as_slice(),
        ["ada", "bob"]
    );
    assert!(s.list_user_ids(&cx(), "code_files").unwrap().is_empty());
    assert!(s.list_user_ids(&cx(), "no_such_table").unwrap().is_empty());
    assert!(s.list_facts(&cx(), "nobody").unwrap().is_empty());
}

#[test]
fn values_of_every_kind_survive_a_round_trip() {
    let s = storage();
    for value in [
        Value::Null,
        true.into(),
        i64::MIN.into(),
        1.5_f64.into(),
        Value::Float(2.0),
        "".into(),
        "日本語 \u{0} '\"`".into(),
        Value::Bytes(vec![0, 255].into()),
        plugin_api::value::Timestamp::now().into(),
        plugin_api::value::RecordId::new("entities", "x").into(),
        Value::Array(vec![Value::Null, vec![Value::from("deep")].into()].into()),
        object([("ключ", object([]).into()), ("", Value::Null)]).into(),
    ] {
        s.save_fact(&cx(), "ada", "k", &value).unwrap();
        assert_eq!(s.get_fact(&cx(), "ada", "k").unwrap(), Some(value).into());
    }
    // A fact without a value is one that is null.
    s.save_fact(&cx(), "ada", "k", &Value::None).unwrap();
    assert_eq!(
        s.get_fact(&cx(), "ada", "k").unwrap(),
        Some(Value::Null).into()
    );
}

/// Stores the same new key from many threads at once.
fn race(s: &SurrealStorage) {
    std::thread::scope(|scope| {
        for number in 0..16_i64 {
            let s = s.clone();
            scope.spawn(move || s.save_fact(&cx(), "ada", "k", &number.into()).unwrap());
        }
    });
    let stored = rows(s, "kv_memories");
    assert_eq!(stored.len(), 1);
    assert_eq!(
        s.get_fact(&cx(), "ada", "k")
            .unwrap()
            .into_option()
            .as_ref(),
        stored[0].get("value")
    );
}

#[test]
fn concurrent_creations_of_a_key_make_one_row() {
    race(&storage());
}

#[test]
fn concurrent_creations_of_a_key_make_one_row_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("surrealkv://{}", directory.path().display());
    let s = SurrealStorage::new(target(&url), timeouts(), runtime());
    s.connect(&cx()).unwrap();
    s.initialize_schema(&cx()).unwrap();
    race(&s);
    s.close(&cx()).unwrap();
}
