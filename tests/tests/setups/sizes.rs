//! Rows and answers that are larger than a message.

use super::reaches;
use plugin_api::{
    storage::{CallContext, CodeStorage as _, Storage as _},
    value::Value,
};
use replication_tests::{
    site::{Site, caught_up, run, secondaries},
    wait,
};

/// Rows of 4 MiB each, in all more than the 128 MiB that a message holds.
const ROWS: usize = 34;

/// 4 MiB of text.
const LARGE: &str = "LET $part = string::repeat('x', 1048576); \
                     LET $large = $part + $part + $part + $part;";

#[test]
fn facts_of_more_than_a_message_that_only_a_secondary_has_are_listed() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &["query_timeout: 20s"]);
    reaches(&host, "streaming");
    let large = format!(
        "{LARGE} FOR $n IN 0..{ROWS} {{ CREATE kv_memories SET user_id = 'ada', \
         key = <string> $n, value = $large RETURN NONE }};\
         FOR $n IN 0..300 {{ CREATE kv_memories SET user_id = 'ada', key = 's' + <string> $n, \
         value = $n RETURN NONE }}"
    );
    run(&site.database(&server), &large);
    let context = CallContext::new();
    let here = Value::from("here");
    host.storage()
        .save_fact(&context, "ada", "here", &here)
        .unwrap();
    for _ in 0..2 {
        let facts = host.storage().list_facts(&context, "ada").unwrap();
        assert_eq!(facts.len(), ROWS + 301);
        let bytes = |(_, value): (_, &Value)| value.as_str().map_or(0, str::len);
        let bytes: usize = facts.iter().map(bytes).sum();
        assert_eq!(bytes, ROWS * 4_194_304 + "here".len());
        assert_eq!(facts.get("s299"), Some(&Value::from(299_i64)));
    }
    let status = secondaries(&host).remove(0);
    assert_eq!(
        (&status["state"], &status["connects"]),
        (&"streaming".into(), &1.into())
    );
    host.shutdown().unwrap();
}

#[test]
fn an_answer_of_more_than_a_message_costs_neither_the_session_nor_later_reads() {
    let site = Site::new();
    let server = site.server("a");
    let host = site.host(&[("a", &server)], &["query_timeout: 20s"]);
    reaches(&host, "streaming");
    let large = format!(
        "{LARGE} FOR $n IN 0..{ROWS} {{ CREATE code_symbols SET project_id = 'p', \
         file_path = 'f', name = 'n', name_path = <string> $n, source_code = $large \
         RETURN NONE }};\
         CREATE kv_memories SET user_id = 'ada', key = 'there', value = 1 RETURN NONE;"
    );
    run(&site.database(&server), &large);
    let context = CallContext::new();
    let storage = host.storage();
    for round in 0..2 {
        // What the primary has is the answer.
        let found = storage.find_symbols_by_file(&context, "p", "f").unwrap();
        assert_eq!(found.len(), 0, "{round}");
        wait::until(
            "other reads of the secondary",
            || {
                storage
                    .get_fact(&context, "ada", "there")
                    .unwrap()
                    .into_option()
            },
            Option::is_some,
        );
        let one = Value::from(1_i64);
        storage.save_fact(&context, "ada", "k", &one).unwrap();
        caught_up(&host);
        let status = secondaries(&host).remove(0);
        assert_eq!(
            (&status["state"], &status["connects"]),
            (&"streaming".into(), &1.into())
        );
    }
    let client = host_harness::admin::AdminClient::local(&host).unwrap();
    let events = client.get("events", &[]).unwrap().to_string();
    assert!(
        events.contains("find_symbols_by_file") && events.contains("128 MiB of code_symbols"),
        "{events}"
    );
    host.shutdown().unwrap();
}
