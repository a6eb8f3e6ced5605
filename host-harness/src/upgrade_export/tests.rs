#![allow(clippy::unwrap_used)]

use super::*;

/// The upgraded export, and what was changed.
fn upgraded(export: &str) -> (String, Vec<Change>) {
    let mut changes = Vec::new();
    // Whatever the reader's buffer holds at once, the result is the same.
    let results: Vec<String> = [1, 7, 8192]
        .map(|size| {
            changes.clear();
            let mut output = Vec::new();
            let input = io::BufReader::with_capacity(size, export.as_bytes());
            upgrade(input, &mut output, |change| changes.push(change)).unwrap();
            String::from_utf8(output).unwrap()
        })
        .into();
    assert!(results.iter().all(|result| *result == results[0]));
    (results[0].clone(), changes)
}

fn error(export: &str) -> String {
    let error = upgrade(export.as_bytes(), Vec::new(), |_| {}).unwrap_err();
    error.to_string()
}

const FULL: &str = "DEFINE TABLE a TYPE NORMAL SCHEMAFULL PERMISSIONS NONE;\n";

#[test]
fn flexible_stands_behind_a_type_with_an_object_in_a_schemafull_table() {
    for (field, expected) in [
        (
            "FLEXIBLE TYPE object DEFAULT {  } PERMISSIONS FULL",
            "TYPE object FLEXIBLE DEFAULT {  } PERMISSIONS FULL",
        ),
        (
            "FLEXIBLE TYPE option<object>",
            "TYPE option<object> FLEXIBLE",
        ),
        (
            "FLEXIBLE TYPE option<string | object | array> VALUE $value",
            "TYPE option<string | object | array> FLEXIBLE VALUE $value",
        ),
        (
            "FLEXIBLE TYPE any PERMISSIONS FULL",
            "TYPE any PERMISSIONS FULL",
        ),
        (
            "TYPE object DEFAULT { a: 'FLEXIBLE TYPE any' }",
            "TYPE object DEFAULT { a: 'FLEXIBLE TYPE any' }",
        ),
    ] {
        let export = format!("{FULL}DEFINE FIELD flexible ON a {field};");
        let expected = format!("{FULL}DEFINE FIELD flexible ON a {expected};");
        assert_eq!(upgraded(&export).0, expected);
    }
    let schemaless = "DEFINE TABLE a TYPE ANY SCHEMALESS;DEFINE FIELD `value`[*] ON TABLE a FLEXIBLE TYPE object;";
    assert_eq!(
        upgraded(schemaless).0,
        "DEFINE TABLE a TYPE ANY SCHEMALESS;DEFINE FIELD `value`[*] ON TABLE a TYPE object;"
    );
}

#[test]
fn indexes_that_3_does_not_have_are_replaced_or_left_out() {
    let (export, changes) = upgraded(
        "DEFINE INDEX i ON a FIELDS c SEARCH ANALYZER w BM25(1.2,0.75) DOC_IDS_ORDER 100 TERMS_CACHE 100 HIGHLIGHTS;
DEFINE INDEX mtree ON a FIELDS e;
DEFINE INDEX m ON a FIELDS e MTREE DIMENSION 768 DIST COSINE;
INSERT [];",
    );
    assert_eq!(
        export,
        "DEFINE INDEX i ON a FIELDS c FULLTEXT ANALYZER w BM25(1.2,0.75) HIGHLIGHTS;
DEFINE INDEX mtree ON a FIELDS e;
-- DEFINE INDEX m ON a FIELDS e MTREE DIMENSION 768 DIST COSINE;

INSERT [];"
    );
    let lines: Vec<u64> = changes.iter().map(|change| change.line).collect();
    assert_eq!(lines, [1, 3]);
    assert!(changes[1].what.contains("index m of a"), "{changes:?}");
}

#[test]
fn rows_and_comments_stay_as_they_are() {
    let export = "-- DEFINE FIELD a ON a FLEXIBLE TYPE object; it's a comment
# and another's; DEFINE INDEX i ON a FIELDS e MTREE DIMENSION 1;
/* DEFINE INDEX i ON a FIELDS e MTREE DIMENSION 1; ' */
OPTION IMPORT;
INSERT [ { id: a:⟨it's \\⟩; DEFINE INDEX i ON a FIELDS e MTREE DIMENSION 1;⟩, x: 'y\\'; DEFINE INDEX i ON a FIELDS e MTREE;\n', z: \"'\", `k'`: -1.5f, t: d'2026-11-28T00:03:11Z' } ];
UPDATE a SET b = 'DEFINE';";
    let (copied, changes) = upgraded(export);
    assert_eq!(copied, export);
    assert_eq!(changes, []);
}

#[test]
fn functions_have_their_new_names_outside_of_strings() {
    let (export, _) = upgraded(
        "DEFINE FUNCTION fn::f($a: string) { RETURN type::thing('a', string::is::email($a) + 'type::thing'); };",
    );
    assert_eq!(
        export,
        "DEFINE FUNCTION fn::f($a: string) { RETURN type::record('a', string::is_email($a) + 'type::thing'); };"
    );
}

#[test]
fn an_export_that_cannot_be_upgraded_is_an_error_that_names_the_line() {
    for (export, expected) in [
        ("", "line 1: there is no statement"),
        ("-- only\n-- comments\n", "line 3: there is no statement"),
        (
            "OPTION IMPORT;\n\nINSERT [ { a: 'cut",
            "line 3: the statement that begins here does not end",
        ),
        (
            "OPTION IMPORT;\nDEFINE TABLE a",
            "line 2: the statement that begins here does not end",
        ),
        (
            "\nDEFINE FIELD f ON a VALUE <future> { 1 };",
            "line 2: 3.x has no <future>",
        ),
    ] {
        let error = error(export);
        assert!(error.starts_with(expected), "{error}");
    }
    let endless = format!(
        "OPTION IMPORT;\nDEFINE TABLE a COMMENT '{}",
        "x".repeat(2 << 20)
    );
    assert!(error(&endless).starts_with("line 2: the DEFINE statement"));
}
