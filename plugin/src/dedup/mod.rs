//! The identity of rows: the [`Key`] by which two databases have the same row.
//!
//! A row has a random record id, which differs between databases that were
//! filled separately, and key columns, which do not. A [`Key`] holds a table and
//! the values of its key columns as bytes. Locks, partitions of the log,
//! tombstones and merged reads all identify a row by it. Which columns those are
//! is a fact of the [`Table`].

mod encoding;

use plugin_api::value::{Object, RecordId, Value};
use serde::{Deserialize, Serialize};
use std::{fmt, sync::Arc};
use surreal_storage::schema::Table;

/// The key columns of a table; `id` where the record id is the key, which also
/// holds for every relationship table.
pub fn key_columns(table: &str) -> &'static [&'static str] {
    Table::of(table).key
}

/// The columns beside the id that identify a row, and those by which a delete of
/// several rows selects them.
pub fn identity_columns(table: &str) -> &'static [&'static str] {
    Table::of(table).identity
}

/// A table and the values of its key columns.
///
/// Kept as bytes that mean the same in every version of this module: they are
/// stored in the log and among the tombstones. Equal values have equal bytes,
/// whatever form a database returned them in (`1` and `1.0`, null and none); a
/// record id is exact, since there these are different rows.
/// Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "Vec<u8>", try_from = "Vec<u8>")]
pub struct Key(Arc<[u8]>);

impl Key {
    /// The key of `table` with these values, in the order of [`key_columns`].
    pub fn new<'a>(table: &str, values: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut bytes = Vec::with_capacity(64);
        encoding::text(&mut bytes, table);
        for value in values {
            encoding::value(&mut bytes, value);
        }
        Self(bytes.into())
    }

    /// The key of the row `id` of `table` with these columns.
    pub fn of_row(table: &str, id: &RecordId, columns: &Object) -> Self {
        match key_columns(table) {
            ["id"] => Self::of_id(id),
            _ => Self::of_columns(table, columns),
        }
    }

    /// The key of a row of `table` with these columns, the key's among them.
    pub fn of_columns(table: &str, columns: &Object) -> Self {
        let value = |name: &&str| columns.get(name).unwrap_or(&Value::None);
        Self::new(table, key_columns(table).iter().map(value))
    }

    /// The key of a row whose record id is its key.
    pub fn of_id(id: &RecordId) -> Self {
        Self::new(&id.table, [&Value::from(id.clone())])
    }

    /// The key that these bytes encode; none if they are not a key.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        encoding::parts(bytes).map(|_| Self(bytes.into()))
    }

    /// The key as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The table.
    pub fn table(&self) -> String {
        self.parts().0
    }

    /// The table and the values of its key columns.
    pub fn parts(&self) -> (String, Vec<Value>) {
        encoding::parts(&self.0).unwrap_or_default()
    }
}

impl From<Key> for Vec<u8> {
    fn from(key: Key) -> Self {
        key.as_bytes().to_vec()
    }
}

impl TryFrom<Vec<u8>> for Key {
    type Error = &'static str;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Self::Error> {
        Self::from_bytes(&bytes).ok_or("these bytes are not a key")
    }
}

impl fmt::Display for Key {
    /// `kv_memories ("alice", "colour")`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, values) = self.parts();
        write!(f, "{table} (")?;
        for (place, value) in values.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}{value}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use plugin_api::value::{RecordKey, Timestamp};

    fn fact(user: &str, key: &str) -> Key {
        let columns = Object::new().with("user_id", user).with("key", key);
        Key::of_row("kv_memories", &RecordId::new("kv_memories", "x"), &columns)
    }

    #[test]
    fn rows_with_the_same_key_columns_have_the_same_key_whatever_their_ids() {
        let columns = Object::new().with("user_id", "alice").with("key", "colour");
        assert_eq!(
            fact("alice", "colour"),
            Key::of_row("kv_memories", &RecordId::new("kv_memories", "y"), &columns)
        );
        let id = RecordId::new("depends_on", "8f2k");
        assert_eq!(Key::of_row("depends_on", &id, &columns), Key::of_id(&id));
    }

    #[test]
    fn different_values_never_encode_to_the_same_key() {
        assert_ne!(fact("a", "bc"), fact("ab", "c"));
        assert_ne!(fact("", "a"), fact("a", ""));
        assert_ne!(
            Key::new("events", [&Value::from("1")]),
            Key::new("events", [&Value::from(1)])
        );
    }

    #[test]
    fn a_number_has_the_same_key_as_int_and_as_whole_float() {
        let chunk =
            |index: Value| Key::new("code_chunks", [&Value::from("code_symbols:a"), &index]);
        assert_eq!(chunk(Value::Int(3)), chunk(Value::Float(3.0)));
        assert_eq!(chunk(Value::None), chunk(Value::Null));
        assert_ne!(chunk(Value::Float(3.5)), chunk(Value::Int(3)));
    }

    /// The id of a row, decoded from its key as a refresh does it.
    fn decoded_id(key: RecordKey) -> (Key, Value) {
        let table = "events".into();
        let key = Key::of_id(&RecordId { table, key });
        let (_, mut values) = key.parts();
        assert_eq!(values.len(), 1);
        assert_eq!(Key::from_bytes(key.as_bytes()), Some(key.clone()));
        (key, values.remove(0))
    }

    fn of_parts(parts: Vec<Value>) -> RecordKey {
        RecordKey::Other(abi_stable::std_types::RBox::new(parts.into()))
    }

    #[test]
    fn different_record_ids_have_different_keys() {
        let inner = |value: Value| Value::from(Object::new().with("a", vec![value]));
        let decimal = Value::from(plugin_api::value::Extension {
            kind: "decimal".into(),
            text: "20".into(),
            data: vec![1u8, 2].into(),
        });
        let values = [
            Value::Int(20),
            Value::Float(20.0),
            decimal,
            Value::Float(0.25),
            Value::Int(0),
            Value::Float(0.0),
            Value::Float(f64::INFINITY),
            Value::None,
            Value::Null,
            inner(Value::Int(1)),
            inner(Value::Float(1.0)),
            inner(Value::None),
            inner(Value::Null),
        ];
        let mut keys = std::collections::BTreeSet::new();
        for value in &values {
            let (key, id) = decoded_id(of_parts(vec![value.clone()]));
            let again = RecordId {
                table: "events".into(),
                key: of_parts(vec![value.clone()]),
            };
            assert_eq!(id, Value::from(again));
            assert!(keys.insert(key), "{value}");
        }
        // Zero and NaN are one row each, whatever their sign.
        let zero = decoded_id(of_parts(vec![Value::Float(-0.0)])).0;
        assert!(!keys.insert(zero));
        let nan = |number: f64| decoded_id(of_parts(vec![Value::Float(number)])).0;
        assert!(keys.insert(nan(f64::NAN)));
        assert_eq!(nan(f64::NAN), nan(-f64::NAN));
    }

    #[test]
    fn a_number_beside_a_record_id_has_the_same_key_in_either_form() {
        let key = |list: [Value; 3]| Key::new("code_chunks", [&Value::from(list.to_vec())]);
        let id = Value::from(RecordId {
            table: "t".into(),
            key: of_parts(vec![Value::Float(1.0)]),
        });
        assert_eq!(
            key([Value::Float(1.0), Value::Null, id.clone()]),
            key([Value::Int(1), Value::None, id])
        );
    }

    /// An older version encoded whole floats in ids as whole numbers.
    #[test]
    fn bytes_of_an_id_from_an_older_version_are_still_a_key() {
        let bytes = b"\0\0\0\x06events\x07\0\0\0\x06events\x08\0\0\0\x02\
                      \x02\0\0\0\0\0\0\0\x14\x00";
        let id = RecordId {
            table: "events".into(),
            key: of_parts(vec![Value::Int(20), Value::None]),
        };
        let key = Key::from_bytes(bytes).unwrap();
        assert_eq!(key.parts().1, [Value::from(id.clone())]);
        assert_eq!(Key::of_id(&id), key);
    }

    /// These bytes are on users' disks: a change here orphans them.
    #[test]
    fn the_encoding_of_existing_keys_does_not_change() {
        assert_eq!(
            fact("al", "c").as_bytes(),
            b"\0\0\0\x0bkv_memories\x04\0\0\0\x02al\x04\0\0\0\x01c"
        );
        assert_eq!(
            Key::of_id(&RecordId::new("events", "9")).as_bytes(),
            b"\0\0\0\x06events\x07\0\0\0\x06events\x04\0\0\0\x019"
        );
    }

    #[test]
    fn a_key_survives_a_round_trip_through_its_bytes() {
        let values = [
            Value::None,
            Value::Bool(true),
            Value::Int(-5),
            Value::Float(0.25),
            Value::from("ü"),
            Value::Bytes(vec![0u8, 255].into()),
            Value::Datetime(Timestamp {
                seconds: -1,
                nanos: 7,
            }),
            Value::from(RecordId {
                table: "t".into(),
                key: RecordKey::Int(7),
            }),
            Value::from(vec![Value::Int(1), Value::from("x")]),
            Value::from(Object::new().with("a", 1i64)),
        ];
        let key = Key::new("events", &values);
        assert_eq!(key.parts(), ("events".to_owned(), values.to_vec()));
        assert_eq!(Key::from_bytes(key.as_bytes()), Some(key.clone()));
        for end in 0..key.as_bytes().len() {
            // A truncated key is either rejected or a key with fewer values.
            if let Some(cut) = Key::from_bytes(&key.as_bytes()[..end]) {
                assert!(values.starts_with(&cut.parts().1));
            }
        }
    }

    #[test]
    fn a_key_displays_its_table_and_values() {
        assert_eq!(
            fact("alice", "colour").to_string(),
            r#"kv_memories ("alice", "colour")"#
        );
    }
}
