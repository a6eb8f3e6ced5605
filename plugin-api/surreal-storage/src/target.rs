//! The address of a database and how to sign in: [`Target`], [`Credentials`], [`Timeouts`].

use plugin_api::error::{StorageError, StorageResult};
use secrecy::SecretString;
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use url::{Host, Url};

/// A database: its address, who signs in, and which namespace and database.
#[derive(Clone, Debug)]
pub struct Target {
    /// `ws`, `wss`, `http` or `https`, with or without `/rpc`, behind a path
    /// prefix too; with the feature `embedded` also `mem://` and
    /// `surrealkv://PATH`.
    pub url: String,
    /// None for a database that requires none, such as an embedded one.
    pub credentials: Option<Credentials>,
    /// A file with the certificates, in PEM, of authorities that the
    /// certificate of a `wss` server may be of, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The namespace; created if it is missing and the user has the right to.
    pub namespace: String,
    /// The database; created if it is missing and the user has the right to.
    pub database: String,
}

/// A user of the database: of the root, of the namespace or of the database.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// The user's password. Debug output does not show it.
    pub password: SecretString,
}

/// How long to wait for the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect and to sign in.
    pub connect: Duration,
    /// To answer one call, unless the call's own deadline is sooner.
    pub operation: Duration,
}

impl Default for Timeouts {
    /// 10 seconds to connect, 30 to answer.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            operation: Duration::from_secs(30),
        }
    }
}

/// An address that the SDK understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    text: String,
    kind: AddressKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum AddressKind {
    Memory,
    Disk(PathBuf),
    Remote { encrypted: bool, loopback: bool },
}

impl Target {
    /// The address in the SDK's form: `ws` or `wss`, without `/rpc` (the SDK
    /// adds it) and with a slash at the end (or the SDK would put `rpc` in the
    /// place of the last part of a path prefix).
    ///
    /// # Errors
    /// `InvalidInput` that says what is wrong and shows a valid address.
    pub fn address(&self) -> StorageResult<Address> {
        let text = self.url.trim();
        match text.split_once("://").map(|(scheme, _)| scheme) {
            Some("mem" | "surrealkv") => embedded(text),
            _ => remote(text),
        }
    }
}

impl Address {
    /// The address as the SDK takes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The directory of an embedded database that is kept on disk.
    pub fn directory(&self) -> Option<&Path> {
        match &self.kind {
            AddressKind::Disk(directory) => Some(directory),
            _ => None,
        }
    }

    /// Is the database on another machine, or at least in another process?
    pub fn is_remote(&self) -> bool {
        matches!(self.kind, AddressKind::Remote { .. })
    }

    /// Is the connection encrypted (`wss`, `https`)?
    pub fn is_encrypted(&self) -> bool {
        matches!(
            self.kind,
            AddressKind::Remote {
                encrypted: true,
                ..
            }
        )
    }

    /// Would passwords and data travel to another machine unencrypted?
    pub fn is_exposed(&self) -> bool {
        matches!(
            self.kind,
            AddressKind::Remote {
                encrypted: false,
                loopback: false
            }
        )
    }
}

fn invalid(url: &str, reason: &str) -> StorageError {
    StorageError::invalid_input(format!(
        "\"{url}\" is not a database address: {reason}; accepted are {ACCEPTED}"
    ))
}

/// The addresses that this build accepts.
const ACCEPTED: &str = if cfg!(feature = "embedded") {
    "ws://, wss://, http:// and https:// with a server (ws://localhost:8000), surrealkv:// with a \
     directory (surrealkv:///var/lib/memories), and mem://"
} else {
    "ws://, wss://, http:// and https:// with a server, such as ws://localhost:8000"
};

fn embedded(text: &str) -> StorageResult<Address> {
    if !cfg!(feature = "embedded") {
        return Err(invalid(text, "this build has no embedded database"));
    }
    if text == "surrealkv://" {
        return Err(invalid(text, "the path after surrealkv:// is missing"));
    }
    let kind = match text.strip_prefix("surrealkv://") {
        Some(path) => AddressKind::Disk(path.split('?').next().unwrap_or(path).into()),
        None => AddressKind::Memory,
    };
    Ok(Address {
        text: text.to_owned(),
        kind,
    })
}

fn remote(text: &str) -> StorageResult<Address> {
    // An address may contain a password, although it should not: never show it.
    let shown = match Url::parse(text) {
        Ok(mut url) if !url.username().is_empty() || url.password().is_some() => {
            let (_, _) = (url.set_username(""), url.set_password(None));
            return Err(invalid(
                url.as_str(),
                "a user or password in it would be logged; set username and password instead",
            ));
        }
        Ok(_) => text,
        Err(_) => text.rsplit_once('@').map_or(text, |(_, host)| host),
    };
    let scheme = match text
        .split_once("://")
        .map(|(scheme, _)| scheme.to_ascii_lowercase())
    {
        Some(scheme) if scheme == "ws" || scheme == "http" => "ws",
        Some(scheme) if scheme == "wss" || scheme == "https" => "wss",
        Some(scheme) => {
            let reason = match &*scheme {
                "rocksdb" | "file" | "speedb" => format!(
                    "{scheme}:// is an engine that this build does not have; export the database \
                     with the program that wrote it, and import it into one of those accepted"
                ),
                _ => format!("\"{scheme}\" is none of ws, wss, http and https"),
            };
            return Err(invalid(shown, &reason));
        }
        None => {
            let reason =
                "it has no scheme such as ws://; for a directory, put surrealkv:// before it";
            let reason = if cfg!(feature = "embedded") && !shown.is_empty() {
                reason
            } else {
                "it has no scheme such as ws://"
            };
            return Err(invalid(shown, reason));
        }
    };
    let after = text.split_once("://").map_or("", |(_, after)| after);
    let mut url = Url::parse(&format!("{scheme}://{after}"))
        .map_err(|error| invalid(shown, &error.to_string()))?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err(invalid(shown, "nothing may follow the path"));
    }
    let path = url.path().trim_end_matches('/');
    let prefix = path
        .strip_suffix("/rpc")
        .unwrap_or(path)
        .trim_end_matches('/');
    let path = format!("{prefix}/");
    url.set_path(&path);
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err(invalid(shown, "it names no host")),
    };
    Ok(Address {
        kind: AddressKind::Remote {
            encrypted: scheme == "wss",
            loopback,
        },
        text: url.into(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn address(url: &str) -> StorageResult<Address> {
        Target {
            url: url.to_owned(),
            credentials: None,
            ca_file: None,
            namespace: "n".to_owned(),
            database: "d".to_owned(),
        }
        .address()
    }

    #[test]
    fn remote_addresses_are_normalised() {
        for (url, expected) in [
            ("ws://localhost:8000", "ws://localhost:8000/"),
            ("ws://localhost:8000/", "ws://localhost:8000/"),
            ("ws://secondary-db:8000/rpc", "ws://secondary-db:8000/"),
            ("ws://localhost:8000/rpc/", "ws://localhost:8000/"),
            ("http://localhost:8000", "ws://localhost:8000/"),
            ("HTTP://localhost:8000/rpc", "ws://localhost:8000/"),
            ("https://db.example.com", "wss://db.example.com/"),
            ("wss://db.example.com:443", "wss://db.example.com/"),
            (
                "wss://db.example.com/surreal",
                "wss://db.example.com/surreal/",
            ),
            ("wss://db.example.com/a/b/rpc", "wss://db.example.com/a/b/"),
            ("ws://db.example.com/xrpc", "ws://db.example.com/xrpc/"),
            ("ws://[::1]:8000/rpc", "ws://[::1]:8000/"),
            ("  ws://localhost:8000 ", "ws://localhost:8000/"),
        ] {
            let address = address(url).unwrap();
            assert_eq!(address.as_str(), expected, "{url}");
            assert!(address.is_remote());
            // The address that the SDK derives from it.
            let called = Url::parse(expected).unwrap().join("rpc").unwrap();
            assert!(called.path().ends_with("/rpc"), "{called}");
        }
    }

    #[test]
    fn unencrypted_remote_addresses_are_recognised() {
        for (url, exposed) in [
            ("ws://localhost:8000", false),
            ("http://127.0.0.1:8000", false),
            ("ws://[::1]:8000", false),
            ("wss://db.example.com", false),
            ("ws://db.example.com", true),
            ("http://10.0.0.7:8000/rpc", true),
        ] {
            assert_eq!(address(url).unwrap().is_exposed(), exposed, "{url}");
        }
    }

    #[test]
    fn an_invalid_address_says_what_is_wrong() {
        for (url, reason) in [
            ("", "no scheme"),
            ("localhost:8000", "no scheme"),
            ("ftp://host", "\"ftp\" is none of"),
            ("/var/lib/memories.db", "accepted are ws://"),
            ("./memories", "no scheme"),
            ("rocksdb:///var/lib/memories", "rocksdb:// is an engine"),
            ("file:///var/lib/memories", "file:// is an engine"),
            ("ws://", "empty host"),
            ("ws://host:99999", "invalid port"),
            ("ws://host/rpc?token=1", "nothing may follow"),
            ("surrealkv://", "surrealkv://"),
        ] {
            let error = address(url).unwrap_err();
            assert_eq!(error.kind, plugin_api::error::ErrorKind::INVALID_INPUT);
            let known = error.message.contains(reason)
                || (!cfg!(feature = "embedded") && error.message.contains("no embedded database"));
            assert!(known, "{url}: {error}");
        }
    }

    #[test]
    fn a_password_in_the_address_is_rejected_and_not_shown() {
        for url in [
            "ws://root:hunter2@host:8000/rpc",
            "ws://root:hunter2@host:99999",
        ] {
            let error = address(url).unwrap_err();
            assert!(!error.message.contains("hunter2"), "{error}");
        }
    }
}
