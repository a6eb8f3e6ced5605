//! The classifier over a table of statements, and over invalid texts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod statements;

use super::*;
use plugin_api::value::{Object, RecordId, Value};
use proptest::prelude::*;
use statements::STATEMENTS;

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

/// A classification in words: `read`, `select TABLE`, or `write TABLES` with `?` for
/// any, then `rows` if the answer shows which rows and they keep their keys, then
/// `delete` with `all` or `some` where tombstones can be left.
fn in_words(text: &str) -> String {
    let parameters = parameters();
    match classify(text, true) {
        Classification::Read => "read".to_owned(),
        Classification::Select(plain) => format!("select {}", plain.table),
        Classification::Write(effects) => {
            let mut words = vec!["write".to_owned()];
            let tables = effects.written(&parameters);
            match &tables {
                None => words.push("?".to_owned()),
                Some(tables) => words.extend(tables.iter().cloned()),
            }
            if let (Some(answered), Some(tables)) = (&effects.returned_rows, &tables)
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

#[test]
fn each_statement_gets_the_expected_classification() {
    let wrong: Vec<_> = STATEMENTS
        .iter()
        .map(|(text, classification)| (*text, *classification, in_words(text)))
        .filter(|(_, expected, found)| expected != found)
        .map(|(text, expected, found)| format!("{text}\n    {expected} expected: {found}"))
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What the parser considers a write stays one here, except for statements that
/// write no row.
#[test]
fn a_statement_that_writes_rows_is_a_write_wherever_it_is_nested() {
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
            match classify(&text, true) {
                Classification::Write(effects) => {
                    let tables = effects.written(&Object::new());
                    let found = tables.is_none_or(|tables| tables.contains("events"));
                    assert!(found, "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
    assert!(parsed >= 120, "only {parsed} of the texts were any");
}

#[test]
fn a_select_is_rendered_with_its_meta_column() {
    let text = "SELECT name AS n FROM code_files WHERE project_id = $p ORDER BY n, file_hash DESC LIMIT 5 START 2";
    let Classification::Select(plain) = classify(text, true) else {
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
fn a_select_whose_limit_is_not_a_number_is_left_to_the_primary() {
    let Classification::Select(plain) = classify("SELECT * FROM events LIMIT $n", true) else {
        panic!("no select");
    };
    for wrong in [Value::from("many"), Value::from(-1i64), Value::None] {
        assert_eq!(plain.window(&Object::new().with("n", wrong)), None);
    }
}

/// What is not bound may be a parameter that the database defines.
#[test]
fn a_select_with_an_unbound_parameter_is_left_to_the_primary() {
    let merged = |text: &str| {
        let Classification::Select(plain) = classify(text, true) else {
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
fn a_classification_is_cached_and_the_least_recently_used_is_evicted() {
    let classifier = QueryClassifier::new(false);
    let first = classifier.classify("RETURN 0");
    assert!(Arc::ptr_eq(&first, &classifier.classify("RETURN 0")));
    for n in 1..=MAX_CACHED {
        classifier.classify(&format!("RETURN {n}"));
    }
    assert!(!Arc::ptr_eq(&first, &classifier.classify("RETURN 0")));
    assert_eq!(classifier.cache.lock().len(), MAX_CACHED);
}

/// Prints it: `cargo test --workspace -- --ignored --nocapture time_per_classification`.
#[test]
#[ignore = "a measurement"]
#[allow(clippy::print_stdout)]
fn time_per_classification() {
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
    let cached = QueryClassifier::new(true);
    for text in texts {
        let took = |call: &dyn Fn()| {
            let started = std::time::Instant::now();
            (0..500).for_each(|_| call());
            started.elapsed() / 500
        };
        println!(
            "{:>6} bytes: {:>8.1?} parsed, {:>8.1?} with SELECTs, {:>8.1?} cached",
            text.len(),
            took(&|| drop(classify(text, false))),
            took(&|| drop(classify(text, true))),
            took(&|| drop(cached.classify(text))),
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
                classify(&text, true);
            }
            // All kinds at once, as deep as each allows.
            let open: String = pairs
                .iter()
                .map(|(open, _)| *open)
                .cycle()
                .take(depth)
                .collect();
            classify(&open, true);
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
    fn no_text_makes_the_classifier_panic(text in prop_oneof![any::<String>(), pieces(), mutated()]) {
        // What is said of a text does not depend on whether selects matter.
        let wrote = matches!(classify(&text, true), Classification::Write(_));
        prop_assert_eq!(wrote, writes(&text));
    }
}
