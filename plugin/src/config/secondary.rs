//! The secondaries that the keys describe.

use super::{
    ConfigError, ConfigErrors, HostContext,
    key::Key,
    settings::{SecondaryEntry, Settings},
    value_types,
};
use plugin_api::{
    error::{StorageError, StorageResult},
    value::Object,
};
use secrecy::SecretString;
use std::{collections::HashMap, path::PathBuf};
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
    /// Who signs in, if anybody does.
    pub user: Option<User>,
    /// Certificates of authorities, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Its namespace.
    pub namespace: String,
    /// Its database.
    pub database: String,
    /// Its rank: the lowest number wins.
    pub priority: u32,
}

/// A user of a secondary.
#[derive(Clone, Debug)]
pub struct User {
    /// The user's name.
    pub name: String,
    /// The user's password.
    pub password: Password,
}

/// Where a password is.
#[derive(Clone, Debug)]
pub enum Password {
    /// In the configuration.
    Given(SecretString),
    /// In this file, which may change while the module runs.
    File(PathBuf),
}

impl Password {
    /// The password as it is now. A line break at the end of a file is not part of
    /// it.
    ///
    /// # Errors
    /// `InvalidInput` for a file that cannot be read, or is empty.
    pub fn read(&self) -> StorageResult<SecretString> {
        let file = match self {
            Self::Given(password) => return Ok(password.clone()),
            Self::File(file) => file,
        };
        let invalid = |reason: &str| {
            let file = file.display();
            StorageError::invalid_input(format!("the password file {file}: {reason}"))
        };
        let text = std::fs::read_to_string(file).map_err(|error| invalid(&error.to_string()))?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(invalid("it is empty")),
            password => Ok(password.into()),
        }
    }
}

impl SecondaryConfig {
    /// The target to connect to, with the password as it is now.
    ///
    /// # Errors
    /// Those of [`Password::read`].
    pub fn target(&self) -> StorageResult<Target> {
        let credentials = self.user.as_ref().map(|user| {
            Ok::<_, StorageError>(Credentials {
                username: user.name.clone(),
                password: user.password.read()?,
            })
        });
        Ok(Target {
            url: self.address.as_str().to_owned(),
            credentials: credentials.transpose()?,
            ca_file: self.ca_file.clone(),
            namespace: self.namespace.clone(),
            database: self.database.clone(),
        })
    }
}

/// All secondaries by rank, as far as they have no errors. `given` is the block
/// as it was written: a key with an error counts as given.
pub(super) fn resolve(
    settings: &Settings,
    given: &Object,
    host: HostContext<'_>,
    errors: &mut ConfigErrors,
) -> Vec<SecondaryConfig> {
    let is_given = |name: &str| {
        let key = Settings::KEYS.iter().find(|key| key.name == name);
        let mut names = key.into_iter().flat_map(Key::names);
        names.any(|name| given.get(name).is_some_and(|value| !value.is_nullish()))
    };
    let mut secondaries = match (is_given("secondary_url"), is_given("secondary_databases")) {
        (true, false) => single(settings, host, errors).into_iter().collect(),
        (false, true) => {
            if let Some(key) = SINGLE_FORM_KEYS.into_iter().find(|key| is_given(key)) {
                errors.push(ConfigError::Block(format!(
                    "{key} belongs to secondary_url; with secondary_databases, set it in the entries"
                )));
            }
            listed(settings, host, errors)
        }
        (true, true) => {
            errors.push(ConfigError::Block(
                "secondary_url and secondary_databases are both given; keep one of them".to_owned(),
            ));
            listed(settings, host, errors)
        }
        (false, false) => {
            errors.push(ConfigError::Block(
                "secondary_url is required: the address of the secondary, such as \
                 ws://secondary-db:8000 (or secondary_databases for several)"
                    .to_owned(),
            ));
            Vec::new()
        }
    };
    reject_duplicates(&secondaries, errors);
    // Stable: equal priorities stay as listed.
    secondaries.sort_by_key(|(_, secondary)| secondary.priority);
    secondaries
        .into_iter()
        .map(|(_, secondary)| secondary)
        .collect()
}

/// The keys that belong to `secondary_url`.
const SINGLE_FORM_KEYS: [&str; 6] = [
    "secondary_user",
    "secondary_pass",
    "secondary_pass_file",
    "secondary_ca_file",
    "secondary_namespace",
    "secondary_database",
];

/// A secondary, and the name in the block of its entry.
type Entry = (String, SecondaryConfig);

/// The secondary that `secondary_url` describes.
fn single(settings: &Settings, host: HostContext<'_>, errors: &mut ConfigErrors) -> Option<Entry> {
    let entry = SecondaryEntry {
        name: SINGLE_NAME.to_owned(),
        url: settings.secondary_url.clone()?,
        username: settings.secondary_user.clone(),
        password: settings.secondary_pass.clone(),
        password_file: settings.secondary_pass_file.clone(),
        ca_file: settings.secondary_ca_file.clone(),
        namespace: settings.secondary_namespace.clone(),
        database: settings.secondary_database.clone(),
        priority: 100,
    };
    let names = CredentialKeys {
        user: &["secondary_user", "secondary_username"],
        pass: &["secondary_pass", "secondary_password"],
        file: "secondary_pass_file",
    };
    let secondary = from_entry("", names, entry, host, errors);
    Some(("secondary_url".to_owned(), secondary))
}

/// The secondaries of `secondary_databases`.
fn listed(settings: &Settings, host: HostContext<'_>, errors: &mut ConfigErrors) -> Vec<Entry> {
    let names = CredentialKeys {
        user: &["username", "user"],
        pass: &["password", "pass"],
        file: "password_file",
    };
    let entries = settings.secondary_databases.iter().flatten().enumerate();
    let read = |(at, entry): (usize, &value_types::Entry)| {
        let path = format!("secondary_databases[{at}]");
        let entry = SecondaryEntry::read(&path, &entry.0, errors)?;
        let secondary = from_entry(&format!("{path}."), names, entry, host, errors);
        Some((path, secondary))
    };
    entries.filter_map(read).collect()
}

/// The names of the keys for user and password, the usual one first.
#[derive(Clone, Copy)]
struct CredentialKeys {
    user: &'static [&'static str],
    pass: &'static [&'static str],
    file: &'static str,
}

fn from_entry(
    prefix: &str,
    names: CredentialKeys,
    entry: SecondaryEntry,
    host: HostContext<'_>,
    errors: &mut ConfigErrors,
) -> SecondaryConfig {
    let mut incomplete = |given: &str, missing: &[&str]| {
        // One that was given with an error is not missing.
        let has_error = |name: &&str| errors.is_about(&format!("{prefix}{name}"));
        if !missing.iter().any(has_error) {
            errors.push(ConfigError::Block(format!(
                "{prefix}{given} is given without {prefix}{}; set both or neither",
                missing[0]
            )));
        }
    };
    let (pass, file) = (names.pass[0], names.file);
    let user = match (entry.username, entry.password, entry.password_file) {
        (_, Some(_), Some(_)) => {
            errors.push(ConfigError::Block(format!(
                "{prefix}{pass} and {prefix}{file} are both given; keep one of them"
            )));
            None
        }
        (Some(name), Some(password), None) => Some(User {
            name,
            password: Password::Given(password),
        }),
        (Some(name), None, Some(file)) => Some(User {
            name,
            password: Password::File(file),
        }),
        (None, None, None) => None,
        (Some(_), None, None) => {
            incomplete(names.user[0], &[names.pass, &[file]].concat());
            None
        }
        (None, Some(_), None) => {
            incomplete(pass, names.user);
            None
        }
        (None, None, Some(_)) => {
            incomplete(file, names.user);
            None
        }
    };
    SecondaryConfig {
        name: entry.name,
        address: entry.url,
        user,
        ca_file: entry.ca_file,
        namespace: entry.namespace.unwrap_or_else(|| host.namespace.to_owned()),
        database: entry.database.unwrap_or_else(|| host.database.to_owned()),
        priority: entry.priority,
    }
}

/// A name identifies a secondary's position in the log, and a database keeps
/// one position: neither may be used twice.
fn reject_duplicates(secondaries: &[Entry], errors: &mut ConfigErrors) {
    let mut names = HashMap::new();
    let mut databases = HashMap::new();
    for (entry, secondary) in secondaries {
        if let Some(before) = names.insert(&secondary.name, entry) {
            errors.push(ConfigError::Block(format!(
                "{before}.name and {entry}.name are both {:?}; give each its own name",
                secondary.name
            )));
        }
        let database = (
            secondary.address.as_str(),
            &secondary.namespace,
            &secondary.database,
        );
        if let Some(before) = databases.insert(database, entry) {
            errors.push(ConfigError::Block(format!(
                "{before} and {entry} are the same database; list it once"
            )));
        }
    }
}
