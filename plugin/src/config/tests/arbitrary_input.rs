//! No input makes it panic.

use super::*;
use proptest::prelude::*;

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        ".*",
        "\\PC*",
        "[0-9]{0,25} ?[a-zA-Z]{0,4}",
        "(ws|http)s?://.*",
        "[$]{0,3}\\{.*\\}?",
        "\\$\\{(PASSWORD|WORKERS|OFF|NONE)\\}",
        "-?[0-9smhdµ.]+",
    ];
    let leaf = prop_oneof![
        Just(Value::None),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
        any::<Vec<u8>>().prop_map(|bytes| Value::Bytes(bytes.into())),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any_key(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    let names: Vec<String> = Settings::KEYS
        .iter()
        .chain(SecondaryEntry::KEYS)
        .flat_map(Key::names)
        .chain(["config", "id"])
        .map(str::to_owned)
        .collect();
    prop_oneof![9 => prop::sample::select(names), 1 => ".*".boxed()]
}

proptest! {
    #[test]
    fn no_block_panics(block in any_value()) {
        let _ = read_value(&block);
    }

    #[test]
    fn no_value_of_any_key_panics(key in any_key(), value in any_value()) {
        let entry: Object = [("name", Value::from("a")), ("url", Value::from("ws://h"))]
            .into_iter()
            .collect();
        let mut single: Object = [("secondary_url", Value::from("ws://h"))].into_iter().collect();
        single.insert(key.clone(), value.clone());
        let _ = read_value(&Value::Object(single));
        let mut listed = entry;
        listed.insert(key, value);
        let list = Value::from(vec![Value::Object(listed)]);
        let _ = read_value(&Value::Object([("secondary_databases", list)].into_iter().collect()));
    }
}
