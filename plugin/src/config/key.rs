//! Tables of keys: each key is written once, and everything about it follows.

use super::{ConfigError, kinds::Kind};
use plugin_api::value::{Object, Value};

/// One key, as the documentation and the errors see it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Other names that mean the same.
    pub other_names: &'static [&'static str],
    /// What it is when it is not given, as one would write it.
    pub default: Option<&'static str>,
    /// What it accepts, in words.
    pub accepts: fn() -> String,
    /// What it is for.
    pub about: &'static str,
}

impl Key {
    fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.other_names.iter().copied())
    }
}

/// Makes a struct of settings and its table of keys out of one list:
/// `/// about` `name [other names]: Type = kind, default "text";`
macro_rules! keys {
    (
        $(#[$about:meta])*
        $visibility:vis struct $struct:ident {
            $(
                $(#[doc = $doc:literal])+
                $key:ident [$($other:ident),*]: $type:ty = $kind:expr $(, default $default:literal)?;
            )*
        }
    ) => {
        $(#[$about])*
        $visibility struct $struct {
            $(
                $(#[doc = $doc])+
                pub $key: $type,
            )*
        }

        impl $struct {
            /// The keys, in the order of the documentation.
            pub const KEYS: &'static [Key] = &[
                $(Key {
                    name: stringify!($key),
                    other_names: &[$(stringify!($other)),*],
                    default: keys!(@default $($default)?),
                    accepts: || Kind::accepts(&$kind),
                    about: concat!($($doc),+),
                },)*
            ];

            /// Reads the keys of `block`, which lies at `place` (empty at the top).
            pub(super) fn read(place: &str, block: &Object) -> Result<Self, ConfigError> {
                refuse_unknown(place, block, Self::KEYS)?;
                let mut keys = Self::KEYS.iter();
                Ok(Self {
                    // The fields and the table come from the same list, in the same order.
                    $($key: read_next(place, block, keys.next(), &$kind)?,)*
                })
            }
        }
    };
    (@default) => { None };
    (@default $default:literal) => { Some($default) };
}
pub(super) use keys;

/// A key's name with the place that it is in.
pub(super) fn at(place: &str, name: &str) -> String {
    match place {
        "" => name.to_owned(),
        place => format!("{place}.{name}"),
    }
}

pub(super) fn refuse_unknown(place: &str, block: &Object, keys: &[Key]) -> Result<(), ConfigError> {
    let known = || keys.iter().flat_map(Key::names);
    match block.keys().find(|&key| known().all(|name| name != key)) {
        None => Ok(()),
        Some(key) => Err(ConfigError::UnknownKey {
            key: at(place, key),
            suggestion: nearest(key, known()).map(str::to_owned),
        }),
    }
}

/// What `name` was probably meant to be.
pub(crate) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    candidates
        .map(|candidate| (strsim::jaro_winkler(&name, candidate), candidate))
        .filter(|&(likeness, _)| likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

pub(super) fn read_next<K: Kind>(
    place: &str,
    block: &Object,
    key: Option<&Key>,
    kind: &K,
) -> Result<K::Out, ConfigError> {
    let Some(key) = key else {
        return Err(ConfigError::Together(
            "the table of keys is too short".to_owned(),
        ));
    };
    // A key without a value (`key:`) counts as not given.
    let mut given = key
        .names()
        .filter_map(|name| Some((name, block.get(name).filter(|value| !value.is_nullish())?)));
    let first = given.next();
    if let (Some((first, _)), Some((second, _))) = (first, given.next()) {
        return Err(ConfigError::Twice {
            first: at(place, first),
            second: at(place, second),
        });
    }
    let (name, read) = match (first, key.default) {
        (Some((name, value)), _) => (name, kind.parse(value)),
        (None, Some(default)) => (key.name, kind.parse(&Value::from(default))),
        (None, None) => (key.name, kind.absent()),
    };
    read.map_err(|problem| ConfigError::Value {
        key: at(place, name),
        problem,
        accepted: kind.accepts(),
    })
}
