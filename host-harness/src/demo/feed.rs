//! A corpus, written through the host as its indexers would.

use super::{Checks, USER};
use crate::{
    compare::Comparison,
    corpus::{Corpus, Document, SourceFile, Symbol},
    embedder::embed,
    host::Host,
    output::{bar, say},
};
use plugin_api::{
    abi_stable::std_types::{ROption, RString, RVec},
    error::StorageResult,
    records::{CodeChunk, CodeFile, CodeProject, CodeSymbol, IndexingJob, WriteReceipt},
    storage::{CallContext, CodeStorage, FullStorage, Storage},
    value::{Object, Value},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

/// A symbol longer than this is stored in chunks too.
const LONG_SYMBOL_LINES: usize = 40;
/// How many lines a chunk has.
const CHUNK_LINES: usize = 30;
/// The type of the edges between packages.
const DEPENDS_ON: &str = "depends_on";

/// What was written.
#[derive(Default)]
pub(super) struct Fed {
    /// How many rows, one that was written twice counted twice.
    pub(super) rows: usize,
    pub(super) took: Duration,
    /// The ids by table.
    ids: BTreeMap<String, BTreeSet<String>>,
}

impl Fed {
    fn wrote(&mut self, receipt: &WriteReceipt) {
        self.rows += receipt.rows.len();
        for row in &receipt.rows {
            let ids = self.ids.entry(row.id.table.to_string()).or_default();
            ids.insert(row.id.to_string());
        }
    }

    /// Does the primary hold exactly the rows that were written?
    pub(super) fn is_all_there(&self, comparison: &Comparison) -> bool {
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

    /// Rows in a second.
    #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
    pub(super) fn rate(&self) -> f64 {
        self.rows as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }
}

/// Writes everything.
pub(super) fn feed(host: &Host, corpus: &Corpus) -> anyhow::Result<Fed> {
    let mut feed = Feed {
        storage: host.storage(),
        context: CallContext::new(),
        fed: Fed::default(),
    };
    feed.code(corpus)?;
    feed.each("documents", &corpus.documents, |feed, document| {
        feed.document(document)
    })?;
    feed.each(
        "paragraphs as vectors",
        &corpus.paragraphs,
        |feed, paragraph| {
            let metadata = Object::new().with("path", paragraph.path.as_str());
            let embedding = embed(&paragraph.text);
            feed.storage
                .index_vector(&feed.context, USER, &paragraph.text, &embedding, &metadata)
        },
    )?;
    let subject = format!("repository:{}", corpus.name);
    feed.each("commits as events", &corpus.commits, |feed, commit| {
        let metadata = Object::new()
            .with("hash", commit.hash.as_str())
            .with("author", commit.author.as_str())
            .with("date", commit.date.as_str());
        let embedding = embed(&commit.message);
        feed.storage.save_event(
            &feed.context,
            USER,
            &subject,
            &commit.message,
            &embedding,
            &metadata,
        )
    })?;
    feed.packages(corpus)?;
    Ok(feed.fed)
}

struct Feed<'a> {
    storage: &'a FullStorage,
    context: CallContext,
    fed: Fed,
}

impl Feed<'_> {
    /// Writes each item, with a bar, and counts what was written.
    fn each<T>(
        &mut self,
        what: &str,
        items: &[T],
        mut write: impl FnMut(&mut Self, &T) -> StorageResult<WriteReceipt>,
    ) -> anyhow::Result<()> {
        let progress = bar(what, items.len());
        let started = Instant::now();
        let before = self.fed.rows;
        for item in items {
            let receipt = write(self, item)?;
            self.fed.wrote(&receipt);
            progress.inc(1);
        }
        progress.finish_and_clear();
        let took = started.elapsed();
        let rows = self.fed.rows - before;
        self.fed.took += took;
        say(format_args!(
            "  {what:<24} {:>5} items, {rows:>5} rows, {:>5.1} s",
            items.len(),
            took.as_secs_f64()
        ))
        .map_err(Into::into)
    }

    fn code(&mut self, corpus: &Corpus) -> anyhow::Result<()> {
        let project = &corpus.name;
        let count = u32::try_from(corpus.files.len()).unwrap_or(u32::MAX);
        let root = corpus.root.display().to_string();
        let mut job = String::new();
        self.each("code project", &[()], |feed, ()| {
            let created = feed.storage.create_code_project(
                &feed.context,
                &CodeProject {
                    project_id: project.as_str().into(),
                    name: project.as_str().into(),
                    root_path: root.as_str().into(),
                    language_stats: Object::new().with("rust", count),
                    indexing_status: "in_progress".into(),
                    ..CodeProject::default()
                },
            )?;
            let receipt = feed.storage.create_indexing_job(
                &feed.context,
                &IndexingJob {
                    project_id: project.as_str().into(),
                    project_path: root.as_str().into(),
                    status: "in_progress".into(),
                    files_total: count,
                    ..IndexingJob::default()
                },
            )?;
            feed.fed.wrote(&created);
            job = receipt
                .rows
                .first()
                .map(|row| row.id.to_string())
                .unwrap_or_default();
            Ok(receipt)
        })?;
        self.each("source files and symbols", &corpus.files, |feed, file| {
            feed.source_file(project, file)
        })?;
        self.each("indexing finished", &[()], |feed, ()| {
            feed.storage
                .update_indexing_job(&feed.context, &job, "completed", 1.0, count, "")?;
            feed.storage
                .update_project_status(&feed.context, project, "completed")
        })
    }

    /// A file, its symbols (those around others first, since the others name
    /// them by id), and the chunks of the long ones.
    fn source_file(&mut self, project: &str, file: &SourceFile) -> StorageResult<WriteReceipt> {
        let mut rows = self
            .storage
            .save_code_file(
                &self.context,
                &CodeFile {
                    project_id: project.into(),
                    file_path: file.path.as_str().into(),
                    language: "rust".into(),
                    file_hash: hash(&file.text).into(),
                    symbols_count: u32::try_from(file.symbols.len()).unwrap_or(u32::MAX),
                    indexed_at: ROption::RNone,
                },
            )?
            .rows;
        let mut ids: Vec<RString> = Vec::new();
        let around = file
            .symbols
            .iter()
            .take_while(|symbol| symbol.parent.is_none())
            .count();
        let paths = name_paths(file);
        for range in [0..around, around..file.symbols.len()] {
            let symbols: Vec<CodeSymbol> = range
                .map(|at| {
                    let symbol = &file.symbols[at];
                    let parent = symbol.parent.and_then(|parent| ids.get(parent));
                    code_symbol(project, file, symbol, &paths[at], parent)
                })
                .collect();
            if !symbols.is_empty() {
                let receipt = self.storage.save_code_symbols(&self.context, &symbols)?;
                ids.extend(
                    receipt
                        .rows
                        .iter()
                        .map(|row| RString::from(row.id.to_string())),
                );
                rows.extend(receipt.rows);
            }
        }
        let chunks: Vec<CodeChunk> = file
            .symbols
            .iter()
            .zip(&ids)
            .filter(|(symbol, _)| symbol.last_line - symbol.first_line >= LONG_SYMBOL_LINES)
            .flat_map(|(symbol, id)| chunks(project, file, symbol, id))
            .collect();
        if !chunks.is_empty() {
            rows.extend(self.storage.save_code_chunks(&self.context, &chunks)?.rows);
        }
        Ok(WriteReceipt { rows })
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

    fn packages(&mut self, corpus: &Corpus) -> anyhow::Result<()> {
        let crates = &corpus.packages.crates;
        let mut ids: Vec<String> = Vec::new();
        self.each("crates as entities", crates, |feed, package| {
            let properties = Object::new()
                .with("version", package.version.as_str())
                .with("license", package.license.clone())
                .with("description", package.description.clone());
            let receipt =
                feed.storage
                    .create_entity(&feed.context, "crate", &package.name, &properties)?;
            ids.extend(receipt.rows.iter().map(|row| row.id.to_string()));
            Ok(receipt)
        })?;
        self.each(
            "dependencies as edges",
            &corpus.packages.edges,
            |feed, (from, to)| {
                feed.storage.create_relationship(
                    &feed.context,
                    &ids[*from],
                    &ids[*to],
                    DEPENDS_ON,
                    &Object::new(),
                )
            },
        )?;
        let own: Vec<_> = crates
            .iter()
            .filter(|package| package.source.is_none())
            .collect();
        self.each("package facts", &own, |feed, package| {
            let value = Object::new()
                .with("version", package.version.as_str())
                .with("edition", package.edition.as_str())
                .with("rust_version", package.rust_version.clone())
                .with("description", package.description.clone());
            feed.storage.save_fact(
                &feed.context,
                USER,
                &format!("package/{}", package.name),
                &Value::from(value),
            )
        })
    }
}

/// The symbols' names with their file and those around them, each once.
fn name_paths(file: &SourceFile) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut paths: Vec<String> = Vec::with_capacity(file.symbols.len());
    for symbol in &file.symbols {
        let around = symbol
            .parent
            .and_then(|parent| paths.get(parent))
            .unwrap_or(&file.path);
        let path = format!("{around}/{}", symbol.name);
        let count = seen
            .entry(path.clone())
            .and_modify(|count| *count += 1)
            .or_insert(1);
        paths.push(if *count == 1 {
            path
        } else {
            format!("{path}~{count}")
        });
    }
    paths
}

fn code_symbol(
    project: &str,
    file: &SourceFile,
    symbol: &Symbol,
    path: &str,
    parent: Option<&RString>,
) -> CodeSymbol {
    let source = &file.text[symbol.first_byte..symbol.end_byte];
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    CodeSymbol {
        project_id: project.into(),
        file_path: file.path.as_str().into(),
        language: "rust".into(),
        symbol_type: symbol.kind.into(),
        name: symbol.name.as_str().into(),
        name_path: path.into(),
        start_line: number(symbol.first_line),
        end_line: number(symbol.last_line),
        start_byte: number(symbol.first_byte),
        end_byte: number(symbol.end_byte),
        source_code: ROption::RSome(source.into()),
        signature: ROption::RSome(symbol.signature.as_str().into()),
        doc_string: Some(symbol.doc.as_str())
            .filter(|doc| !doc.is_empty())
            .map(RString::from)
            .into(),
        embedding: embed(&format!("{} {} {source}", symbol.name, symbol.doc)).into(),
        parent_id: parent.cloned().into(),
        metadata: ROption::RNone,
    }
}

/// A long symbol in pieces of whole lines.
fn chunks(project: &str, file: &SourceFile, symbol: &Symbol, id: &RString) -> Vec<CodeChunk> {
    let source = &file.text[symbol.first_byte..symbol.end_byte];
    let lines: Vec<&str> = source.split_inclusive('\n').collect();
    let pieces: Vec<String> = lines.chunks(CHUNK_LINES).map(<[&str]>::concat).collect();
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut start = 0;
    pieces
        .iter()
        .enumerate()
        .map(|(at, content)| {
            let chunk = CodeChunk {
                symbol_id: id.clone(),
                project_id: project.into(),
                file_path: file.path.as_str().into(),
                chunk_index: number(at),
                chunk_count: number(pieces.len()),
                content: content.as_str().into(),
                start_offset: number(start),
                end_offset: number(start + content.len()),
                embedding: embed(content).into(),
                symbol_name: symbol.name.as_str().into(),
                symbol_type: symbol.kind.into(),
                language: "rust".into(),
            };
            start += content.len();
            chunk
        })
        .collect()
}

/// A hash of a file's text, to see whether it changed.
fn hash(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// Searches for a few words of a paragraph and of a symbol, and sees whether
/// they are found.
pub(super) fn search(host: &Host, corpus: &Corpus, checks: &mut Checks) -> anyhow::Result<()> {
    let context = CallContext::new();
    if let Some(paragraph) = corpus
        .paragraphs
        .iter()
        .max_by_key(|paragraph| paragraph.text.len())
    {
        let words: Vec<&str> = paragraph.text.split_whitespace().skip(4).take(10).collect();
        let words = words.join(" ");
        let found = host
            .storage()
            .search_similar(&context, USER, &embed(&words), 3)?;
        checks.check(
            &format!("\"{words}\" finds its paragraph of {}", paragraph.path),
            found.iter().any(|found| found.content == paragraph.text),
        )?;
    }
    let documented = corpus
        .files
        .iter()
        .flat_map(|file| file.symbols.iter().map(move |symbol| (file, symbol)))
        .max_by_key(|(_, symbol)| symbol.doc.len());
    if let Some((file, symbol)) = documented {
        let words: Vec<&str> = symbol.doc.split_whitespace().take(10).collect();
        let words = words.join(" ");
        let found = host.storage().search_symbols_by_similarity(
            &context,
            &corpus.name,
            &embed(&words),
            &[],
            5,
        )?;
        checks.check(
            &format!("\"{words}\" finds {} in {}", symbol.name, file.path),
            found.iter().any(|hit| hit.found.record.name == symbol.name),
        )?;
    }
    Ok(())
}
