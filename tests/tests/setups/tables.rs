//! What a database has beside the rows that the methods of the host read.

use host_harness::{admin::AdminClient, host::Host};
use plugin_api::{
    storage::{CallContext, Storage as _},
    value::{Object, Value},
};
use replication_tests::site::{Site, admin_post, caught_up, dead_letters, rows};
use serde_json::{Value as Json, json};

/// Runs SurrealQL as the host sends it.
fn ask(host: &Host, sql: &str) {
    let answer = host
        .storage()
        .query(&CallContext::new(), sql, &Object::new());
    answer.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Runs SurrealQL on the primary, past the module.
fn write_past(host: &Host, sql: &str) {
    let primary = host.primary();
    primary
        .query(&CallContext::new(), sql, &Object::new())
        .unwrap();
}

fn verify(host: &Host) -> Json {
    let client = AdminClient::local(host).unwrap();
    client.post("verify", &json!({})).unwrap()
}

/// The part of a report that is about a table of the only secondary.
fn of_table<'r>(report: &'r Json, table: &str) -> &'r Json {
    let tables = report["tables"].as_array().unwrap();
    let found = tables.iter().find(|compared| compared["table"] == table);
    found.unwrap_or_else(|| panic!("{table} was not compared: {report:#}"))
}

#[test]
fn edges_that_relate_made_are_replicated_as_edges_and_counted() {
    let site = Site::new();
    let server = site.server("a");
    let edges = "\
        CREATE entities:a SET name = 'a', entity_type = 't'; \
        CREATE entities:b SET name = 'b', entity_type = 't'; \
        CREATE likes:odd SET note = 'no edge'; \
        RELATE entities:a->likes:first->entities:b SET since = 1;";
    let bare = site.bare_host();
    ask(&bare, edges);
    bare.shutdown().unwrap();

    let host = site.host(&[("a", &server)], &[]);
    caught_up(&host);
    ask(
        &host,
        "RELATE entities:b->likes:second->entities:a SET since = 2",
    );
    ask(&host, "UPDATE likes:first SET since = 3");
    // The type of a relationship that has edges of both kinds.
    ask(&host, "RELATE entities:a->knows:x->entities:b");
    let relation = host.storage();
    relation
        .create_relationship(
            &CallContext::new(),
            "entities:a",
            "entities:b",
            "knows",
            &Object::new(),
        )
        .unwrap();
    caught_up(&host);
    let copy = site.database(&server);
    for database in [host.primary(), &copy] {
        let neighbours = "SELECT VALUE ->likes->entities.name FROM entities:a, entities:b";
        let found = format!("{:?}", rows(database, neighbours));
        assert!(
            found.contains("\"b\"") && found.contains("\"a\""),
            "{found}"
        );
        let followed = "SELECT VALUE ->likes.since FROM entities:a";
        let since = Value::from(vec![Value::from(3_i64)]);
        assert_eq!(rows(database, followed), [since]);
        assert_eq!(
            rows(database, "SELECT VALUE ->knows FROM entities:a").len(),
            1
        );
    }
    let report = verify(&host);
    assert_eq!(report["equal"], true, "{report:#}");
    assert_eq!(of_table(&report, "likes")["rows"], 3);
    assert_eq!(of_table(&report, "knows")["rows"], 2);
    assert_eq!(report["not_replicated"], json!([]));
    site.assert_equal(&host, &server);

    // What the module did not see is found, and becomes an edge, too.
    write_past(
        &host,
        "RELATE entities:a->likes:unseen->entities:b SET since = 9",
    );
    let report = verify(&host);
    assert_eq!(of_table(&report, "likes")["missing"], 1);
    assert_eq!(verify(&host)["equal"], true);
    let followed = rows(&copy, "SELECT VALUE array::len(->likes) FROM entities:a");
    assert_eq!(followed, [Value::from(2_i64)]);
    assert_eq!(dead_letters(&host), Vec::<Json>::new());
    host.shutdown().unwrap();
}

#[test]
fn a_table_of_ones_own_is_replicated_once_it_is_named() {
    let site = Site::new();
    let server = site.server("a");
    let all = "SELECT * FROM semantic_memories ORDER BY id";
    let host = site.host(&[("a", &server)], &[]);
    ask(
        &host,
        "CREATE semantic_memories:1 SET content = 'c', at = time::now()",
    );
    ask(&host, "CREATE notes:1 SET text = 'n'");
    caught_up(&host);
    let left_out =
        json!([{"table": "notes", "rows": 1}, {"table": "semantic_memories", "rows": 1}]);
    assert_eq!(verify(&host)["not_replicated"], left_out);
    host.shutdown().unwrap();

    let named = ["tables: [all, semantic_memories]"];
    let host = site.host(&[("a", &server)], &named);
    let copy = site.database(&server);
    // What it had before is copied, and what the host writes from now on.
    caught_up(&host);
    assert_eq!(rows(&copy, all), rows(host.primary(), all));
    ask(
        &host,
        "CREATE semantic_memories:2 SET content = 'd', nested = { a: [1, 2.5] }",
    );
    ask(&host, "UPDATE semantic_memories:1 SET content = 'changed'");
    ask(
        &host,
        "FOR $n IN [3, 4] { CREATE type::record('semantic_memories', $n) SET n = $n }",
    );
    caught_up(&host);
    assert_eq!(rows(&copy, all), rows(host.primary(), all));
    let report = verify(&host);
    assert_eq!(report["equal"], true, "{report:#}");
    assert_eq!(of_table(&report, "semantic_memories")["rows"], 4);
    assert_eq!(
        report["not_replicated"],
        json!([{"table": "notes", "rows": 1}])
    );

    // What another program writes is found by verify, or by a resync.
    write_past(&host, "UPDATE semantic_memories:2 SET content = 'past'");
    write_past(&host, "CREATE semantic_memories:5");
    let report = verify(&host);
    let compared = of_table(&report, "semantic_memories");
    assert_eq!(
        (&compared["different"], &compared["missing"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(verify(&host)["equal"], true);
    write_past(&host, "CREATE semantic_memories:6");
    admin_post(&host, "resync");
    caught_up(&host);
    assert_eq!(rows(&copy, all), rows(host.primary(), all));

    // Deleted rows stay there, as those of any table.
    ask(&host, "DELETE semantic_memories:6");
    caught_up(&host);
    let report = verify(&host);
    assert_eq!(
        of_table(&report, "semantic_memories")["only_on_secondary"],
        1
    );
    // It is no relationship there.
    let tables = rows(&copy, "RETURN [<string> (INFO FOR DB).tables]");
    assert!(
        !format!("{tables:?}").contains("COMMENT 'relationship'"),
        "{tables:?}"
    );
    assert_eq!(dead_letters(&host), Vec::<Json>::new());
    host.shutdown().unwrap();
}
