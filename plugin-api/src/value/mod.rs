//! Free-form data: fact values, metadata, properties, rows of a query.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `mod.rs` | [`Value`], and [`Extension`] for the kinds that it has no variant for |
//! | `object.rs` | [`Object`]: keys and values, sorted by key |
//! | `record_id.rs` | [`RecordId`]: table and key of a row, and their text |
//! | `timestamp.rs` | [`Timestamp`]: a point in time, to the nanosecond |
//! | `json.rs` | values as JSON, for people |
//!
//! A [`Value`] crosses the boundary as it is, never as JSON text.

mod json;
mod object;
mod record_id;
mod timestamp;

pub use object::Object;
pub use record_id::{RecordId, RecordKey};
pub use timestamp::Timestamp;

use crate::ffi::{Boxed, List, Text};
use abi_stable::StableAbi;

/// One piece of free-form data.
#[repr(u8)]
#[derive(StableAbi, Clone, Debug, Default)]
pub enum Value {
    /// No value: in an object, the same as leaving the key out.
    #[default]
    None,
    /// An explicit null.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// Text.
    String(Text),
    /// Raw bytes.
    Bytes(List<u8>),
    /// A point in time, to the nanosecond.
    Datetime(Timestamp),
    /// The id of a row. Boxed, like [`Value::Extension`], so that a value is
    /// small: an embedding in a row is 768 of them.
    RecordId(Boxed<RecordId>),
    /// A list.
    Array(List<Value>),
    /// Keys and values.
    Object(Object),
    /// A kind of the database that has no variant here.
    Extension(Boxed<Extension>),
}

impl PartialEq for Value {
    /// As the database compares: NaN equals NaN, so that a row equals its copy.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) | (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Datetime(a), Self::Datetime(b)) => a == b,
            (Self::RecordId(a), Self::RecordId(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            (Self::Object(a), Self::Object(b)) => a == b,
            (Self::Extension(a), Self::Extension(b)) => a == b,
            // Of two kinds; written out, so that a new variant is not forgotten.
            (
                Self::None
                | Self::Null
                | Self::Bool(_)
                | Self::Int(_)
                | Self::Float(_)
                | Self::String(_)
                | Self::Bytes(_)
                | Self::Datetime(_)
                | Self::RecordId(_)
                | Self::Array(_)
                | Self::Object(_)
                | Self::Extension(_),
                _,
            ) => false,
        }
    }
}

/// A value of a kind that [`Value`] has no variant for: a duration, a decimal, a
/// geometry, or one that a newer version adds. It passes through unchanged.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq)]
pub struct Extension {
    /// The kind's name, such as `duration`.
    pub kind: Text,
    /// The value as text for people, such as `1h30m`.
    pub text: Text,
    /// The value without loss, in the database's own encoding.
    pub data: List<u8>,
}

impl Value {
    /// An array of floats, as an embedding is stored.
    pub fn floats(values: &[f32]) -> Self {
        Self::Array(values.iter().map(|&v| Self::Float(f64::from(v))).collect())
    }

    /// True for [`Value::None`] and [`Value::Null`].
    pub fn is_nullish(&self) -> bool {
        matches!(self, Self::None | Self::Null)
    }

    /// The text, if this is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, if this is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The number as a float, if this is a number.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            #[allow(clippy::cast_precision_loss, reason = "a score or count, not an id")]
            Self::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// The flag, if this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The point in time, if this is one.
    pub fn as_datetime(&self) -> Option<Timestamp> {
        match self {
            Self::Datetime(time) => Some(*time),
            _ => None,
        }
    }

    /// The record id, if this is one.
    pub fn as_record_id(&self) -> Option<&RecordId> {
        match self {
            Self::RecordId(id) => Some(id),
            _ => None,
        }
    }

    /// The list, if this is one.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The object, if this is one.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The rows of the first statement, if this is the answer of `query`: a list
    /// with the result of each statement. Empty if that result is not a list.
    pub fn first_rows(&self) -> &[Value] {
        self.as_array()
            .and_then(|results| results.first()?.as_array())
            .unwrap_or_default()
    }

    /// As [`Value::first_rows`], without a copy.
    pub fn into_first_rows(self) -> Vec<Self> {
        let Self::Array(results) = self else {
            return Vec::new();
        };
        match results.into_iter().next() {
            Some(Self::Array(rows)) => rows.into(),
            _ => Vec::new(),
        }
    }
}

macro_rules! from {
    ($($source:ty => |$name:ident| $make:expr),* $(,)?) => {
        $(
            impl From<$source> for Value {
                fn from($name: $source) -> Self {
                    $make
                }
            }
        )*
    };
}

from! {
    bool => |v| Self::Bool(v),
    i32 => |v| Self::Int(i64::from(v)),
    u32 => |v| Self::Int(i64::from(v)),
    i64 => |v| Self::Int(v),
    f64 => |v| Self::Float(v),
    &str => |v| Self::String(v.into()),
    String => |v| Self::String(v.into()),
    Text => |v| Self::String(v),
    Timestamp => |v| Self::Datetime(v),
    RecordId => |v| Self::RecordId(Boxed::new(v)),
    Extension => |v| Self::Extension(Boxed::new(v)),
    Object => |v| Self::Object(v),
    Vec<Value> => |v| Self::Array(v.into()),
    List<Value> => |v| Self::Array(v),
}

impl<T: Into<Value>> From<Option<T>> for Value {
    /// An absent value is [`Value::None`].
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

impl<T: Into<Value>> FromIterator<T> for Value {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::Array(items.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_equals_nan_wherever_it_is() {
        let nested = |number: f64| {
            let list = vec![Value::from(number), Value::Null];
            Value::from(Object::new().with("list", list))
        };
        assert_eq!(nested(f64::NAN), nested(-f64::NAN));
        assert_ne!(nested(f64::NAN), nested(0.0));
        assert_ne!(Value::Int(1), Value::Float(1.0));
    }

    #[test]
    fn a_value_is_no_larger_than_a_string_and_its_tag() {
        assert_eq!(size_of::<Value>(), size_of::<Text>() + 8);
    }

    #[test]
    fn the_first_rows_are_those_of_the_first_statement() {
        let rows = |numbers: &[i64]| numbers.iter().copied().collect::<Value>();
        let answer: Value = [rows(&[1, 2]), rows(&[3])].into_iter().collect();
        assert_eq!(answer.first_rows(), [Value::Int(1), Value::Int(2)]);
        for rowless in [
            Value::None,
            Value::from("an answer"),
            rows(&[]),
            rows(&[1, 2]),
            [Value::None, rows(&[3])].into_iter().collect(),
            [rows(&[]), rows(&[3])].into_iter().collect(),
        ] {
            assert!(rowless.first_rows().is_empty(), "{rowless:?}");
        }
    }
}
