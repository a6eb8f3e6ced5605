#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod arbitrary_input;
mod block;
mod documented;
mod errors;
mod keys;
mod secondaries;

use super::{settings::SecondaryEntry, *};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

const HOST: HostContext<'_> = HostContext {
    namespace: "primary_ns",
    database: "primary_db",
    data_dir: "/var/lib/host",
};

fn variables(name: &str) -> Option<String> {
    match name {
        "PASSWORD" => Some("pa$${ss}".to_owned()),
        "WORKERS" => Some("7".to_owned()),
        "OFF" => Some("false".to_owned()),
        _ => None,
    }
}

fn read_value(block: &Value) -> Result<Option<Config>, ConfigErrors> {
    Config::read(block, HOST, &variables)
}

fn yaml(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap()
}

fn read(text: &str) -> Result<Config, String> {
    match read_value(&yaml(text)) {
        Ok(config) => Ok(config.expect("the block is enabled")),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads a block with an address and these keys.
fn with(key: &str) -> Result<Config, String> {
    read(&format!("{{secondary_url: 'ws://localhost:8000', {key}}}"))
}

fn settings(key: &str) -> Settings {
    with(key).unwrap().settings
}

/// Reading fails, and the error contains the key and all of `parts`.
fn assert_rejected(key: &str, parts: &[&str]) {
    let error = with(key).map(|_| ()).unwrap_err();
    let name = key.split(':').next().unwrap();
    for part in [name].iter().chain(parts) {
        assert!(error.contains(part), "{key}: {part:?} is not in {error:?}");
    }
}
