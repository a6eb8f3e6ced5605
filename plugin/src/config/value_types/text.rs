//! Values that are strings: text, names, secrets, directories, addresses.

use super::{ValueType, invalid};
use plugin_api::value::Value;
use secrecy::SecretString;
use std::path::PathBuf;
use surreal_storage::target::{Address, Target};

/// A string that is not empty.
pub(in crate::config) struct Text;

impl ValueType for Text {
    type Out = String;

    fn parse(&self, value: &Value) -> Result<String, String> {
        match value.as_str() {
            Some(text) if text.trim().is_empty() => Err("it is empty".to_owned()),
            Some(text) => Ok(text.to_owned()),
            None => Err(invalid(value, "not a string (put it in quotes)")),
        }
    }

    fn accepts(&self) -> String {
        "a string".to_owned()
    }
}

/// A name, as status, logs and metrics show it.
pub(in crate::config) struct Name;

impl ValueType for Name {
    type Out = String;

    fn parse(&self, value: &Value) -> Result<String, String> {
        let good = |text: &&str| {
            (1..=64).contains(&text.len())
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        };
        match value.as_str().filter(good) {
            Some(text) => Ok(text.to_owned()),
            None => Err(invalid(value, "not a valid name")),
        }
    }

    fn accepts(&self) -> String {
        "up to 64 letters, digits, `_`, `-` and `.`".to_owned()
    }
}

/// A password. No error shows its value.
pub(in crate::config) struct Secret;

impl ValueType for Secret {
    type Out = SecretString;

    fn parse(&self, value: &Value) -> Result<SecretString, String> {
        match value.as_str() {
            Some(text) => Ok(text.into()),
            None => Err("the value (not shown) is not a string; put it in quotes".to_owned()),
        }
    }

    fn accepts(&self) -> String {
        "a string, best given as ${NAME} from the environment".to_owned()
    }
}

/// A directory.
pub(in crate::config) struct Directory;

impl ValueType for Directory {
    type Out = PathBuf;

    fn parse(&self, value: &Value) -> Result<PathBuf, String> {
        path(value)
    }

    fn accepts(&self) -> String {
        "a path, absolute or relative to the host's data directory".to_owned()
    }
}

/// A file that the module reads.
pub(in crate::config) struct File;

impl ValueType for File {
    type Out = PathBuf;

    fn parse(&self, value: &Value) -> Result<PathBuf, String> {
        let path = path(value)?;
        match path.is_absolute() {
            true => Ok(path),
            false => Err(invalid(value, "relative")),
        }
    }

    fn accepts(&self) -> String {
        "an absolute path".to_owned()
    }
}

fn path(value: &Value) -> Result<PathBuf, String> {
    let text = Text.parse(value)?;
    if text.starts_with('~') {
        return Err(invalid(
            value,
            "not expanded by the module; write ${HOME}/…",
        ));
    }
    if text.contains('\0') {
        return Err(invalid(value, "not a path"));
    }
    Ok(text.into())
}

/// A server's address, normalised. It holds no user, password or query, so it
/// may be shown.
pub(in crate::config) struct ServerUrl;

impl ValueType for ServerUrl {
    type Out = Address;

    fn parse(&self, value: &Value) -> Result<Address, String> {
        let url = value.as_str().ok_or("it is not a string")?;
        // What is before an @ or after a ? may be secret, so it is not shown.
        if let Some((_, host)) = url.rsplit_once('@') {
            return Err(format!(
                "\"…@{host}\" contains a user or a password; set them under their own keys"
            ));
        }
        if let Some((bare, _)) = url.split_once(['?', '#']) {
            return Err(format!("\"{bare}…\" has a query or a fragment; remove it"));
        }
        let target = Target {
            url: url.to_owned(),
            credentials: None,
            ca_file: None,
            namespace: String::new(),
            database: String::new(),
        };
        match target.address() {
            Ok(address) if address.is_remote() => Ok(address),
            Ok(_) => Err(format!(
                "\"{url}\" is not the address of a server on the network"
            )),
            Err(error) => Err(error.message.into()),
        }
    }

    fn accepts(&self) -> String {
        "a URL such as ws://host:8000, wss://host/rpc, http://… or https://…".to_owned()
    }
}
