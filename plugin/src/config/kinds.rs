//! What a key's value may be: how it is read, and how that is said.

use plugin_api::value::{Object, Value};
use secrecy::SecretString;
use std::{fmt, path::PathBuf, time::Duration};

/// A kind of value.
pub(super) trait Kind {
    /// What it becomes.
    type Out;

    /// Reads a value. The error says what is wrong with it.
    fn parse(&self, value: &Value) -> Result<Self::Out, String>;

    /// What is accepted, to end the sentence "accepted: …".
    fn accepts(&self) -> String;

    /// What a key without a value and without a default becomes.
    fn absent(&self) -> Result<Self::Out, String> {
        Err("it is required".to_owned())
    }
}

/// A value as an error shows it: whole if it is short, and never what is
/// inside a list or a map, where a password may be.
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

fn wrong(value: &Value, what: &str) -> String {
    format!("{} is {what}", show(value))
}

/// A number, written as one or as text (a variable's value is always text).
fn whole_number(value: &Value) -> Option<i128> {
    match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A kind that may be left out.
pub(super) struct Optional<K>(pub(super) K);

impl<K: Kind> Kind for Optional<K> {
    type Out = Option<K::Out>;

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

/// `true` or `false`.
pub(super) struct Flag;

impl Kind for Flag {
    type Out = bool;

    fn parse(&self, value: &Value) -> Result<bool, String> {
        match value {
            Value::Bool(flag) => Ok(*flag),
            Value::String(text) if text == "true" => Ok(true),
            Value::String(text) if text == "false" => Ok(false),
            other => Err(wrong(other, "neither true nor false")),
        }
    }

    fn accepts(&self) -> String {
        "true or false".to_owned()
    }
}

/// A whole number in a range, both ends included.
pub(super) struct Count {
    pub(super) min: u32,
    pub(super) max: u32,
}

impl Kind for Count {
    type Out = u32;

    fn parse(&self, value: &Value) -> Result<u32, String> {
        let number = whole_number(value).ok_or_else(|| wrong(value, "no whole number"))?;
        u32::try_from(number)
            .ok()
            .filter(|number| (self.min..=self.max).contains(number))
            .ok_or_else(|| wrong(value, "out of range"))
    }

    fn accepts(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }
}

/// A length of time in a range, both ends included.
pub(super) struct Span {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

impl Kind for Span {
    type Out = Duration;

    fn parse(&self, value: &Value) -> Result<Duration, String> {
        let duration = match value {
            Value::String(text) => humantime::parse_duration(text.trim())
                .map_err(|_| wrong(value, "no length of time"))?,
            Value::Int(_) | Value::Float(_) => {
                return Err(wrong(value, "a number without a unit, such as s or ms"));
            }
            other => return Err(wrong(other, "no length of time")),
        };
        if !(self.min..=self.max).contains(&duration) {
            return Err(wrong(value, "out of range"));
        }
        Ok(duration)
    }

    fn accepts(&self) -> String {
        format!(
            "a length of time like 5s, 500ms or 1m30s, from {} to {}",
            humantime::format_duration(self.min),
            humantime::format_duration(self.max)
        )
    }
}

/// A number of bytes.
pub(super) struct Size {
    pub(super) min: u64,
}

const UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("kb", 1000),
    ("mb", 1000 * 1000),
    ("gb", 1000 * 1000 * 1000),
    ("tb", 1000 * 1000 * 1000 * 1000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
];

impl Kind for Size {
    type Out = u64;

    fn parse(&self, value: &Value) -> Result<u64, String> {
        let text = match value {
            Value::Int(number) => number.to_string(),
            Value::String(text) => text.trim().to_ascii_lowercase(),
            other => return Err(wrong(other, "no number of bytes")),
        };
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = UNITS
            .iter()
            .find_map(|&(name, factor)| (name == unit.trim_start()).then_some(factor));
        match (number.parse::<u64>(), unit) {
            (Ok(number), Some(unit)) => number
                .checked_mul(unit)
                .filter(|bytes| (self.min..=i64::MAX.unsigned_abs()).contains(bytes))
                .ok_or_else(|| wrong(value, "out of range")),
            _ => Err(wrong(value, "no number of bytes")),
        }
    }

    fn accepts(&self) -> String {
        format!(
            "a number of bytes like 1 GiB, 512MiB or 1048576, from {} MiB",
            self.min >> 20
        )
    }
}

/// One of several words.
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy> Kind for Choice<T> {
    type Out = T;

    fn parse(&self, value: &Value) -> Result<T, String> {
        self.0
            .iter()
            .find(|(name, _)| value.as_str() == Some(name))
            .map(|&(_, choice)| choice)
            .ok_or_else(|| wrong(value, "none of the choices"))
    }

    fn accepts(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|&(name, _)| name).collect();
        names.join(", ")
    }
}

/// Any text that is not empty.
pub(super) struct Text;

impl Kind for Text {
    type Out = String;

    fn parse(&self, value: &Value) -> Result<String, String> {
        match value.as_str() {
            Some(text) if text.trim().is_empty() => Err("the text is empty".to_owned()),
            Some(text) => Ok(text.to_owned()),
            None => Err(wrong(value, "no text (put it in quotes)")),
        }
    }

    fn accepts(&self) -> String {
        "a text".to_owned()
    }
}

/// A word that names something in status, logs and metrics.
pub(super) struct Word;

impl Kind for Word {
    type Out = String;

    fn parse(&self, value: &Value) -> Result<String, String> {
        let good = |text: &&str| {
            (1..=64).contains(&text.len())
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        };
        match value.as_str().filter(good) {
            Some(text) => Ok(text.to_owned()),
            None => Err(wrong(value, "no such word")),
        }
    }

    fn accepts(&self) -> String {
        "a word of up to 64 letters, digits, `_`, `-` and `.`".to_owned()
    }
}

/// A password. Its value appears in no message.
pub(super) struct Secret;

impl Kind for Secret {
    type Out = SecretString;

    fn parse(&self, value: &Value) -> Result<SecretString, String> {
        match value.as_str() {
            Some(text) => Ok(text.into()),
            None => Err("the value (not shown) is no text; put it in quotes".to_owned()),
        }
    }

    fn accepts(&self) -> String {
        "a text, best as ${NAME} from the environment".to_owned()
    }
}

/// A directory.
pub(super) struct Directory;

impl Kind for Directory {
    type Out = PathBuf;

    fn parse(&self, value: &Value) -> Result<PathBuf, String> {
        let text = Text.parse(value)?;
        if text.starts_with('~') {
            return Err(wrong(value, "not expanded here; write ${HOME}/…"));
        }
        if text.contains('\0') {
            return Err(wrong(value, "no path"));
        }
        Ok(text.into())
    }

    fn accepts(&self) -> String {
        "a path; a relative one lies in the host's data directory".to_owned()
    }
}

/// A map that is read later. It may hold a password, so it shows its keys only.
#[derive(Clone)]
pub struct Entry(pub(super) Object);

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A list of maps, each read by a table of keys of its own.
pub(super) struct Entries;

impl Kind for Entries {
    type Out = Vec<Entry>;

    fn parse(&self, value: &Value) -> Result<Vec<Entry>, String> {
        let items = value.as_array().ok_or_else(|| wrong(value, "no list"))?;
        if items.is_empty() {
            return Err("the list is empty".to_owned());
        }
        items
            .iter()
            .map(|item| item.as_object().cloned().map(Entry))
            .collect::<Option<_>>()
            .ok_or_else(|| "an item of the list is no map of keys to values".to_owned())
    }

    fn accepts(&self) -> String {
        "a list of maps, see below".to_owned()
    }
}

/// A map that another table of keys reads.
pub(super) struct Block;

impl Kind for Block {
    type Out = Object;

    fn parse(&self, value: &Value) -> Result<Object, String> {
        value
            .as_object()
            .cloned()
            .ok_or_else(|| wrong(value, "no map of keys to values"))
    }

    fn accepts(&self) -> String {
        "a map of the keys in docs/configuration.md".to_owned()
    }
}
