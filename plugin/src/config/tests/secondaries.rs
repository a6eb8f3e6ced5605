//! The secondaries, as one or as a list.

use super::*;
use plugin_api::error::{ErrorKind, StorageError};
use secrecy::ExposeSecret;

/// The one secondary of a configuration.
fn only(text: &str) -> SecondaryConfig {
    let mut secondaries = read(text).unwrap().secondaries;
    assert_eq!(secondaries.len(), 1);
    secondaries.remove(0)
}

#[test]
fn an_address_is_normalised_and_validated() {
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
        ("ws://db?token=hidden", "remove it"),
        ("42", "not a string"),
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
fn a_password_may_be_in_a_file_that_changes() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("password");
    let path = file.display();
    let single = only(&format!(
        "{{secondary_url: ws://localhost, secondary_user: root, secondary_pass_file: '{path}'}}"
    ));
    let listed = only(&format!(
        "secondary_databases: [{{name: a, url: ws://localhost, user: root, password_file: '{path}'}}]"
    ));
    for secondary in [single, listed] {
        let password = || {
            let target = secondary.target()?;
            Ok::<_, StorageError>(
                target
                    .credentials
                    .unwrap()
                    .password
                    .expose_secret()
                    .to_owned(),
            )
        };
        for (content, expected) in [("one", "one"), ("two\r\n", "two"), (" 3 \n", " 3 ")] {
            std::fs::write(&file, content).unwrap();
            assert_eq!(password().unwrap(), expected);
        }
        std::fs::write(&file, "\n").unwrap();
        let error = password().unwrap_err();
        assert_eq!(error.kind, ErrorKind::INVALID_INPUT);
        assert!(
            error.message.contains(&format!("{path}: it is empty")),
            "{error}"
        );
        std::fs::remove_file(&file).unwrap();
        assert!(password().unwrap_err().message.contains("No such file"));
    }

    assert_rejected("secondary_pass_file: /p", &["without secondary_user"]);
    assert_rejected("secondary_pass_file: p", &["relative"]);
    assert_rejected(
        "secondary_pass: x, secondary_pass_file: /p, secondary_user: root",
        &["secondary_pass and secondary_pass_file are both given"],
    );
}

#[test]
fn credentials_are_given_together_and_never_shown() {
    assert!(only("secondary_url: ws://localhost").user.is_none());
    for (user, pass) in [
        ("secondary_user", "secondary_pass"),
        ("secondary_username", "secondary_password"),
    ] {
        let secondary = only(&format!(
            "{{secondary_url: ws://localhost, {user}: root, {pass}: '${{PASSWORD}}'}}"
        ));
        let credentials = secondary.target().unwrap().credentials.unwrap();
        assert_eq!(credentials.username, "root");
        assert_eq!(
            credentials.password.expose_secret(),
            "pa$${ss}",
            "the value of a variable is not expanded again"
        );
    }
    assert_rejected("secondary_user: root", &["without secondary_pass"]);
    assert_rejected("secondary_pass: x", &["without secondary_user"]);
    assert_rejected("secondary_user: 7", &["not a string"]);
    let error = with("secondary_user: root, secondary_pass: 31337").unwrap_err();
    assert!(
        error.contains("secondary_pass") && error.contains("quotes"),
        "{error}"
    );
    assert!(!error.contains("31337"), "{error}");
}

#[test]
fn a_ca_file_is_an_absolute_path() {
    let secondary = only("{secondary_url: wss://h, secondary_ca_file: /etc/ca.pem}");
    assert_eq!(secondary.ca_file.unwrap().to_str(), Some("/etc/ca.pem"));
    let secondary = only("secondary_databases: [{name: a, url: wss://h, ca_file: /etc/ca.pem}]");
    assert!(secondary.ca_file.is_some());
    assert_rejected("secondary_ca_file: ca.pem", &["relative", "absolute path"]);
}

#[test]
fn namespace_and_database_default_to_the_primarys() {
    let secondary = only("secondary_url: ws://localhost");
    assert_eq!(secondary.namespace, "primary_ns");
    assert_eq!(secondary.database, "primary_db");
    let secondary =
        only("{secondary_url: ws://localhost, secondary_namespace: n, secondary_database: d}");
    assert_eq!((&*secondary.namespace, &*secondary.database), ("n", "d"));
    assert_rejected("secondary_namespace: ''", &["empty"]);
    assert_rejected("secondary_database: [d]", &["a list"]);
}

#[test]
fn listed_secondaries_are_validated_and_ranked() {
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
    assert_eq!(first.user.as_ref().unwrap().name, "u");
    assert_eq!(
        (&*first.namespace, &*first.database, first.priority),
        ("n", "d", 1)
    );
    assert_eq!(config.secondaries[1].priority, 100);

    for (entries, says) in [
        ("[]", "the list is empty"),
        ("ws://localhost", "not a list"),
        ("[ws://localhost]", "not a map"),
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
    assert_rejected(
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
fn debug_output_contains_no_password() {
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
fn unencrypted_connections_to_other_machines_are_warned_about() {
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
