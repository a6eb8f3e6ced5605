//! The module's configuration: its block in the host's YAML, parsed and
//! validated.
//!
//! | module | what is in it |
//! | --- | --- |
//! | [`settings`] | all keys: names, aliases, defaults, value types, descriptions |
//! | `key` | what a table of keys is and how it reads a block |
//! | `value_types` | how each type of value is parsed and described |
//! | [`tables`] | which tables are replicated |
//! | [`environment`] | `${NAME}` |
//! | [`secondary`] | the secondaries that the keys describe |
//! | [`host`] | what the host contributes to the defaults |
//! | `error` | [`ConfigError`]: each names the key and how to fix it |

pub mod environment;
mod error;
pub mod host;
mod key;
pub mod secondary;
pub mod settings;
pub mod tables;
#[cfg(test)]
mod tests;
mod value_types;

pub use environment::Environment;
pub use error::ConfigError;
pub use host::HostContext;
pub use key::Key;
pub use secondary::SecondaryConfig;
pub use settings::{DeletedReads, InitialSync, QueueFsync, Settings};
pub use tables::TableSelection;

pub(crate) use key::nearest;
use plugin_api::value::{Object, Value};
use settings::Envelope;
use std::path::{Component, Path, PathBuf};
pub(crate) use tables::selectable;

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The keys, with `queue_dir` as an absolute path.
    pub settings: Settings,
    /// The secondaries by rank: by priority, then in list order.
    pub secondaries: Vec<SecondaryConfig>,
    /// What is accepted but worth a warning in the log.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads the module's block in any of its forms: `{enabled, config: {…}}`,
    /// `{id, config: {enabled, …}}`, or the keys themselves. None if the block
    /// says `enabled: false`; its other keys are not checked then.
    ///
    /// # Errors
    /// The first error found.
    pub fn read(
        block: &Value,
        host: HostContext<'_>,
        environment: Environment<'_>,
    ) -> Result<Option<Self>, ConfigError> {
        let Some(keys) = unwrap(block, environment)? else {
            return Ok(None);
        };
        let expanded = environment::expand("", Value::Object(keys), environment)?;
        let keys = expanded.as_object().cloned().unwrap_or_default();
        let mut settings = Settings::read("", &keys)?;
        settings.queue_dir = queue_dir(&settings.queue_dir, host.data_dir)?;
        let secondaries = secondary::resolve(&settings, host)?;
        let warnings = warnings(&settings, &secondaries);
        Ok(Some(Self {
            settings,
            secondaries,
            warnings,
        }))
    }
}

/// The module's own keys in the host's entry; none if it is disabled.
fn unwrap(block: &Value, environment: Environment<'_>) -> Result<Option<Object>, ConfigError> {
    let outer = match block {
        Value::None | Value::Null => &Object::new(),
        Value::Object(object) => object,
        _ => {
            return Err(ConfigError::Block(
                "the module's configuration is not a map".to_owned(),
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
                let is_in =
                    |keys: &[Key]| keys.iter().flat_map(Key::names).any(|name| name == *key);
                !is_in(Envelope::KEYS) && is_in(Settings::KEYS)
            }) {
                return Err(ConfigError::Block(format!(
                    "{key} is next to config; move it into config"
                )));
            }
            Envelope::read("", &entry)?.config.unwrap_or_default()
        }
    };
    let inner_enabled = inner.remove("enabled");
    let enabled = match (enabled, inner_enabled) {
        (Some(_), Some(_)) => {
            return Err(ConfigError::Duplicate {
                first: "enabled".to_owned(),
                second: "config.enabled".to_owned(),
            });
        }
        (one, other) => one.or(other).unwrap_or_default(),
    };
    let enabled = environment::expand("enabled", enabled, environment)?;
    let enabled: Object = [("enabled", enabled)].into_iter().collect();
    Ok(Envelope::read("", &enabled)?.enabled.then_some(inner))
}

fn queue_dir(written: &Path, data_dir: &str) -> Result<PathBuf, ConfigError> {
    if written.is_absolute() {
        return Ok(written.to_owned());
    }
    let invalid = |problem: &str| ConfigError::Value {
        key: "queue_dir".to_owned(),
        problem: format!("{:?} {problem}", written.display().to_string()),
        accepted: "an absolute path, or one below the host's data directory".to_owned(),
    };
    if written
        .components()
        .any(|part| part == Component::ParentDir)
    {
        return Err(invalid("leads out of the host's data directory"));
    }
    if data_dir.is_empty() {
        return Err(invalid("is relative, and the host has no data directory"));
    }
    Ok(Path::new(data_dir).join(written))
}

fn warnings(settings: &Settings, secondaries: &[SecondaryConfig]) -> Vec<String> {
    let mut warnings: Vec<String> = secondaries
        .iter()
        .filter(|secondary| secondary.address.is_exposed())
        .map(|secondary| {
            format!(
                "secondary {} at {} is connected to without encryption; use wss:// or https:// \
                 unless the network is trusted",
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
