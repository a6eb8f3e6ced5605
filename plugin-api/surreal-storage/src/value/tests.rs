#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use std::{ops::Bound, str::FromStr};
use surrealdb::types::{
    Bytes, Datetime, Duration, File, Geometry, Number, Range, RecordIdKey, RecordIdKeyRange, Regex,
    Set, Table, Uuid,
};

fn there_and_back(value: &db::Value) -> (Value, db::Value) {
    let crossed = from_database(value.clone());
    let back = to_database(crossed.clone()).unwrap();
    (crossed, back)
}

#[test]
fn every_kind_of_value_survives_a_round_trip() {
    let id = |key: RecordIdKey| db::Value::RecordId(db::RecordId::new("t", key));
    let uuid = Uuid::from_str("018f3f3e-1c1a-7d5e-9d2a-5b6c7d8e9f00").unwrap();
    let object = db::Object::from_iter([("é k".to_owned(), db::Value::Null)]);
    for (value, is_extension) in [
        (db::Value::None, false),
        (db::Value::Null, false),
        (db::Value::Bool(true), false),
        (db::Value::Number(Number::Int(i64::MIN)), false),
        (db::Value::Number(Number::Float(-0.0)), false),
        (db::Value::Number(Number::Float(f64::INFINITY)), false),
        (
            db::Value::Number(Number::Decimal("1.10".parse().unwrap())),
            true,
        ),
        (db::Value::String("\u{0}日本".to_owned()), false),
        (db::Value::Bytes(Bytes::from(vec![0, 255])), false),
        (db::Value::Duration(Duration::new(90, 5)), true),
        (
            db::Value::Datetime(Datetime::from_timestamp(-1, 999_999_999).unwrap()),
            false,
        ),
        (db::Value::Uuid(uuid), true),
        (
            db::Value::Geometry(Geometry::Point((1.5, 2.5).into())),
            true,
        ),
        (db::Value::Table(Table::from("t")), true),
        (db::Value::File(File::new("bucket", "/key")), true),
        (
            db::Value::Range(Box::new(Range::new(
                Bound::Included(db::Value::Bool(false)),
                Bound::Unbounded,
            ))),
            true,
        ),
        (db::Value::Regex(Regex::from_str("a+").unwrap()), true),
        (db::Value::Set(Set::from(vec![db::Value::Bool(true)])), true),
        (
            db::Value::Array(db::Array::from(vec![db::Value::None, db::Value::Null])),
            false,
        ),
        (db::Value::Object(object.clone()), false),
        (id(RecordIdKey::Number(-3)), false),
        (id(RecordIdKey::String("a b`c".to_owned())), false),
        (id(RecordIdKey::Uuid(uuid)), false),
        (
            id(RecordIdKey::Array(db::Array::from(vec![db::Value::Bool(
                true,
            )]))),
            false,
        ),
        (id(RecordIdKey::Object(object)), false),
        (
            id(RecordIdKey::Range(Box::new(RecordIdKeyRange {
                start: Bound::Included(RecordIdKey::Number(1)),
                end: Bound::Unbounded,
            }))),
            false,
        ),
    ] {
        let (crossed, back) = there_and_back(&value);
        assert_eq!(back, value, "{crossed}");
        assert_eq!(
            matches!(crossed, Value::Extension(_)),
            is_extension,
            "{crossed:?}"
        );
    }
}

#[test]
fn nan_survives_a_round_trip() {
    let (_, back) = there_and_back(&db::Value::Number(Number::Float(f64::NAN)));
    assert!(matches!(back, db::Value::Number(Number::Float(number)) if number.is_nan()));
}

#[test]
fn an_extension_has_its_kind_and_its_text() {
    let Value::Extension(extension) = from_database(db::Value::Duration(Duration::new(90, 0)))
    else {
        panic!("a duration has no variant of its own");
    };
    assert_eq!(
        (extension.kind.as_str(), extension.text.as_str()),
        ("duration", "1m30s")
    );
}

#[test]
fn a_record_id_displays_as_in_the_database() {
    for key in [
        RecordIdKey::String("plain".to_owned()),
        RecordIdKey::String("needs quotes".to_owned()),
        RecordIdKey::String("123".to_owned()),
        RecordIdKey::Number(7),
        RecordIdKey::Uuid(Uuid::default()),
    ] {
        let id = db::RecordId::new("t", key);
        assert_eq!(from_record_id(id.clone()).to_string(), id.to_sql());
    }
}

#[test]
fn a_value_nested_deeper_than_the_limit_is_rejected() {
    let nested = |levels| (0..levels).fold(Value::Null, |value, _| Value::from(vec![value]));
    assert!(to_database(nested(MAX_DEPTH)).is_ok());
    let error = to_database(nested(MAX_DEPTH + 1)).unwrap_err();
    assert_eq!(error.kind, plugin_api::error::ErrorKind::INVALID_INPUT);
}

#[test]
fn bytes_that_cannot_be_decoded_are_rejected() {
    for data in [vec![], vec![1, 2, 3], vec![255; 64]] {
        let extension = Extension {
            kind: "decimal".into(),
            text: "1".into(),
            data: data.into(),
        };
        let error = to_database(Value::from(extension)).unwrap_err();
        assert_eq!(error.kind, plugin_api::error::ErrorKind::INVALID_INPUT);
    }
}
