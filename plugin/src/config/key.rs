//! A table of keys: each key is declared once, with its type, its default and
//! its documentation; reading and reference follow from it.

use super::{ConfigError, ConfigErrors, value_types::ValueType};
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
    /// Would it accept this value?
    pub(super) fits: fn(&Value) -> bool,
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

            /// Reads the keys of `block`, which is at `path` (empty at the top),
            /// and adds every error to `errors`. A key with an error counts as
            /// not given; none if one is required.
            pub(super) fn read(
                path: &str,
                block: &Object,
                errors: &mut ConfigErrors,
            ) -> Option<Self> {
                $crate::config::key::reject_unknown_keys(path, block, Self::KEYS, errors);
                $(let $key = $crate::config::key::read_key(
                    path,
                    block,
                    &keys!(@key [$($doc)+] $key [$($alias)*] ($value_type) $($default)?),
                    &$value_type,
                    errors,
                );)*
                Some(Self { $($key: $key?,)* })
            }
        }
    };
    (@key [$($doc:literal)+] $key:ident [$($alias:ident)*] ($value_type:expr) $($default:literal)?) => {
        Key {
            name: stringify!($key),
            aliases: &[$(stringify!($alias)),*],
            default: keys!(@default $($default)?),
            accepts: || ValueType::accepts(&$value_type),
            fits: |value| ValueType::parse(&$value_type, value).is_ok(),
            description: concat!($($doc),+),
        }
    };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}
pub(super) use keys;

/// A key's name with the path of the block that holds it.
pub(super) fn join(path: &str, name: &str) -> String {
    match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    }
}

pub(super) fn reject_unknown_keys(
    path: &str,
    block: &Object,
    keys: &[Key],
    errors: &mut ConfigErrors,
) {
    let is_known = |name: &str| keys.iter().flat_map(Key::names).any(|known| known == name);
    for (name, value) in block.iter().filter(|(name, _)| !is_known(name)) {
        errors.push(ConfigError::UnknownKey {
            key: join(path, name),
            suggestion: meant(name, value, keys).map(str::to_owned),
        });
    }
}

/// The key that `name` is most likely a misspelling of. Where more than a letter
/// differs, one that would not accept the value is of another kind.
fn meant(name: &str, value: &Value, keys: &[Key]) -> Option<&'static str> {
    let fitting = || {
        keys.iter()
            .filter(|key| (key.fits)(value))
            .flat_map(Key::names)
    };
    let close = |known: &&str| distance(name, known) <= 1;
    nearest(name, fitting().filter(close))
        .or_else(|| nearest(name, keys.iter().flat_map(Key::names).filter(close)))
        .or_else(|| nearest(name, fitting()))
}

/// The candidate that `name` is most likely a misspelling or an abbreviation of.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    // A quarter of the letters, or the first few of them.
    let is_near = |candidate: &str, distance: usize| {
        distance * 4 <= name.len().max(4)
            || (name.len() >= 3 && candidate.starts_with(&name.to_ascii_lowercase()))
    };
    candidates
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|&(distance, candidate)| is_near(candidate, distance))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters differ, apart from their case; `-` is as good as `_`.
fn distance(name: &str, known: &str) -> usize {
    strsim::osa_distance(&name.to_ascii_lowercase().replace('-', "_"), known)
}

/// The value of a key; none if it is required and has an error. Any other key
/// with an error has the value that it has when it is not given.
pub(super) fn read_key<T: ValueType>(
    path: &str,
    block: &Object,
    key: &Key,
    value_type: &T,
    errors: &mut ConfigErrors,
) -> Option<T::Out> {
    // A key without a value (`key:`) counts as not given.
    let mut given = key
        .names()
        .filter_map(|name| Some((name, block.get(name).filter(|value| !value.is_nullish())?)));
    let first = given.next();
    if let (Some((first, _)), Some((second, _))) = (first, given.next()) {
        errors.push(ConfigError::Duplicate {
            first: join(path, first),
            second: join(path, second),
        });
    }
    let mut problem = |name: &str, problem| {
        errors.push(ConfigError::Value {
            key: join(path, name),
            problem,
            accepted: value_type.accepts(),
        });
    };
    if let Some((name, value)) = first {
        match value_type.parse(value) {
            Ok(value) => return Some(value),
            Err(text) => problem(name, text),
        }
    }
    match key.default {
        Some(default) => value_type.parse(&Value::from(default)).ok(),
        None => value_type
            .absent()
            // What was given has been complained about already.
            .map_err(|text| first.is_none().then(|| problem(key.name, text)))
            .ok(),
    }
}
