//! Which modules the host's YAML wants.

use crate::config::{ConfigError, bad, environment, expand};
use plugin_api::value::Value;
use serde_yaml::Value as Yaml;
use std::fmt;

/// One module of the host's YAML.
#[derive(Clone, PartialEq)]
pub struct Selection {
    /// The module's id.
    pub id: String,
    /// Is it to be loaded? A block that does not say means yes.
    pub enabled: bool,
    /// The block as it stands, which the module itself makes sense of.
    pub settings: Value,
}

impl fmt::Debug for Selection {
    /// Without the settings: they may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selection")
            .field("id", &self.id)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// Reads both forms of `modules`, in the order of the file: the map
/// `{ID: {enabled: …, config: {…}}}` and the list `[{id: ID, config: {enabled: …}}]`.
///
/// # Errors
/// The entry that is wrong, and how to fix it.
pub fn selections(modules: &Yaml) -> Result<Vec<Selection>, ConfigError> {
    let blocks: Vec<(String, &Yaml)> = match modules {
        Yaml::Mapping(entries) => entries
            .iter()
            .map(|(id, block)| match id.as_str() {
                Some(id) => Ok((id.to_owned(), block)),
                None => Err(bad("modules", "a module's id should be text")),
            })
            .collect::<Result<_, _>>()?,
        Yaml::Sequence(items) => items
            .iter()
            .enumerate()
            .map(|(at, item)| match item.get("id").and_then(Yaml::as_str) {
                Some(id) => Ok((id.to_owned(), item)),
                None => Err(bad(
                    format!("modules[{at}].id"),
                    "is required: the module's id",
                )),
            })
            .collect::<Result<_, _>>()?,
        _ => {
            return Err(bad(
                "modules",
                "should be a map by module id, or a list of {id, config}",
            ));
        }
    };
    let mut chosen: Vec<Selection> = Vec::with_capacity(blocks.len());
    for (id, block) in blocks {
        let key = format!("modules.{id}");
        if chosen.iter().any(|other| other.id == id) {
            return Err(bad(key, "is there twice; keep one"));
        }
        chosen.push(Selection {
            enabled: enabled(block, environment)
                .map_err(|reason| bad(format!("{key}.enabled"), reason))?,
            settings: serde_yaml::from_value(block.clone())
                .map_err(|error| bad(&key, error.to_string()))?,
            id,
        });
    }
    Ok(chosen)
}

/// `enabled` stands beside `config`, or in it.
fn enabled(block: &Yaml, lookup: impl Fn(&str) -> Option<String>) -> Result<bool, String> {
    let said = block
        .get("enabled")
        .or_else(|| block.get("config").and_then(|config| config.get("enabled")));
    match said {
        None | Some(Yaml::Null) => Ok(true),
        Some(Yaml::Bool(enabled)) => Ok(*enabled),
        Some(Yaml::String(text)) => expand(text, lookup)?
            .trim()
            .parse()
            .map_err(|_| "should be true or false".to_owned()),
        Some(_) => Err("should be true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn read(yaml: &str) -> Result<Vec<(String, bool)>, String> {
        selections(&serde_yaml::from_str(yaml).unwrap())
            .map(|all| all.into_iter().map(|s| (s.id, s.enabled)).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn both_forms_in_their_order() {
        let expected = Ok(vec![
            ("b".to_owned(), true),
            ("a".to_owned(), false),
            ("c".to_owned(), true),
        ]);
        assert_eq!(
            read("{b: {enabled: true, config: {x: 1}}, a: {enabled: false}, c: {}}"),
            expected
        );
        assert_eq!(
            read("[{id: b, config: {enabled: true}}, {id: a, config: {enabled: false}}, {id: c}]"),
            expected
        );
    }

    #[test]
    fn enabled_may_come_from_the_environment() {
        let lookup = |name: &str| match name {
            "ON" => Some("true".to_owned()),
            "OFF" => Some("false".to_owned()),
            "ODD" => Some("maybe".to_owned()),
            _ => None,
        };
        let said = |yaml: &str| enabled(&serde_yaml::from_str(yaml).unwrap(), lookup);
        assert_eq!(said("{enabled: '${ON}'}"), Ok(true));
        assert_eq!(said("{config: {enabled: '${OFF}'}}"), Ok(false));
        assert_eq!(said("{enabled: 'false'}"), Ok(false));
        assert!(
            said("{enabled: '${ODD}'}")
                .unwrap_err()
                .contains("true or false")
        );
        assert!(
            said("{enabled: '${NONE}'}")
                .unwrap_err()
                .contains("NONE is not set")
        );
    }

    #[test]
    fn the_block_is_handed_on_as_it_stands() {
        let yaml =
            serde_yaml::from_str("{m: {enabled: true, config: {deep: [1, '${X}']}}}").unwrap();
        let all = selections(&yaml).unwrap();
        assert_eq!(
            all[0].settings.to_string(),
            r#"{"config": {"deep": [1, "${X}"]}, "enabled": true}"#
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (yaml, complaint) in [
            ("text", "modules: should be a map"),
            ("[{config: {}}]", "modules[0].id: is required"),
            ("[{id: a}, {id: a}]", "modules.a: is there twice"),
            (
                "{a: {enabled: maybe}}",
                "modules.a.enabled: should be true or false",
            ),
            ("{1: {}}", "a module's id should be text"),
        ] {
            let error = read(yaml).expect_err(yaml);
            assert!(error.contains(complaint), "{yaml}: {error}");
        }
    }
}
