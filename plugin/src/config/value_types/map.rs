//! Values that hold keys of their own.

use super::{ValueType, invalid};
use plugin_api::value::{Object, Value};
use std::fmt;

/// A map that is read later. It may hold a password: `Debug` shows its keys.
#[derive(Clone)]
pub struct Entry(pub(in crate::config) Object);

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A list of maps that are read later.
pub(in crate::config) struct Entries;

impl ValueType for Entries {
    type Out = Vec<Entry>;

    fn parse(&self, value: &Value) -> Result<Vec<Entry>, String> {
        let items = value
            .as_array()
            .ok_or_else(|| invalid(value, "not a list"))?;
        if items.is_empty() {
            return Err("the list is empty".to_owned());
        }
        items
            .iter()
            .map(|item| item.as_object().cloned().map(Entry))
            .collect::<Option<_>>()
            .ok_or_else(|| "an item of the list is not a map".to_owned())
    }

    fn accepts(&self) -> String {
        "a list of maps, see below".to_owned()
    }
}

/// A map that is read later.
pub(in crate::config) struct Map;

impl ValueType for Map {
    type Out = Object;

    fn parse(&self, value: &Value) -> Result<Object, String> {
        value
            .as_object()
            .cloned()
            .ok_or_else(|| invalid(value, "not a map"))
    }

    fn accepts(&self) -> String {
        "a map of the keys in docs/configuration.md".to_owned()
    }
}
