//! The links of the documentation lead somewhere: to files of the repository, and
//! to headings in them. What a document links to below `docs/` is shipped with it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use walkdir::WalkDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// The documents at the top, and all below `docs/`.
fn documents() -> Vec<PathBuf> {
    let top = WalkDir::new(root()).max_depth(1);
    let docs = WalkDir::new(root().join("docs"));
    let entries = top.into_iter().chain(docs).map(|entry| entry.unwrap());
    entries
        .map(walkdir::DirEntry::into_path)
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect()
}

/// A document's lines without those of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// The targets of the links `[text](target)`.
fn links(text: &str) -> Vec<&str> {
    let parts = prose(text).flat_map(|line| line.split("](").skip(1));
    parts
        .filter_map(|part| part.split_once(')'))
        .map(|(target, _)| target)
        .collect()
}

/// The anchors of the headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter_map(|line| {
        let title = line.trim_start_matches('#');
        (title.len() < line.len()).then(|| title.strip_prefix(' '))?
    });
    let anchor = |title: &str| -> String {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let lower = title.trim().to_lowercase();
        lower
            .chars()
            .filter(kept)
            .collect::<String>()
            .replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// The links of a document that lead nowhere.
fn broken(document: &Path) -> Vec<String> {
    let text = fs::read_to_string(document).unwrap();
    let is_broken = |link: &&str| {
        if link.contains("://") || link.starts_with("mailto:") {
            return false;
        }
        let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = match file {
            "" => document.to_owned(),
            file => document.parent().unwrap().join(file),
        };
        let is_document = target
            .extension()
            .is_some_and(|extension| extension == "md");
        match fs::read_to_string(&target) {
            Ok(text) if is_document => !anchor.is_empty() && !anchors(&text).contains(anchor),
            _ => !target.exists(),
        }
    };
    let broken = links(&text).into_iter().filter(is_broken);
    broken
        .map(|link| format!("{}: {link}", document.display()))
        .collect()
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let documents = documents();
    assert!(documents.len() > 10);
    let broken: Vec<String> = documents.iter().flat_map(|one| broken(one)).collect();
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_link_to_a_missing_file_or_heading_is_found() {
    let home = tempfile::tempdir().unwrap();
    let document = home.path().join("a.md");
    let text = "# One, two\n\n[here](#one-two) [there](b.md#c) [gone](#three)\n\n\
                ```sh\n# [code](nowhere)\n```\n[away](c.md) [out](https://example.com)\n";
    fs::write(&document, text).unwrap();
    fs::write(home.path().join("b.md"), "## `c`\n").unwrap();
    let name = document.display();
    assert_eq!(
        broken(&document),
        [format!("{name}: #three"), format!("{name}: c.md")]
    );
}
