//! The secondaries that the keys describe.

use super::{
    ConfigError, HostContext,
    settings::{SecondaryEntry, Settings},
    value_types::Entry,
};
use std::collections::HashMap;
use surreal_storage::{Credentials, Target, target::Address};

/// The name of the secondary that `secondary_url` describes.
const SINGLE_NAME: &str = "secondary";

/// One secondary, with everything needed to connect to it.
#[derive(Clone, Debug)]
pub struct SecondaryConfig {
    /// Its name in status, logs and metrics.
    pub name: String,
    /// Its address.
    pub address: Address,
    /// The user and password to sign in with, if any.
    pub credentials: Option<Credentials>,
    /// Its namespace.
    pub namespace: String,
    /// Its database.
    pub database: String,
    /// Its rank: the lowest number wins.
    pub priority: u32,
}

impl SecondaryConfig {
    /// The target to connect to.
    pub fn target(&self) -> Target {
        Target {
            url: self.address.as_str().to_owned(),
            credentials: self.credentials.clone(),
            namespace: self.namespace.clone(),
            database: self.database.clone(),
        }
    }
}

/// All secondaries by rank.
pub(super) fn resolve(
    settings: &Settings,
    host: HostContext<'_>,
) -> Result<Vec<SecondaryConfig>, ConfigError> {
    let mut secondaries = match (&settings.secondary_url, &settings.secondary_databases) {
        (Some(url), None) => vec![from_entry(
            "secondary_",
            SecondaryEntry {
                name: SINGLE_NAME.to_owned(),
                url: url.clone(),
                username: settings.secondary_user.clone(),
                password: settings.secondary_pass.clone(),
                namespace: settings.secondary_namespace.clone(),
                database: settings.secondary_database.clone(),
                priority: 100,
            },
            host,
        )?],
        (None, Some(entries)) => {
            if let Some(key) = single_form_key(settings) {
                return Err(ConfigError::Block(format!(
                    "{key} belongs to secondary_url; with secondary_databases, set it in the entries"
                )));
            }
            let read = |(at, entry): (usize, &Entry)| {
                let path = format!("secondary_databases[{at}]");
                let entry = SecondaryEntry::read(&path, &entry.0)?;
                from_entry(&format!("{path}."), entry, host)
            };
            entries
                .iter()
                .enumerate()
                .map(read)
                .collect::<Result<_, _>>()?
        }
        (Some(_), Some(_)) => {
            return Err(ConfigError::Block(
                "secondary_url and secondary_databases are both given; keep one of them".to_owned(),
            ));
        }
        (None, None) => {
            return Err(ConfigError::Block(
                "secondary_url is required: the address of the secondary, such as \
                 ws://secondary-db:8000 (or secondary_databases for several)"
                    .to_owned(),
            ));
        }
    };
    reject_duplicates(&secondaries)?;
    // Stable: equal priorities stay as listed.
    secondaries.sort_by_key(|secondary| secondary.priority);
    Ok(secondaries)
}

/// A key that belongs to `secondary_url` and is given without it.
fn single_form_key(settings: &Settings) -> Option<&'static str> {
    [
        ("secondary_user", settings.secondary_user.is_some()),
        ("secondary_pass", settings.secondary_pass.is_some()),
        (
            "secondary_namespace",
            settings.secondary_namespace.is_some(),
        ),
        ("secondary_database", settings.secondary_database.is_some()),
    ]
    .into_iter()
    .find_map(|(key, given)| given.then_some(key))
}

fn from_entry(
    prefix: &str,
    entry: SecondaryEntry,
    host: HostContext<'_>,
) -> Result<SecondaryConfig, ConfigError> {
    let credentials = match (entry.username, entry.password) {
        (Some(username), Some(password)) => Some(Credentials { username, password }),
        (None, None) => None,
        (user, _) => {
            let (given, missing) = match (prefix, user.is_some()) {
                ("secondary_", true) => ("user", "pass"),
                ("secondary_", false) => ("pass", "user"),
                (_, true) => ("username", "password"),
                (_, false) => ("password", "username"),
            };
            return Err(ConfigError::Block(format!(
                "{prefix}{given} is given without {prefix}{missing}; set both or neither"
            )));
        }
    };
    Ok(SecondaryConfig {
        name: entry.name,
        address: entry.url,
        credentials,
        namespace: entry.namespace.unwrap_or_else(|| host.namespace.to_owned()),
        database: entry.database.unwrap_or_else(|| host.database.to_owned()),
        priority: entry.priority,
    })
}

/// A name identifies a secondary's position in the log, and a database keeps
/// one position: neither may be used twice.
fn reject_duplicates(secondaries: &[SecondaryConfig]) -> Result<(), ConfigError> {
    let mut names = HashMap::new();
    let mut databases = HashMap::new();
    for (at, secondary) in secondaries.iter().enumerate() {
        if let Some(before) = names.insert(&secondary.name, at) {
            return Err(ConfigError::Block(format!(
                "secondary_databases[{before}].name and secondary_databases[{at}].name are both \
                 {:?}; give each its own name",
                secondary.name
            )));
        }
        let database = (
            secondary.address.as_str(),
            &secondary.namespace,
            &secondary.database,
        );
        if let Some(before) = databases.insert(database, at) {
            return Err(ConfigError::Block(format!(
                "secondary_databases[{before}] and secondary_databases[{at}] are the same \
                 database; list it once"
            )));
        }
    }
    Ok(())
}
