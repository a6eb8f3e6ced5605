//! YAML's merge keys: `<<: *defaults` in a map stands for the entries of another
//! map. Hosts whose YAML parser does not resolve them hand them on as a key.

use super::{ConfigError, key::join};
use plugin_api::value::{Object, Value};

const MERGE_KEY: &str = "<<";

/// `value` with the merge keys of its maps resolved, at any depth. A map's own
/// entries win over merged ones, and earlier merged ones over later ones.
///
/// # Errors
/// A merge key that is neither a map nor a list of maps.
pub(super) fn resolve(value: Value) -> Result<Value, ConfigError> {
    resolve_at("", value)
}

fn resolve_at(path: &str, value: Value) -> Result<Value, ConfigError> {
    match value {
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(at, item)| resolve_at(&format!("{path}[{at}]"), item))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::from),
        Value::Object(object) => {
            let mut own = Object::new();
            for (name, item) in object {
                let item = resolve_at(&join(path, &name), item)?;
                own.insert(name, item);
            }
            let merged = own.remove(MERGE_KEY);
            for map in maps(path, merged)? {
                for (name, item) in map {
                    if own.get(&name).is_none() {
                        own.insert(name, item);
                    }
                }
            }
            Ok(Value::Object(own))
        }
        other => Ok(other),
    }
}

/// The maps that a merge key stands for.
fn maps(path: &str, merged: Option<Value>) -> Result<Vec<Object>, ConfigError> {
    let invalid = || ConfigError::Value {
        key: join(path, MERGE_KEY),
        problem: "it is neither a map nor a list of maps".to_owned(),
        accepted: "an alias of a map, such as <<: *defaults".to_owned(),
    };
    let one = |value| match value {
        Value::Object(map) => Ok(map),
        _ => Err(invalid()),
    };
    match merged {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items.into_iter().map(one).collect(),
        Some(value) => one(value).map(|map| vec![map]),
    }
}
