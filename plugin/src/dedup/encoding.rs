//! The bytes of a key: every value tagged and length-prefixed, numbers big-endian.
//!
//! A key column's value has the same bytes in whatever form a database returns
//! it. A record id is exact: to a database `t:[1]` and `t:[1.0]` are two rows, and
//! so are `t:[NONE]` and `t:[NULL]`.

use plugin_api::value::{Extension, Object, RecordId, RecordKey, Timestamp, Value};

const NONE: u8 = 0;
const BOOL: u8 = 1;
const INT: u8 = 2;
const FLOAT: u8 = 3;
const STRING: u8 = 4;
const BYTES: u8 = 5;
const DATETIME: u8 = 6;
const RECORD_ID: u8 = 7;
const ARRAY: u8 = 8;
const OBJECT: u8 = 9;
const EXTENSION: u8 = 10;
/// Only inside a record id; elsewhere null is encoded as [`NONE`].
const NULL: u8 = 11;

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn length(out: &mut Vec<u8>, length: usize) {
    out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
}

pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    bytes(out, text.as_bytes());
}

/// A float that is a whole number is encoded as that number: databases differ in
/// which of the two they return.
fn whole(number: f64) -> Option<i64> {
    const LIMIT: f64 = 9_007_199_254_740_992.0; // 2^53: exact below
    #[allow(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
    (number.fract() == 0.0 && number.abs() < LIMIT).then_some(number as i64)
}

/// In a record id, minus zero equals zero, and every NaN equals every other.
fn canonical(number: f64) -> f64 {
    match number {
        0.0 => 0.0,
        number if number.is_nan() => f64::NAN,
        number => number,
    }
}

/// A value of a key column.
pub(super) fn value(out: &mut Vec<u8>, it: &Value) {
    match it {
        Value::Null => out.push(NONE),
        Value::Float(number) => match whole(*number) {
            Some(whole) => exact(out, &Value::Int(whole)),
            None => exact(out, it),
        },
        other => nested(out, other, value),
    }
}

/// A value inside a record id.
fn exact(out: &mut Vec<u8>, it: &Value) {
    nested(out, it, exact);
}

/// A value, whose inner values are encoded by `inner`.
fn nested(out: &mut Vec<u8>, it: &Value, inner: fn(&mut Vec<u8>, &Value)) {
    match it {
        Value::None => out.push(NONE),
        Value::Null => out.push(NULL),
        Value::Bool(flag) => out.extend([BOOL, u8::from(*flag)]),
        Value::Int(number) => {
            out.push(INT);
            out.extend(number.to_be_bytes());
        }
        Value::Float(number) => {
            out.push(FLOAT);
            out.extend(canonical(*number).to_bits().to_be_bytes());
        }
        Value::String(it) => {
            out.push(STRING);
            text(out, it);
        }
        Value::Bytes(it) => {
            out.push(BYTES);
            bytes(out, it);
        }
        Value::Datetime(time) => {
            out.push(DATETIME);
            out.extend(time.seconds.to_be_bytes());
            out.extend(time.nanos.to_be_bytes());
        }
        Value::RecordId(id) => {
            out.push(RECORD_ID);
            text(out, &id.table);
            match &id.key {
                RecordKey::Int(number) => exact(out, &Value::Int(*number)),
                RecordKey::String(key) => {
                    out.push(STRING);
                    text(out, key);
                }
                RecordKey::Other(key) => exact(out, key),
            }
        }
        Value::Array(items) => {
            out.push(ARRAY);
            length(out, items.len());
            for item in items {
                inner(out, item);
            }
        }
        Value::Object(object) => {
            out.push(OBJECT);
            length(out, object.len());
            for (name, item) in object.iter() {
                text(out, name);
                inner(out, item);
            }
        }
        Value::Extension(extension) => {
            out.push(EXTENSION);
            text(out, &extension.kind);
            text(out, &extension.text);
            bytes(out, &extension.data);
        }
    }
}

/// The table and the values, if `bytes` are a complete key.
pub(super) fn parts(bytes: &[u8]) -> Option<(String, Vec<Value>)> {
    let mut reader = Reader(bytes);
    let table = reader.text()?;
    let mut values = Vec::new();
    while !reader.0.is_empty() {
        values.push(reader.value()?);
    }
    Some((table, values))
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn int(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.array()?))
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u32::from_be_bytes(self.array()?)).ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.bytes()?.to_vec()).ok()
    }

    fn value(&mut self) -> Option<Value> {
        let [tag] = self.array()?;
        Some(match tag {
            NONE => Value::None,
            NULL => Value::Null,
            BOOL => Value::Bool(self.array()? == [1]),
            INT => Value::Int(self.int()?),
            FLOAT => Value::Float(f64::from_bits(u64::from_be_bytes(self.array()?))),
            STRING => self.text()?.into(),
            BYTES => Value::Bytes(self.bytes()?.into()),
            DATETIME => Value::Datetime(Timestamp {
                seconds: self.int()?,
                nanos: u32::from_be_bytes(self.array()?),
            }),
            RECORD_ID => {
                let table = self.text()?.into();
                let key = match self.value()? {
                    Value::Int(number) => RecordKey::Int(number),
                    Value::String(key) => RecordKey::String(key),
                    other => RecordKey::Other(abi_stable::std_types::RBox::new(other)),
                };
                Value::from(RecordId { table, key })
            }
            ARRAY => {
                let items: Option<Vec<_>> = (0..self.length()?).map(|_| self.value()).collect();
                Value::from(items?)
            }
            OBJECT => {
                let entries: Option<Object> = (0..self.length()?)
                    .map(|_| Some((self.text()?, self.value()?)))
                    .collect();
                Value::Object(entries?)
            }
            EXTENSION => Value::from(Extension {
                kind: self.text()?.into(),
                text: self.text()?.into(),
                data: self.bytes()?.into(),
            }),
            _ => return None,
        })
    }
}
