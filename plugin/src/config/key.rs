//! A table of keys: each key is declared once, with its type, its default and
//! its documentation; reading and reference follow from it.

use super::{ConfigError, value_types::ValueType};
use plugin_api::value::{Object, Value};

/// One key, as the documentation and the errors describe it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Other names for the same key.
    pub aliases: &'static [&'static str],
    /// The default, as written in YAML.
    pub default: Option<&'static str>,
    /// The accepted values, in words.
    pub accepts: fn() -> String,
    /// What the key is for.
    pub description: &'static str,
}

impl Key {
    /// The name and its aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

/// Declares a struct of settings and its table of keys:
/// `/// description` `name [aliases]: Type = value type, default "text";`
macro_rules! keys {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $struct:ident {
            $(
                $(#[doc = $doc:literal])+
                $key:ident [$($alias:ident),*]: $type:ty = $value_type:expr $(, default $default:literal)?;
            )*
        }
    ) => {
        $(#[$attribute])*
        $visibility struct $struct {
            $(
                $(#[doc = $doc])+
                pub $key: $type,
            )*
        }

        impl $struct {
            /// The keys, in the order of the documentation.
            pub const KEYS: &'static [Key] = &[
                $(keys!(@key [$($doc)+] $key [$($alias)*] ($value_type) $($default)?),)*
            ];

            /// Reads the keys of `block`, which is at `path` (empty at the top).
            pub(super) fn read(path: &str, block: &Object) -> Result<Self, ConfigError> {
                reject_unknown_keys(path, block, Self::KEYS)?;
                Ok(Self {
                    $($key: read_key(
                        path,
                        block,
                        &keys!(@key [$($doc)+] $key [$($alias)*] ($value_type) $($default)?),
                        &$value_type,
                    )?,)*
                })
            }
        }
    };
    (@key [$($doc:literal)+] $key:ident [$($alias:ident)*] ($value_type:expr) $($default:literal)?) => {
        Key {
            name: stringify!($key),
            aliases: &[$(stringify!($alias)),*],
            default: keys!(@default $($default)?),
            accepts: || ValueType::accepts(&$value_type),
            description: concat!($($doc),+),
        }
    };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}
pub(super) use keys;

/// A key's name with the path of the block that holds it.
fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

pub(super) fn reject_unknown_keys(
    path: &str,
    block: &Object,
    keys: &[Key],
) -> Result<(), ConfigError> {
    let known = || keys.iter().flat_map(Key::names);
    match block.keys().find(|&key| known().all(|name| name != key)) {
        None => Ok(()),
        Some(key) => Err(ConfigError::UnknownKey {
            key: join(path, key),
            suggestion: nearest(key, known()).map(str::to_owned),
        }),
    }
}

/// The candidate that `name` is most likely a misspelling of.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    candidates
        .map(|candidate| (strsim::jaro_winkler(&name, candidate), candidate))
        .filter(|&(similarity, _)| similarity > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

pub(super) fn read_key<T: ValueType>(
    path: &str,
    block: &Object,
    key: &Key,
    value_type: &T,
) -> Result<T::Out, ConfigError> {
    // A key without a value (`key:`) counts as not given.
    let mut given = key
        .names()
        .filter_map(|name| Some((name, block.get(name).filter(|value| !value.is_nullish())?)));
    let first = given.next();
    if let (Some((first, _)), Some((second, _))) = (first, given.next()) {
        return Err(ConfigError::Duplicate {
            first: join(path, first),
            second: join(path, second),
        });
    }
    let (name, read) = match (first, key.default) {
        (Some((name, value)), _) => (name, value_type.parse(value)),
        (None, Some(default)) => (key.name, value_type.parse(&Value::from(default))),
        (None, None) => (key.name, value_type.absent()),
    };
    read.map_err(|problem| ConfigError::Value {
        key: join(path, name),
        problem,
        accepted: value_type.accepts(),
    })
}
