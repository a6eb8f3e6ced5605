//! The sample configuration: every key with its meaning, those with a default
//! commented out.

use super::check;
use crate::{
    config::{
        Config, HostContext, Key,
        settings::{SecondaryEntry, Settings},
    },
    module::ID,
};
use plugin_api::value::Value;
use std::fmt::Write as _;

const HEADER: &str = "\
# The module's block in the host's configuration, with every key that it knows. What
# is commented out shows the default, or an example where there is none.
# docs/configuration.md describes the keys as well, with their other names.
modules:
";

/// The width of the comments.
const WIDTH: usize = 84;

/// The examples of keys without a default, and whether the sample sets them.
const EXAMPLES: [(&str, bool, &str); 15] = [
    ("secondary_url", true, "\"wss://secondary-db.example:8000\""),
    ("secondary_user", true, "\"${SECONDARY_USER}\""),
    ("secondary_pass", true, "\"${SECONDARY_PASS}\""),
    (
        "secondary_pass_file",
        false,
        "\"/run/secrets/secondary_pass\"",
    ),
    ("secondary_ca_file", false, "\"/etc/ssl/own-ca.pem\""),
    ("secondary_namespace", false, "\"remembrances\""),
    ("secondary_database", false, "\"main\""),
    ("secondary_databases", false, ""),
    // Of its entries.
    ("name", false, "\"office\""),
    ("url", false, "\"wss://office.example:8000\""),
    ("username", false, "\"${OFFICE_USER}\""),
    ("password_file", false, "\"/run/secrets/office_pass\""),
    ("ca_file", false, "\"/etc/ssl/own-ca.pem\""),
    ("namespace", false, "\"remembrances\""),
    ("database", false, "\"main\""),
];

/// The whole file.
fn sample() -> String {
    let mut text = HEADER.to_owned();
    let (enabled, rest) = Settings::KEYS.split_first().unwrap();
    assert_eq!(enabled.name, "enabled");
    writeln!(text, "  {ID}:").unwrap();
    comment(&mut text, 4, enabled);
    writeln!(text, "    enabled: true\n    config:").unwrap();
    for (at, key) in rest.iter().enumerate() {
        if at > 0 {
            text.push('\n');
        }
        comment(&mut text, 6, key);
        let (is_set, value) = value(key);
        let line = format!("{}: {value}", key.name);
        let mark = if is_set { "" } else { "# " };
        writeln!(text, "      {mark}{}", line.trim_end()).unwrap();
        if key.name == "secondary_databases" {
            entry(&mut text);
        }
    }
    text
}

/// One entry of `secondary_databases`, commented out, with a comment for each key.
fn entry(text: &mut String) {
    let mut mark = "- ";
    for key in SecondaryEntry::KEYS {
        // Given in a file here.
        if key.name == "password" {
            continue;
        }
        for line in wrap(&meaning(key), WIDTH - 14) {
            writeln!(text, "      #     # {line}").unwrap();
        }
        writeln!(text, "      #   {mark}{}: {}", key.name, value(key).1).unwrap();
        mark = "  ";
    }
}

fn meaning(key: &Key) -> String {
    let (description, accepts) = (key.description.trim(), (key.accepts)());
    match key.name {
        // What follows shows it.
        "secondary_databases" => description.to_owned(),
        _ if accepts == "a string" => description.to_owned(),
        _ => format!("{description} Accepted: {accepts}."),
    }
    .replace('`', "")
}

fn comment(text: &mut String, indent: usize, key: &Key) {
    for line in wrap(&meaning(key), WIDTH - indent - 2) {
        writeln!(text, "{:indent$}# {line}", "").unwrap();
    }
}

/// The value that is shown for a key, and whether the sample sets it.
fn value(key: &Key) -> (bool, &'static str) {
    if let Some(default) = key.default {
        return (false, default);
    }
    let example = EXAMPLES.iter().find(|(name, ..)| *name == key.name);
    let (_, is_set, value) = example.unwrap_or_else(|| {
        panic!(
            "{} has neither a default nor an example in {}",
            key.name,
            file!()
        )
    });
    (*is_set, value)
}

/// The lines of a text, at spaces.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Reads a host's YAML as the module does.
fn read(text: &str) -> Config {
    let yaml: Value = serde_yaml::from_str(text).unwrap();
    let block = yaml
        .as_object()
        .and_then(|host| host.get("modules")?.as_object()?.get(ID))
        .expect("the sample has the module's block");
    let host = HostContext {
        namespace: "primary_ns",
        database: "primary_db",
        data_dir: "/var/lib/host",
    };
    let set = |name: &str| Some(name.to_lowercase());
    Config::read(block, host, &set).unwrap().unwrap()
}

#[test]
fn the_sample_configuration_is_generated_from_the_keys() {
    check("config.sample.yaml", &sample());
}

#[test]
fn the_sample_configuration_is_valid_and_what_it_comments_out_is_the_default() {
    let text = sample();
    let config = read(&text);
    assert_eq!(config.secondaries.len(), 1);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);

    let mut all = text;
    for key in Settings::KEYS {
        let Some(default) = key.default else { continue };
        if key.name == "enabled" {
            continue;
        }
        let line = format!("      # {}: {default}\n", key.name);
        assert_eq!(all.matches(&line).count(), 1, "{line}");
        all = all.replace(&line, &line.replace("# ", ""));
    }
    assert_eq!(
        format!("{:?}", read(&all).settings),
        format!("{:?}", config.settings)
    );
}

#[test]
fn the_list_of_secondaries_in_the_sample_is_valid() {
    let text = sample();
    let is_of_the_list = |line: &&str| {
        let inner = line.trim_start().strip_prefix("# ");
        inner.is_some_and(|line| line.starts_with("secondary_databases:") || line.starts_with("  "))
    };
    let list = text.lines().filter(is_of_the_list);
    let list: Vec<String> = list.map(|line| line.replacen("# ", "", 1)).collect();
    assert!(list.len() > SecondaryEntry::KEYS.len(), "{list:#?}");
    let config = read(&format!(
        "modules:\n  {ID}:\n    config:\n{}\n",
        list.join("\n")
    ));
    assert_eq!(config.secondaries[0].name, "office");
    assert!(config.secondaries[0].user.is_some());
}
