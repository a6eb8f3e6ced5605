//! A secondary must not be the primary, nor lead back to it.

use super::{error, reaches};
use plugin_api::{
    storage::{CallContext, Storage as _},
    value::Value,
};
use replication_tests::{
    site::{Access, Site, admin_post, replication, rows, secondaries},
    wait,
};

#[test]
fn a_secondary_that_is_the_primary_is_rejected_under_any_name() {
    let site = Site::new();
    let [primary, other] = ["primary", "other"].map(|name| site.server(name));
    let itself = primary.url().replace("127.0.0.1", "localhost");
    let all = [
        Access::new("itself", itself),
        Access::new("other", other.url()),
    ];
    let host = site.host_with(&site.with_primary_on(&site.yaml_for(&all, &[]), &primary));
    // The write waits in the log while the fact is deleted.
    admin_post(&host, "pause");
    wait::until(
        "the other secondary's tables",
        || secondaries(&host).remove(1),
        |status| status["state"] == "paused",
    );
    let context = CallContext::new();
    let save = host
        .storage()
        .save_fact(&context, "ada", "k", &Value::from(1_i64));
    save.unwrap();
    host.storage().delete_fact(&context, "ada", "k").unwrap();
    admin_post(&host, "resume");
    let archived = site.database(&other);
    wait::until(
        "the write on the other secondary, and none that waits for this one",
        || {
            (
                rows(&archived, "SELECT * FROM kv_memories").len(),
                secondaries(&host),
            )
        },
        |(copies, all)| {
            let waits = all[0]["state"] == "connecting" || all[0]["state"] == "reconciling";
            let is_applied = all[0]["backlog"]["operations"] == 0 || all[0]["state"] == "rejected";
            *copies == 1 && !waits && is_applied
        },
    );
    let found = host.primary().get_fact(&context, "ada", "k").unwrap();
    assert_eq!(found.into_option(), None, "the deleted fact is back");

    let status = reaches(&host, "rejected");
    assert!(error(&status).contains("is the primary itself"), "{status}");
    // Nothing was written to it but the primary's own mark, and the other goes on.
    let tables = rows(
        &site.database(&primary),
        "RETURN (INFO FOR DB).tables.keys()",
    );
    assert!(
        !tables.contains(&Value::from("db_sync_position")),
        "{tables:?}"
    );
    wait::until(
        "the other secondary",
        || secondaries(&host).remove(1),
        |status| status["state"] == "streaming" && status["backlog"]["operations"] == 0,
    );
    host.shutdown().unwrap();
}

#[test]
fn two_hosts_do_not_replicate_to_each_others_primaries_but_may_take_turns() {
    let [there, back] = [(); 2].map(|()| Site::new());
    let [a, b] = ["a", "b"].map(|name| there.server(name));
    let yaml = |site: &Site, primary, secondary| {
        let yaml = site.yaml(&[("one", secondary)], &[]);
        site.with_primary_on(&yaml, primary)
    };
    let first = there.host_with(&yaml(&there, &a, &b));
    reaches(&first, "streaming");
    let second = back.host_with(&yaml(&back, &b, &a));
    let status = reaches(&second, "rejected");
    assert!(
        error(&status).contains("primary of another host"),
        "{status}"
    );
    assert!(replication(&first).is_connected());

    // The first host is gone: its primary may become a secondary of the other.
    first.shutdown().unwrap();
    reaches(&second, "streaming");
    second.shutdown().unwrap();
}
