//! [`RecordId`]: the table and the key of a row.

use super::Value;
use crate::ffi::{Boxed, Text};
use abi_stable::StableAbi;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{
    fmt::{self, Write as _},
    str::FromStr,
};

/// The id of a row, such as `entities:8f2k`.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq)]
pub struct RecordId {
    /// The table.
    pub table: Text,
    /// The row's key in the table.
    pub key: RecordKey,
}

/// The part of a record id after the colon.
#[repr(u8)]
#[derive(StableAbi, Clone, Debug, PartialEq)]
pub enum RecordKey {
    /// A whole number: `t:42`.
    Int(i64),
    /// Text, random letters as a rule: `t:8f2k`.
    String(Text),
    /// Anything else (a UUID, an array, an object).
    Other(Boxed<Value>),
}

impl RecordId {
    /// The row of `table` under a text key.
    pub fn new(table: impl Into<Text>, key: impl Into<Text>) -> Self {
        Self {
            table: table.into(),
            key: RecordKey::String(key.into()),
        }
    }
}

/// Writes `text` as the database does: bare if it is a plain word, else quoted
/// with backticks.
fn write_part(f: &mut fmt::Formatter<'_>, text: &str, bare: bool) -> fmt::Result {
    if bare && !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return f.write_str(text);
    }
    f.write_char('`')?;
    for c in text.chars() {
        match c {
            '\0' => f.write_str("\\0")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            '\n' => f.write_str("\\n")?,
            '\x08' => f.write_str("\\u{8}")?,
            '\x0C' => f.write_str("\\f")?,
            '\\' => f.write_str("\\\\")?,
            '`' => f.write_str("\\`")?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('`')
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit_first = self.table.starts_with(|c: char| c.is_ascii_digit());
        write_part(f, &self.table, !digit_first)?;
        write!(f, ":{}", self.key)
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => write!(f, "{number}"),
            Self::String(text) => {
                // All digits would read as a number.
                let number_like = text.chars().all(|c| c.is_ascii_digit() || c == '_');
                write_part(f, text, !number_like)
            }
            Self::Other(value) => match &**value {
                Value::Extension(extension) => f.write_str(&extension.text),
                other => write!(f, "{other}"),
            },
        }
    }
}

/// Reads one part of an id's text: a plain word, or a quoted one (backticks or
/// angle brackets). Returns the part, whether it was quoted, and what follows.
fn read_part(text: &str) -> Result<(String, bool, &str), String> {
    let close = match text.chars().next() {
        Some('`') => '`',
        Some('⟨') => '⟩',
        _ => {
            let end = text
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'))
                .unwrap_or(text.len());
            return Ok((text[..end].to_owned(), false, &text[end..]));
        }
    };
    let mut part = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == close => return Ok((part, true, &text[at + c.len_utf8()..])),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('0') => part.push('\0'),
                Some('r') => part.push('\r'),
                Some('t') => part.push('\t'),
                Some('n') => part.push('\n'),
                Some('f') => part.push('\x0C'),
                Some('u') => {
                    let code: String = chars
                        .by_ref()
                        .map(|(_, c)| c)
                        .skip_while(|&c| c == '{')
                        .take_while(|&c| c != '}')
                        .collect();
                    let c = u32::from_str_radix(&code, 16)
                        .ok()
                        .and_then(char::from_u32)
                        .ok_or_else(|| format!("\\u{{{code}}} names no character"))?;
                    part.push(c);
                }
                Some(c) => part.push(c),
                None => break,
            },
            c => part.push(c),
        }
    }
    Err(format!("the quote {close} is never closed"))
}

impl FromStr for RecordId {
    type Err = String;

    /// Reads `table:key`, where the key is a word, a number or quoted text.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |reason: &str| format!("\"{text}\" is not a record id like entities:8f2k: {reason}");
        let (table, _, rest) = read_part(text).map_err(|reason| wrong(&reason))?;
        let rest = rest
            .strip_prefix(':')
            .filter(|_| !table.is_empty())
            .ok_or_else(|| wrong("it has no table before a colon"))?;
        let (key, quoted, rest) = read_part(rest).map_err(|reason| wrong(&reason))?;
        if !rest.is_empty() || (key.is_empty() && !quoted) {
            return Err(wrong("the key is neither a word, a number nor quoted text"));
        }
        let key = match key.parse() {
            Ok(number) if !quoted => RecordKey::Int(number),
            _ => RecordKey::String(key.into()),
        };
        Ok(Self {
            table: table.into(),
            key,
        })
    }
}

impl Serialize for RecordId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RecordId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for id in [
            RecordId::new("entities", "8f2k"),
            RecordId::new("entities", "needs quoting"),
            RecordId::new("entities", "back`tick\\and\nline"),
            RecordId::new("odd table", "a:b"),
            RecordId::new("entities", "123"),
            RecordId::new("entities", ""),
            RecordId {
                table: "entities".into(),
                key: RecordKey::Int(-7),
            },
        ] {
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn reads_the_older_quotes() {
        assert_eq!("events:⟨a b⟩".parse(), Ok(RecordId::new("events", "a b")));
    }

    #[test]
    fn text_that_is_not_an_id_is_rejected() {
        for text in ["", "entities", ":x", "entities:", "a:b:c", "a:`b"] {
            assert!(text.parse::<RecordId>().is_err(), "{text}");
        }
    }
}
