//! `${NAME}` in a string is replaced by an environment variable.
//!
//! This is all that is expanded: a `$` without a brace is kept, as passwords
//! have them, which the crates for shell-like expansion would replace, too.

use super::{ConfigError, ConfigErrors, key::join};
use plugin_api::value::Value;

/// Looks up a variable; tests pass their own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The variables of this process.
pub fn of_process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// `value` with every `${NAME}` in its strings replaced, at any depth. `$${`
/// stands for `${` itself. The value of a variable is not expanded again. A
/// string with an error, such as a variable that is not set, becomes none.
pub(super) fn expand(
    key: &str,
    value: Value,
    environment: Environment<'_>,
    errors: &mut ConfigErrors,
) -> Value {
    match value {
        Value::String(text) if text.contains("${") => match expand_text(key, &text, environment) {
            Ok(text) => text.into(),
            Err(error) => {
                errors.push(error);
                Value::None
            }
        },
        Value::Array(items) => items
            .into_iter()
            .enumerate()
            .map(|(at, item)| expand(&format!("{key}[{at}]"), item, environment, errors))
            .collect(),
        Value::Object(object) => {
            let entries = object.into_iter().map(|(name, item)| {
                let item = expand(&join(key, &name), item, environment, errors);
                (name, item)
            });
            Value::Object(entries.collect())
        }
        other => other,
    }
}

fn expand_text(key: &str, text: &str, environment: Environment<'_>) -> Result<String, ConfigError> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = after;
            continue;
        }
        expanded.push_str(before);
        let (name, after) = after
            .split_once('}')
            .filter(|(name, _)| is_variable_name(name))
            .ok_or_else(|| ConfigError::Value {
                key: key.to_owned(),
                problem: "\"${\" is not followed by the name of a variable and \"}\"".to_owned(),
                accepted: "${NAME}, or $${ for the characters themselves".to_owned(),
            })?;
        expanded.push_str(&environment(name).ok_or_else(|| ConfigError::Environment {
            key: key.to_owned(),
            variable: name.to_owned(),
        })?);
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn is_variable_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
