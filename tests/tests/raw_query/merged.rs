//! With `merge_raw_queries`, a host's own plain SELECTs are merged.

use super::{first, query};
use host_harness::server::{SecondaryServer, ServerStorage};
use plugin_api::{
    storage::Storage,
    value::{Object, Value},
};
use replication_tests::{
    site::{Site, caught_up, connected, run},
    wait,
};

/// A search as the host's code tools send it.
const SEARCH: &str = "SELECT name, vector::similarity::cosine(embedding, $q) AS similarity \
     FROM code_symbols WHERE project_id = $p AND embedding != NONE \
     ORDER BY similarity DESC LIMIT $n";

fn turned(degrees: u32) -> Value {
    let angle = f64::from(degrees).to_radians();
    let mut floats = vec![Value::Float(0.0); 768];
    floats[0] = angle.cos().into();
    floats[1] = angle.sin().into();
    Value::from(floats)
}

fn symbol(name: &str, degrees: u32) -> Object {
    let row = Object::new()
        .with("project_id", "p")
        .with("name_path", name)
        .with("name", name)
        .with("embedding", turned(degrees));
    Object::new().with("row", row)
}

fn found(storage: &dyn Storage, n: i64) -> Vec<String> {
    let parameters = Object::new()
        .with("q", turned(0))
        .with("p", "p")
        .with("n", n);
    let answer = first(&query(storage, SEARCH, &parameters));
    let name = |row: &Value| {
        let row = row.as_object().unwrap();
        assert_eq!(row.keys().collect::<Vec<_>>(), ["name", "similarity"]);
        row.get("name").unwrap().as_str().unwrap().to_owned()
    };
    answer.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn a_hosts_own_search_is_merged_if_configured() {
    let site = Site::new();
    let server = SecondaryServer::start(ServerStorage::Memory).unwrap();
    for (merged, expected) in [
        (true, ["near", "archived", "moved away"]),
        (false, ["near", "moved away", "far"]),
    ] {
        let setting = format!("merge_raw_queries: {merged}");
        let host = site.host(&[("a", &server)], &["initial_sync: off", &setting]);
        connected(&host);
        wait::until(
            "the schema on the secondary",
            || {
                query(
                    &site.database(&server),
                    "RETURN 'code_symbols' IN (INFO FOR DB).tables.keys()",
                    &Object::new(),
                )
            },
            |there| first(there) == Value::Bool(true),
        );
        if merged {
            let create = "CREATE code_symbols CONTENT $row";
            let secondary = site.database(&server);
            query(&secondary, create, &symbol("archived", 20));
            query(&secondary, create, &symbol("moved away", 1));
            query(host.primary(), create, &symbol("near", 10));
            query(host.primary(), create, &symbol("moved away", 30));
            query(host.primary(), create, &symbol("far", 80));
        }
        assert_eq!(found(host.storage(), 3), expected);
        assert_eq!(found(host.storage(), 1), expected[..1]);
        host.shutdown().unwrap();
    }
    run(&site.database(&server), "REMOVE TABLE code_symbols");
}

/// `$min` has the database's own value unless the call binds it.
#[test]
fn a_select_with_a_parameter_that_only_the_database_defines_is_not_merged() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &["merge_raw_queries: true"]);
    caught_up(&host);
    let secondary = site.database(&server);
    let create =
        "CREATE events SET user_id = 'u', subject = $subject, metadata = { score: $score }";
    for (database, subject, score) in [
        (host.primary() as &dyn Storage, "low", 1i64),
        (host.primary(), "high", 9),
        (&secondary, "archived low", 1),
        (&secondary, "archived high", 9),
    ] {
        let row = Object::new().with("subject", subject).with("score", score);
        query(database, create, &row);
    }
    query(host.primary(), "DEFINE PARAM $min VALUE 5", &Object::new());
    let found = |parameters: &Object| {
        let text = "SELECT VALUE subject FROM events WHERE metadata.score > $min ORDER BY subject";
        first(&query(host.storage(), text, parameters))
    };
    let list = |subjects: &[&str]| subjects.iter().copied().collect::<Value>();
    assert_eq!(found(&Object::new()), list(&["high"]));
    let bound = Object::new().with("min", 3i64);
    assert_eq!(found(&bound), list(&["archived high", "high"]));
}
