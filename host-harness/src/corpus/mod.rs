//! A project's own text as records for every table: its sources, its Markdown,
//! its history, its dependency graph.
//!
//! | module | what it reads |
//! | --- | --- |
//! | `rust_source` | the declarations of a Rust file |
//! | `markdown` | the sections and paragraphs of a Markdown file |
//! | `history` | the commits, from Git |
//! | `packages` | the dependency graph, from `Cargo.lock` and the manifests |

mod history;
mod markdown;
mod packages;
mod rust_source;

pub use history::NoHistory;
pub use packages::{Package, PackageManifest, Packages};

use history::commits;
use markdown::{paragraphs, sections};
use packages::packages;
use rust_source::symbols;
use std::{
    io,
    path::{Path, PathBuf},
};
use walkdir::{DirEntry, WalkDir};

/// A source file and what is declared in it.
pub struct SourceFile {
    /// Its path below the project's directory.
    pub path: String,
    /// Its text.
    pub text: String,
    /// What it declares; a symbol comes after the one that contains it.
    pub symbols: Vec<Symbol>,
}

/// Something declared in a source file.
#[derive(Clone, Debug, PartialEq)]
pub struct Symbol {
    /// `function`, `method`, `struct`, `enum`, `trait`, `impl`, `macro`.
    pub kind: &'static str,
    /// Its own name.
    pub name: String,
    /// The index of the symbol that contains it, in the same list.
    pub parent: Option<usize>,
    /// First line, from 1.
    pub first_line: usize,
    /// Last line.
    pub last_line: usize,
    /// First byte in the file.
    pub first_byte: usize,
    /// The byte after the last.
    pub end_byte: usize,
    /// The line that declares it.
    pub signature: String,
    /// The comment lines before it.
    pub doc: String,
}

/// A Markdown file, split at its headings.
pub struct Document {
    /// Its path below the project's directory.
    pub path: String,
    /// Its title: the first heading, or else the path.
    pub title: String,
    /// Its sections, at least one.
    pub sections: Vec<String>,
}

/// A paragraph of a Markdown file.
pub struct Paragraph {
    /// The file's path.
    pub path: String,
    /// The text.
    pub text: String,
}

/// One commit of the history.
pub struct Commit {
    /// Its hash.
    pub hash: String,
    /// Who wrote it.
    pub author: String,
    /// When.
    pub date: String,
    /// What it says.
    pub message: String,
}

/// Everything that was read of a project.
pub struct Corpus {
    /// The project's name: that of its directory.
    pub name: String,
    /// The project's directory.
    pub root: PathBuf,
    /// Its sources.
    pub files: Vec<SourceFile>,
    /// Its Markdown.
    pub documents: Vec<Document>,
    /// The paragraphs of its Markdown.
    pub paragraphs: Vec<Paragraph>,
    /// Its history, the newest commit first; or why there is none.
    pub commits: Result<Vec<Commit>, NoHistory>,
    /// Its dependency graph; or what is wrong with its files, and what to do.
    pub packages: Result<Packages, String>,
    /// What was left out.
    pub notes: Vec<String>,
}

impl Corpus {
    /// Reads a project: at most `limit` items of each kind, 0 for all.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn read(root: &Path, limit: usize) -> io::Result<Self> {
        let root = root.canonicalize()?;
        let mut corpus = Self {
            name: root
                .file_name()
                .map_or("project".into(), |name| name.to_string_lossy().into_owned()),
            files: Vec::new(),
            documents: Vec::new(),
            paragraphs: Vec::new(),
            commits: commits(&root),
            packages: packages(&root),
            notes: Vec::new(),
            root,
        };
        let is_input = |name: &str| name.ends_with(".rs") || name.ends_with(".md");
        for path in files(&corpus.root, is_input)? {
            let Ok(text) = std::fs::read_to_string(&path) else {
                corpus
                    .notes
                    .push(format!("{} is not UTF-8", path.display()));
                continue;
            };
            let name = path.strip_prefix(&corpus.root).unwrap_or(&path);
            let name = name.to_string_lossy().into_owned();
            if name.ends_with(".rs") {
                corpus.add_source(name, text);
            } else {
                corpus.add_document(name, &text);
            }
        }
        if limit > 0 {
            corpus.truncate(limit);
        }
        Ok(corpus)
    }

    fn add_source(&mut self, path: String, text: String) {
        let symbols = symbols(&text);
        self.files.push(SourceFile {
            path,
            text,
            symbols,
        });
    }

    fn add_document(&mut self, path: String, text: &str) {
        self.paragraphs
            .extend(paragraphs(text).into_iter().map(|text| Paragraph {
                path: path.clone(),
                text,
            }));
        let sections = sections(text);
        let title = sections
            .iter()
            .find_map(|section| section.strip_prefix('#')?.lines().next())
            .map_or(path.clone(), |line| {
                line.trim_start_matches('#').trim().to_owned()
            });
        self.documents.push(Document {
            path,
            title,
            sections,
        });
    }

    /// How many symbols there are.
    pub fn symbol_count(&self) -> usize {
        self.files.iter().map(|file| file.symbols.len()).sum()
    }

    /// How many symbols each file may have, so that there are at most `limit`.
    fn symbols_per_file(&self, limit: usize) -> usize {
        let total = |share: usize| -> usize {
            self.files
                .iter()
                .map(|file| file.symbols.len().min(share))
                .sum()
        };
        (0..=limit)
            .rev()
            .find(|&share| total(share) <= limit)
            .unwrap_or(0)
    }

    /// Leaves out what exceeds `limit`, and notes it.
    fn truncate(&mut self, limit: usize) {
        let mut notes = Vec::new();
        let mut note = |what: &str, had: usize, kept: usize| {
            if kept < had {
                notes.push(format!("{kept} of {had} {what}"));
            }
        };
        let symbols = self.symbol_count();
        // Files of every part of the project, not only of the first.
        let had = self.files.len();
        let mut at = 0;
        self.files.retain(|_| {
            at += 1;
            had <= limit || at * limit / had > (at - 1) * limit / had
        });
        note("files", had, self.files.len());
        let share = self.symbols_per_file(limit);
        for file in &mut self.files {
            // A symbol comes after its parent, so none loses it.
            file.symbols.truncate(share);
        }
        note("symbols", symbols, self.symbol_count());

        macro_rules! truncate {
            ($what:literal, $list:expr, $limit:expr) => {{
                let had = $list.len();
                $list.truncate($limit);
                note($what, had, $list.len());
            }};
        }
        truncate!("documents", self.documents, limit);
        truncate!("paragraphs", self.paragraphs, limit);
        if let Ok(commits) = &mut self.commits {
            truncate!("commits", commits, limit);
        }
        if let Ok(Packages { packages, edges }) = &mut self.packages {
            truncate!("packages", packages, limit);
            let kept = packages.len();
            edges.retain(|(from, to)| *from < kept && *to < kept);
            truncate!("dependencies", edges, 2 * limit);
        }
        self.notes.extend(notes);
    }
}

/// The files below a directory whose names are `wanted`, in order; none from
/// hidden directories or from `target`.
fn files(directory: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let is_source = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        entry.depth() == 0
            || !entry.file_type().is_dir()
            || (name != "target" && !name.starts_with('.'))
    };
    let mut files = Vec::new();
    for entry in WalkDir::new(directory)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(is_source)
    {
        let entry = entry?;
        if entry.file_type().is_file() && wanted(&entry.file_name().to_string_lossy()) {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn this_project_is_read_and_cut_to_size() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let all = Corpus::read(&root, 0).unwrap();
        assert!(
            all.files
                .iter()
                .any(|file| file.path == "host-harness/src/corpus/mod.rs")
        );
        let packages = all.packages.unwrap();
        assert!(packages.packages.len() > 100);
        assert!(
            matches!(&all.commits, Ok(_) | Err(NoHistory::NoRepository(_))),
            "{:?}",
            all.commits.err()
        );
        assert!(all.notes.is_empty(), "{:?}", all.notes);

        let limit = 40;
        let few = Corpus::read(&root, limit).unwrap();
        assert_eq!(few.files.len(), limit);
        assert!(few.symbol_count() <= limit && few.symbol_count() > 0);
        let parts = |part: &str| few.files.iter().any(|file| file.path.starts_with(part));
        assert!(parts("host-harness/") && parts("plugin/") && parts("tests/"));
        let kept = few.packages.unwrap();
        assert_eq!((kept.packages.len(), kept.edges.len()), (limit, 2 * limit));
        assert!(
            few.notes
                .contains(&format!("{limit} of {} files", all.files.len())),
            "{:?}",
            few.notes
        );
        for file in &few.files {
            for (at, symbol) in file.symbols.iter().enumerate() {
                assert!(
                    symbol.parent.is_none_or(|parent| parent < at),
                    "{}: {symbol:?}",
                    file.path
                );
            }
        }
    }
}
