//! A project's own text as records for every table: its sources, its Markdown,
//! its history, its packages.

mod history;
mod markdown;
mod packages;
mod rust_source;

use history::commits;
use markdown::{paragraphs, sections};
pub use packages::{Crate, Packages};

use packages::packages;
use rust_source::symbols;
use std::{
    io,
    path::{Path, PathBuf},
};

/// A source file and what is declared in it.
pub struct SourceFile {
    /// Its path below the project's directory.
    pub path: String,
    /// Its text.
    pub text: String,
    /// What it declares, those around others first.
    pub symbols: Vec<Symbol>,
}

/// Something declared in a source file.
#[derive(Clone, Debug, PartialEq)]
pub struct Symbol {
    /// `function`, `method`, `struct`, `enum`, `trait`, `impl`, `macro`.
    pub kind: &'static str,
    /// Its own name.
    pub name: String,
    /// The place of the symbol around it, in the same list.
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

/// A Markdown file, one piece for each heading.
pub struct Document {
    /// Its path below the project's directory.
    pub path: String,
    /// Its title: the first heading, or else the path.
    pub title: String,
    /// Its pieces, at least one.
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

/// Everything that was found.
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
    /// Its history, the newest first.
    pub commits: Vec<Commit>,
    /// Its packages and theirs.
    pub packages: Packages,
    /// What could not be had, and what was left out.
    pub notes: Vec<String>,
}

impl Corpus {
    /// Reads a project: at most `most` items of each kind, 0 for all.
    ///
    /// # Errors
    /// The directory cannot be read. What else cannot be had is a note.
    pub fn gather(root: &Path, most: usize) -> io::Result<Self> {
        let root = root.canonicalize()?;
        let mut paths = Vec::new();
        walk(&root, &mut paths)?;
        paths.sort();
        let mut corpus = Self {
            name: root
                .file_name()
                .map_or("project".into(), |name| name.to_string_lossy().into_owned()),
            files: Vec::new(),
            documents: Vec::new(),
            paragraphs: Vec::new(),
            commits: Vec::new(),
            packages: Packages::default(),
            notes: Vec::new(),
            root,
        };
        for path in paths {
            let Ok(text) = std::fs::read_to_string(&path) else {
                corpus.notes.push(format!("{} is no text", path.display()));
                continue;
            };
            let name = path.strip_prefix(&corpus.root).unwrap_or(&path);
            let path = name.to_string_lossy().into_owned();
            if path.ends_with(".rs") {
                let symbols = symbols(&text);
                corpus.files.push(SourceFile {
                    path,
                    text,
                    symbols,
                });
            } else {
                corpus
                    .paragraphs
                    .extend(paragraphs(&text).into_iter().map(|text| Paragraph {
                        path: path.clone(),
                        text,
                    }));
                let sections = sections(&text);
                let title = sections
                    .iter()
                    .find_map(|section| section.strip_prefix('#')?.lines().next())
                    .map_or(path.clone(), |line| {
                        line.trim_start_matches('#').trim().to_owned()
                    });
                corpus.documents.push(Document {
                    path,
                    title,
                    sections,
                });
            }
        }
        match commits(&corpus.root) {
            Ok(commits) => corpus.commits = commits,
            Err(reason) => corpus.notes.push(format!("no history: {reason}")),
        }
        match packages(&corpus.root) {
            Ok(packages) => corpus.packages = packages,
            Err(reason) => corpus.notes.push(format!("no packages: {reason}")),
        }
        if most > 0 {
            corpus.cut(most);
        }
        Ok(corpus)
    }

    /// How many symbols there are.
    pub fn symbol_count(&self) -> usize {
        self.files.iter().map(|file| file.symbols.len()).sum()
    }

    /// How many symbols each file may have, so that there are at most `most`.
    fn fair_share(&self, most: usize) -> usize {
        let with = |share: usize| -> usize {
            self.files
                .iter()
                .map(|file| file.symbols.len().min(share))
                .sum()
        };
        (0..=most)
            .rev()
            .find(|&share| with(share) <= most)
            .unwrap_or(0)
    }

    /// Leaves out what is past `most`, and says so.
    fn cut(&mut self, most: usize) {
        let mut notes = Vec::new();
        let mut note = |what: &str, had: usize, kept: usize| {
            if kept < had {
                notes.push(format!("{kept} of {had} {what}"));
            }
        };
        macro_rules! cut {
            ($what:literal, $list:expr, $most:expr) => {{
                let had = $list.len();
                $list.truncate($most);
                note($what, had, $list.len());
            }};
        }
        // Files of every part of the project, not only of the first.
        let symbols = self.symbol_count();
        let had = self.files.len();
        let mut at = 0;
        self.files.retain(|_| {
            at += 1;
            had <= most || at * most / had > (at - 1) * most / had
        });
        note("files", had, self.files.len());
        let share = self.fair_share(most);
        for file in &mut self.files {
            // The symbols around others come first, so a cut leaves no orphan.
            file.symbols.truncate(share);
        }
        note("symbols", symbols, self.symbol_count());
        cut!("documents", self.documents, most);
        cut!("paragraphs", self.paragraphs, most);
        cut!("commits", self.commits, most);
        cut!("crates", self.packages.crates, most);
        let crates = self.packages.crates.len();
        self.packages
            .edges
            .retain(|(from, to)| *from < crates && *to < crates);
        cut!("dependencies", self.packages.edges, 2 * most);
        self.notes.extend(notes);
    }
}

/// The Rust and Markdown files below a directory, without what is built or hidden.
fn walk(directory: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // A link may lead in a circle: it is neither a file nor a directory here.
        let kind = entry.file_type()?;
        if kind.is_dir() && name != "target" && !name.starts_with('.') {
            walk(&entry.path(), paths)?;
        } else if kind.is_file() && (name.ends_with(".rs") || name.ends_with(".md")) {
            paths.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn this_project_is_read_and_cut_to_size() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let all = Corpus::gather(&root, 0).unwrap();
        assert!(
            all.files
                .iter()
                .any(|file| file.path == "host-harness/src/corpus/mod.rs")
        );
        assert!(all.packages.crates.len() > 100, "{:?}", all.notes);
        assert!(
            all.notes.iter().all(|note| note.starts_with("no history")),
            "{:?}",
            all.notes
        );

        let few = Corpus::gather(&root, 20).unwrap();
        assert_eq!(few.files.len(), 20);
        assert!(few.symbol_count() <= 20 && few.symbol_count() > 0);
        let parts = |part: &str| few.files.iter().any(|file| file.path.starts_with(part));
        assert!(parts("host-harness/") && parts("plugin/") && parts("tests/"));
        assert_eq!(
            (few.packages.crates.len(), few.packages.edges.len()),
            (20, 40)
        );
        assert!(
            few.notes
                .contains(&format!("20 of {} files", all.files.len())),
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
