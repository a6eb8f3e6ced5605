//! The types of values: how each is read, and how errors and the documentation
//! describe what it accepts.

mod map;
mod scalar;
mod text;

pub(super) use map::{Entries, Entry, Map};
pub(super) use scalar::{Boolean, ByteSize, Choice, DurationRange, Integer};
pub(super) use text::{Directory, File, Name, Secret, ServerUrl, Text};

use plugin_api::value::Value;

/// A type of value.
pub(super) trait ValueType {
    /// What a value is read as.
    type Out;

    /// Reads a value. The error states the problem, to follow "KEY: ".
    fn parse(&self, value: &Value) -> Result<Self::Out, String>;

    /// What is accepted, to follow "accepted: ".
    fn accepts(&self) -> String;

    /// The value of a key that is not given and has no default.
    fn absent(&self) -> Result<Self::Out, String> {
        Err("it is required".to_owned())
    }
}

/// A value as errors show it: shortened, and never the contents of a list or
/// map, which may hold a password.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        Value::Bytes(_) => "binary data".to_owned(),
        other => {
            let text = other.to_string();
            match text.char_indices().nth(60) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text,
            }
        }
    }
}

fn invalid(value: &Value, problem: &str) -> String {
    format!("{} is {problem}", show(value))
}

/// A value that may be left out.
pub(super) struct Optional<T>(pub(super) T);

impl<T: ValueType> ValueType for Optional<T> {
    type Out = Option<T::Out>;

    fn parse(&self, value: &Value) -> Result<Self::Out, String> {
        self.0.parse(value).map(Some)
    }

    fn accepts(&self) -> String {
        self.0.accepts()
    }

    fn absent(&self) -> Result<Self::Out, String> {
        Ok(None)
    }
}
