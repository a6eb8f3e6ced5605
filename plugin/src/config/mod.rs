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
//! | `merge_keys` | YAML's `<<` |
//! | `error` | [`ConfigErrors`]: each error names the key and how to fix it |

pub mod environment;
mod error;
pub mod host;
mod key;
mod merge_keys;
pub mod secondary;
pub mod settings;
pub mod tables;
#[cfg(test)]
mod tests;
mod value_types;

pub use environment::Environment;
pub use error::{ConfigError, ConfigErrors};
pub use host::HostContext;
pub use key::Key;
pub use secondary::{Password, SecondaryConfig, User};
pub use settings::{DeletedReads, InitialSync, QueueFsync, Settings};
pub use tables::{HostTables, TableSelection};

pub(crate) use key::nearest;
use plugin_api::value::{Object, Value};
use settings::{Envelope, FORMER_KEYS, FormerKey};
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
    /// All errors of the block.
    pub fn read(
        block: &Value,
        host: HostContext<'_>,
        environment: Environment<'_>,
    ) -> Result<Option<Self>, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let Some(mut given) = unwrap(block, environment, &mut errors)? else {
            return errors.or(None);
        };
        let former: Vec<FormerKey> = FORMER_KEYS
            .iter()
            .filter(|former| given.remove(former.name).is_some())
            .copied()
            .collect();
        let keys = environment::expand("", given.clone().into(), environment, &mut errors);
        let keys = keys.as_object().cloned().unwrap_or_default();
        let Some(mut settings) = Settings::read("", &keys, &mut errors) else {
            return Err(errors);
        };
        match queue_dir(&settings.queue_dir, host.data_dir) {
            Ok(directory) => settings.queue_dir = directory,
            Err(error) => errors.push(error),
        }
        let secondaries = secondary::resolve(&settings, &given, host, &mut errors);
        let warnings = warnings(&settings, &secondaries, &former);
        errors
            .or(Self {
                settings,
                secondaries,
                warnings,
            })
            .map(Some)
    }
}

/// The module's own keys in the host's entry; none if it is disabled.
fn unwrap(
    block: &Value,
    environment: Environment<'_>,
    errors: &mut ConfigErrors,
) -> Result<Option<Object>, ConfigError> {
    let outer = match merge_keys::resolve(block.clone())? {
        Value::None | Value::Null => Object::new(),
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
            let is_in =
                |name: &str, keys: &[Key]| keys.iter().flat_map(Key::names).any(|key| key == name);
            let misplaced: Vec<String> = entry
                .keys()
                .filter(|key| !is_in(key, Envelope::KEYS) && is_in(key, Settings::KEYS))
                .map(str::to_owned)
                .collect();
            for key in misplaced {
                errors.push(ConfigError::Block(format!(
                    "{key} is next to config; move it into config"
                )));
                entry.remove(&key);
            }
            let envelope = Envelope::read("", &entry, errors);
            envelope
                .and_then(|envelope| envelope.config)
                .unwrap_or_default()
        }
    };
    let inner_enabled = inner.remove("enabled");
    let enabled = match (enabled, inner_enabled) {
        (Some(_), Some(_)) => {
            errors.push(ConfigError::Duplicate {
                first: "enabled".to_owned(),
                second: "config.enabled".to_owned(),
            });
            Value::None
        }
        (one, other) => one.or(other).unwrap_or_default(),
    };
    let enabled = environment::expand("enabled", enabled, environment, errors);
    let enabled: Object = [("enabled", enabled)].into_iter().collect();
    let is_enabled = Envelope::read("", &enabled, errors).is_some_and(|it| it.enabled);
    Ok(is_enabled.then_some(inner))
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

fn warnings(
    settings: &Settings,
    secondaries: &[SecondaryConfig],
    former: &[FormerKey],
) -> Vec<String> {
    let former = former.iter().map(|FormerKey { name, instead }| {
        format!("{name} has no effect any more: {instead}; remove it from the configuration")
    });
    let exposed = secondaries
        .iter()
        .filter(|secondary| secondary.address.is_exposed())
        .map(|secondary| {
            format!(
                "secondary {} at {} is connected to without encryption; use wss:// or https:// \
                 unless the network is trusted",
                secondary.name,
                secondary.address.as_str()
            )
        });
    let mut warnings: Vec<String> = former.chain(exposed).collect();
    if !settings.sync_enabled && !settings.merge_reads {
        warnings.push(
            "sync_enabled and merge_reads are both false: the module does nothing".to_owned(),
        );
    }
    warnings
}
