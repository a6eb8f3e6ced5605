//! Values without parts: booleans, numbers, durations, sizes, choices.

use super::{ValueType, invalid};
use plugin_api::value::Value;
use std::time::Duration;

/// A whole number, given as a number or as a string: environment variables
/// are always strings.
fn whole_number(value: &Value) -> Option<i128> {
    match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// `true` or `false`.
pub(in crate::config) struct Boolean;

impl ValueType for Boolean {
    type Out = bool;

    fn parse(&self, value: &Value) -> Result<bool, String> {
        match value {
            Value::Bool(value) => Ok(*value),
            Value::String(text) if text == "true" => Ok(true),
            Value::String(text) if text == "false" => Ok(false),
            other => Err(invalid(other, "neither true nor false")),
        }
    }

    fn accepts(&self) -> String {
        "true or false".to_owned()
    }
}

/// A whole number in a range, both ends included.
pub(in crate::config) struct Integer {
    pub(in crate::config) min: u32,
    pub(in crate::config) max: u32,
}

impl ValueType for Integer {
    type Out = u32;

    fn parse(&self, value: &Value) -> Result<u32, String> {
        let number = whole_number(value).ok_or_else(|| invalid(value, "not a whole number"))?;
        u32::try_from(number)
            .ok()
            .filter(|number| (self.min..=self.max).contains(number))
            .ok_or_else(|| invalid(value, "out of range"))
    }

    fn accepts(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }
}

/// A duration in a range, both ends included.
pub(in crate::config) struct DurationRange {
    pub(in crate::config) min: Duration,
    pub(in crate::config) max: Duration,
    /// Is a whole number a number of seconds? It was so for some keys of the
    /// former module; elsewhere nobody could tell seconds from milliseconds.
    pub(in crate::config) whole_seconds: bool,
}

impl ValueType for DurationRange {
    type Out = Duration;

    fn parse(&self, value: &Value) -> Result<Duration, String> {
        let duration = match value {
            _ if self.whole_seconds && whole_number(value).is_some() => {
                let seconds = whole_number(value).and_then(|number| u64::try_from(number).ok());
                Duration::from_secs(seconds.ok_or_else(|| invalid(value, "out of range"))?)
            }
            Value::String(text) => humantime::parse_duration(text.trim())
                .map_err(|_| invalid(value, "not a duration"))?,
            Value::Int(_) | Value::Float(_) => {
                return Err(invalid(value, "a number without a unit, such as s or ms"));
            }
            other => return Err(invalid(other, "not a duration")),
        };
        if !(self.min..=self.max).contains(&duration) {
            return Err(invalid(value, "out of range"));
        }
        Ok(duration)
    }

    fn accepts(&self) -> String {
        let seconds = match self.whole_seconds {
            true => "a duration such as 5s, 500ms or 1m30s, or a number of seconds",
            false => "a duration such as 5s, 500ms or 1m30s",
        };
        format!(
            "{seconds}, from {} to {}",
            humantime::format_duration(self.min),
            humantime::format_duration(self.max)
        )
    }
}

/// A number of bytes, with or without a unit. Unlike the crates for it, this
/// accepts no fractions and reports an overflow.
pub(in crate::config) struct ByteSize {
    pub(in crate::config) min: u64,
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

impl ValueType for ByteSize {
    type Out = u64;

    fn parse(&self, value: &Value) -> Result<u64, String> {
        let text = match value {
            Value::Int(number) => number.to_string(),
            Value::String(text) => text.trim().to_ascii_lowercase(),
            other => return Err(invalid(other, "not a number of bytes")),
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
                .ok_or_else(|| invalid(value, "out of range")),
            _ => Err(invalid(value, "not a number of bytes")),
        }
    }

    fn accepts(&self) -> String {
        format!(
            "a number of bytes such as 1 GiB, 512MiB or 1048576, from {} MiB",
            self.min >> 20
        )
    }
}

/// One of several named values.
pub(in crate::config) struct Choice<T: 'static>(pub(in crate::config) &'static [(&'static str, T)]);

impl<T: Copy> ValueType for Choice<T> {
    type Out = T;

    fn parse(&self, value: &Value) -> Result<T, String> {
        self.0
            .iter()
            .find(|(name, _)| value.as_str() == Some(name))
            .map(|&(_, choice)| choice)
            .ok_or_else(|| invalid(value, "not one of the choices"))
    }

    fn accepts(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|&(name, _)| name).collect();
        names.join(", ")
    }
}
