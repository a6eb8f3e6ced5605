//! Calls any of the 64 methods by name, with JSON arguments and a JSON answer.
//!
//! Arguments come as an object by name or as an array in order. Where a method
//! takes an embedding, a text may stand instead: it is embedded by
//! [`embedder`].

use crate::{embedder, nearest::nearest};
use plugin_api::{
    error::StorageError,
    ffi::{List, Text},
    records::{CodeChunk, CodeFile, CodeProject, CodeSymbol, EventSearch, IndexingJob},
    storage::{Argument, CallContext, CodeStorage, METHODS, StatsProvider, Storage, method},
    storage_methods,
    value::{Object, Value},
};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no such method.
    #[error("there is no method {name}{}; `host-harness call --list` shows all 64", .nearest.map(|name| format!("; did you mean {name}?")).unwrap_or_default())]
    UnknownMethod {
        /// The name that was given.
        name: String,
        /// The method whose name is most similar.
        nearest: Option<&'static str>,
    },
    /// The arguments do not fit the method.
    #[error("{method}: {reason}; it takes ({})", .takes.join(", "))]
    Arguments {
        /// The method.
        method: &'static str,
        /// Which argument is wrong, and how.
        reason: String,
        /// The names of its arguments.
        takes: &'static [&'static str],
    },
    /// The answer cannot be shown as JSON.
    #[error("the answer cannot be shown as JSON: {0}")]
    Answer(#[from] serde_json::Error),
    /// The storage returned an error.
    #[error("{0}")]
    Storage(#[from] StorageError),
}

/// Reads arguments from JSON text.
///
/// # Errors
/// What is wrong with the text: it is no JSON, or has a whole number past 63 bits,
/// which would become another number as a float.
pub fn parse_arguments(text: &str) -> Result<Json, String> {
    let arguments =
        serde_json::from_str(text).map_err(|error| format!("they are not JSON: {error}"))?;
    match whole_numbers(text).find(|number| number.parse::<i64>().is_err()) {
        Some(number) => Err(format!(
            "the whole number {number} is not between {} and {}; give it as text, or as a float \
             ({number}.0)",
            i64::MIN,
            i64::MAX
        )),
        None => Ok(arguments),
    }
}

/// The numbers without fraction and exponent in a JSON text.
fn whole_numbers(text: &str) -> impl Iterator<Item = &str> {
    let is_of_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
    let mut rest = text;
    let tokens = std::iter::from_fn(move || {
        loop {
            let start = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit())?;
            rest = &rest[start..];
            if let Some(string) = rest.strip_prefix('"') {
                let mut escaped = false;
                let end = string.find(|c| {
                    let ends = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    ends
                })?;
                rest = &string[end + 1..];
                continue;
            }
            let end = rest.find(|c| !is_of_number(c)).unwrap_or(rest.len());
            let (number, behind) = rest.split_at(end);
            rest = behind;
            return Some(number);
        }
    });
    tokens.filter(|number| !number.contains(['.', 'e', 'E']))
}

/// An argument of the contract that can be read from JSON.
trait JsonArgument: Argument {
    /// What holds the argument during the call.
    type Owned;

    fn read(json: Json) -> Result<Self::Owned, String>;

    fn borrow(owned: &Self::Owned) -> Self::Rust<'_>;
}

fn plain<T: DeserializeOwned>(json: Json) -> Result<T, String> {
    serde_json::from_value(json).map_err(|error| error.to_string())
}

/// A record whose embedding may be a text.
fn with_embedding<T: DeserializeOwned>(mut json: Json) -> Result<T, String> {
    if let Some(embedding) = json.get_mut("embedding") {
        let floats = <[f32]>::read(embedding.take())?;
        *embedding = floats.into();
    }
    plain(json)
}

fn each<T>(json: Json, read: impl Fn(Json) -> Result<T, String>) -> Result<Vec<T>, String> {
    plain::<Vec<Json>>(json)?
        .into_iter()
        .enumerate()
        .map(|(at, item)| read(item).map_err(|reason| format!("[{at}]: {reason}")))
        .collect()
}

impl JsonArgument for [f32] {
    type Owned = Vec<f32>;

    fn read(json: Json) -> Result<Self::Owned, String> {
        match json {
            Json::String(text) => Ok(embedder::embed(&text)),
            other => plain(other),
        }
    }

    fn borrow(owned: &Self::Owned) -> &[f32] {
        owned
    }
}

macro_rules! json_arguments {
    ($($argument:ty as $owned:ty: $read:expr, |$kept:ident| $borrow:expr;)*) => {
        $(
            impl JsonArgument for $argument {
                type Owned = $owned;

                fn read(json: Json) -> Result<Self::Owned, String> {
                    $read(json)
                }

                fn borrow($kept: &Self::Owned) -> Self::Rust<'_> {
                    $borrow
                }
            }
        )*
    };
}

json_arguments! {
    str as String: plain, |text| text;
    bool as bool: plain, |flag| *flag;
    u32 as u32: plain, |number| *number;
    f64 as f64: plain, |number| *number;
    Value as Value: plain, |value| value;
    Object as Object: plain, |object| object;
    [Text] as Vec<Text>: plain, |texts| texts;
    [List<f32>] as Vec<List<f32>>:
        |json| each(json, |item| <[f32]>::read(item).map(List::from)), |vectors| vectors;
    EventSearch as EventSearch: with_embedding, |search| search;
    CodeProject as CodeProject: plain, |project| project;
    CodeFile as CodeFile: plain, |file| file;
    CodeSymbol as CodeSymbol: with_embedding, |symbol| symbol;
    [CodeSymbol] as Vec<CodeSymbol>: |json| each(json, with_embedding), |symbols| symbols;
    CodeChunk as CodeChunk: with_embedding, |chunk| chunk;
    [CodeChunk] as Vec<CodeChunk>: |json| each(json, with_embedding), |chunks| chunks;
    IndexingJob as IndexingJob: plain, |job| job;
}

/// The arguments of one call, taken out one by one.
struct Arguments {
    method: &'static str,
    takes: &'static [&'static str],
    given: serde_json::Map<String, Json>,
}

impl Arguments {
    fn new(name: &str, arguments: Json) -> Result<Self, CallError> {
        let method = method(name).ok_or_else(|| CallError::UnknownMethod {
            name: name.to_owned(),
            nearest: nearest(name, METHODS.iter().map(|method| method.name)),
        })?;
        let mut this = Self {
            method: method.name,
            takes: method.arguments,
            given: serde_json::Map::new(),
        };
        this.given = match arguments {
            Json::Object(given) => given,
            Json::Null => serde_json::Map::new(),
            Json::Array(items) if items.len() > this.takes.len() => {
                return Err(this.wrong(format!("{} arguments are too many", items.len())));
            }
            Json::Array(items) => this
                .takes
                .iter()
                .map(|&name| name.to_owned())
                .zip(items)
                .collect(),
            _ => {
                return Err(
                    this.wrong("arguments should be an object by name or an array in order".into())
                );
            }
        };
        let unknown = this
            .given
            .keys()
            .find(|name| !this.takes.contains(&name.as_str()));
        match unknown {
            Some(name) => {
                let hint = nearest(name, this.takes.iter().copied())
                    .map(|name| format!(", did you mean {name}?"))
                    .unwrap_or_default();
                Err(this.wrong(format!("argument {name} is unknown{hint}")))
            }
            None => Ok(this),
        }
    }

    fn wrong(&self, reason: String) -> CallError {
        CallError::Arguments {
            method: self.method,
            reason,
            takes: self.takes,
        }
    }

    fn take<A: JsonArgument + ?Sized>(&mut self, name: &str) -> Result<A::Owned, CallError> {
        let json = self
            .given
            .remove(name)
            .ok_or_else(|| self.wrong(format!("argument {name} is missing")))?;
        A::read(json).map_err(|reason| self.wrong(format!("argument {name}: {reason}")))
    }
}

macro_rules! dispatch {
    ($(
        $(#[$($about:tt)*])*
        trait $trait:ident via $stable:ident {
            $(
                $(#[$($doc:tt)*])*
                [$kind:ident $table:literal]
                fn $method:ident($($argument:ident: $type:tt),*) -> $answer:ident;
            )*
        }
    )*) => {
        /// Calls the method `name` of `storage`; `null` is the answer of one that
        /// only succeeds.
        ///
        /// # Errors
        /// Which method or argument is wrong; or the storage's own error.
        #[allow(unused_mut, reason = "a method without arguments takes none out")]
        pub fn call<S: Storage + StatsProvider + CodeStorage>(
            storage: &S,
            context: &CallContext,
            name: &str,
            arguments: Json,
        ) -> Result<Json, CallError> {
            let mut arguments = Arguments::new(name, arguments)?;
            match name {
                $($(
                    stringify!($method) => {
                        $(let $argument = arguments.take::<$type>(stringify!($argument))?;)*
                        let answer = $trait::$method(
                            storage,
                            context,
                            $(<$type as JsonArgument>::borrow(&$argument)),*
                        )?;
                        Ok(serde_json::to_value(answer)?)
                    }
                )*)*
                // The list of names and these arms come from the same macro.
                _ => Err(arguments.wrong("it is listed but not dispatched".to_owned())),
            }
        }
    };
}

storage_methods!(dispatch);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    fn arguments(name: &str, json: Json) -> Result<Arguments, String> {
        Arguments::new(name, json).map_err(|error| error.to_string())
    }

    #[test]
    fn a_whole_number_past_63_bits_is_refused_and_no_float() {
        for good in [
            r#"{"value": [9223372036854775807, -9223372036854775808, 1e30, 99999999999999999999.0]}"#,
            r#"["99999999999999999999", "a\\", "\" 99999999999999999999", 7]"#,
            "null",
        ] {
            parse_arguments(good).unwrap();
        }
        for bad in [
            r#"{"value": 9223372036854775808}"#,
            r#"{"value": {"a\"": [1, -9223372036854775809]}}"#,
            "[99999999999999999999]",
            r#"["\\", 18446744073709551615]"#,
        ] {
            let error = parse_arguments(bad).unwrap_err();
            assert!(error.contains("the whole number"), "{bad}: {error}");
        }
        assert!(parse_arguments("{").is_err());
        // Nor where a value is read from JSON in any other way.
        let error = serde_json::from_str::<Value>("[9223372036854775808]").unwrap_err();
        assert!(error.to_string().contains("9223372036854775808"), "{error}");
    }

    #[test]
    fn a_wrong_argument_is_named() {
        for (name, json, complaint) in [
            ("save_fakt", json!({}), "did you mean save_fact?"),
            ("zzz", json!({}), "there is no method zzz; `host"),
            (
                "get_fact",
                json!({"user_id": "a", "kee": 1}),
                "argument kee is unknown, did you mean key?",
            ),
            (
                "get_fact",
                json!(["a", "b", "c"]),
                "3 arguments are too many",
            ),
            ("get_fact", json!("a"), "should be an object by name"),
        ] {
            let error = arguments(name, json).err().unwrap();
            assert!(error.contains(complaint), "{error}");
        }
        let mut given =
            arguments("search_similar", json!(["ada", "words to look for", -1])).unwrap();
        assert_eq!(given.take::<str>("user_id").unwrap(), "ada");
        assert_eq!(given.take::<[f32]>("query_embedding").unwrap().len(), 768);
        let error = given.take::<u32>("limit").unwrap_err().to_string();
        assert!(
            error.contains("argument limit: invalid value: integer `-1`"),
            "{error}"
        );
        let error = given.take::<u32>("limit").unwrap_err().to_string();
        assert!(error.contains("argument limit is missing"), "{error}");
    }

    #[test]
    fn records_are_validated_and_their_texts_embedded() {
        let symbol = <[CodeSymbol]>::read(json!([{"name": "main", "embedding": "main"}])).unwrap();
        assert_eq!(symbol[0].embedding.len(), 768);
        let error = <[CodeSymbol]>::read(json!([{}, {"nam": "x"}])).unwrap_err();
        assert!(error.starts_with("[1]: unknown field `nam`"), "{error}");
        let error = <[List<f32>]>::read(json!([[1.0], ["x"]])).unwrap_err();
        assert!(error.starts_with("[1]: "), "{error}");
    }
}
