//! [`Object`]: keys and values, sorted by key.

use super::Value;
use crate::ffi::{List, Pair, Text};
use abi_stable::StableAbi;

/// Keys and values, each key once, sorted by key.
///
/// Sorted, so that two objects with the same content are the same bytes
/// wherever they were built.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, Default, PartialEq)]
pub struct Object {
    entries: List<Pair<Text, Value>>,
}

impl Object {
    /// An empty object.
    pub const fn new() -> Self {
        Self {
            entries: List::new(),
        }
    }

    fn position(&self, key: &str) -> Result<usize, usize> {
        self.entries
            .binary_search_by(|entry| entry.0.as_str().cmp(key))
    }

    /// The value under `key`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let position = self.position(key).ok()?;
        self.entries.get(position).map(|entry| &entry.1)
    }

    /// Puts `value` under `key`; returns what was there.
    pub fn insert(&mut self, key: impl Into<Text>, value: impl Into<Value>) -> Option<Value> {
        let (key, value) = (key.into(), value.into());
        match self.position(&key) {
            Ok(position) => Some(std::mem::replace(&mut self.entries[position].1, value)),
            Err(position) => {
                self.entries.insert(position, Pair(key, value));
                None
            }
        }
    }

    /// The same object with `value` under `key`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.insert(key, value);
        self
    }

    /// Takes the value under `key` out.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let position = self.position(key).ok()?;
        Some(self.entries.remove(position).1)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Keys and values, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries
            .iter()
            .map(|Pair(key, value)| (key.as_str(), value))
    }

    /// The keys, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(key, _)| key)
    }
}

impl IntoIterator for Object {
    type Item = (Text, Value);
    type IntoIter = std::vec::IntoIter<(Text, Value)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries
            .into_iter()
            .map(|Pair(key, value)| (key, value))
            .collect::<Vec<_>>()
            .into_iter()
    }
}

impl<K: Into<Text>, V: Into<Value>> FromIterator<(K, V)> for Object {
    /// Of two entries with the same key the later one stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries: Vec<_> = entries
            .into_iter()
            .map(|(key, value)| Pair(key.into(), value.into()))
            .collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        // The sort is stable, so the last of a run is the latest.
        let mut unique: Vec<Pair<Text, Value>> = Vec::with_capacity(entries.len());
        for entry in entries {
            match unique.last_mut() {
                Some(last) if last.0 == entry.0 => *last = entry,
                _ => unique.push(entry),
            }
        }
        Self {
            entries: unique.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_sorted_and_unique() {
        let mut object: Object = [("b", 1i64), ("a", 2), ("b", 3)].into_iter().collect();
        object.insert("aa", 4i64);
        assert_eq!(
            object.iter().collect::<Vec<_>>(),
            [
                ("a", &Value::Int(2)),
                ("aa", &Value::Int(4)),
                ("b", &Value::Int(3))
            ]
        );
        assert_eq!(object.remove("a"), Some(Value::Int(2)));
        assert_eq!(object.get("a"), None);
        assert_eq!(object.len(), 2);
    }
}
