//! Answers without what differs from run to run.

use crate::call::CallError;
use plugin_api::value::{RecordId, Timestamp};
use serde_json::Value as Json;
use std::collections::HashMap;

/// Renames ids in the order in which they first come, so that two runs of one
/// script call the same row by the same name.
#[derive(Default)]
pub(super) struct Normal {
    names: HashMap<String, String>,
}

impl Normal {
    /// The answer with ids renamed, times blanked, and floats rounded. Errors
    /// count by their kind. An array whose order is that of random ids is put
    /// in the order of what it holds.
    pub(super) fn of(&mut self, answer: &Result<Json, CallError>, by_id: bool) -> Json {
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
                    // How long a search took is never the same.
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
