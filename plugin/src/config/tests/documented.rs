//! The configurations that the former module documented.

use super::*;
use crate::module::ID;

macro_rules! variant {
    ($name:literal) => {
        ($name, include_str!(concat!("documented/", $name, ".yaml")))
    };
}

/// Every one, as its own file in `documented/`.
const VARIANTS: [(&str, &str); 8] = [
    variant!("one_secondary_in_the_map_form"),
    variant!("one_secondary_in_the_list_form"),
    variant!("several_secondaries"),
    variant!("several_secondaries_in_the_map_form"),
    variant!("only_an_address_and_a_user"),
    variant!("only_one_listed_secondary"),
    variant!("regions_of_equal_priority"),
    variant!("disabled_replication"),
];

/// The module's block in a host's YAML, in either form of `modules`.
fn block(host: &Value) -> Value {
    let modules = host.as_object().unwrap().get("modules").unwrap();
    match modules {
        Value::Object(map) => map.get(ID).unwrap().clone(),
        list => {
            let is_ours =
                |entry: &&Value| entry.as_object().unwrap().get("id").unwrap().as_str() == Some(ID);
            list.as_array()
                .unwrap()
                .iter()
                .find(is_ours)
                .unwrap()
                .clone()
        }
    }
}

fn load(text: &str) -> Config {
    read_value(&block(&yaml(text))).unwrap().unwrap()
}

#[test]
fn every_configuration_that_the_former_module_documented_loads() {
    let mut warnings = Vec::new();
    for (name, text) in VARIANTS {
        let config = load(text);
        assert!(!config.secondaries.is_empty(), "{name}");
        for warning in config.warnings {
            warnings.push(format!("{name}: {warning}"));
        }
    }
    let warned = |name: &str, about: &str| {
        let start = format!("{name}: {about} has no effect any more: ");
        assert!(
            warnings.iter().any(|line| line.starts_with(&start)),
            "{start}: {warnings:#?}"
        );
    };
    warned("one_secondary_in_the_list_form", "queue_size");
    warned("one_secondary_in_the_list_form", "sync_interval");
    warned("several_secondaries", "queue_size");
    let former = warnings
        .iter()
        .filter(|line| line.contains("has no effect any more"));
    assert_eq!(former.count(), 4, "{warnings:#?}");
}

#[test]
fn every_key_that_the_former_module_documented_is_in_one_of_them() {
    let all: String = VARIANTS.iter().map(|(_, text)| *text).collect();
    let aliases = Settings::KEYS.iter().flat_map(|key| key.aliases);
    for key in aliases.chain(FORMER_KEYS.iter().map(|key| &key.name)) {
        assert!(all.contains(&format!("{key}: ")), "{key}");
    }
}

#[test]
fn whole_numbers_are_seconds_where_they_were_and_no_tables_means_all() {
    let (_, text) = VARIANTS[1];
    let Config { settings, .. } = load(text);
    assert_eq!(settings.health_check_interval, 5 * SECOND);
    assert_eq!(settings.reconnect_backoff, SECOND);
    assert_eq!(settings.tables, TableSelection::default());
    assert_eq!((settings.sync_batch_size, settings.sync_workers), (10, 2));
}

#[test]
fn the_values_of_several_secondaries_are_kept() {
    let (_, text) = VARIANTS[2];
    let Config {
        settings,
        secondaries,
        ..
    } = load(text);
    let ranks: Vec<_> = secondaries
        .iter()
        .map(|one| (&*one.name, one.priority))
        .collect();
    assert_eq!(ranks, [("replica-1", 1), ("replica-2", 2)]);
    assert_eq!(secondaries[0].namespace, "production");
    assert_eq!(settings.connect_timeout, 10 * SECOND);
    assert_eq!(settings.reconnect_backoff, 60 * SECOND);
    assert_eq!(settings.sync_batch_timeout, SECOND);
    assert_eq!((settings.sync_max_retries, settings.sync_workers), (5, 8));
}
