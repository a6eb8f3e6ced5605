use crate::support::{assert_stored, cx, object, one, rows, run, runtime, storage, timeouts};
use plugin_api::{
    error::ErrorKind,
    storage::Storage,
    value::{Object, Value},
};
use surreal_storage::{
    SurrealStorage,
    schema::{self, relationships},
};

fn entity(s: &SurrealStorage, name: &str) -> String {
    let receipt = s
        .create_entity(&cx(), "person", name, &Object::new())
        .unwrap();
    one(&receipt).id.to_string()
}

fn link(s: &SurrealStorage, from: &str, kind: &str, to: &str) {
    let receipt = s
        .create_relationship(&cx(), from, to, kind, &Object::new())
        .unwrap();
    assert_stored(s, kind, &receipt);
}

/// Names and depths of a traversal.
fn traverse(s: &SurrealStorage, start: &str, kind: &str, depth: u32) -> Vec<(String, u32)> {
    let results = s.traverse_graph(&cx(), start, kind, depth).unwrap();
    for result in &results {
        assert_eq!(result.path.len(), result.depth as usize + 1);
        assert_eq!(result.path.last(), Some(&result.entity.id));
        assert_eq!(result.relationship.is_none(), result.depth == 0);
        if let Some(edge) = result.relationship.as_ref().into_option() {
            assert_eq!(edge.to, result.entity.id);
            assert_eq!(edge.from, result.path[result.path.len() - 2]);
        }
    }
    results
        .iter()
        .map(|r| (r.entity.name.to_string(), r.depth))
        .collect()
}

#[test]
fn an_entity_is_found_by_id_by_bare_id_and_by_name() {
    let s = storage();
    let properties = object([("age", 36_i64.into())]);
    let receipt = s
        .create_entity(&cx(), "person", "Ada", &properties)
        .unwrap();
    assert_stored(&s, "entities", &receipt);
    let id = one(&receipt).id.to_string();
    for name in [id.as_str(), id.split_once(':').unwrap().1, "Ada"] {
        let entity = s.get_entity(&cx(), name).unwrap().unwrap();
        assert_eq!(entity.id, one(&receipt).id);
        assert_eq!(entity.entity_type, "person");
        assert_eq!(entity.name, "Ada");
        assert_eq!(entity.properties, properties);
    }
    let second = entity(&s, "Ada");
    assert_eq!(
        s.get_entity(&cx(), "Ada").unwrap().unwrap().id.to_string(),
        id.clone().min(second.clone())
    );
    for absent in ["Bob", "entities:absent", "events:x", "", "a: b"] {
        assert!(s.get_entity(&cx(), absent).unwrap().is_none(), "{absent}");
    }
    let mut ids = vec![id, second];
    ids.sort();
    let listed: Vec<_> = s
        .list_entity_ids(&cx())
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(listed, ids);
}

#[test]
fn a_name_that_looks_like_an_id_is_still_a_name() {
    let s = storage();
    for name in ["a:b", "entities:x", "日本 語", "person:1"] {
        let id = entity(&s, name);
        assert_eq!(
            s.get_entity(&cx(), name).unwrap().unwrap().id.to_string(),
            id
        );
    }
}

#[test]
fn a_relationship_needs_both_of_its_entities() {
    let s = storage();
    let ada = entity(&s, "Ada");
    entity(&s, "Bob");
    let receipt = s
        .create_relationship(
            &cx(),
            &ada,
            "Bob",
            "knows",
            &object([("since", 1843_i64.into())]),
        )
        .unwrap();
    assert_stored(&s, "knows", &receipt);
    let columns = &one(&receipt).columns;
    assert_eq!(
        columns.get("from_entity").and_then(Value::as_str),
        Some(ada.as_str())
    );
    assert_eq!(
        columns.get("relationship_type").and_then(Value::as_str),
        Some("knows")
    );
    for (from, to) in [
        ("Ada", "Nobody"),
        ("Nobody", "Bob"),
        ("entities:absent", "Bob"),
    ] {
        let error = s
            .create_relationship(&cx(), from, to, "knows", &Object::new())
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::NOT_FOUND);
    }
    assert_eq!(rows(&s, "knows").len(), 1);
    // Words of the query language are types like any other.
    link(&s, "Ada", "select", "Bob");
    link(&s, "Ada", "value", "Bob");
}

/// What raw SurrealQL put beside them tells nothing of a table's edges.
#[test]
fn a_relationship_table_is_recognised_by_any_of_its_edges() {
    let s = storage();
    let (ada, bob) = (entity(&s, "Ada"), entity(&s, "Bob"));
    run(
        &s,
        &format!(
            "CREATE likes:1 SET from_entity = NULL, to_entity = '{bob}';
             CREATE likes:2 SET from_entity = '{ada}';
             CREATE notes SET from_entity = '{ada}';"
        ),
    );
    assert_eq!(types(&s), [""; 0]);
    run(
        &s,
        &format!("CREATE likes:3 SET from_entity = '{ada}', to_entity = '{bob}'"),
    );
    assert_eq!(types(&s), ["likes"]);
    assert_eq!(traverse(&s, "Ada", "likes", 1).len(), 2);
    // An edge of the database itself, which no method reads.
    run(
        &s,
        &format!(
            "CREATE hates:0 SET in = 'x', out = {ada};
             CREATE mails SET in = 3, out = 4;
             RELATE {ada}->hates:1->{bob} RETURN NONE"
        ),
    );
    assert_eq!(types(&s), ["hates", "likes"]);
    assert_eq!(traverse(&s, "Ada", "", 1).len(), 2);
}

/// The tables of relationships, as the module replicates them.
fn types(s: &SurrealStorage) -> Vec<String> {
    let tables = relationships::replicated_tables(s, &cx()).unwrap();
    let fixed = |name: &String| schema::table(name).is_some();
    tables.into_iter().filter(|name| !fixed(name)).collect()
}

#[test]
fn concurrent_first_uses_of_a_type_all_succeed() {
    let s = storage();
    let ids: Vec<_> = (0..8).map(|n| entity(&s, &format!("n_{n}"))).collect();
    std::thread::scope(|scope| {
        for id in &ids {
            // A storage of its own knows nothing of the others' tables.
            let connection = s.connection().unwrap();
            let own = SurrealStorage::from_connection(connection, timeouts(), runtime());
            let to = &ids[0];
            scope.spawn(move || {
                own.create_relationship(&cx(), id, to, "knows", &Object::new())
                    .unwrap()
            });
        }
    });
    assert_eq!(rows(&s, "knows").len(), 8);
}

#[test]
fn a_traversal_is_breadth_first_directed_and_bounded() {
    let s = storage();
    for name in ["a", "b", "c", "d", "e", "alone"] {
        entity(&s, &format!("n_{name}"));
    }
    for (from, kind, to) in [
        ("n_a", "knows", "n_b"),
        ("n_a", "likes", "n_c"),
        ("n_b", "knows", "n_d"),
        ("n_c", "knows", "n_d"),
        ("n_d", "knows", "n_a"),
        ("n_d", "likes", "n_e"),
    ] {
        link(&s, from, kind, to);
    }
    let names = |expected: &[(&str, u32)]| -> Vec<(String, u32)> {
        expected
            .iter()
            .map(|&(n, d)| (format!("n_{n}"), d))
            .collect()
    };
    assert_eq!(
        traverse(&s, "n_a", "", 9),
        names(&[("a", 0), ("b", 1), ("c", 1), ("d", 2), ("e", 3)])
    );
    assert_eq!(
        traverse(&s, "n_a", "", 1),
        names(&[("a", 0), ("b", 1), ("c", 1)])
    );
    assert_eq!(traverse(&s, "n_a", "", 0), names(&[("a", 0)]));
    assert_eq!(
        traverse(&s, "n_a", "knows", u32::MAX),
        names(&[("a", 0), ("b", 1), ("d", 2)])
    );
    assert_eq!(traverse(&s, "n_e", "", 5), names(&[("e", 0)]));
    assert_eq!(traverse(&s, "n_a", "no_such_type", 5), names(&[("a", 0)]));
    assert!(traverse(&s, "nobody", "", 5).is_empty());
}

#[test]
fn deleting_an_entity_deletes_its_edges() {
    let s = storage();
    let ids: Vec<_> = ["a", "b", "c"]
        .map(|name| entity(&s, &format!("n_{name}")))
        .into();
    link(&s, &ids[0], "knows", &ids[1]);
    link(&s, &ids[1], "likes", &ids[2]);
    link(&s, &ids[0], "likes", &ids[2]);
    s.delete_entity(&cx(), &ids[1]).unwrap();
    s.delete_entity(&cx(), &ids[1]).unwrap();
    assert!(rows(&s, "knows").is_empty());
    assert_eq!(rows(&s, "likes").len(), 1);
    assert_eq!(s.list_entity_ids(&cx()).unwrap().len(), 2);
    assert_eq!(
        s.delete_entity(&cx(), "events:x").unwrap_err().kind,
        ErrorKind::INVALID_INPUT
    );
}

#[test]
fn an_edge_without_its_entity_is_not_followed() {
    let s = storage();
    entity(&s, "n_a");
    entity(&s, "n_b");
    link(&s, "n_a", "knows", "n_b");
    run(&s, "DELETE entities WHERE name = 'n_b'");
    assert_eq!(traverse(&s, "n_a", "", 3), [("n_a".to_owned(), 0)]);
}

#[test]
fn deleting_an_entity_by_its_name_says_that_it_takes_an_id() {
    let s = storage();
    s.create_entity(&cx(), "person", "ada", &Object::new())
        .unwrap();
    s.create_entity(&cx(), "person", "Ada Lovelace", &Object::new())
        .unwrap();
    for name in ["ada", "Ada Lovelace"] {
        let error = s.delete_entity(&cx(), name).unwrap_err();
        assert_eq!(error.kind, ErrorKind::INVALID_INPUT);
        assert!(
            error.message.contains("takes the id of an entity"),
            "{error}"
        );
    }
    assert_eq!(s.list_entity_ids(&cx()).unwrap().len(), 2);
    // What nobody has is deleted already.
    s.delete_entity(&cx(), "nobody").unwrap();
    // An entity is deleted by an id that another has as its name.
    run(
        &s,
        "CREATE entities:ada SET name = 'by id', entity_type = 't'",
    );
    s.delete_entity(&cx(), "ada").unwrap();
    assert_eq!(s.list_entity_ids(&cx()).unwrap().len(), 2);
}
