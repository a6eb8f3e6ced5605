//! The secondaries that the keys describe.

use super::{
    ConfigError, Surroundings,
    keys::{SecondaryEntry, Settings},
    kinds::Entry,
};
use std::collections::HashMap;
use surreal_storage::{Credentials, Target, target::Address};

/// What a secondary is called that is described by `secondary_url`.
const ONLY_ONE: &str = "secondary";

/// One secondary, with everything that is needed to open it.
#[derive(Clone, Debug)]
pub struct SecondaryConfig {
    /// What it is called in status, logs and metrics.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// User and password, if it asks for them.
    pub credentials: Option<Credentials>,
    /// Its namespace.
    pub namespace: String,
    /// Its database.
    pub database: String,
    /// Lower wins.
    pub priority: u32,
}

impl SecondaryConfig {
    /// What a connection is opened with.
    pub fn target(&self) -> Target {
        Target {
            url: self.address.as_str().to_owned(),
            credentials: self.credentials.clone(),
            namespace: self.namespace.clone(),
            database: self.database.clone(),
        }
    }
}

/// All secondaries, the one that wins first.
pub(super) fn resolve(
    settings: &Settings,
    surroundings: Surroundings<'_>,
) -> Result<Vec<SecondaryConfig>, ConfigError> {
    let mut secondaries = match (&settings.secondary_url, &settings.secondary_databases) {
        (Some(url), None) => vec![from_entry(
            "secondary_",
            SecondaryEntry {
                name: ONLY_ONE.to_owned(),
                url: url.clone(),
                username: settings.secondary_user.clone(),
                password: settings.secondary_pass.clone(),
                namespace: settings.secondary_namespace.clone(),
                database: settings.secondary_database.clone(),
                priority: 100,
            },
            surroundings,
        )?],
        (None, Some(entries)) => {
            if let Some(key) = lone_key(settings) {
                return Err(ConfigError::Together(format!(
                    "{key} belongs to secondary_url; with secondary_databases, write it in the entries"
                )));
            }
            let read = |(at, entry): (usize, &Entry)| {
                let place = format!("secondary_databases[{at}]");
                let entry = SecondaryEntry::read(&place, &entry.0)?;
                from_entry(&format!("{place}."), entry, surroundings)
            };
            entries
                .iter()
                .enumerate()
                .map(read)
                .collect::<Result<_, _>>()?
        }
        (Some(_), Some(_)) => {
            return Err(ConfigError::Together(
                "secondary_url and secondary_databases are both given; keep one of them".to_owned(),
            ));
        }
        (None, None) => {
            return Err(ConfigError::Together(
                "secondary_url is required: the address of the secondary, such as \
                 ws://secondary-db:8000 (or secondary_databases for several)"
                    .to_owned(),
            ));
        }
    };
    refuse_doubles(&secondaries)?;
    // Stable: equal priorities stay as listed.
    secondaries.sort_by_key(|secondary| secondary.priority);
    Ok(secondaries)
}

/// A key of the single form that is given without `secondary_url`.
fn lone_key(settings: &Settings) -> Option<&'static str> {
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
    place: &str,
    entry: SecondaryEntry,
    surroundings: Surroundings<'_>,
) -> Result<SecondaryConfig, ConfigError> {
    let credentials = match (entry.username, entry.password) {
        (Some(username), Some(password)) => Some(Credentials { username, password }),
        (None, None) => None,
        (user, _) => {
            let (given, missing) = match (place, user.is_some()) {
                ("secondary_", true) => ("user", "pass"),
                ("secondary_", false) => ("pass", "user"),
                (_, true) => ("username", "password"),
                (_, false) => ("password", "username"),
            };
            return Err(ConfigError::Together(format!(
                "{place}{given} is given without {place}{missing}; give both or neither"
            )));
        }
    };
    Ok(SecondaryConfig {
        name: entry.name,
        address: entry.url,
        credentials,
        namespace: entry
            .namespace
            .unwrap_or_else(|| surroundings.namespace.to_owned()),
        database: entry
            .database
            .unwrap_or_else(|| surroundings.database.to_owned()),
        priority: entry.priority,
    })
}

/// Two secondaries with one name could not be told apart, and one database
/// given twice would hold one position in the log for two.
fn refuse_doubles(secondaries: &[SecondaryConfig]) -> Result<(), ConfigError> {
    let mut names = HashMap::new();
    let mut places = HashMap::new();
    for (at, secondary) in secondaries.iter().enumerate() {
        if let Some(before) = names.insert(&secondary.name, at) {
            return Err(ConfigError::Together(format!(
                "secondary_databases[{before}].name and secondary_databases[{at}].name are both \
                 {:?}; give each its own name",
                secondary.name
            )));
        }
        let place = (
            secondary.address.as_str(),
            &secondary.namespace,
            &secondary.database,
        );
        if let Some(before) = places.insert(place, at) {
            return Err(ConfigError::Together(format!(
                "secondary_databases[{before}] and secondary_databases[{at}] are the same \
                 database; list it once"
            )));
        }
    }
    Ok(())
}
