//! The recogniser over a table of statements, and over texts that are none.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use plugin_api::value::{Object, RecordId, Value};
use proptest::prelude::*;

/// What a host may have bound.
fn parameters() -> Object {
    let event = |key: &str| Value::from(RecordId::new("events", key));
    Object::new()
        .with("event", event("x"))
        .with("id", event("a"))
        .with("ids", vec![event("a"), event("b")])
        .with("table", "events")
        .with("text", "events:a")
        .with("row", Object::new().with("user_id", "u").with("key", "k"))
        .with("row_with_id", Object::new().with("id", "i"))
        .with("rows", vec![Value::from(Object::new().with("name", "n"))])
}

/// A verdict in words: `read`, `select TABLE`, or `write TABLES` with `?` for
/// any, then `rows` if the answer tells which rows and their keys stay, then
/// `delete` with `all` or `some` where it can be remembered.
fn in_words(text: &str) -> String {
    let parameters = parameters();
    match recognise(text, true) {
        Verdict::Read => "read".to_owned(),
        Verdict::Select(plain) => format!("select {}", plain.table),
        Verdict::Write(effects) => {
            let mut words = vec!["write".to_owned()];
            let tables = effects.written(&parameters);
            match &tables {
                None => words.push("?".to_owned()),
                Some(tables) => words.extend(tables.iter().cloned()),
            }
            if let (Some(answered), Some(tables)) = (&effects.answered, &tables)
                && tables.len() == 1
                && answered.keeps_keys(tables.first().unwrap(), &parameters)
            {
                words.push("rows".to_owned());
            }
            if let Some(deletion) = &effects.deletion {
                words.push("delete".to_owned());
                words.push(
                    if deletion.rows.is_some() {
                        "some"
                    } else {
                        "all"
                    }
                    .to_owned(),
                );
            }
            words.join(" ")
        }
    }
}

/// Statements, each with its verdict.
const STATEMENTS: &[(&str, &str)] = &[
    // Reads.
    ("RETURN 1", "read"),
    ("", "read"),
    ("-- nothing", "read"),
    ("INFO FOR DB", "read"),
    ("SHOW CHANGES FOR TABLE events SINCE 1", "read"),
    ("SELECT * FROM events, entities", "read"),
    ("SELECT * FROM $table", "read"),
    ("SELECT * FROM (SELECT * FROM events)", "read"),
    (
        "SELECT *, (SELECT * FROM events) AS e FROM entities",
        "read",
    ),
    ("SELECT ->knows->person FROM entities", "read"),
    ("SELECT * FROM events FETCH user", "read"),
    ("SELECT count() FROM events GROUP ALL", "read"),
    ("SELECT * FROM events SPLIT tags", "read"),
    ("SELECT * FROM ONLY events LIMIT 1", "read"),
    ("SELECT * FROM events:a", "read"),
    ("SELECT * FROM events EXPLAIN", "read"),
    ("SELECT * FROM events ORDER BY RAND()", "read"),
    ("SELECT * FROM events ORDER BY subject COLLATE", "read"),
    ("SELECT * FROM events ORDER BY subject NUMERIC", "read"),
    ("SELECT * FROM events WHERE content @@ 'word'", "read"),
    ("SELECT * FROM events WHERE embedding <|3,40|> $q", "read"),
    (
        "SELECT * FROM events VERSION d'2026-01-01T00:00:00Z'",
        "read",
    ),
    ("SELECT * FROM events WITH INDEX i", "read"),
    ("SELECT *, rand() AS r FROM events", "read"),
    ("SELECT *, 'x' AS __db_sync FROM events", "read"),
    (
        "SELECT string::uppercase(name) AS name_path FROM code_symbols",
        "read",
    ),
    ("SELECT * FROM events LIMIT 1 + 1", "read"),
    ("SELECT * FROM schema_version", "read"),
    ("SELECT * FROM db_sync_log", "read"),
    ("SELECT * FROM db_sync_position", "read"),
    ("SELECT * FROM events FOR UPDATE", "read"),
    ("SELECT * FROM events; SELECT * FROM entities", "read"),
    ("BEGIN; SELECT * FROM events; COMMIT", "read"),
    ("LET $a = (SELECT * FROM events); RETURN $a", "read"),
    ("IF $x { RETURN 1 } ELSE { RETURN 2 }", "read"),
    ("FOR $x IN 1..3 { LET $y = $x; }", "read"),
    ("RETURN array::map([1], |$x| $x + 1)", "read"),
    ("RETURN 'CREATE events; DELETE entities'", "read"),
    ("/* UPDATE events SET a = 1 */ RETURN 1", "read"),
    ("USE DB other", "read"),
    ("LIVE SELECT * FROM events", "read"),
    ("KILL u'0189d6e3-8eac-703a-9a48-d9faa78b44b9'", "read"),
    ("SLEEP 1ms", "read"),
    ("DEFINE TABLE notes SCHEMALESS", "read"),
    ("DEFINE FIELD a ON events VALUE time::now()", "read"),
    ("DEFINE FIELD a ON events TYPE int", "read"),
    ("DEFINE INDEX i ON events FIELDS subject", "read"),
    ("DEFINE FUNCTION fn::f() { CREATE events }", "read"),
    ("DEFINE EVENT e ON events THEN (CREATE entities)", "read"),
    ("DEFINE PARAM $p VALUE 1", "read"),
    ("REBUILD INDEX i ON events", "read"),
    ("ALTER TABLE events SCHEMALESS", "read"),
    // Selects that can be merged.
    ("SELECT * FROM events", "select events"),
    ("SELECT * FROM knows", "select knows"),
    (
        "select name, id from entities where type = $t",
        "select entities",
    ),
    (
        "SELECT VALUE name FROM entities ORDER BY name LIMIT 3",
        "select entities",
    ),
    (
        "SELECT * OMIT embedding FROM events WHERE user_id = $u START 5 LIMIT 10",
        "select events",
    ),
    (
        "SELECT *, vector::similarity::cosine(embedding, $q) AS similarity FROM code_symbols \
         WHERE project_id = $p AND symbol_type IN $t AND embedding != NONE \
         ORDER BY similarity DESC LIMIT $n",
        "select code_symbols",
    ),
    (
        "SELECT name.uppercase() AS n FROM entities ORDER BY n",
        "select entities",
    ),
    (
        "SELECT * FROM events WHERE time::now() - created_at < 7d",
        "select events",
    ),
    (
        "SELECT * FROM events ORDER BY metadata.a, created_at DESC",
        "select events",
    ),
    // Writes whose answer tells what was written.
    ("CREATE events SET subject = 'x'", "write events rows"),
    ("CREATE events:a SET subject = 'x'", "write events rows"),
    ("CREATE |events:3|", "write events rows"),
    (
        "CREATE events CONTENT $row RETURN AFTER",
        "write events rows",
    ),
    ("CREATE ONLY events", "write events rows"),
    ("CREATE kv_memories CONTENT $row", "write kv_memories rows"),
    (
        "CREATE type::table('events') SET subject = 1",
        "write events rows",
    ),
    (
        "CREATE type::table($table) SET subject = 1",
        "write events rows",
    ),
    (
        "UPDATE type::record('events', $key) SET subject = 1",
        "write events rows",
    ),
    (
        "UPDATE events SET subject = 'x' WHERE user_id = $u",
        "write events rows",
    ),
    ("UPDATE $id SET subject = 'x'", "write events rows"),
    // A record by its id, or by the text of it.
    ("UPDATE type::record($text) SET a = 1", "write events rows"),
    ("UPDATE type::record($id) SET a = 1", "write events rows"),
    (
        "UPDATE type::record('events:⟨a b⟩') SET a = 1",
        "write events rows",
    ),
    (
        "UPDATE type::record(events:[1]) SET a = 1",
        "write events rows",
    ),
    ("CREATE type::record($text)", "write events rows"),
    ("UPDATE $ids MERGE { subject: 'x' }", "write events rows"),
    ("UPDATE events UNSET subject", "write events rows"),
    (
        "UPDATE events PATCH [{ op: 'add', path: '/a', value: 1 }]",
        "write events rows",
    ),
    (
        "UPDATE kv_memories SET value = 1 WHERE key = 'k'",
        "write kv_memories rows",
    ),
    (
        "UPDATE kv_memories SET value.a.b += 1",
        "write kv_memories rows",
    ),
    ("UPDATE kv_memories MERGE $rows[0]", "write kv_memories"),
    (
        "UPSERT kv_memories SET user_id = $u, key = 'k', value = $v WHERE user_id = $u AND key = 'k'",
        "write kv_memories rows",
    ),
    (
        "UPSERT kv_memories:a SET value = 1",
        "write kv_memories rows",
    ),
    (
        "UPSERT type::record('kv_memories', $key) SET value = 1",
        "write kv_memories rows",
    ),
    (
        "CREATE type::table('kv_memories') SET user_id = 'u', key = 'k'",
        "write kv_memories rows",
    ),
    ("INSERT INTO events { subject: 'x' }", "write events rows"),
    ("INSERT INTO events $rows", "write events rows"),
    ("INSERT INTO code_symbols $rows", "write code_symbols rows"),
    (
        "INSERT IGNORE INTO kv_memories [{ key: 'a' }, { key: 'b' }]",
        "write kv_memories rows",
    ),
    (
        "INSERT INTO kv_memories (user_id, key) VALUES ('u', 'k') ON DUPLICATE KEY UPDATE value = 2",
        "write kv_memories rows",
    ),
    ("INSERT INTO $table { a: 1 }", "write events rows"),
    (
        "INSERT RELATION INTO knows { in: a:1, out: a:2 }",
        "write knows rows",
    ),
    ("RELATE a:1->knows->a:2", "write knows rows"),
    (
        "CREATE type::table('events') SET subject = (SELECT VALUE name FROM entities)",
        "write events rows",
    ),
    // The same where a key may change its row.
    (
        "UPDATE kv_memories SET key = 'other' WHERE key = 'k'",
        "write kv_memories",
    ),
    (
        "UPDATE kv_memories SET key += 'other' WHERE key = 'other'",
        "write kv_memories",
    ),
    (
        "UPDATE kv_memories SET key = 'k' WHERE key = 'k' OR value = 1",
        "write kv_memories",
    ),
    ("UPDATE kv_memories CONTENT $row", "write kv_memories"),
    ("UPDATE kv_memories REPLACE $row", "write kv_memories"),
    ("UPDATE kv_memories MERGE $unbound", "write kv_memories"),
    ("UPDATE kv_memories MERGE $row", "write kv_memories"),
    ("UPDATE kv_memories UNSET key", "write kv_memories"),
    (
        "UPDATE knowledge_base SET source_file = 'a'",
        "write knowledge_base",
    ),
    (
        "CREATE kv_memories:a SET user_id = 'u', key = 'k'",
        "write kv_memories",
    ),
    (
        "CREATE type::record('kv_memories', $key) SET user_id = 'u', key = 'k'",
        "write kv_memories",
    ),
    (
        "CREATE type::record('kv_memories:a') SET user_id = 'u', key = 'k'",
        "write kv_memories",
    ),
    (
        "UPSERT type::record('kv_memories', $key) SET user_id = 'u', key = 'k' \
         WHERE user_id = 'u' AND key = 'k'",
        "write kv_memories",
    ),
    (
        "UPSERT kv_memories:a SET user_id = 'u', key = 'k' WHERE user_id = 'u' AND key = 'k'",
        "write kv_memories",
    ),
    (
        "CREATE kv_memories CONTENT $row_with_id",
        "write kv_memories",
    ),
    ("INSERT INTO kv_memories $row_with_id", "write kv_memories"),
    (
        "INSERT INTO kv_memories (id, key) VALUES (1, 'k')",
        "write kv_memories",
    ),
    (
        "UPSERT kv_memories:a SET user_id = 'u', key = 'k'",
        "write kv_memories",
    ),
    // Writes whose answer says too little.
    ("CREATE events RETURN NONE", "write events"),
    ("CREATE events RETURN id", "write events"),
    ("UPDATE events SET a = 1 RETURN BEFORE", "write events"),
    ("UPDATE events SET a = 1 RETURN DIFF", "write events"),
    ("CREATE events, entities", "write entities events"),
    (
        "UPDATE events SET a = (CREATE entities)",
        "write entities events",
    ),
    // Another statement inside it, whose rows are not in its answer.
    (
        "CREATE events SET parent = (CREATE ONLY events).id",
        "write events",
    ),
    (
        "UPDATE events:a SET n = (UPDATE events:b SET n = 1)",
        "write events",
    ),
    (
        "UPSERT events:a SET n = (UPSERT events:b SET n = 1)",
        "write events",
    ),
    (
        "UPDATE events SET n = 1 WHERE (UPDATE events:b SET n = 1) != NONE",
        "write events",
    ),
    (
        "INSERT INTO events [{ ref: (CREATE ONLY events).id }]",
        "write events",
    ),
    (
        "RELATE a:1->knows->a:2 SET n = (INSERT INTO knows { n: 1 })",
        "write knows",
    ),
    ("UPDATE events:a SET n = (DELETE events:b)", "write events"),
    ("CREATE events; CREATE entities", "write entities events"),
    ("BEGIN; CREATE events; COMMIT;", "write events"),
    (
        "{ CREATE events; UPDATE entities SET a = 1 }",
        "write entities events",
    ),
    ("RETURN (CREATE events)", "write events"),
    ("RETURN [1, { a: (CREATE events) }]", "write events"),
    ("RETURN 1 + (CREATE events).n", "write events"),
    ("SELECT * FROM (CREATE events)", "write events"),
    (
        "SELECT (UPDATE entities SET a = 1) FROM events",
        "write entities",
    ),
    (
        "SELECT * FROM events WHERE (CREATE entities) != NONE",
        "write entities",
    ),
    ("LET $a = (CREATE events); RETURN 1", "write events"),
    (
        "IF $x { CREATE events } ELSE IF $y { UPDATE entities SET a = 1 }",
        "write entities events",
    ),
    ("IF (CREATE events) THEN 1 END", "write events"),
    (
        "FOR $n IN 1..3 { CREATE events SET n = $n }",
        "write events",
    ),
    (
        "RETURN array::map([1], |$x| { CREATE events })",
        "write events",
    ),
    ("THROW (CREATE events)", "write events"),
    ("EXPLAIN ANALYZE CREATE events", "write events"),
    ("DEFINE PARAM $p VALUE (CREATE events)", "write events"),
    (
        "DEFINE TABLE recent AS SELECT * FROM events",
        "write recent",
    ),
    ("USE DB other; CREATE events", "write events"),
    // Writes to who knows what.
    ("CREATE $unbound", "write ?"),
    ("CREATE $text", "write ?"),
    ("UPDATE $this SET a = 1", "write ?"),
    ("FOR $id IN $ids { UPDATE $id SET a = 1 }", "write ?"),
    ("LET $id = entities:a; UPDATE $id SET a = 1", "write ?"),
    ("UPDATE type::record($table) SET a = 1", "write ?"),
    ("UPDATE type::record($unbound) SET a = 1", "write ?"),
    ("UPDATE type::record($ids) SET a = 1", "write ?"),
    ("UPDATE type::record($this) SET a = 1", "write ?"),
    ("UPDATE type::record('events') SET a = 1", "write ?"),
    ("UPDATE type::record(events.id) SET a = 1", "write ?"),
    (
        "LET $text = 'entities:a'; UPDATE type::record($text) SET a = 1",
        "write ?",
    ),
    ("UPDATE (SELECT * FROM events) SET a = 1", "write ?"),
    ("UPDATE events:a->knows->entities SET a = 1", "write ?"),
    ("INSERT { id: events:a }", "write ?"),
    ("INSERT INTO $unbound $rows", "write ?"),
    ("RELATE a:1->$unbound->a:2", "write ?"),
    ("fn::anything(1)", "write ?"),
    ("SELECT fn::anything(id) FROM events", "write ?"),
    ("RETURN eval::surql('CREATE events')", "write ?"),
    ("RETURN $closure(1)", "write ?"),
    ("RETURN function() { return 1; }", "write ?"),
    ("LET $f = |$x| { CREATE events }; $f(1)", "write ?"),
    ("DEFINE TABLE notes COMMENT (CREATE events)", "write ?"),
    ("this is no SurrealQL", "write ?"),
    ("CREATE", "write ?"),
    ("SELECT * FROM", "write ?"),
    // Deletes leave the secondaries alone.
    ("DELETE events", "write delete all"),
    ("DELETE FROM events", "write delete all"),
    ("DELETE events WHERE user_id = $u", "write delete some"),
    ("DELETE events:a", "write delete some"),
    ("DELETE $id", "write delete some"),
    ("DELETE type::record($text)", "write delete some"),
    ("DELETE ONLY events:a RETURN BEFORE", "write delete some"),
    (
        "DELETE kv_memories WHERE key IN ['a', \"b'c\", `odd name`]",
        "write delete some",
    ),
    ("DELETE events, entities", "write"),
    ("DELETE events; DELETE entities", "write"),
    (
        "DELETE events WHERE (CREATE entities) != NONE",
        "write entities",
    ),
    ("DELETE events:a->knows", "write"),
    ("REMOVE TABLE events", "write"),
    ("RETURN (DELETE events)", "write"),
];

#[test]
fn each_statement_has_its_verdict() {
    let wrong: Vec<_> = STATEMENTS
        .iter()
        .map(|(text, verdict)| (*text, *verdict, in_words(text)))
        .filter(|(_, expected, found)| expected != found)
        .map(|(text, expected, found)| format!("{text}\n    {expected} expected: {found}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What the parser says of writing is never softened here, but for statements
/// that touch no row.
#[test]
fn whatever_creates_or_changes_rows_is_a_write_wherever_it_stands() {
    let places = [
        "{}",
        "RETURN ({})",
        "LET $a = ({});",
        "SELECT * FROM ({})",
        "[({})]",
        "{ a: ({}) }",
        "IF true { {} }",
        "IF ({}) { 1 }",
        "FOR $a IN ({}) { }",
        "FOR $a IN [1] { {} }",
        "SELECT ({}) FROM a",
        "SELECT * FROM a WHERE ({})",
        "SELECT * FROM a LIMIT ({})",
        "SELECT * FROM a TIMEOUT ({})",
        "DELETE a WHERE ({})",
        "THROW ({})",
        "-({})",
        "({}) + 1",
        "1 + ({})",
        "array::len(({}))",
        "DEFINE PARAM $a VALUE ({})",
        "a:[({})]",
        "SELECT a[({})] FROM b",
        "SELECT a[WHERE ({})] FROM b",
        "BEGIN; {}; COMMIT",
        "INFO FOR TABLE ({})",
        "RETURN |$a| { {} }",
        "RETURN 1 FETCH ({})",
        "({}).a",
        "SELECT ->(knows WHERE ({})) FROM a",
        "SELECT * FROM ONLY ({})",
        "({})..2",
    ];
    let writes = [
        "CREATE events",
        "UPDATE events SET a = 1",
        "UPSERT events SET a = 1",
        "INSERT INTO events {}",
        "RELATE a:1->events->a:2",
    ];
    let mut parsed = 0;
    for place in places {
        for write in writes {
            let text = place.replacen("{}", write, 1);
            if parse(&text).is_none() {
                continue;
            }
            parsed += 1;
            match recognise(&text, true) {
                Verdict::Write(effects) => {
                    let tables = effects.written(&Object::new());
                    let told = tables.is_none_or(|tables| tables.contains("events"));
                    assert!(told, "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
    assert!(parsed >= 120, "only {parsed} of the texts were any");
}

#[test]
fn a_select_is_rendered_with_its_mark() {
    let text = "SELECT name AS n FROM code_files WHERE project_id = $p ORDER BY n, file_hash DESC LIMIT 5 START 2";
    let Verdict::Select(plain) = recognise(text, true) else {
        panic!("{text}");
    };
    assert_eq!(
        plain.text,
        "SELECT name AS n, { row: { id: id, project_id: project_id, file_path: file_path }, \
         by: [file_hash] } AS __db_sync FROM code_files WHERE project_id = $p \
         ORDER BY n, file_hash DESC LIMIT $__db_sync"
    );
    let window = plain.window(&Object::new().with("p", "p")).unwrap();
    assert_eq!((window.start, window.end), (2, Some(7)));
}

#[test]
fn a_limit_that_is_no_number_is_left_to_the_primary() {
    let Verdict::Select(plain) = recognise("SELECT * FROM events LIMIT $n", true) else {
        panic!("no select");
    };
    for wrong in [Value::from("many"), Value::from(-1i64), Value::None] {
        assert_eq!(plain.window(&Object::new().with("n", wrong)), None);
    }
}

/// What is not bound may be a parameter that the database defines.
#[test]
fn a_select_with_a_parameter_that_is_not_bound_is_left_to_the_primary() {
    let merged = |text: &str| {
        let Verdict::Select(plain) = recognise(text, true) else {
            panic!("{text}");
        };
        let bound = Object::new().with("x", 1i64).with("none", Value::None);
        plain.window(&bound).is_some()
    };
    for text in [
        "SELECT * FROM events WHERE a > $x",
        "SELECT * FROM events WHERE a = $none",
        "SELECT *, $x AS x FROM events LIMIT $x",
        "SELECT * FROM events WHERE $this.a = 1",
        "SELECT array::map(tags, |$tag| $tag + $x) AS tags FROM events",
        "SELECT tags.map(|$tag| $tag.map(|$y| $y + $tag)) AS tags FROM events",
    ] {
        assert!(merged(text), "{text}");
    }
    for text in [
        "SELECT * FROM events WHERE a > $min",
        "SELECT * FROM events WHERE a > 1 OR $x OR !$min",
        "SELECT * FROM events WHERE $min.a",
        "SELECT * FROM events WHERE a[$min] = 1",
        "SELECT * FROM events WHERE { a: [$min] } = a",
        "SELECT *, $min AS min FROM events",
        "SELECT VALUE $min FROM events",
        "SELECT * FROM events WHERE user_id = $auth.id",
        "SELECT * FROM events LIMIT $min",
        "SELECT * FROM events TIMEOUT $min",
        "SELECT array::map(tags, |$tag| $tag + $min) AS tags FROM events",
        "SELECT array::map(tags, |$tag| $tag) AS t, $tag AS u FROM events",
        "SELECT tags.map(|$tag| $min) AS tags FROM events ORDER BY tags",
    ] {
        assert!(!merged(text), "{text}");
    }
}

#[test]
fn a_verdict_is_kept_and_an_old_one_let_go() {
    let recogniser = Recogniser::new(false);
    let first = recogniser.verdict("RETURN 0");
    assert!(Arc::ptr_eq(&first, &recogniser.verdict("RETURN 0")));
    for n in 1..=KEPT {
        recogniser.verdict(&format!("RETURN {n}"));
    }
    assert!(!Arc::ptr_eq(&first, &recogniser.verdict("RETURN 0")));
    assert_eq!(recogniser.kept.lock().len(), KEPT);
}

/// Prints it: `cargo test --workspace -- --ignored --nocapture verdict_takes`.
#[test]
#[ignore = "it measures"]
#[allow(clippy::print_stdout)]
fn what_a_verdict_takes() {
    let long = format!(
        "INSERT INTO events [{}]",
        "{ subject: 'x', n: [1, 2, 3] }, ".repeat(200)
    );
    let texts = [
        "SELECT * FROM events WHERE user_id = $u LIMIT 10",
        "SELECT *, vector::similarity::cosine(embedding, $q) AS similarity FROM code_symbols \
         WHERE project_id = $p ORDER BY similarity DESC LIMIT 10",
        "UPSERT kv_memories SET user_id = $u, key = $k, value = $v WHERE user_id = $u AND key = $k",
        &long,
    ];
    let kept = Recogniser::new(true);
    for text in texts {
        let took = |call: &dyn Fn()| {
            let started = std::time::Instant::now();
            (0..500).for_each(|_| call());
            started.elapsed() / 500
        };
        println!(
            "{:>6} bytes: {:>8.1?} anew, {:>8.1?} if a SELECT matters, {:>8.1?} kept",
            text.len(),
            took(&|| drop(recognise(text, false))),
            took(&|| drop(recognise(text, true))),
            took(&|| drop(kept.verdict(text))),
        );
    }
}

/// Runs `check` on a stack as small as a host's threads may have.
fn on_a_small_stack(check: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(check)
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn deep_texts_neither_hang_nor_overflow_the_stack() {
    on_a_small_stack(|| {
        let pairs = [
            ("(", ")"),
            ("[", "]"),
            ("{ a: ", " }"),
            ("{", "}"),
            ("RETURN (", ")"),
            ("!", ""),
            ("-", ""),
            ("RETURN ", ""),
            ("THROW ", ""),
            ("LET $a = ", ""),
            ("|$a| ", ""),
            ("SELECT * FROM (", ")"),
            ("IF 1 { ", " }"),
            ("FOR $a IN 1..2 { ", " }"),
            ("EXPLAIN ", ""),
            ("<array>", ""),
            ("<array<", ">>"),
            ("fn::f(", ")"),
            ("a.b(", ")"),
            ("a[", "]"),
            ("a[WHERE ", "]"),
            ("a:[", "]"),
            ("1 + ", ""),
            ("1 ** ", ""),
            ("..", ""),
            ("CREATE a SET b = (", ")"),
            ("IF 1 THEN 1 ELSE ", " END"),
            ("/*", "*/"),
            ("a->(b WHERE ", ")"),
            ("DEFINE PARAM $a VALUE (", ")"),
            ("{,", "}"),
            ("/", "/"),
            ("DEFINE FIELD a ON b TYPE array<", ">"),
            ("a.{ b: ", " }"),
            ("a.{1..2}(", ")"),
            ("function(", ") { }"),
            ("RETURN 1; ", ""),
            ("a.b", ""),
            ("ELSE IF 1 {} ", ""),
            ("s\"", "\""),
        ];
        for depth in [10, 19, 90, 127, 1_000, 20_000] {
            for (open, close) in pairs {
                let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
                recognise(&text, true);
            }
            // All kinds at once, as deep as each allows.
            let open: String = pairs
                .iter()
                .map(|(open, _)| *open)
                .cycle()
                .take(depth)
                .collect();
            recognise(&open, true);
        }
    });
}

/// A text of pieces that mean something to the parser.
fn pieces() -> impl Strategy<Value = String> {
    let words: Vec<&'static str> = STATEMENTS
        .iter()
        .flat_map(|(text, _)| text.split(' '))
        .chain([
            "$", "`", "⟨", "⟩", "\\", "\u{0}", "é", "->", "<-", "::", "<future>", "1e999", "..=",
        ])
        .collect();
    prop::collection::vec(prop::sample::select(words), 0..40).prop_map(|words| words.join(" "))
}

/// A statement of the table with some bytes other than they were.
fn mutated() -> impl Strategy<Value = String> {
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..6);
    (prop::sample::select(STATEMENTS), edits).prop_map(|((text, _), edits)| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len() + 1);
            match kind {
                0 => bytes.insert(at, byte),
                1 if at < bytes.len() => bytes[at] = byte,
                _ => bytes.truncate(at.max(1)),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("RAW_QUERY_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2_000)
    ))]

    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![any::<String>(), pieces(), mutated()]) {
        // What is said of a text does not depend on whether selects matter.
        let wrote = matches!(recognise(&text, true), Verdict::Write(_));
        prop_assert_eq!(wrote, writes(&text));
    }
}
