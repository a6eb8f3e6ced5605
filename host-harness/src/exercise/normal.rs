//! [`Normalizer`]: removes from answers what differs from run to run.

use crate::call::CallError;
use plugin_api::value::{RecordId, Timestamp};
use serde_json::Value as Json;
use std::collections::HashMap;

/// Renames ids in the order of their first appearance, so that two runs of one
/// script give the same row the same name.
#[derive(Default)]
pub(super) struct Normalizer {
    names: HashMap<String, String>,
}

impl Normalizer {
    /// The answer with ids renamed, times blanked, and floats rounded; of an error,
    /// its kind. An array that is ordered by random ids is sorted by its content.
    pub(super) fn normalize(&mut self, answer: &Result<Json, CallError>, by_id: bool) -> Json {
        match answer {
            Err(CallError::Storage(error)) => format!("error {}", error.kind.name()).into(),
            Err(error) => error.to_string().into(),
            Ok(answer) => {
                let mut normal = self.json(answer);
                if let (true, Json::Array(items)) = (by_id, &mut normal) {
                    items.sort_by_key(Json::to_string);
                }
                normal
            }
        }
    }

    fn json(&mut self, json: &Json) -> Json {
        match json {
            Json::String(text) => self.text(text),
            Json::Number(number) if number.is_f64() => {
                let float = number.as_f64().unwrap_or_default();
                Json::from((float * 1e6).round() / 1e6)
            }
            Json::Array(items) => items.iter().map(|item| self.json(item)).collect(),
            Json::Object(entries) => entries
                .iter()
                .map(|(key, value)| match key.as_str() {
                    // How long a search took differs every time.
                    "query_time_us" => (key.clone(), Json::Null),
                    _ => (key.clone(), self.json(value)),
                })
                .collect(),
            other => other.clone(),
        }
    }

    fn text(&mut self, text: &str) -> Json {
        if text.parse::<Timestamp>().is_ok() {
            return "a time".into();
        }
        match text.parse::<RecordId>() {
            Ok(id) => {
                let next = self.names.len();
                let name = self.names.entry(text.to_owned());
                name.or_insert_with(|| format!("{}:#{next}", id.table))
                    .clone()
                    .into()
            }
            Err(_) => text.into(),
        }
    }
}

/// The first difference between two answers, and where it is.
pub(super) fn difference(bare: &Json, wrapped: &Json) -> String {
    let (mut bare, mut wrapped, mut path) = (bare, wrapped, String::new());
    loop {
        let deeper = match (bare, wrapped) {
            (Json::Array(a), Json::Array(b)) if a.len() == b.len() => {
                let at = (0..a.len()).find(|&at| a[at] != b[at]);
                at.map(|at| (&a[at], &b[at], format!("[{at}]")))
            }
            (Json::Object(a), Json::Object(b)) => {
                a.iter().find_map(|(key, value)| match b.get(key) {
                    Some(other) if other != value => Some((value, other, format!(".{key}"))),
                    _ => None,
                })
            }
            _ => None,
        };
        match deeper {
            Some((a, b, step)) => {
                (bare, wrapped) = (a, b);
                path.push_str(&step);
            }
            None => {
                return format!("the primary answers{path} {bare}, the wrapped storage {wrapped}")
                    .chars()
                    .take(400)
                    .collect();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    #[test]
    fn two_runs_give_the_same_row_the_same_name() {
        let answer = |a: &str, b: &str| {
            let mut normalizer = Normalizer::default();
            normalizer.normalize(&Ok(json!([a])), false);
            normalizer.normalize(
                &Ok(json!({"x": [b, a], "at": "2026-01-31T12:00:00Z", "n": 0.1 + 0.2})),
                false,
            )
        };
        let one = answer("events:abc", "entities:xyz");
        assert_eq!(one, answer("events:zzz", "entities:aaa"));
        assert_eq!(
            one,
            json!({"x": ["entities:#1", "events:#0"], "at": "a time", "n": 0.3})
        );
    }

    #[test]
    fn a_difference_is_shown_with_its_path() {
        let text = difference(&json!({"a": [1, {"b": 2}]}), &json!({"a": [1, {"b": 3}]}));
        assert_eq!(text, "the primary answers.a[1].b 2, the wrapped storage 3");
    }
}
