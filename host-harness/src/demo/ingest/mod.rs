//! Writes a [corpus](crate::corpus) through the host, as its indexers would.

mod code;

use super::{Checks, USER};
use crate::{
    compare::Comparison,
    corpus::{Corpus, Document, NoHistory, Package, PackageManifest, Packages},
    embedder::embed,
    host::Host,
    output::{bar, say},
};
use plugin_api::{
    abi_stable::std_types::{RString, RVec},
    error::StorageResult,
    records::WriteReceipt,
    storage::{CallContext, FullStorage, Storage},
    value::{Object, Value},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

/// The type of the edges between packages.
const DEPENDS_ON: &str = "depends_on";

/// What was written.
#[derive(Default)]
pub(super) struct Written {
    /// How many rows; a row that was written twice counts twice.
    pub(super) rows: usize,
    /// How long it took.
    pub(super) took: Duration,
    /// The ids by table.
    ids: BTreeMap<String, BTreeSet<String>>,
}

impl Written {
    fn add(&mut self, receipt: &WriteReceipt) {
        self.rows += receipt.rows.len();
        for row in &receipt.rows {
            let ids = self.ids.entry(row.id.table.to_string()).or_default();
            ids.insert(row.id.to_string());
        }
    }

    /// Does the primary hold exactly the rows that were written?
    pub(super) fn is_what_the_primary_holds(&self, comparison: &Comparison) -> bool {
        let written = self
            .ids
            .iter()
            .map(|(table, ids)| (table.as_str(), ids.len() as u64));
        let held = comparison
            .tables
            .iter()
            .map(|table| (table.table.as_str(), table.primary_rows));
        written.eq(held)
    }

    /// Rows per second.
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    pub(super) fn rate(&self) -> f64 {
        self.rows as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }
}

/// Writes every input of the corpus. An input that is missing or empty fails the
/// demo; a history is skipped where there is no Git repository.
pub(super) fn ingest(host: &Host, corpus: &Corpus, checks: &mut Checks) -> anyhow::Result<Written> {
    let mut ingest = Ingest {
        storage: host.storage(),
        context: CallContext::new(),
        checks,
        inputs: 0,
        empty_inputs: 0,
        written: Written::default(),
    };
    ingest.code(corpus)?;
    ingest.documents(corpus)?;
    ingest.history(corpus)?;
    ingest.packages(corpus)?;

    let Ingest {
        inputs,
        empty_inputs,
        written,
        ..
    } = ingest;
    if empty_inputs == 0 {
        checks.check(&format!("none of the {inputs} inputs is empty"), true)?;
    }
    Ok(written)
}

struct Ingest<'a> {
    storage: &'a FullStorage,
    context: CallContext,
    checks: &'a mut Checks,
    inputs: usize,
    empty_inputs: usize,
    written: Written,
}

impl Ingest<'_> {
    /// Writes each item of an input, with a progress bar, and counts the rows.
    /// If there is no item the demo fails, with `if_empty` as the reason.
    fn each<T>(
        &mut self,
        input: &str,
        items: &[T],
        if_empty: &str,
        mut write: impl FnMut(&mut Self, &T) -> StorageResult<WriteReceipt>,
    ) -> anyhow::Result<()> {
        self.inputs += 1;
        if items.is_empty() {
            return self.empty(input, if_empty);
        }
        let progress = bar(input, items.len());
        let started = Instant::now();
        let before = self.written.rows;
        for item in items {
            let receipt = write(self, item)?;
            self.written.add(&receipt);
            progress.inc(1);
        }
        progress.finish_and_clear();
        let took = started.elapsed();
        let rows = self.written.rows - before;
        self.written.took += took;
        say(format_args!(
            "  {input:<24} {:>5} items, {rows:>5} rows, {:>5.1} s",
            items.len(),
            took.as_secs_f64()
        ))
        .map_err(Into::into)
    }

    fn empty(&mut self, input: &str, reason: &str) -> anyhow::Result<()> {
        self.empty_inputs += 1;
        self.checks
            .check(&format!("the input \"{input}\" is empty: {reason}"), false)
    }

    fn documents(&mut self, corpus: &Corpus) -> anyhow::Result<()> {
        let root = corpus.root.display();
        let no_documents = format!("there is no .md file in {root}; add one");
        self.each(
            "documents",
            &corpus.documents,
            &no_documents,
            |ingest, document| ingest.document(document),
        )?;
        let no_paragraphs = format!("no .md file in {root} has a paragraph of text; add one");
        self.each(
            "paragraphs as vectors",
            &corpus.paragraphs,
            &no_paragraphs,
            |ingest, paragraph| {
                let metadata = Object::new().with("path", paragraph.path.as_str());
                ingest.storage.index_vector(
                    &ingest.context,
                    USER,
                    &paragraph.text,
                    &embed(&paragraph.text),
                    &metadata,
                )
            },
        )
    }

    fn document(&mut self, document: &Document) -> StorageResult<WriteReceipt> {
        let metadata = Object::new().with("title", document.title.as_str());
        if let [whole] = document.sections.as_slice() {
            return self.storage.save_document(
                &self.context,
                &document.path,
                whole,
                &embed(whole),
                &metadata,
            );
        }
        let chunks: Vec<RString> = document
            .sections
            .iter()
            .map(|text| text.as_str().into())
            .collect();
        let embeddings: Vec<RVec<f32>> = document
            .sections
            .iter()
            .map(|text| embed(text).into())
            .collect();
        self.storage.save_document_chunks(
            &self.context,
            &document.path,
            &chunks,
            &embeddings,
            &metadata,
        )
    }

    fn history(&mut self, corpus: &Corpus) -> anyhow::Result<()> {
        let input = "commits as events";
        let commits = match &corpus.commits {
            Ok(commits) => commits,
            Err(NoHistory::NoRepository(reason)) => {
                return self.checks.skip(&format!("{input}: {reason}"));
            }
            Err(NoHistory::Unreadable(reason)) => {
                self.inputs += 1;
                return self.empty(input, reason);
            }
        };
        let subject = format!("repository:{}", corpus.name);
        let no_commits = "`git log` shows no commit; commit something";
        self.each(input, commits, no_commits, |ingest, commit| {
            let metadata = Object::new()
                .with("hash", commit.hash.as_str())
                .with("author", commit.author.as_str())
                .with("date", commit.date.as_str());
            ingest.storage.save_event(
                &ingest.context,
                USER,
                &subject,
                &commit.message,
                &embed(&commit.message),
                &metadata,
            )
        })
    }

    fn packages(&mut self, corpus: &Corpus) -> anyhow::Result<()> {
        let unreadable = Packages::default();
        let (Packages { packages, edges }, if_empty) = match &corpus.packages {
            Ok(packages) => (packages, "Cargo.lock lists none; build the project once"),
            Err(reason) => (&unreadable, reason.as_str()),
        };
        let mut ids: Vec<String> = Vec::new();
        self.each(
            "packages as entities",
            packages,
            if_empty,
            |ingest, package| {
                let receipt = ingest.storage.create_entity(
                    &ingest.context,
                    "package",
                    &package.name,
                    &properties(package),
                )?;
                ids.extend(receipt.rows.iter().map(|row| row.id.to_string()));
                Ok(receipt)
            },
        )?;
        self.each(
            "dependencies as edges",
            edges,
            if_empty,
            |ingest, (from, to)| {
                ingest.storage.create_relationship(
                    &ingest.context,
                    &ids[*from],
                    &ids[*to],
                    DEPENDS_ON,
                    &Object::new(),
                )
            },
        )?;
        let own: Vec<(&Package, &PackageManifest)> = packages
            .iter()
            .filter_map(|package| Some((package, package.manifest.as_ref()?)))
            .collect();
        self.each(
            "package facts",
            &own,
            if_empty,
            |ingest, (package, manifest)| {
                let value = properties(package)
                    .with("edition", manifest.edition.as_str())
                    .with("rust_version", manifest.rust_version.clone());
                ingest.storage.save_fact(
                    &ingest.context,
                    USER,
                    &format!("package/{}", package.name),
                    &Value::from(value),
                )
            },
        )
    }
}

/// What is known of every package, and what only of the project's own.
fn properties(package: &Package) -> Object {
    let properties = Object::new().with("version", package.version.as_str());
    match &package.manifest {
        Some(manifest) => properties
            .with("license", manifest.license.clone())
            .with("description", manifest.description.clone()),
        None => properties
            .with("source", package.source.clone())
            .with("checksum", package.checksum.clone()),
    }
}
