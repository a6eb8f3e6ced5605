//! The documentation agrees with the code: its tables and the sample configuration
//! are generated.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `sample` | `docs/config.sample.yaml`, from the tables of keys |
//! | `handbook` | what the operator's handbook says of states, problems and errors |
//! | `monitoring` | the dashboard and the alerts use metrics that there are |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod handbook;
mod monitoring;
mod sample;

use crate::{
    config::{
        Key,
        settings::{SecondaryEntry, Settings},
    },
    http::Endpoints,
    logging::FIELDS,
    metrics,
    status::Problem,
};
use plugin_api::module::HttpEndpointProvider as _;
use std::{fmt::Write as _, path::PathBuf};

/// The tables, each with its name in the documents.
fn tables() -> [(&'static str, String); 10] {
    [
        ("keys", keys(Settings::KEYS)),
        ("secondary_databases", keys(SecondaryEntry::KEYS)),
        ("routes", routes()),
        ("metrics", metrics(false)),
        ("former metrics", metrics(true)),
        ("problems", problems()),
        ("log fields", log_fields()),
        ("states", handbook::states()),
        ("what to do", handbook::problems()),
        ("errors", handbook::errors()),
    ]
}

fn keys(keys: &[Key]) -> String {
    let mut table =
        String::from("| key | default | meaning | accepted |\n| --- | --- | --- | --- |\n");
    for key in keys {
        let mut names = format!("`{}`", key.name);
        for alias in key.aliases {
            write!(names, " (`{alias}`)").unwrap();
        }
        let default = key
            .default
            .map_or(String::new(), |text| format!("`{text}`"));
        let (description, accepts) = (key.description.trim(), (key.accepts)());
        writeln!(table, "| {names} | {default} | {description} | {accepts} |").unwrap();
    }
    table
}

fn routes() -> String {
    let mut table = String::from("| | route | what it does |\n| --- | --- | --- |\n");
    let routes = Endpoints::new(|| None).routes().into_iter();
    // The files of the status page are its own affair.
    for route in routes.filter(|route| !route.path.starts_with("/api/db-sync/page/")) {
        let (method, path, about) = (route.method, route.path, route.about);
        writeln!(table, "| {method} | `{path}` | {about} |").unwrap();
    }
    table
}

fn metrics(former: bool) -> String {
    let mut table = String::from(
        "| metric | type | unit | labels | meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    let all = metrics::descriptions().into_iter();
    for metric in all.filter(|metric| metric.is_former == former) {
        let metrics::Description {
            name,
            kind,
            unit,
            labels,
            help,
            ..
        } = metric;
        let labels = labels.join(", ");
        writeln!(table, "| `{name}` | {kind} | {unit} | {labels} | {help} |").unwrap();
    }
    table
}

fn log_fields() -> String {
    let mut table = String::from("| field | meaning |\n| --- | --- |\n");
    for (name, meaning) in FIELDS {
        writeln!(table, "| `{name}` | {meaning} |").unwrap();
    }
    table
}

fn problems() -> String {
    let mut table = String::from("| `kind` | health | when |\n| --- | --- | --- |\n");
    for kind in Problem::ALL {
        let (name, health, meaning) = (kind.name(), kind.health().name(), kind.meaning());
        writeln!(table, "| `{name}` | {health} | {meaning} |").unwrap();
    }
    table
}

/// `document` with each table between its markers `<!-- table: NAME -->` and
/// `<!-- end -->`.
fn fill(document: &str) -> String {
    let mut filled = document.to_owned();
    for (name, table) in tables() {
        let marker = format!("<!-- table: {name} -->\n");
        if let Some((before, rest)) = filled.split_once(&marker)
            && let Some((_, after)) = rest.split_once("<!-- end -->")
        {
            filled = format!("{before}{marker}\n{table}\n<!-- end -->{after}");
        }
    }
    filled
}

fn document(name: &str) -> (PathBuf, String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

/// Checks that a document has this text. With `UPDATE_DOCS=1` in the environment
/// writes it instead.
fn check(name: &str, expected: &str) {
    let (path, text) = document(name);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, expected).unwrap();
    } else {
        assert!(
            text == expected,
            "docs/{name} is out of date: UPDATE_DOCS=1 cargo test --workspace --lib documents"
        );
    }
}

#[test]
fn the_documents_have_the_generated_tables() {
    let mut all = String::new();
    for name in [
        "configuration.md",
        "http.md",
        "logs.md",
        "metrics.md",
        "operations.md",
    ] {
        let filled = fill(&document(name).1);
        check(name, &filled);
        all.push_str(&filled);
    }
    for (name, table) in tables() {
        assert!(
            all.contains(&table),
            "the table {name} has no place in the documents"
        );
    }
}
