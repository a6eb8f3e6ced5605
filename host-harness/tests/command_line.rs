//! The program, as a person runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use host_harness::artifacts;
use serde_json::Value as Json;
use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_host-harness"))
        .args(arguments)
        .env_remove("HOST_CONFIG")
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn complaint(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn example(name: &str) -> String {
    let file = format!("examples/lib{name}{}", std::env::consts::DLL_SUFFIX);
    artifacts::build_for_tests()
        .unwrap()
        .join(file)
        .display()
        .to_string()
}

#[test]
fn exercise_shows_64_of_64_on_the_bare_primary() {
    let output = run(&["exercise", "--bare"]);
    let text = out(&output);
    assert!(
        text.contains("64 of 64 methods answered as expected"),
        "{text}{}",
        complaint(&output)
    );
    assert!(output.status.success());

    let output = run(&["exercise", "--bare", "--json"]);
    let report: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["passed"], 64);
    assert_eq!(report["methods"].as_array().unwrap().len(), 64);
}

#[test]
fn exercise_shows_64_of_64_through_the_module() {
    artifacts::build_for_tests().unwrap();
    let output = run(&["exercise"]);
    let text = out(&output);
    assert!(
        text.contains("64 of 64 methods answered as expected"),
        "{text}{}",
        complaint(&output)
    );
    assert!(output.status.success());
}

#[test]
fn inspect_shows_a_librarys_module_and_whether_it_fits() {
    let output = run(&["inspect", &example("alpha")]);
    assert!(output.status.success());
    assert!(
        out(&output).contains("id               test_alpha"),
        "{}",
        out(&output)
    );
    assert!(out(&output).contains("fits this host"), "{}", out(&output));

    // A bare file name is the file in the working directory.
    let library = PathBuf::from(example("alpha"));
    let output = Command::new(env!("CARGO_BIN_EXE_host-harness"))
        .current_dir(library.parent().unwrap())
        .arg("inspect")
        .arg(library.file_name().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", out(&output));

    let output = run(&["inspect", "--json", &example("other_version")]);
    assert_eq!(output.status.code(), Some(1));
    let answer: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["fits"], false);
    assert!(
        answer["reason"]
            .as_str()
            .unwrap()
            .contains("plugin-api 1.0.3"),
        "{answer}"
    );

    let output = run(&["inspect", "/no/such/library.so"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn call_calls_one_method_on_a_configured_host() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("host.yaml");
    std::fs::write(&config, "primary: {url: 'surrealkv://primary'}").unwrap();
    let config = config.to_str().unwrap();
    let save = r#"{"user_id": "ada", "key": "editor", "value": ["vim"]}"#;
    let output = run(&["call", "save_fact", save, "--config", config]);
    assert!(output.status.success(), "{}", complaint(&output));
    let receipt: Json = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(receipt["rows"][0]["columns"]["key"], "editor");

    // The primary is on disk: another run of the program finds it.
    let output = run(&[
        "call",
        "get_fact",
        r#"["ada", "editor"]"#,
        "--config",
        config,
    ]);
    assert_eq!(
        serde_json::from_slice::<Json>(&output.stdout).unwrap(),
        serde_json::json!(["vim"])
    );

    let file = home.path().join("arguments.json");
    std::fs::write(&file, r#"{"user_id": "ada", "key": "editor"}"#).unwrap();
    let from_file = format!("@{}", file.display());
    let output = run(&["call", "get_fact", &from_file, "--config", config]);
    assert_eq!(
        serde_json::from_slice::<Json>(&output.stdout).unwrap(),
        serde_json::json!(["vim"]),
        "{}",
        complaint(&output)
    );
    let mut child = Command::new(env!("CARGO_BIN_EXE_host-harness"))
        .args(["call", "search_events", "-", "--config", config])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // A time before 1970, and one with an offset.
    let search = r#"{"search": {"user_id": "ada", "from": "1969-07-20T22:17:40+02:00"}}"#;
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(search.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(out(&output).trim(), "[]");

    for (arguments, expected) in [
        (
            vec!["call", "get_fact", "@/no/such.json", "--config", config],
            "cannot read the arguments from /no/such.json",
        ),
        (
            vec!["call", "get_fakt", "{}", "--config", config],
            "did you mean get_fact?",
        ),
        (
            vec!["call", "get_fact", "{", "--config", config],
            "they are not JSON",
        ),
        (
            vec!["call", "get_fact", "{}", "--config", config],
            "argument user_id is missing",
        ),
        (
            vec!["call", "get_fact", "{}", "--config", "/no/file"],
            "/no/file: cannot be read",
        ),
        (
            vec!["status", "--url", "https://127.0.0.1:1"],
            "https is not supported; give http://HOST:PORT",
        ),
        (vec!["call", "get_fact"], "--config"),
        (vec!["status"], "--config <FILE>"),
        (
            vec!["status", "--config", config],
            "no loaded module offers /api/db-sync",
        ),
        (
            vec!["pause", "--config", config],
            "pause needs a running host",
        ),
        (
            vec!["status", "--url", "http://127.0.0.1:1"],
            "cannot reach http://127.0.0.1:1: ",
        ),
    ] {
        let output = run(&arguments);
        // A host that is not there has a code of its own.
        let code = match expected {
            text if text.contains("cannot reach") || text.contains("no loaded module") => 3,
            _ => 2,
        };
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(
            complaint(&output).contains(expected),
            "{arguments:?}: {}",
            complaint(&output)
        );
        assert!(
            !complaint(&output).contains("panicked"),
            "{}",
            complaint(&output)
        );
    }
}

#[test]
fn an_address_takes_precedence_over_a_configuration_file() {
    let output = Command::new(env!("CARGO_BIN_EXE_host-harness"))
        .args(["status", "--url", "http://127.0.0.1:1"])
        .env("HOST_CONFIG", "/no/file")
        .output()
        .unwrap();
    let text = complaint(&output);
    assert!(text.contains("cannot reach http://127.0.0.1:1: "), "{text}");
}

#[test]
fn help_shows_examples() {
    for arguments in [vec!["--help"], vec!["call", "--list"]] {
        let text = out(&run(&arguments));
        assert!(text.contains("save_fact"), "{text}");
    }
}

#[test]
fn the_exit_codes_are_in_the_help() {
    let text = out(&run(&["--help"]));
    assert!(text.contains("Exit codes:\n  0  done"), "{text}");
    for code in 1..=5 {
        assert!(text.contains(&format!("\n  {code}  ")), "{code}: {text}");
    }
    assert_eq!(run(&["verifi"]).status.code(), Some(2));
}

#[test]
fn the_command_line_completes_itself_and_has_a_manual() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success(), "{shell}");
        let script = out(&output);
        assert!(script.contains("dead-letters"), "{shell}: {script}");
        assert!(script.contains("no-repair"), "{shell}: {script}");
    }
    // What bash makes of it.
    let home = tempfile::tempdir().unwrap();
    let script = home.path().join("completion.bash");
    std::fs::write(&script, run(&["completions", "bash"]).stdout).unwrap();
    let ask = "source \"$0\"; [[ $(complete -p host-harness) =~ -F\\ ([^\\ ]+) ]]; \
               COMP_WORDS=(host-harness verify --no-); COMP_CWORD=2; \
               ${BASH_REMATCH[1]} host-harness --no- verify; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .args(["-c", ask])
        .arg(&script)
        .output()
        .unwrap();
    assert_eq!(out(&output).trim(), "--no-repair", "{}", complaint(&output));

    let page = out(&run(&["man"]));
    assert!(page.contains(".TH host-harness 1"), "{page}");
    assert!(page.contains("Exit codes"), "{page}");
    let dir = home.path().join("man");
    assert!(
        run(&["man", "--dir", dir.to_str().unwrap()])
            .status
            .success()
    );
    assert!(dir.join("host-harness-verify.1").exists());
}

#[test]
fn every_answer_can_be_json() {
    let list: Json = serde_json::from_slice(&run(&["call", "--list", "--json"]).stdout).unwrap();
    assert_eq!(list.as_array().unwrap().len(), 64);
    assert_eq!(list[0]["name"].as_str().map(str::is_empty), Some(false));
}
