//! The host's YAML: where the primary is, where the modules are, which of them to
//! load.
//!
//! ```yaml
//! primary:
//!   url: surrealkv://data/primary   # or mem://, or ws://host:8000
//!   namespace: remembrances         # default
//!   database: main                  # default
//!   username: root                  # a server's user; none for a built-in primary
//!   password: ${PRIMARY_PASSWORD}
//!   ca_file: ca.pem               # the authority of a wss server, if it is its own
//! data_dir: data                    # where the modules keep their files
//! modules_dir: modules              # lib*.so or lib*.dylib
//! modules:                          # passed to each module unchanged
//!   commercial_db-sync-server:
//!     enabled: true
//!     config:
//!       secondary_url: ws://127.0.0.1:8000
//! ```
//!
//! Relative paths start at the directory of the file. `${NAME}` in the host's
//! own keys is taken from the environment; a module does that for its block.

use secrecy::SecretString;
use serde_yaml::Value as Yaml;
use std::path::{Path, PathBuf};
use surreal_storage::{Credentials, Target};

use crate::{
    modules::{Selection, selections},
    nearest::nearest,
};

/// What is wrong with the host's configuration, and how to fix it.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// The text is not YAML.
    #[error("is not valid YAML: {0}")]
    Syntax(#[from] serde_yaml::Error),
    /// An unknown key.
    #[error("{at}{key} is unknown{}", did_you_mean(.nearest))]
    UnknownKey {
        /// The keys that contain it, each followed by a dot.
        at: String,
        /// The key.
        key: String,
        /// The known key that is most similar.
        nearest: Option<String>,
    },
    /// A key whose value is invalid or missing.
    #[error("{key}: {reason}")]
    BadValue {
        /// The key, with those that contain it.
        key: String,
        /// What is wrong, and what it should be.
        reason: String,
    },
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default()
}

/// The host's configuration.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The host's own database.
    pub primary: Target,
    /// Where the modules keep their files.
    pub data_dir: PathBuf,
    /// Where the modules' libraries are.
    pub modules_dir: PathBuf,
    /// The modules named in the file, in its order.
    pub modules: Vec<Selection>,
}

const KEYS: &[&str] = &["primary", "data_dir", "modules_dir", "modules"];
const PRIMARY_KEYS: &[&str] = &[
    "url",
    "namespace",
    "database",
    "username",
    "password",
    "ca_file",
];

impl HostConfig {
    /// Reads a file.
    ///
    /// # Errors
    /// The key that is wrong, and how to fix it.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(ConfigError::Unreadable)?;
        let home = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, home)
    }

    /// Reads text; relative paths in it start at `home`.
    ///
    /// # Errors
    /// The key that is wrong, and how to fix it.
    pub fn parse(text: &str, home: &Path) -> Result<Self, ConfigError> {
        let mut yaml: Yaml = serde_yaml::from_str(text)?;
        yaml.apply_merge()?;
        let root = Section::new("", &yaml, KEYS)?;
        let primary = root
            .get("primary")
            .ok_or_else(|| bad("primary", "is required"))?;
        let primary = Section::new("primary.", primary, PRIMARY_KEYS)?;

        let credentials = match (primary.text("username")?, primary.text("password")?) {
            (None, None) => None,
            (Some(username), Some(password)) => Some(Credentials {
                username,
                password: SecretString::from(password),
            }),
            (None, Some(_)) => return Err(bad("primary.username", "is required with a password")),
            (Some(_), None) => return Err(bad("primary.password", "is required with a username")),
        };
        let url = primary.text("url")?.ok_or_else(|| {
            bad(
                "primary.url",
                "is required, such as surrealkv://data/primary",
            )
        })?;
        let directory = |key, default: &str| {
            root.text(key)
                .map(|path| home.join(path.as_deref().unwrap_or(default)))
        };
        Ok(Self {
            primary: Target {
                url: at_home(&url, home),
                credentials,
                ca_file: primary.text("ca_file")?.map(|file| home.join(file)),
                namespace: primary.text("namespace")?.unwrap_or("remembrances".into()),
                database: primary.text("database")?.unwrap_or("main".into()),
            },
            data_dir: directory("data_dir", "data")?,
            modules_dir: directory("modules_dir", "modules")?,
            modules: root.get("modules").map_or(Ok(Vec::new()), selections)?,
        })
    }
}

/// The path of a database on disk is relative to the file, too.
fn at_home(url: &str, home: &Path) -> String {
    match url.strip_prefix("surrealkv://") {
        Some(path) => format!("surrealkv://{}", home.join(path).display()),
        None => url.to_owned(),
    }
}

pub(crate) fn bad(key: impl Into<String>, reason: impl Into<String>) -> ConfigError {
    ConfigError::BadValue {
        key: key.into(),
        reason: reason.into(),
    }
}

/// A mapping whose keys are all known.
struct Section<'a> {
    at: &'static str,
    entries: &'a serde_yaml::Mapping,
}

impl<'a> Section<'a> {
    fn new(at: &'static str, yaml: &'a Yaml, known: &[&str]) -> Result<Self, ConfigError> {
        let Yaml::Mapping(entries) = yaml else {
            let name = if at.is_empty() {
                "the configuration"
            } else {
                at.trim_end_matches('.')
            };
            return Err(bad(name, "should be keys and values"));
        };
        for key in entries.keys() {
            let key = key.as_str().unwrap_or("a key that is not text");
            if !known.contains(&key) {
                return Err(ConfigError::UnknownKey {
                    at: at.to_owned(),
                    key: key.to_owned(),
                    nearest: nearest(key, known.iter().copied()).map(str::to_owned),
                });
            }
        }
        Ok(Self { at, entries })
    }

    fn get(&self, key: &str) -> Option<&'a Yaml> {
        self.entries.get(key).filter(|value| !value.is_null())
    }

    /// The text under `key`, its environment variables expanded.
    fn text(&self, key: &str) -> Result<Option<String>, ConfigError> {
        let name = format!("{}{key}", self.at);
        match self.get(key) {
            None => Ok(None),
            Some(Yaml::String(text)) => expand(text, environment)
                .map(Some)
                .map_err(|reason| bad(name, reason)),
            Some(_) => Err(bad(name, "should be text; put it in quotes")),
        }
    }
}

/// A variable of this process.
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Replaces each `${NAME}` by what `lookup` says.
pub(crate) fn expand(
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| "\"${\" has no closing \"}\"".to_owned())?;
        expanded.push_str(before);
        expanded.push_str(
            &lookup(name).ok_or_else(|| format!("the environment variable {name} is not set"))?,
        );
        rest = after;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn parse(text: &str) -> Result<HostConfig, String> {
        HostConfig::parse(text, Path::new("/etc/host")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_minimal_file_gets_the_defaults() {
        let config = parse("primary: {url: 'surrealkv://db'}").unwrap();
        assert_eq!(config.primary.url, "surrealkv:///etc/host/db");
        assert_eq!(config.primary.namespace, "remembrances");
        assert_eq!(config.primary.database, "main");
        assert_eq!(config.data_dir, Path::new("/etc/host/data"));
        assert_eq!(config.modules_dir, Path::new("/etc/host/modules"));
        assert!(config.modules.is_empty());
    }

    #[test]
    fn merge_keys_are_resolved() {
        let config = parse(
            "{primary: &there {url: 'mem://', database: d}, modules: {a: {config: {<<: *there}}}}",
        )
        .unwrap();
        assert_eq!(
            config.modules[0].settings.to_string(),
            r#"{"config": {"database": "d", "url": "mem://"}}"#
        );
        assert!(parse("{primary: {<<: 7, url: 'mem://'}}").is_err());
    }

    #[test]
    fn an_invalid_key_or_value_is_named() {
        for (text, complaint) in [
            ("", "the configuration: should be keys and values"),
            ("data_dir: x", "primary: is required"),
            ("primary: {}", "primary.url: is required"),
            ("primary: {url: 5}", "primary.url: should be text"),
            (
                "primary: {urll: x}",
                "primary.urll is unknown; did you mean url?",
            ),
            ("moduls: {}", "moduls is unknown; did you mean modules?"),
            ("zzz: {}", "zzz is unknown"),
            (
                "primary: {url: 'mem://', username: x}",
                "primary.password: is required",
            ),
            (
                "primary: {url: '${NO_SUCH_NAME_HERE}'}",
                "the environment variable NO_SUCH_NAME_HERE is not set",
            ),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(complaint), "{text}: {error}");
        }
    }

    #[test]
    fn environment_variables_are_expanded() {
        let lookup = |name: &str| (name == "USER_NAME").then(|| "ada".to_owned());
        assert_eq!(expand("a-${USER_NAME}-b", lookup), Ok("a-ada-b".to_owned()));
        assert_eq!(expand("$5 {x}", lookup), Ok("$5 {x}".to_owned()));
        assert!(expand("${OTHER}", lookup).unwrap_err().contains("OTHER"));
        assert!(expand("${USER_NAME", lookup).is_err());
    }
}
