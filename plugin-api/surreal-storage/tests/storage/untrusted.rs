//! Nothing that a caller sends becomes code, or brings the process down.

use crate::support::{cx, object, rows, storage};
use plugin_api::{
    error::ErrorKind,
    records::EventSearch,
    storage::{CodeStorage, StatsProvider, Storage},
    value::{Extension, Object, Timestamp, Value},
};

const ATTACKS: &[&str] = &[
    "'; DELETE kv_memories; --",
    "\"; REMOVE TABLE kv_memories; --",
    "` ; DELETE kv_memories; `",
    "$user",
    "x' OR 1 = 1 OR '",
    "\u{0}\n\t\\",
    "⟨kv_memories⟩:⟨x⟩",
    "اسم 名前 🦀",
    "",
];

#[test]
fn user_text_is_never_run_as_surrealql() {
    let s = storage();
    s.save_fact(&cx(), "victim", "k", &1_i64.into()).unwrap();
    for &text in ATTACKS {
        s.save_fact(&cx(), text, text, &text.into()).unwrap();
        assert_eq!(
            s.get_fact(&cx(), text, text).unwrap(),
            Some(text.into()).into()
        );
        assert_eq!(s.list_fact_keys(&cx(), text).unwrap().as_slice(), [text]);
        s.save_document(&cx(), text, text, &[], &object([(text, text.into())]))
            .unwrap();
        assert_eq!(
            s.get_document(&cx(), text).unwrap().unwrap().metadata,
            object([(text, text.into())])
        );
        s.save_event(&cx(), "ada", text, text, &[], &Object::new())
            .unwrap();
        s.search_events(
            &cx(),
            &EventSearch {
                user_id: "ada".into(),
                query: text.into(),
                subject: text.into(),
                ..EventSearch::default()
            },
        )
        .unwrap();
        s.find_symbols_by_name(&cx(), text, text, &[text.into()], 1)
            .unwrap();
        s.get_stats(&cx(), text).unwrap();
        s.traverse_graph(&cx(), text, "", 2).unwrap();
        s.delete_fact(&cx(), text, text).unwrap();
    }
    assert_eq!(rows(&s, "kv_memories").len(), 1);
}

#[test]
fn names_of_tables_types_and_ids_are_checked() {
    let s = storage();
    s.create_entity(&cx(), "t", "x", &Object::new()).unwrap();
    let long = "a".repeat(129);
    let attacks = ATTACKS.iter().copied();
    for name in attacks.chain(["1st", "a-b", "a b", "é", &long]) {
        for error in [
            s.list_user_ids(&cx(), name).unwrap_err(),
            s.count_by_user_id(&cx(), name).unwrap_err(),
            s.create_relationship(&cx(), "x", "x", name, &Object::new())
                .unwrap_err(),
        ] {
            assert_eq!(error.kind, ErrorKind::INVALID_INPUT, "{name}: {error}");
        }
        if !name.is_empty() {
            let error = s.traverse_graph(&cx(), "x", name, 1).unwrap_err();
            assert_eq!(error.kind, ErrorKind::INVALID_INPUT, "{name}: {error}");
        }
    }
    for name in [
        "kv_memories",
        "entities",
        "schema_version",
        "db_sync_log",
        "db_sync_position",
    ] {
        let error = s
            .create_relationship(&cx(), "x", "x", name, &Object::new())
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::INVALID_INPUT, "{name}");
    }
    for id in [
        "'; DELETE events; --",
        "",
        "events:",
        "events:a b",
        "events:[1..]",
        "kv_memories:x",
        "events:x..y",
    ] {
        let error = s.delete_event(&cx(), id, "ada").unwrap_err();
        assert_eq!(error.kind, ErrorKind::INVALID_INPUT, "{id}: {error}");
    }
}

#[test]
fn values_that_cannot_be_stored_are_rejected() {
    let s = storage();
    let mut deep = Value::Null;
    for _ in 0..1000 {
        deep = vec![deep].into();
    }
    let never = Timestamp {
        seconds: i64::MAX,
        nanos: 0,
    };
    let garbled = Extension {
        kind: "decimal".into(),
        text: "1".into(),
        data: vec![1, 2, 3].into(),
    };
    for value in [deep, never.into(), garbled.into()] {
        let error = s.save_fact(&cx(), "ada", "k", &value).unwrap_err();
        assert_eq!(error.kind, ErrorKind::INVALID_INPUT, "{error}");
    }
    assert!(rows(&s, "kv_memories").is_empty());

    // As deep as is allowed goes in and comes out.
    let mut deep = Value::Null;
    for _ in 0..100 {
        deep = object([("a", vec![deep].into())]).into();
    }
    match s.save_fact(&cx(), "ada", "k", &deep) {
        Ok(_) => assert_eq!(s.get_fact(&cx(), "ada", "k").unwrap(), Some(deep).into()),
        Err(error) => assert_eq!(error.kind, ErrorKind::INVALID_INPUT, "{error}"),
    }
    let mut deep = Value::Null;
    for _ in 0..120 {
        deep = vec![deep].into();
    }
    s.save_fact(&cx(), "ada", "k", &deep).unwrap();
    assert_eq!(s.get_fact(&cx(), "ada", "k").unwrap(), Some(deep).into());
}

#[test]
fn large_texts_are_stored() {
    let s = storage();
    let text = "x".repeat(4 << 20);
    s.save_fact(&cx(), "ada", "k", &text.as_str().into())
        .unwrap();
    assert_eq!(
        s.get_fact(&cx(), "ada", "k").unwrap(),
        Some(text.as_str().into()).into()
    );
}
