//! The answer that a step of the script expects, as a JSON pattern.
//!
//! | pattern | matches |
//! | --- | --- |
//! | `{a: 1}` | an object with at least these keys, whose values match |
//! | `[1, 2]` | an array of as many items, each of which matches |
//! | a text, number, flag or null | the same; numbers to within 1e-6 |
//! | `$any` | anything but null |
//! | `$id:events` | a record id of that table |
//! | `$time` | a point in time |
//! | `{$only: {…}}` | an object with exactly these keys |
//! | `{$some: [1]}` | an array with an item that matches each of these, among others |
//! | `{$above: 0.5}` | a number above that |
//! | `{$near: 12, within: 3}` | a number no further away than that |

use plugin_api::value::{RecordId, Timestamp};
use serde_json::Value as Json;

/// An error says where `answer` does not match `pattern`.
pub(super) fn check(pattern: &Json, answer: &Json) -> Result<(), String> {
    match_json(pattern, answer).map_err(|(path, reason)| {
        let place = if path.is_empty() {
            "the answer"
        } else {
            path.as_str()
        };
        format!("{place} {reason}")
    })
}

type Mismatch = (String, String);

fn mismatch(reason: impl Into<String>) -> Result<(), Mismatch> {
    Err((String::new(), reason.into()))
}

fn at_path(step: &str, result: Result<(), Mismatch>) -> Result<(), Mismatch> {
    result.map_err(|(path, reason)| (format!("{step}{path}"), reason))
}

fn match_json(pattern: &Json, answer: &Json) -> Result<(), Mismatch> {
    let expected = || mismatch(format!("should be {pattern}, is {}", shorten(answer)));
    match (pattern, answer) {
        (Json::String(text), _) if text.starts_with('$') => {
            if matches_placeholder(text, answer) {
                Ok(())
            } else {
                expected()
            }
        }
        (Json::Object(keys), _) if keys.keys().any(|key| key.starts_with('$')) => {
            match_operator(keys, answer)
        }
        (Json::Object(keys), Json::Object(answers)) => {
            for (key, pattern) in keys {
                let answer = answers.get(key).unwrap_or(&Json::Null);
                at_path(&format!(".{key}"), match_json(pattern, answer))?;
            }
            Ok(())
        }
        (Json::Array(patterns), Json::Array(answers)) => {
            if patterns.len() != answers.len() {
                return mismatch(format!(
                    "should have {} items, has {}: {}",
                    patterns.len(),
                    answers.len(),
                    shorten(answer)
                ));
            }
            for (at, (pattern, answer)) in patterns.iter().zip(answers).enumerate() {
                at_path(&format!("[{at}]"), match_json(pattern, answer))?;
            }
            Ok(())
        }
        (Json::Number(a), Json::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) if (a - b).abs() <= 1e-6 => Ok(()),
            _ => expected(),
        },
        (a, b) if a == b => Ok(()),
        _ => expected(),
    }
}

fn matches_placeholder(name: &str, answer: &Json) -> bool {
    let text = answer.as_str();
    match name {
        "$any" => !answer.is_null(),
        "$time" => text.is_some_and(|text| text.parse::<Timestamp>().is_ok()),
        _ => name.strip_prefix("$id:").is_some_and(|table| {
            text.and_then(|text| text.parse::<RecordId>().ok())
                .is_some_and(|id| id.table == table)
        }),
    }
}

fn match_operator(pattern: &serde_json::Map<String, Json>, answer: &Json) -> Result<(), Mismatch> {
    let number = |key: &str| pattern.get(key).and_then(Json::as_f64);
    if let Some(Json::Object(only)) = pattern.get("$only") {
        match_json(&Json::Object(only.clone()), answer)?;
        let unexpected = answer
            .as_object()
            .and_then(|answers| answers.keys().find(|key| !only.contains_key(*key)));
        return match unexpected {
            Some(key) => mismatch(format!("should not have {key}")),
            None if answer.is_object() => Ok(()),
            None => mismatch("should be an object"),
        };
    }
    if let Some(Json::Array(some)) = pattern.get("$some") {
        let answers = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let absent = some.iter().find(|pattern| {
            !answers
                .iter()
                .any(|answer| match_json(pattern, answer).is_ok())
        });
        return match absent {
            Some(pattern) => mismatch(format!("should have {pattern} among {}", shorten(answer))),
            None => Ok(()),
        };
    }
    let is = answer.as_f64();
    let fits = match (number("$above"), number("$near"), number("within")) {
        (Some(least), None, None) => is.is_some_and(|is| is > least),
        (None, Some(near), Some(within)) => is.is_some_and(|is| (is - near).abs() <= within),
        _ => return mismatch("is compared with an unknown pattern"),
    };
    if fits {
        Ok(())
    } else {
        mismatch(format!(
            "should be {}, is {}",
            Json::Object(pattern.clone()),
            shorten(answer)
        ))
    }
}

fn shorten(json: &Json) -> String {
    let text = json.to_string();
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    #[test]
    fn an_answer_that_matches_its_pattern_passes() {
        for (pattern, answer) in [
            (json!({"a": 1}), json!({"a": 1.0, "b": 2})),
            (json!({"a": null}), json!({})),
            (json!(["$any", "$id:events"]), json!([0, "events:abc"])),
            (json!("$time"), json!("2026-01-31T12:00:00.123456789Z")),
            (json!({"$only": {"a": 1}}), json!({"a": 1})),
            (json!({"$some": [3, 1]}), json!([1, 2, 3])),
            (json!({"$above": 0.5}), json!(0.6)),
            (json!({"$near": 10, "within": 1}), json!(11)),
        ] {
            assert_eq!(check(&pattern, &answer), Ok(()), "{pattern}");
        }
    }

    #[test]
    fn a_mismatch_is_reported_with_its_path() {
        for (pattern, answer, complaint) in [
            (
                json!({"a": [1]}),
                json!({"a": [2]}),
                ".a[0] should be 1, is 2",
            ),
            (
                json!([1]),
                json!([1, 2]),
                "the answer should have 1 items, has 2",
            ),
            (
                json!("$id:events"),
                json!("entities:abc"),
                "should be \"$id:events\"",
            ),
            (json!("$any"), json!(null), "should be \"$any\""),
            (json!("$time"), json!("noon"), "should be \"$time\""),
            (json!({"$only": {}}), json!({"a": 1}), "should not have a"),
            (json!({"$only": {}}), json!(1), "should be"),
            (json!({"$some": [4]}), json!([1]), "should have 4 among [1]"),
            (json!({"$above": 1}), json!(1), "should be"),
            (json!({"$about": 1}), json!(1), "an unknown pattern"),
            (json!(null), json!(0), "should be null"),
        ] {
            let error = check(&pattern, &answer).unwrap_err();
            assert!(error.contains(complaint), "{error}");
        }
    }
}
