//! The admin commands on a running host: `serve` in a process of its own, with the
//! real module and real servers.
//!
//! A host that serves takes no writes. The rows are written to its primary directly,
//! without the module, and replicated by what the commands request.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `served` | the running host, and commands on it |
//! | `access` | who may do what |
//! | `comparing` | verify: what it shows, and cancelling it |
//! | `watching` | status: watching and checking it |
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

mod access;
mod comparing;
mod served;
mod watching;

use common::{accept, database, home, keys, run, yaml};
use host_harness::{
    admin::AdminClient,
    host::database_runtime,
    server::{PASSWORD, SecondaryServer, ServerStorage, USER},
};
use plugin_api::{
    storage::{CallContext, Storage},
    value::{Timestamp, Value},
};
use serde_json::{Value as Json, json};
use served::{PROGRAM, Served};
use std::process::Command;
use surreal_storage::SurrealStorage;

/// The host and the databases on both sides of it.
struct Scene {
    host: Served,
    primary: SurrealStorage,
    secondary: SurrealStorage,
}

impl Scene {
    fn save(&self, key: &str) {
        let context = CallContext::new();
        self.primary
            .save_fact(&context, "ada", key, &Value::from(key))
            .unwrap();
    }

    /// Has the facts compared: how many are there, missing, and different.
    fn compare(&self) -> [i64; 3] {
        let report = self.host.ask(&["verify", "kv_memories"]);
        let table = &report["tables"][0];
        assert_eq!(table["table"], "kv_memories", "{report}");
        let counts = ["rows", "missing", "different"].map(|name| table[name].as_i64().unwrap());
        let [_, missing, different] = counts;
        assert_eq!(report["repairing"], missing + different, "{report}");
        assert_eq!(report["equal"], missing + different == 0, "{report}");
        counts
    }
}

#[test]
fn the_admin_commands_work_on_a_running_host() {
    let home = home();
    let [primary, secondary] =
        [(); 2].map(|()| SecondaryServer::start(ServerStorage::Memory).unwrap());
    let config = home.path().join("host.yaml");
    let url = primary.url();
    let at = format!("url: '{url}', username: {USER}, password: {PASSWORD}");
    std::fs::write(&config, yaml(&at, &[("a", &secondary)])).unwrap();
    let runtime = database_runtime().unwrap();
    let scene = Scene {
        host: Served::start(&config),
        primary: database(&primary, &runtime),
        secondary: database(&secondary, &runtime),
    };
    scene.host.caught_up();
    dead_letters_are_listed_replayed_and_discarded(&scene);
    differences_are_found_and_repaired(&scene);
    no_command_waits_while_paused(&scene);
    one_secondary_is_chosen_by_its_name(&scene.host);
    scene.host.end("INT");
    for signal in ["TERM", "HUP"] {
        Served::start(&config).end(signal);
    }
}

#[test]
fn a_call_waits_until_the_secondaries_are_connected() {
    let home = home();
    let server = SecondaryServer::start(ServerStorage::Memory).unwrap();
    let config = home.path().join("host.yaml");
    std::fs::write(&config, yaml("url: 'mem://'", &[("a", &server)])).unwrap();
    let runtime = database_runtime().unwrap();
    let secondary = database(&server, &runtime);
    let context = CallContext::new();
    secondary.initialize_schema(&context).unwrap();
    let value = Value::from("only there");
    secondary.save_fact(&context, "ada", "k", &value).unwrap();
    let read = |more: &[&str]| -> Json {
        let output = Command::new(PROGRAM)
            .args(["call", "get_fact", r#"["ada", "k"]"#, "--config"])
            .arg(&config)
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    assert_eq!(read(&[]), "only there");
    assert_eq!(read(&["--bare"]), Json::Null);
    // Without waiting, either answer is right.
    read(&["--no-wait"]);
}

fn one_secondary_is_chosen_by_its_name(host: &Served) {
    let status = host.ask(&["status", "--secondary", "a"]);
    assert_eq!(status["secondaries"][0]["name"], "a");
    let output = host.output(&["status", "--secondary", "nope"]);
    assert_eq!(output.status.code(), Some(4));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no secondary \"nope\""), "{said}");
    assert!(said.contains("there are: a"), "{said}");
}

fn dead_letters_are_listed_replayed_and_discarded(scene: &Scene) {
    let began = Timestamp::now();
    accept(
        &scene.secondary,
        "$value != 'passed' AND $value != 'discarded'",
    );
    for key in ["plain", "passed", "discarded"] {
        scene.save(key);
    }
    let resynced = scene.host.ask(&["resync", "kv_memories"]);
    let expected = json!({"secondaries": ["a"], "tables": ["kv_memories"]});
    assert_eq!(resynced, expected);
    // The command has waited for it.
    assert_eq!(keys(&scene.secondary), ["plain"]);

    let letters = scene.host.dead_letters();
    assert_eq!(letters.len(), 2, "{letters:?}");
    // In pages they are the same.
    let admin = AdminClient::remote(&scene.host.url).unwrap();
    let (mut in_pages, mut after) = (Vec::new(), None::<String>);
    loop {
        let after_last = after.as_deref().map(|after| ("after", after));
        let query: Vec<_> = [("limit", "1")].into_iter().chain(after_last).collect();
        let page = admin.get("dead-letters", &query).unwrap();
        in_pages.extend(page["dead_letters"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else {
            break;
        };
        after = Some(next.to_owned());
    }
    assert_eq!(in_pages, letters);
    let id_of = |key: &str| {
        let is_it = |letter: &&Json| letter["key"].as_str().unwrap().contains(key);
        let letter = letters.iter().find(is_it).unwrap();
        assert_eq!(letter["table"], "kv_memories");
        assert_eq!(letter["retry_count"], 1);
        let error = letter["last_error"].as_str().unwrap();
        assert!(error.contains("must conform"), "{error}");
        let [queued, failed] = ["timestamp", "failed_at"]
            .map(|name| letter[name].as_str().unwrap().parse::<Timestamp>().unwrap());
        assert!(began <= queued && queued <= failed, "{letter}");
        letter["id"].as_str().unwrap().to_owned()
    };

    accept(&scene.secondary, "$value != 'discarded'");
    let replay = ["dead-letters", "replay", &id_of("passed")];
    assert_eq!(scene.host.ask(&replay), json!({"replayed": 1}));
    assert_eq!(keys(&scene.secondary), ["passed", "plain"]);
    let left = scene.host.dead_letters();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["id"], id_of("discarded"));

    let discard = ["dead-letters", "discard", &id_of("discarded")];
    assert_eq!(scene.host.ask(&discard), json!({"discarded": 1}));
    assert!(scene.host.dead_letters().is_empty());
    assert_eq!(keys(&scene.secondary), ["passed", "plain"]);
}

fn differences_are_found_and_repaired(scene: &Scene) {
    accept(&scene.secondary, "true");
    // What was discarded, and what was changed on the secondary itself.
    run(
        &scene.secondary,
        "DELETE kv_memories WHERE key = 'plain';
         UPDATE kv_memories SET value = 'changed' WHERE key = 'passed'",
    );
    assert_eq!(scene.compare(), [3, 2, 1]);
    assert_eq!(keys(&scene.secondary), ["discarded", "passed", "plain"]);
    assert_eq!(scene.compare(), [3, 0, 0]);
}

fn no_command_waits_while_paused(scene: &Scene) {
    let Scene {
        host, secondary, ..
    } = scene;
    assert_eq!(host.ask(&["pause"]), json!({"paused": true}));
    scene.save("later");
    let goes_on = format!("`host-harness resume --url {}`", host.url);
    let (report, said) = host.run(&["verify", "kv_memories"]);
    assert_eq!(report["repairing"], 1, "{report}");
    assert!(said.contains(&goes_on), "{said}");
    // It waits, as a resync of the table.
    assert_eq!(host.replication().resyncs, 1);
    let (_, said) = host.run(&["resync", "kv_memories"]);
    assert!(said.contains(&goes_on), "{said}");
    let state = host.replication();
    assert_eq!((state.backlog, state.resyncs), (0, 1), "{state:?}");
    assert_eq!(keys(secondary), ["discarded", "passed", "plain"]);

    assert_eq!(host.ask(&["resume"]), json!({"paused": false}));
    host.caught_up();
    assert_eq!(keys(secondary), ["discarded", "later", "passed", "plain"]);
    assert_eq!(scene.compare(), [4, 0, 0]);
}
