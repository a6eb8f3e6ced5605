#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{
    keys::{SecondaryEntry, Settings},
    *,
};
use proptest::prelude::*;
use secrecy::ExposeSecret;
use std::{collections::BTreeSet, path::PathBuf, time::Duration};

const SURROUNDINGS: Surroundings<'_> = Surroundings {
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

fn read_value(block: &Value) -> Result<Option<Config>, ConfigError> {
    Config::read(block, SURROUNDINGS, &variables)
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

/// Reads one more key beside an address.
fn with(key: &str) -> Result<Config, String> {
    read(&format!("{{secondary_url: 'ws://localhost:8000', {key}}}"))
}

fn settings(key: &str) -> Settings {
    with(key).unwrap().settings
}

/// The error names the key, and says everything in `parts`.
fn refuses(key: &str, parts: &[&str]) {
    let error = with(key).map(|_| ()).unwrap_err();
    let name = key.split(':').next().unwrap();
    for part in [name].iter().chain(parts) {
        assert!(error.contains(part), "{key}: {part:?} is not in {error:?}");
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// For each key: its default, a good value under each name, bad values.
macro_rules! key_tests {
    ($($key:ident = $default:expr; $($good:literal => $value:expr),+; $($bad:literal => $says:literal),+;)*) => {
        $(
            #[test]
            fn $key() {
                assert_eq!(settings("").$key, $default, "the default");
                let key = Settings::KEYS
                    .iter()
                    .find(|key| key.name == stringify!($key))
                    .unwrap();
                for name in std::iter::once(&key.name).chain(key.other_names) {
                    $(assert_eq!(settings(&format!("{name}: {}", $good)).$key, $value);)+
                }
                $(refuses(&format!("{}: {}", stringify!($key), $bad), &[$says, "accepted: "]);)+
            }
        )*

        /// Keys with a test of their own, made by this macro.
        const TESTED: &[&str] = &[$(stringify!($key)),*];
    };
}

key_tests! {
    sync_enabled = true; "false" => false, "'true'" => true, "'${OFF}'" => false; "maybe" => "\"maybe\"", "1" => "1 is neither";
    sync_retry_interval = 5 * SECOND; "1m30s" => 90 * SECOND; "0s" => "out of range", "5" => "without a unit", "soon" => "\"soon\"";
    sync_batch_size = 100; "1" => 1, "'10000'" => 10_000; "0" => "out of range", "10001" => "out of range", "-1" => "-1", "1.5" => "1.5", "many" => "\"many\"";
    sync_batch_timeout = Duration::from_millis(50); "1ms" => Duration::from_millis(1); "0ms" => "out of range", "2m" => "out of range";
    sync_max_retries = 3; "0" => 0, "9" => 9; "-1" => "-1", "'99999999999999999999'" => "out of range";
    sync_workers = 4; "64" => 64, "'${WORKERS}'" => 7; "0" => "from 1 to 64", "65" => "from 1 to 64";
    health_check_interval = 30 * SECOND; "500ms" => SECOND / 2; "0s" => "out of range", "[1s]" => "a list";
    reconnect_backoff = 10 * SECOND; "1m" => 60 * SECOND; "0s" => "out of range", "1 fortnight" => "1 fortnight";
    connect_timeout = 10 * SECOND; "3s" => 3 * SECOND; "0s" => "out of range", "true" => "true is no";
    operation_timeout = 30 * SECOND; "3s" => 3 * SECOND; "0s" => "out of range", "11m" => "out of range";
    query_timeout = 2 * SECOND; "3s" => 3 * SECOND; "0s" => "out of range", "{s: 1}" => "a map";
    queue_dir = PathBuf::from("/var/lib/host/db-sync-server");
        "/srv/log" => PathBuf::from("/srv/log"), "a/b" => PathBuf::from("/var/lib/host/a/b");
        "../out" => "leads out", "~/log" => "${HOME}", "''" => "empty", "7" => "7 is no text";
    queue_max_bytes = 1 << 30;
        "512MiB" => 512 << 20, "'2 GB'" => 2_000_000_000, "1048576" => 1 << 20, "1tib" => 1 << 40;
        "0" => "out of range", "1 KiB" => "out of range", "-5" => "-5", "1.5 GiB" => "1.5 GiB", "999999999 TiB" => "out of range", "5 apples" => "5 apples";
    queue_fsync = QueueFsync::Interval; "none" => QueueFsync::None, "always" => QueueFsync::Always, "interval" => QueueFsync::Interval; "often" => "none, interval, always";
    initial_sync = InitialSync::Auto; "off" => InitialSync::Off, "auto" => InitialSync::Auto; "on" => "auto, off";
    deleted_reads = DeletedReads::Hide; "show" => DeletedReads::Show, "hide" => DeletedReads::Hide; "maybe" => "hide, show";
    merge_reads = true; "false" => false; "2" => "neither true nor false";
    merge_raw_queries = false; "true" => true; "plain" => "neither true nor false";
    tables = TableSelection::All;
        "all" => TableSelection::All, "[events, relationships]" => TableSelection::Only(BTreeSet::from(["events", "relationships"]));
        "[]" => "sync_enabled", "[event]" => "did you mean events?", "[7]" => "7 is no table", "events" => "a list of";
    shutdown_drain_timeout = 5 * SECOND; "0s" => Duration::ZERO, "1m" => 60 * SECOND; "11m" => "out of range", "5" => "without a unit";
}

#[test]
fn every_key_has_its_test() {
    let by_hand = ["enabled", "secondary_databases"];
    for key in Settings::KEYS {
        assert!(
            TESTED.contains(&key.name)
                || by_hand.contains(&key.name)
                || key.name.starts_with("secondary_"),
            "{} has no test",
            key.name
        );
    }
}

/// The one secondary of a configuration.
fn only(text: &str) -> SecondaryConfig {
    let mut secondaries = read(text).unwrap().secondaries;
    assert_eq!(secondaries.len(), 1);
    secondaries.remove(0)
}

#[test]
fn secondary_url() {
    let error = read("{}").unwrap_err();
    assert!(error.contains("secondary_url is required"), "{error}");
    for (good, sent_to) in [
        ("ws://localhost:8000", "ws://localhost:8000/"),
        ("wss://db.example/rpc", "wss://db.example/"),
        ("'http://[::1]:8000/'", "ws://[::1]:8000/"),
        (
            "https://db.example:8443/a/proxy/rpc",
            "wss://db.example:8443/a/proxy/",
        ),
    ] {
        let secondary = only(&format!("secondary_url: {good}"));
        assert_eq!(secondary.address.as_str(), sent_to);
    }
    for (bad, says) in [
        ("db:8000", "no scheme"),
        ("ftp://db", "none of ws"),
        ("'ws://'", "empty host"),
        ("'not a url'", "no scheme"),
        ("''", "no scheme"),
        ("'mem://'", "mem://"),
        ("surrealkv://data", "surrealkv://"),
        ("ws://user:hidden@db:8000", "under their own keys"),
        ("ws://user:hid/den@db:8000", "…@db:8000"),
        ("ws://db?token=hidden", "leave it out"),
        ("42", "no text"),
    ] {
        let error = read(&format!("secondary_url: {bad}")).unwrap_err();
        assert!(error.starts_with("secondary_url: "), "{error}");
        assert!(
            error.contains(says) && error.contains("accepted: a URL"),
            "{error}"
        );
        assert!(!error.contains("hid"), "{error}");
    }
}

#[test]
fn secondary_user_and_secondary_pass() {
    assert!(only("secondary_url: ws://localhost").credentials.is_none());
    for (user, pass) in [
        ("secondary_user", "secondary_pass"),
        ("secondary_username", "secondary_password"),
    ] {
        let secondary = only(&format!(
            "{{secondary_url: ws://localhost, {user}: root, {pass}: '${{PASSWORD}}'}}"
        ));
        let credentials = secondary.credentials.unwrap();
        assert_eq!(credentials.username, "root");
        assert_eq!(
            credentials.password.expose_secret(),
            "pa$${ss}",
            "a variable is not read again"
        );
    }
    refuses("secondary_user: root", &["without secondary_pass"]);
    refuses("secondary_pass: x", &["without secondary_user"]);
    refuses("secondary_user: 7", &["no text"]);
    let error = with("secondary_user: root, secondary_pass: 31337").unwrap_err();
    assert!(
        error.contains("secondary_pass") && error.contains("quotes"),
        "{error}"
    );
    assert!(!error.contains("31337"), "{error}");
}

#[test]
fn secondary_namespace_and_secondary_database() {
    let secondary = only("secondary_url: ws://localhost");
    assert_eq!(secondary.namespace, "primary_ns");
    assert_eq!(secondary.database, "primary_db");
    let secondary =
        only("{secondary_url: ws://localhost, secondary_namespace: n, secondary_database: d}");
    assert_eq!((&*secondary.namespace, &*secondary.database), ("n", "d"));
    refuses("secondary_namespace: ''", &["empty"]);
    refuses("secondary_database: [d]", &["a list"]);
}

#[test]
fn secondary_databases() {
    let config = read(
        "secondary_databases:
           - {name: later, url: 'ws://localhost:8001'}
           - {name: first, url: 'ws://localhost:8000', username: u, password: p, namespace: n, database: d, priority: 1}
           - {name: last, url: 'ws://localhost:8002', user: u, pass: p}",
    )
    .unwrap();
    let names: Vec<&str> = config.secondaries.iter().map(|s| &*s.name).collect();
    assert_eq!(names, ["first", "later", "last"]);
    let first = &config.secondaries[0];
    assert_eq!(first.credentials.as_ref().unwrap().username, "u");
    assert_eq!(
        (&*first.namespace, &*first.database, first.priority),
        ("n", "d", 1)
    );
    assert_eq!(config.secondaries[1].priority, 100);

    for (entries, says) in [
        ("[]", "the list is empty"),
        ("ws://localhost", "no list"),
        ("[ws://localhost]", "no map"),
        (
            "[{url: 'ws://h'}]",
            "secondary_databases[0].name: it is required",
        ),
        ("[{name: a}]", "secondary_databases[0].url: it is required"),
        ("[{name: 'a b', url: 'ws://h'}]", "\"a b\""),
        (
            "[{name: a, url: 'ws://h', priority: -1}]",
            "secondary_databases[0].priority",
        ),
        (
            "[{name: a, url: 'ws://h', prio: 1}]",
            "did you mean priority?",
        ),
        (
            "[{name: a, url: 'ws://h', username: u}]",
            "secondary_databases[0].username",
        ),
        (
            "[{name: a, url: 'ws://h', user: u, username: v}]",
            "two names of one key",
        ),
        (
            "[{name: a, url: 'ws://h'}, {name: a, url: 'ws://i'}]",
            "both \"a\"",
        ),
        (
            "[{name: a, url: 'ws://h:8000/rpc'}, {name: b, url: 'http://H:8000'}]",
            "same database",
        ),
        (
            "[{name: a, url: 'ws://h', password: '${NOT_SET}'}]",
            "secondary_databases[0].password",
        ),
    ] {
        let error = read(&format!("secondary_databases: {entries}")).unwrap_err();
        assert!(error.contains(says), "{entries}: {error}");
    }
    refuses(
        "secondary_databases: [{name: a, url: 'ws://h'}]",
        &["secondary_url"],
    );
    let error =
        read("{secondary_user: u, secondary_databases: [{name: a, url: 'ws://h'}]}").unwrap_err();
    assert!(
        error.contains("secondary_user belongs to secondary_url"),
        "{error}"
    );
}

#[test]
fn enabled_and_the_forms_of_the_block() {
    let keys = "secondary_url: 'ws://localhost', sync_workers: 2";
    for block in [
        format!("{{enabled: true, config: {{{keys}}}}}"),
        format!("{{config: {{{keys}}}}}"),
        format!("{{id: commercial_db-sync-server, config: {{enabled: true, {keys}}}}}"),
        format!("{{enabled: 'true', {keys}}}"),
        format!("{{{keys}}}"),
    ] {
        assert_eq!(read(&block).unwrap().settings.sync_workers, 2, "{block}");
    }
    for block in [
        "{enabled: false}",
        "{enabled: false, config: {nonsense: 1}}",
        "{enabled: '${OFF}', config: {}}",
        "{id: commercial_db-sync-server, config: {enabled: false}}",
    ] {
        assert!(read_value(&yaml(block)).unwrap().is_none(), "{block}");
    }
    for (block, says) in [
        ("{enabled: 7}", "enabled: 7 is neither"),
        ("{enabled: true, config: {enabled: true}}", "config.enabled"),
        ("{config: [1]}", "config: a list"),
        ("{config: {}, sync_workers: 2}", "move it into config"),
        ("{config: {}, confg: 2}", "did you mean config?"),
        ("[1]", "no map"),
    ] {
        let error = read(block).unwrap_err();
        assert!(error.contains(says), "{block}: {error}");
    }
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    for (key, suggestion) in [
        ("sync_worker", "sync_workers"),
        ("Sync-Workers", "sync_workers"),
        ("secondary_urll", "secondary_url"),
        ("secondary_pasword", "secondary_password"),
        ("retry_backof", "retry_backoff"),
    ] {
        refuses(
            &format!("{key}: secret"),
            &[&format!("did you mean {suggestion}?")],
        );
        assert!(
            !with(&format!("{key}: hidden"))
                .unwrap_err()
                .contains("hidden")
        );
    }
    refuses("zzz: 1", &["docs/configuration.md"]);
}

#[test]
fn one_key_under_two_names_is_refused() {
    let error = with("sync_workers: 1, worker_count: 2").unwrap_err();
    assert!(error.contains("sync_workers and worker_count"), "{error}");
    assert_eq!(settings("sync_workers: , worker_count: 2").sync_workers, 2);
}

#[test]
fn variables_of_the_environment() {
    refuses("queue_dir: '/a/${NOT_SET}/b'", &["NOT_SET is not set"]);
    refuses("queue_dir: '/a/${unclosed'", &["followed by"]);
    refuses("queue_dir: '/a/${}'", &["followed by"]);
    refuses("queue_dir: '/a/${1}'", &["followed by"]);
    assert_eq!(
        settings("queue_dir: '/a/$${x}/$y'").queue_dir,
        PathBuf::from("/a/${x}/$y")
    );
    assert_eq!(
        settings("queue_dir: '/${WORKERS}/${OFF}'").queue_dir,
        PathBuf::from("/7/false")
    );
}

#[test]
fn nothing_secret_is_printed() {
    let single = with("secondary_user: root, secondary_pass: hidden").unwrap();
    let listed =
        read("secondary_databases: [{name: a, url: 'ws://h', username: u, password: hidden}]")
            .unwrap();
    for config in [single, listed] {
        let printed = format!("{config:?} {config:#?}");
        assert!(!printed.contains("hidden"), "{printed}");
    }
}

#[test]
fn plain_connections_beyond_this_machine_are_warned_of() {
    for (url, warned) in [
        ("ws://secondary-db:8000", true),
        ("http://10.0.0.1", true),
        ("wss://secondary-db", false),
        ("ws://localhost", false),
        ("ws://127.0.0.9:1", false),
        ("ws://[::1]:1", false),
    ] {
        let config = read(&format!("secondary_url: '{url}'")).unwrap();
        assert_eq!(config.warnings.len(), usize::from(warned), "{url}");
    }
    assert_eq!(
        with("sync_enabled: false, merge_reads: false")
            .unwrap()
            .warnings
            .len(),
        1
    );
}

#[test]
fn relationship_types_are_selected_together() {
    let selection = settings("tables: [entities, relationships]").tables;
    assert!(selection.includes("entities") && selection.includes("knows"));
    assert!(!selection.includes("events"));
    let selection = settings("tables: [entities]").tables;
    assert!(!selection.includes("knows"));
    assert!(TableSelection::All.includes("knows"));
}

#[test]
fn the_seed_configuration_loads_as_it_stands() {
    let config = read(
        r#"
secondary_url: "ws://secondary-db:8000/rpc"
secondary_user: "root"
secondary_pass: "root"
secondary_namespace: "remembrances"
secondary_database: "main"
sync_enabled: true
sync_retry_interval: "5s"
sync_batch_size: 100
sync_max_retries: 3
sync_workers: 4
health_check_interval: "30s"
reconnect_backoff: "10s"
"#,
    )
    .unwrap();
    assert_eq!(config.secondaries[0].namespace, "remembrances");
    assert_eq!(config.settings.sync_retry_interval, 5 * SECOND);
    assert_eq!(config.settings.health_check_interval, 30 * SECOND);
}

fn document(name: &str) -> (PathBuf, String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

#[test]
fn the_sample_configuration_loads() {
    let (_, text) = document("config.sample.yaml");
    let host: Value = serde_yaml::from_str(&text).unwrap();
    let block = host
        .as_object()
        .and_then(|host| {
            host.get("modules")?
                .as_object()?
                .get("commercial_db-sync-server")
        })
        .expect("the sample has the module's block");
    let set = |name: &str| Some(name.to_lowercase());
    let config = Config::read(block, SURROUNDINGS, &set).unwrap().unwrap();
    assert_eq!(config.secondaries.len(), 1);
    for key in Settings::KEYS {
        assert!(text.contains(key.name), "{} is not in the sample", key.name);
    }
}

/// With `UPDATE_DOCS=1` in the environment this writes the documents instead.
#[test]
fn the_documents_have_the_tables_that_the_code_works_by() {
    let mut all = String::new();
    for name in ["configuration.md", "http.md"] {
        let (path, text) = document(name);
        let filled = reference::fill(&text);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, &filled).unwrap();
        } else {
            assert_eq!(
                text, filled,
                "run the tests of this crate once with UPDATE_DOCS=1"
            );
        }
        all.push_str(&filled);
    }
    for (name, table) in reference::tables() {
        assert!(
            all.contains(&table),
            "the table {name} has no place in the documents"
        );
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        ".*",
        "\\PC*",
        "[0-9]{0,25} ?[a-zA-Z]{0,4}",
        "(ws|http)s?://.*",
        "[$]{0,3}\\{.*\\}?",
        "\\$\\{(PASSWORD|WORKERS|OFF|NONE)\\}",
        "-?[0-9smhdµ.]+",
    ];
    let leaf = prop_oneof![
        Just(Value::None),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
        any::<Vec<u8>>().prop_map(|bytes| Value::Bytes(bytes.into())),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any_key(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    let names: Vec<String> = Settings::KEYS
        .iter()
        .chain(SecondaryEntry::KEYS)
        .flat_map(|key| std::iter::once(&key.name).chain(key.other_names))
        .chain(&["config", "id"])
        .map(|&name| name.to_owned())
        .collect();
    prop_oneof![9 => prop::sample::select(names), 1 => ".*".boxed()]
}

proptest! {
    #[test]
    fn no_block_panics(block in any_value()) {
        let _ = read_value(&block);
    }

    #[test]
    fn no_value_of_any_key_panics(key in any_key(), value in any_value()) {
        let entry: Object = [("name", Value::from("a")), ("url", Value::from("ws://h"))]
            .into_iter()
            .collect();
        let mut single: Object = [("secondary_url", Value::from("ws://h"))].into_iter().collect();
        single.insert(key.clone(), value.clone());
        let _ = read_value(&Value::Object(single));
        let mut listed = entry;
        listed.insert(key, value);
        let list = Value::from(vec![Value::Object(listed)]);
        let _ = read_value(&Value::Object([("secondary_databases", list)].into_iter().collect()));
    }
}
