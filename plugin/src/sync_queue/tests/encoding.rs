//! How an operation is encoded: compact, and decoded as it was.

use super::*;

#[test]
fn an_entry_is_little_larger_than_its_payload() {
    let text = "x".repeat(300);
    let mut operation = fact("some-key", 1);
    operation.data[0].columns.insert("value", text.as_str());
    operation.data[0]
        .columns
        .insert("created_at", Timestamp::now());
    operation.data[0].embedding = Some((0..768).map(|n| n as f32 / 768.0).collect());
    let payload = text.len() + 768 * 4;
    let written = wire::encode(&operation).unwrap().len();
    assert!(written * 10 < payload * 13, "{written} bytes for {payload}");
}

#[test]
fn an_entry_of_a_newer_format_is_an_error_that_names_the_format() {
    let mut bytes = wire::encode(&fact("k", 1)).unwrap();
    bytes[0] = 9;
    let error = wire::decode(&bytes).unwrap_err().to_string();
    assert!(error.contains("format 9"), "{error}");
}

mod values {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::None),
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>()
                .prop_filter("equal to itself", |number| !number.is_nan())
                .prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            any::<(i64, u32)>()
                .prop_map(|(seconds, nanos)| Value::from(Timestamp { seconds, nanos })),
            ("[a-z]{1,4}", ".{0,6}").prop_map(|(table, key)| RecordId::new(table, key).into()),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::vec(
                    any::<f32>().prop_filter("a number", |n| !n.is_nan()),
                    1..9
                )
                .prop_map(|floats| Value::floats(&floats)),
                proptest::collection::btree_map("[a-z_]{1,10}", inner, 0..6)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_value_is_decoded_as_it_was_encoded(value in any_value()) {
            let mut operation = fact("k", 1);
            operation.data[0].columns.insert("value", value);
            let bytes = wire::encode(&operation).unwrap();
            prop_assert_eq!(wire::decode(&bytes).unwrap(), operation);
        }

        #[test]
        fn decoding_arbitrary_bytes_does_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = wire::decode(&bytes);
        }
    }
}
