//! A small deterministic text embedder: a search for words finds the text that
//! has them.
//!
//! Each word and each pair of neighbouring words is hashed to one of 768
//! dimensions and a sign; its weight grows with the logarithm of its count
//! (1 + ln n); the vector is scaled to length 1. No model, no network: it
//! knows words, not meanings.

use fnv::FnvHasher;
use plugin_api::records::EMBEDDING_DIMENSION;
use std::{collections::HashMap, hash::Hasher};

/// The embedding of a text: 768 floats of length 1, or zeros for a text
/// without words.
pub fn embed(text: &str) -> Vec<f32> {
    let words: Vec<String> = words(text).collect();
    let mut counts: HashMap<String, u32> = HashMap::new();
    for word in &words {
        *counts.entry(word.clone()).or_default() += 1;
    }
    for pair in words.windows(2) {
        *counts.entry(pair.join(" ")).or_default() += 1;
    }
    // Added up in a fixed order, so that rounding is the same every time.
    let mut counts: Vec<(String, u32)> = counts.into_iter().collect();
    counts.sort();

    let mut vector = vec![0.0_f64; EMBEDDING_DIMENSION];
    for (feature, count) in counts {
        let hash = fnv1a(feature.as_bytes());
        let weight = 1.0 + f64::from(count).ln();
        // A pair counts less than its words.
        let weight = if feature.contains(' ') {
            weight * 0.5
        } else {
            weight
        };
        let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
        let dimension = usize::try_from(hash % EMBEDDING_DIMENSION as u64).unwrap_or(0);
        vector[dimension] += sign * weight;
    }
    let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    #[allow(clippy::cast_possible_truncation, reason = "an embedding is f32")]
    vector.into_iter().map(|x| (x * scale) as f32).collect()
}

/// Lower-case words; `snake_case` and `CamelCase` count as their parts.
/// Words too common to tell texts apart are left out.
fn words(text: &str) -> impl Iterator<Item = String> {
    let mut all = Vec::new();
    let mut word = String::new();
    let mut after_lower = false;
    for c in text.chars().chain([' ']) {
        let new_part = c.is_uppercase() && after_lower;
        if (new_part || !c.is_alphanumeric()) && !word.is_empty() {
            all.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        after_lower = c.is_lowercase();
    }
    all.into_iter()
        .map(|word| stem(&word).to_owned())
        .filter(|word| !COMMON.contains(&word.as_str()))
}

/// Removes a plural's ending, so that "rows" finds "row".
fn stem(word: &str) -> &str {
    match word.strip_suffix('s') {
        Some(stem) if stem.len() > 2 && !stem.ends_with(['s', 'u', 'i']) => stem,
        _ => word,
    }
}

const COMMON: &[&str] = &[
    "a", "an", "and", "are", "as", "at", "be", "by", "do", "does", "for", "from", "how", "if",
    "in", "is", "it", "its", "no", "not", "of", "on", "or", "so", "that", "the", "then", "there",
    "to", "was", "what", "when", "which", "who", "with",
];

/// The 64-bit FNV-1a hash: the same on every machine and in every version.
fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(x, y)| x * y).sum()
    }

    #[test]
    fn a_search_for_words_finds_the_right_text() {
        let texts = [
            "Passwords appear in no log, error, status or debug print.",
            "The log survives the process: an operation leaves it only after a commit.",
            "Harvest the tomatoes in August and keep the seeds dry.",
            "fn connect_timeout(&self) -> Duration { self.connectTimeout }",
        ];
        for (question, expected) in [
            ("where do passwords appear", 0),
            ("operations survive in the log", 1),
            ("tomato seed", 2),
            ("ConnectTimeout", 3),
        ] {
            let question = embed(question);
            let best = (0..texts.len())
                .max_by(|&a, &b| {
                    let score = |at: usize| cosine(&question, &embed(texts[at]));
                    score(a).total_cmp(&score(b))
                })
                .unwrap();
            assert_eq!(best, expected);
        }
    }

    #[test]
    fn embeddings_are_768_wide_of_length_one_and_the_same_every_time() {
        for text in [
            "one",
            "A longer text, with words and words.",
            "Größe 北京 naïve",
        ] {
            let vector = embed(text);
            assert_eq!(vector.len(), 768);
            assert!((cosine(&vector, &vector) - 1.0).abs() < 1e-5, "{text}");
            assert_eq!(vector, embed(text));
        }
        // Pinned: what is stored today must be found tomorrow.
        let place = embed("replication").iter().position(|&x| x != 0.0);
        assert_eq!(
            place,
            Some(usize::try_from(fnv1a(b"replication") % 768).unwrap())
        );
    }

    #[test]
    fn a_text_without_words_is_the_zero_vector() {
        assert_eq!(embed("… !?"), vec![0.0; 768]);
        assert_eq!(embed(""), vec![0.0; 768]);
    }
}
