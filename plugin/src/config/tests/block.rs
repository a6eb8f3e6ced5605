//! The block as a whole: its forms, unknown and duplicate keys, variables.

use super::*;
use std::path::PathBuf;

#[test]
fn every_form_of_the_block_is_read() {
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
        ("[1]", "not a map"),
    ] {
        let error = read(block).unwrap_err();
        assert!(error.contains(says), "{block}: {error}");
    }
}

#[test]
fn merge_keys_of_yaml_are_resolved_wherever_they_are() {
    let config = read(
        "{<<: [{sync_workers: 2, sync_max_retries: 7}, {sync_workers: 3}], \
          sync_max_retries: 5, \
          secondary_databases: [{<<: {username: u, password: p}, name: a, url: 'ws://h'}]}",
    )
    .unwrap();
    assert_eq!(config.settings.sync_workers, 2);
    assert_eq!(config.settings.sync_max_retries, 5);
    assert_eq!(config.secondaries[0].user.as_ref().unwrap().name, "u");
    let error = with("<<: 7").unwrap_err();
    assert!(error.contains("<<: it is neither a map"), "{error}");
}

#[test]
fn unknown_keys_are_rejected_with_a_suggestion() {
    for (key, suggestion) in [
        ("sync_worker", "sync_workers"),
        ("Sync-Workers", "sync_workers"),
        ("secondary_urll", "secondary_url"),
        ("secondary_pasword", "secondary_password"),
        ("retry_backof", "retry_backoff"),
    ] {
        assert_rejected(
            &format!("{key}: secret"),
            &[&format!("did you mean {suggestion}?")],
        );
        assert!(
            !with(&format!("{key}: hidden"))
                .unwrap_err()
                .contains("hidden")
        );
    }
    assert_rejected("zzz: 1", &["docs/configuration.md"]);
}

#[test]
fn a_key_under_two_names_is_rejected() {
    let error = with("sync_workers: 1, worker_count: 2").unwrap_err();
    assert!(error.contains("sync_workers and worker_count"), "{error}");
    assert_eq!(settings("sync_workers: , worker_count: 2").sync_workers, 2);
}

#[test]
fn environment_variables_are_expanded() {
    assert_rejected("queue_dir: '/a/${NOT_SET}/b'", &["NOT_SET is not set"]);
    assert_rejected("queue_dir: '/a/${unclosed'", &["followed by"]);
    assert_rejected("queue_dir: '/a/${}'", &["followed by"]);
    assert_rejected("queue_dir: '/a/${1}'", &["followed by"]);
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
fn the_planned_configuration_is_accepted_unchanged() {
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
