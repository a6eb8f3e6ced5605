//! The licences of what is linked in, as one text: a list of the packages, then
//! each licence text once.
//!
//! The texts are those that the packages come with, wherever in a package they are:
//! some contain the sources of others. For a package that comes without one, the
//! standard text of each licence that it states is taken.

use crate::linked::{Linked, Package};
use anyhow::{Context, anyhow, ensure};
use spdx::Expression;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};
use walkdir::WalkDir;

/// How the names of licence files begin, in lower case.
const BEGINNINGS: [&str; 6] = [
    "license",
    "licence",
    "copying",
    "copyright",
    "notice",
    "unlicense",
];

/// Extensions of files that have such names and are something else.
const CODE: [&str; 6] = ["rs", "py", "js", "toml", "json", "html"];

const RULE: &str =
    "--------------------------------------------------------------------------------";

/// The licences of everything that is linked in, but for the Rust standard library.
///
/// # Errors
/// A package has neither a text nor a licence that is known.
pub fn text(linked: &Linked) -> anyhow::Result<String> {
    // Each text with its number, and the packages that have it.
    let mut texts: BTreeMap<String, (usize, Vec<String>)> = BTreeMap::new();
    let mut list = String::new();
    for package in &linked.packages {
        let name = format!("{} {}", package.name, package.version);
        let found = texts_of(package).with_context(|| name.clone())?;
        let mut numbers = Vec::new();
        for text in found.texts {
            let next = texts.len() + 1;
            let (number, users) = texts.entry(text).or_insert((next, Vec::new()));
            users.push(name.clone());
            numbers.push(format!("[{number}]"));
        }
        writeln!(list, "{name}\n    {}: {}", found.licence, numbers.join(" "))?;
        if let Some(repository) = &package.repository {
            writeln!(list, "    {repository}")?;
        }
        if found.is_standard {
            writeln!(
                list,
                "    It comes without a text; this is the standard one. Authors: {}",
                match package.authors.as_slice() {
                    [] => "not named".to_owned(),
                    authors => authors.join(", "),
                }
            )?;
        }
    }
    let mut numbered: Vec<_> = texts.into_iter().collect();
    numbered.sort_by_key(|(_, (number, _))| *number);
    let mut all = format!(
        "Licences of what is linked into db-sync-server {} for {}\n\n\
         {} packages, each with its licence and the numbers of the texts below. The\n\
         Rust standard library is linked in too: see RUST-LIBRARY-LICENSES.html.\n\n\
         The sources of each, unchanged: https://crates.io/crates/NAME/VERSION\n\n{list}",
        linked.version,
        linked.target,
        linked.packages.len()
    );
    for (text, (number, users)) in numbered {
        write!(all, "\n{RULE}\n[{number}] {}\n\n{text}\n", users.join(", "))?;
    }
    Ok(all)
}

/// The licence of one package.
struct Texts {
    /// Its SPDX expression, or the name of the file that has it.
    licence: String,
    texts: Vec<String>,
    /// The package comes without a text.
    is_standard: bool,
}

fn texts_of(package: &Package) -> anyhow::Result<Texts> {
    let expression = package
        .license
        .as_deref()
        .map(|text| parse(text).context(text.to_owned()))
        .transpose()?;
    let mut files = licence_files(package.directory())?;
    if let Some(named) = &package.license_file {
        files.push(package.directory().join(named));
    }
    files.sort();
    files.dedup();
    let mut texts = Vec::new();
    for file in &files {
        let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
        let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
        let text = text.trim_matches('\n').to_owned();
        if !text.is_empty() && !texts.contains(&text) {
            texts.push(text);
        }
    }
    let licence = match (&expression, &package.license_file) {
        (Some(expression), _) => expression.to_string(),
        (None, Some(file)) => {
            let text = texts.first().map_or("", |text| text);
            let title = text.lines().next().unwrap_or_default();
            format!("{title}, in its file {}", file.display())
        }
        (None, None) => return Err(anyhow!("it states no licence")),
    };
    let is_standard = texts.is_empty();
    if is_standard {
        texts = standard_texts(expression.as_ref().context("it has no text")?)?;
    }
    Ok(Texts {
        licence,
        texts,
        is_standard,
    })
}

/// Some packages still separate their licences with a slash.
fn parse(text: &str) -> Result<Expression, spdx::ParseError> {
    let canonical = Expression::canonicalize(text)?;
    Expression::parse(canonical.as_deref().unwrap_or(text))
}

/// The licence files in a directory and below.
fn licence_files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in WalkDir::new(directory) {
        let entry = entry?;
        if entry.file_type().is_file() && is_licence_file(entry.path()) {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

fn is_licence_file(path: &Path) -> bool {
    let lower = |part: &std::ffi::OsStr| part.to_string_lossy().to_lowercase();
    let name = path.file_name().map(lower).unwrap_or_default();
    let is_code = path
        .extension()
        .map(lower)
        .is_some_and(|extension| CODE.contains(&&*extension));
    !is_code && BEGINNINGS.iter().any(|start| name.starts_with(start))
}

/// The standard texts of every licence in an expression.
fn standard_texts(expression: &Expression) -> anyhow::Result<Vec<String>> {
    let mut texts = Vec::new();
    for required in expression.requirements() {
        let id = required.req.license.id();
        let id = id.with_context(|| format!("{} has no standard text", required.req.license))?;
        texts.push(id.text().trim_matches('\n').to_owned());
        if let Some(spdx::AdditionItem::Spdx(exception)) = &required.req.addition {
            texts.push(exception.text().trim_matches('\n').to_owned());
        }
    }
    ensure!(!texts.is_empty(), "{expression} names no licence");
    Ok(texts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    /// The packages of the list that mention this licence.
    fn entry<'a>(text: &'a str, name: &str) -> &'a str {
        let (_, rest) = text.split_once(&format!("\n{name} ")).expect(name);
        rest.split_once("\n    http")
            .map_or(rest, |(entry, _)| entry)
    }

    #[test]
    fn every_package_that_is_linked_in_has_its_licence_and_a_text() {
        let linked = Linked::find().unwrap();
        assert!(linked.packages.len() > 100);
        let text = text(&linked).unwrap();
        for package in &linked.packages {
            let entry = entry(&text, &package.name);
            assert!(entry.contains(": ["), "{}: {entry}", package.name);
        }
        assert!(entry(&text, "surrealdb").contains("Business Source License 1.1, in its file"));
        assert!(text.contains("Change Date:          2030-01-01"));
        // C sources that a package contains, with texts of their own.
        assert!(text.contains("Copyright (c) 2015-2020 the fiat-crypto authors"));
        // One that comes without a text.
        assert!(entry(&text, "abi_stable").contains("MIT OR Apache-2.0: ["));
        assert!(text.contains("Permission is hereby granted, free of charge"));
    }

    #[test]
    fn licence_files_are_recognised_by_their_names() {
        for name in [
            "LICENSE",
            "license-mit.txt",
            "COPYING.md",
            "NOTICE",
            "a/UNLICENSE",
        ] {
            assert!(is_licence_file(Path::new(name)), "{name}");
        }
        for name in ["license.rs", "src/lib.rs", "README.md", "licenses.toml"] {
            assert!(!is_licence_file(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn a_package_without_any_licence_is_an_error_that_names_it() {
        let mut linked = Linked::find().unwrap();
        let unknown = |license: Option<&str>| Package {
            license: license.map(str::to_owned),
            license_file: None,
            // A package of ours, with no licence file in it.
            ..linked.packages[0].clone()
        };
        for (license, why) in [(None, "states no licence"), (Some("Whatever"), "Whatever")] {
            let packages = vec![unknown(license)];
            let name = packages[0].name.clone();
            let one = Linked {
                packages,
                ..linked.clone()
            };
            let error = format!("{:#}", text(&one).unwrap_err());
            assert!(error.contains(&name) && error.contains(why), "{error}");
        }
        linked.packages.clear();
        assert!(text(&linked).is_ok());
    }
}
