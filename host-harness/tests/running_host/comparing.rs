//! `verify`: what it shows, and cancelling it.

use crate::{
    common::{database, home, run, until, yaml},
    served::{PROGRAM, Served},
};
use host_harness::{
    host::database_runtime,
    server::{PASSWORD, SecondaryServer, ServerStorage, USER},
};
use plugin_api::{
    storage::{CallContext, Storage},
    value::Value,
};
use serde_json::{Value as Json, json};
use std::process::{Child, Command};

fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-s", "INT", &pid]).status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_comparison_shows_what_differs_and_can_be_cancelled() {
    let home = home();
    let [primary_server, server] =
        [(); 2].map(|()| SecondaryServer::start(ServerStorage::Memory).unwrap());
    let config = home.path().join("host.yaml");
    let url = primary_server.url();
    let at = format!("url: '{url}', username: {USER}, password: {PASSWORD}");
    std::fs::write(&config, yaml(&at, &[("a", &server)])).unwrap();
    let runtime = database_runtime().unwrap();
    let served = Served::start(&config);
    let primary = database(&primary_server, &runtime);
    let secondary = database(&server, &runtime);
    for key in ["same", "changed", "gone"] {
        let value = Value::from("of the primary");
        primary
            .save_fact(&CallContext::new(), "ada", key, &value)
            .unwrap();
    }
    served.caught_up();
    served.ask(&["resync"]);
    run(
        &secondary,
        "UPDATE kv_memories SET value = 'by hand' WHERE key = 'changed';
         DELETE kv_memories WHERE key = 'gone'",
    );

    // Comparing alone changes nothing, and shows no value that was not asked for.
    let compare = ["verify", "--no-repair"];
    for _ in 0..2 {
        let report = served.ask(&compare);
        assert_eq!(
            (&report["equal"], &report["repairing"]),
            (&json!(false), &json!(0))
        );
        let facts = report["tables"].as_array().unwrap().iter();
        let facts = facts
            .clone()
            .find(|one| one["table"] == "kv_memories")
            .unwrap();
        let counts = ["rows", "missing", "different"].map(|name| &facts[name]);
        assert_eq!(counts, [&json!(3), &json!(1), &json!(1)], "{report}");
        let examples = facts["examples"].as_array().unwrap();
        let of = |key: &str| {
            let has_key = |one: &&Json| one["key"].as_str().unwrap().contains(key);
            examples.iter().find(has_key).unwrap()
        };
        assert_eq!(of("gone")["difference"], "missing");
        assert_eq!(of("changed")["difference"], "different");
        assert_eq!(of("changed")["columns"], json!([{"column": "value"}]));
        assert!(!report.to_string().contains("by hand"), "{report}");
    }
    let none = served.ask(&["verify", "--no-repair", "--examples", "0"]);
    assert!(!none.to_string().contains("gone"), "{none}");
    let (report, _) = served.run(&["verify", "--no-repair", "--show-values", "kv_memories"]);
    let expected = json!({"primary": "\"of the primary\"", "secondary": "\"by hand\""});
    let examples = report["tables"][0]["examples"].as_array().unwrap();
    let is_changed = |one: &&Json| one["difference"] == "different";
    let changed = examples.iter().find(is_changed).unwrap();
    assert_eq!(changed["columns"][0]["values"], expected, "{report}");
    // For people.
    let output = Command::new(PROGRAM)
        .args(["verify", "--no-repair", "--url", &served.url])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.starts_with("2 rows differ; they are left as they are"),
        "{text}"
    );
    assert!(text.contains("value differs"), "{text}");

    // A server that does not answer for a moment: the comparison is cancelled by
    // Ctrl-C, and by the command for it.
    let latest = || -> Json {
        serde_json::from_slice(&served.output(&["verify", "--latest"]).stdout).unwrap()
    };
    for cancel in ["Ctrl-C", "--cancel"] {
        server.pause().unwrap();
        let child = served.command(&["verify", "--no-repair"]);
        until("the comparison", latest, |job| job["state"] == "running");
        let rejected = served.output(&compare);
        assert_eq!(rejected.status.code(), Some(4), "one at a time");
        match cancel {
            "Ctrl-C" => interrupt(&child),
            _ => drop(served.ask(&["verify", "--cancel"])),
        }
        let is_cancelling = |job: &Json| job["progress"]["cancelling"] == true;
        until("the cancellation", latest, is_cancelling);
        server.resume().unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{cancel}: {said}");
        let report: Json = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["cancelled"], true, "{cancel}: {report}");
        assert_eq!(report["equal"], false);
        // The result is kept.
        let output = served.output(&["verify", "--latest"]);
        assert_eq!(output.status.code(), Some(1));
        let latest: Json = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&latest["state"], &latest["report"]),
            (&json!("cancelled"), &report)
        );
    }
    let nothing_runs = served.output(&["verify", "--cancel"]);
    assert_eq!(nothing_runs.status.code(), Some(4));

    let repaired = served.run(&["verify"]).0;
    assert_eq!(repaired["repairing"], 2, "{repaired}");
    let report = served.ask(&compare);
    assert_eq!(report["equal"], true, "{report}");
}
