//! The module's configuration: the block of the host's YAML, read and checked.
//!
//! | room | what is in it |
//! | --- | --- |
//! | [`keys`] | all keys: name, other names, default, what is accepted, what for |
//! | `key` | how a table of keys reads a block: defaults, doubled and unknown keys |
//! | `kinds`, `address`, `tables` | the kinds of values, and what is said about a bad one |
//! | [`environment`] | `${NAME}` |
//! | [`secondary`] | the secondaries that the keys describe |
//! | [`reference`](mod@reference) | the tables of `docs/configuration.md` |
//!
//! Every fault is a [`ConfigError`] that names the key and how to mend it.

mod address;
pub mod environment;
mod error;
mod key;
pub mod keys;
mod kinds;
pub mod reference;
pub mod secondary;
mod tables;
#[cfg(test)]
mod tests;

pub use environment::Environment;
pub use error::ConfigError;
pub use key::Key;
pub use keys::{DeletedReads, InitialSync, QueueFsync, Settings};
pub use secondary::SecondaryConfig;
pub use tables::{RELATIONSHIPS, TableSelection};

pub(crate) use key::nearest;
use keys::Envelope;
use plugin_api::value::{Object, Value};
use std::path::{Component, Path};
pub(crate) use tables::selectable;

/// What the settings stand in: the host's side of the defaults.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// The primary's namespace.
    pub namespace: &'a str,
    /// The primary's database.
    pub database: &'a str,
    /// The host's data directory.
    pub data_dir: &'a str,
}

/// A configuration that can be worked with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The keys. `queue_dir` is the whole path; what describes the
    /// secondaries is in `secondaries`.
    pub settings: Settings,
    /// The secondaries, the one that wins first: by priority, then as listed.
    pub secondaries: Vec<SecondaryConfig>,
    /// What works and is still worth a warning in the log.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads the module's block in any of its forms: `{enabled, config: {…}}`,
    /// `{id, config: {enabled, …}}`, or the keys themselves. None if the block
    /// says `enabled: false`; its other keys are not looked at then.
    ///
    /// # Errors
    /// The first fault, with the key and how to mend it.
    pub fn read(
        block: &Value,
        surroundings: Surroundings<'_>,
        environment: Environment<'_>,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(keys) = unwrap(block, environment)? else {
            return Ok(None);
        };
        let expanded = environment::expand("", Value::Object(keys), environment)?;
        let keys = expanded.as_object().cloned().unwrap_or_default();
        let mut settings = Settings::read("", &keys)?;
        settings.queue_dir = queue_dir(&settings.queue_dir, surroundings.data_dir)?;
        let secondaries = secondary::resolve(&settings, surroundings)?;
        let warnings = warnings(&settings, &secondaries);
        Ok(Some(Self {
            settings,
            secondaries,
            warnings,
        }))
    }
}

/// Takes the module's own keys out of the host's entry; none if it is disabled.
fn unwrap(block: &Value, environment: Environment<'_>) -> Result<Option<Object>, ConfigError> {
    let outer = match block {
        Value::None | Value::Null => &Object::new(),
        Value::Object(object) => object,
        _ => {
            return Err(ConfigError::Together(
                "the module's configuration is no map of keys to values".to_owned(),
            ));
        }
    };
    let mut entry = outer.clone();
    let enabled = entry.remove("enabled");
    let mut inner = match outer.get("config") {
        None => {
            entry.remove("id");
            entry
        }
        Some(_) => {
            if let Some(key) = entry.keys().find(|key| {
                let is = |name: &Key| name.name == *key || name.other_names.contains(key);
                !Envelope::KEYS.iter().any(is) && Settings::KEYS.iter().any(is)
            }) {
                return Err(ConfigError::Together(format!(
                    "{key} stands beside config; move it into config"
                )));
            }
            Envelope::read("", &entry)?.config.unwrap_or_default()
        }
    };
    let inner_enabled = inner.remove("enabled");
    let enabled = match (enabled, inner_enabled) {
        (Some(_), Some(_)) => {
            return Err(ConfigError::Twice {
                first: "enabled".to_owned(),
                second: "config.enabled".to_owned(),
            });
        }
        (one, other) => one.or(other).unwrap_or_default(),
    };
    let enabled = environment::expand("enabled", enabled, environment)?;
    let switch: Object = [("enabled", enabled)].into_iter().collect();
    Ok(Envelope::read("", &switch)?.enabled.then_some(inner))
}

fn queue_dir(written: &Path, data_dir: &str) -> Result<std::path::PathBuf, ConfigError> {
    if written.is_absolute() {
        return Ok(written.to_owned());
    }
    let fault = |problem: &str| ConfigError::Value {
        key: "queue_dir".to_owned(),
        problem: format!("{:?} {problem}", written.display().to_string()),
        accepted: "a path below the host's data directory, or an absolute one".to_owned(),
    };
    if written
        .components()
        .any(|part| part == Component::ParentDir)
    {
        return Err(fault("leads out of the host's data directory"));
    }
    if data_dir.is_empty() {
        return Err(fault("is relative, and the host has no data directory"));
    }
    Ok(Path::new(data_dir).join(written))
}

fn warnings(settings: &Settings, secondaries: &[SecondaryConfig]) -> Vec<String> {
    let mut warnings: Vec<String> = secondaries
        .iter()
        .filter(|secondary| secondary.address.is_exposed())
        .map(|secondary| {
            format!(
                "secondary {} at {} is reached without encryption; use wss:// or https:// \
                 unless the network between is trusted",
                secondary.name,
                secondary.address.as_str()
            )
        })
        .collect();
    if !settings.sync_enabled && !settings.merge_reads {
        warnings.push(
            "sync_enabled and merge_reads are both false: the module does nothing".to_owned(),
        );
    }
    warnings
}
