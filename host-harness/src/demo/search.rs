//! Searches for a few words of a paragraph and of a symbol.

use super::{Checks, USER};
use crate::{corpus::Corpus, embedder::embed, host::Host};
use plugin_api::storage::{CallContext, CodeStorage, Storage};

/// The length of a paragraph that is searched for.
const PARAGRAPH_BYTES: usize = 400;

/// Checks that both are found.
pub(super) fn show(host: &Host, corpus: &Corpus, checks: &mut Checks) -> anyhow::Result<()> {
    let context = CallContext::new();
    // Ten words say little about a text that is much longer.
    let typical = corpus
        .paragraphs
        .iter()
        .min_by_key(|paragraph| paragraph.text.len().abs_diff(PARAGRAPH_BYTES));
    if let Some(paragraph) = typical {
        let words = words(&paragraph.text, 4);
        let found = host
            .storage()
            .search_similar(&context, USER, &embed(&words), 3)?;
        checks.check(
            &format!("\"{words}\" finds its paragraph of {}", paragraph.path),
            found.iter().any(|found| found.content == paragraph.text),
        )?;
    }
    let best_documented = corpus
        .files
        .iter()
        .flat_map(|file| file.symbols.iter().map(move |symbol| (file, symbol)))
        .max_by_key(|(_, symbol)| symbol.doc.len());
    if let Some((file, symbol)) = best_documented {
        let words = words(&symbol.doc, 0);
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

/// Ten words of a text, after the first `skipped`.
fn words(text: &str, skipped: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().skip(skipped).take(10).collect();
    words.join(" ")
}
