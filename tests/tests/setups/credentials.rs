//! Passwords that change while the host runs.

use super::{error, reaches};
use host_harness::{host::Host, server::PASSWORD};
use plugin_api::{
    storage::{CallContext, Storage as _},
    value::Value,
};
use replication_tests::{
    site::{Access, Site, caught_up, dead_letters, run, secondaries},
    wait,
};
use serde_json::Value as Json;
use std::fs;

/// Defines the user, whose sessions end after a second, with this password.
fn define(password: &str) -> String {
    format!(
        "DEFINE USER OVERWRITE rotated ON ROOT PASSWORD '{password}' ROLES OWNER \
         DURATION FOR SESSION 1s"
    )
}

/// Writes one more fact. Returns the status of the secondary.
fn save_another(host: &Host, written: &mut u32) -> Json {
    let key = format!("k{written}");
    *written += 1;
    let value = Value::from(1_i64);
    let saved = host
        .storage()
        .save_fact(&CallContext::new(), "ada", &key, &value);
    saved.unwrap();
    secondaries(host).remove(0)
}

#[test]
fn an_expired_session_whose_password_changed_is_rejected_and_makes_no_dead_letters() {
    let site = Site::new();
    let server = site.server("a");
    let owner = site.database(&server);
    run(&owner, &define("old"));
    let access = Access {
        username: "rotated".to_owned(),
        password: "old".to_owned(),
        ..Access::new("a", server.url())
    };
    // The first rejection of an operation would make it a dead letter.
    let more = ["health_check_interval: 1h", "sync_max_retries: 0"];
    let host = site.host_with(&site.yaml_for(&[access], &more));
    reaches(&host, "streaming");
    run(&owner, &define("new"));
    let mut written = 0;
    let status = wait::until(
        "the session to be rejected",
        || save_another(&host, &mut written),
        |status| status["state"] == "rejected" || status["dead_letters"] != 0,
    );
    assert_eq!(status["state"], "rejected", "{status}");
    assert!(error(&status).contains("cannot sign in"), "{status}");

    run(&owner, &define("old"));
    caught_up(&host);
    assert!(dead_letters(&host).is_empty());
    site.assert_equal(&host, &server);
    host.shutdown().unwrap();
}

#[test]
fn a_password_in_a_file_is_rotated_without_a_restart() {
    let site = Site::new();
    let server = site.server("a");
    let owner = site.database(&server);
    let file = site.path().join("password");
    fs::write(&file, "old\n").unwrap();
    run(&owner, &define("old"));
    let access = Access {
        username: "rotated".to_owned(),
        ..Access::new("a", server.url())
    };
    let yaml = site.yaml_for(&[access], &["sync_max_retries: 0"]);
    let given = format!("password: {PASSWORD}");
    assert!(yaml.contains(&given));
    let yaml = yaml.replace(&given, &format!("password_file: {}", file.display()));
    let host = site.host_with(&yaml);
    reaches(&host, "streaming");

    // The server first, as the handbook says: until the file follows, nothing but
    // a session that ends needs the password.
    run(&owner, &define("new"));
    fs::write(&file, "new\n").unwrap();
    let connects = |status: &Json| status["connects"].as_u64().unwrap();
    let mut written = 0;
    let status = wait::until(
        "a session with the new password",
        || save_another(&host, &mut written),
        |status| connects(status) > 1 && status["state"] == "streaming",
    );
    assert_eq!(status["dead_letters"], 0, "{status}");
    caught_up(&host);
    assert!(dead_letters(&host).is_empty());
    site.assert_equal(&host, &server);
    host.shutdown().unwrap();
}
