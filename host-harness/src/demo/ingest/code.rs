//! Source files as indexed code: the project, its files, their symbols, and the
//! chunks of long symbols.

use super::Ingest;
use crate::{
    corpus::{Corpus, SourceFile, Symbol},
    embedder::embed,
};
use plugin_api::{
    abi_stable::std_types::{ROption, RString},
    error::StorageResult,
    records::{CodeChunk, CodeFile, CodeProject, CodeSymbol, IndexingJob, WriteReceipt},
    storage::CodeStorage,
    value::Object,
};
use std::collections::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// A symbol with more lines is stored in chunks, too.
const LONG_SYMBOL_LINES: usize = 40;
/// How many lines a chunk has.
const CHUNK_LINES: usize = 30;

impl Ingest<'_> {
    pub(super) fn code(&mut self, corpus: &Corpus) -> anyhow::Result<()> {
        let project = &corpus.name;
        let count = number(corpus.files.len());
        let root = corpus.root.display().to_string();
        let mut job = String::new();
        self.each("code project", &[()], "", |ingest, ()| {
            let created = ingest.storage.create_code_project(
                &ingest.context,
                &CodeProject {
                    project_id: project.as_str().into(),
                    name: project.as_str().into(),
                    root_path: root.as_str().into(),
                    language_stats: Object::new().with("rust", count),
                    indexing_status: "in_progress".into(),
                    ..CodeProject::default()
                },
            )?;
            let receipt = ingest.storage.create_indexing_job(
                &ingest.context,
                &IndexingJob {
                    project_id: project.as_str().into(),
                    project_path: root.as_str().into(),
                    status: "in_progress".into(),
                    files_total: count,
                    ..IndexingJob::default()
                },
            )?;
            ingest.written.add(&created);
            job = receipt
                .rows
                .first()
                .map(|row| row.id.to_string())
                .unwrap_or_default();
            Ok(receipt)
        })?;
        let no_files = format!("there is no .rs file in {root}; choose another --repo");
        self.each(
            "source files and symbols",
            &corpus.files,
            &no_files,
            |ingest, file| ingest.source_file(project, file),
        )?;
        self.each("indexing finished", &[()], "", |ingest, ()| {
            ingest.storage.update_indexing_job(
                &ingest.context,
                &job,
                "completed",
                1.0,
                count,
                "",
            )?;
            ingest
                .storage
                .update_project_status(&ingest.context, project, "completed")
        })
    }

    /// A file, its symbols (parents first, since the others name them by id),
    /// and the chunks of the long ones.
    fn source_file(&mut self, project: &str, file: &SourceFile) -> StorageResult<WriteReceipt> {
        let mut rows = self
            .storage
            .save_code_file(
                &self.context,
                &CodeFile {
                    project_id: project.into(),
                    file_path: file.path.as_str().into(),
                    language: "rust".into(),
                    file_hash: format!("{:016x}", xxh3_64(file.text.as_bytes())).into(),
                    symbols_count: number(file.symbols.len()),
                    indexed_at: ROption::RNone,
                },
            )?
            .rows;
        let mut ids: Vec<RString> = Vec::new();
        let parents = file
            .symbols
            .iter()
            .take_while(|symbol| symbol.parent.is_none())
            .count();
        let paths = name_paths(file);
        for range in [0..parents, parents..file.symbols.len()] {
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
}

/// The path of each symbol: its file, its parent and its name. A path that
/// repeats gets a number.
fn name_paths(file: &SourceFile) -> Vec<String> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut paths: Vec<String> = Vec::with_capacity(file.symbols.len());
    for symbol in &file.symbols {
        let parent = symbol
            .parent
            .and_then(|parent| paths.get(parent))
            .unwrap_or(&file.path);
        let path = format!("{parent}/{}", symbol.name);
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

/// The chunks of a long symbol, each of whole lines.
fn chunks(project: &str, file: &SourceFile, symbol: &Symbol, id: &RString) -> Vec<CodeChunk> {
    let source = &file.text[symbol.first_byte..symbol.end_byte];
    let lines: Vec<&str> = source.split_inclusive('\n').collect();
    let pieces: Vec<String> = lines.chunks(CHUNK_LINES).map(<[&str]>::concat).collect();
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

fn number(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
