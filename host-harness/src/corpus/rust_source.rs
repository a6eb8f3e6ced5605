//! The declarations of a Rust file, found line by line.
//!
//! It relies on rustfmt's layout: a declaration ends on its own line, or on the next
//! line of the same indentation that begins with a closing bracket.

use super::Symbol;

const KINDS: &[(&str, &str)] = &[
    ("fn", "function"),
    ("struct", "struct"),
    ("enum", "enum"),
    ("trait", "trait"),
    ("impl", "impl"),
    ("macro_rules!", "macro"),
];
const QUALIFIERS: &[&str] = &["pub", "async", "unsafe", "const", "default", "extern"];

struct Line<'a> {
    text: &'a str,
    start: usize,
    indentation: usize,
}

impl Line<'_> {
    fn end_byte(&self) -> usize {
        self.start + self.text.len()
    }
}

/// The symbols of a file, by line; those that contain others come first.
pub(super) fn symbols(source: &str) -> Vec<Symbol> {
    let lines = lines(source);
    let mut symbols: Vec<Symbol> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some((kind, name)) = declared(line.text) else {
            continue;
        };
        // Only the symbols in an impl or a trait count; functions in functions and
        // test modules are left out.
        let parent = symbols.iter().rposition(|symbol| {
            symbol.first_line <= at
                && at < symbol.last_line
                && matches!(symbol.kind, "impl" | "trait")
        });
        let inside = match parent {
            Some(_) => 4,
            None => 0,
        };
        if line.indentation != inside {
            continue;
        }
        let last = last_line(&lines, at);
        let doc_lines = lines[..at]
            .iter()
            .rev()
            .take_while(|line| {
                matches!(
                    line.text.trim_start().get(..3),
                    Some("///" | "#[a" | "#[d" | "#[r" | "#[t")
                )
            })
            .filter_map(|line| line.text.trim_start().strip_prefix("///"));
        let mut doc: Vec<&str> = doc_lines.map(str::trim).collect();
        doc.reverse();
        symbols.push(Symbol {
            kind: if parent.is_some() && kind == "function" {
                "method"
            } else {
                kind
            },
            name,
            parent,
            first_line: at + 1,
            last_line: last + 1,
            first_byte: line.start,
            end_byte: lines[last].end_byte(),
            signature: line.text.trim().trim_end_matches('{').trim_end().to_owned(),
            doc: doc.join("\n"),
        });
    }
    parents_first(symbols)
}

fn lines(source: &str) -> Vec<Line<'_>> {
    let mut start = 0;
    source
        .split_inclusive('\n')
        .map(|whole| {
            let text = whole.trim_end();
            let line = Line {
                text,
                start,
                indentation: text.len() - text.trim_start().len(),
            };
            start += whole.len();
            line
        })
        .collect()
}

/// The kind and name of the symbol that a line declares, if any.
fn declared(line: &str) -> Option<(&'static str, String)> {
    let mut rest = line.trim_start();
    loop {
        let (word, after) = rest.split_once([' ', '<', '('])?;
        if let Some((keyword, kind)) = KINDS.iter().find(|(keyword, _)| *keyword == word) {
            let name = if *keyword == "impl" {
                implemented(&rest[keyword.len()..])
            } else {
                after
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect()
            };
            return (!name.is_empty()).then_some((kind, name));
        }
        // pub(crate), extern "C"
        let qualifier = QUALIFIERS.contains(&word) || word.starts_with('"');
        if !qualifier {
            return None;
        }
        rest = match rest[word.len()..].strip_prefix('(') {
            Some(scope) => scope.split_once(')')?.1.trim_start(),
            None => after.trim_start(),
        };
    }
}

/// `<T> Storage for Wrapped<T> where … {` is `Storage for Wrapped`.
fn implemented(header: &str) -> String {
    let mut depth = 0_usize;
    let mut outside = String::new();
    for c in header.chars() {
        match c {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            '{' => break,
            c if depth == 0 => outside.push(c),
            _ => {}
        }
    }
    let outside = outside.split(" where").next().unwrap_or_default();
    outside.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The last line of the symbol that is declared at line `at`.
fn last_line(lines: &[Line<'_>], at: usize) -> usize {
    let declaration = &lines[at];
    if declaration.text.ends_with([';', '}']) {
        return at;
    }
    lines[at + 1..]
        .iter()
        .position(|line| {
            line.indentation == declaration.indentation
                && (line.text.trim_start().starts_with('}') || line.text.ends_with(");"))
        })
        .map_or(lines.len() - 1, |further| at + 1 + further)
}

/// Puts the symbols without a parent first, and updates the parents' indices.
fn parents_first(symbols: Vec<Symbol>) -> Vec<Symbol> {
    let mut order: Vec<usize> = (0..symbols.len()).collect();
    order.sort_by_key(|&at| symbols[at].parent.is_some());
    let place = |parent: usize| order.iter().position(|&at| at == parent);
    order
        .iter()
        .map(|&at| {
            let mut symbol = symbols[at].clone();
            symbol.parent = symbol.parent.and_then(place);
            symbol
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const SOURCE: &str = r#"//! A file.
use std::fmt;

/// Serves.
/// Well.
#[derive(Debug)]
pub struct Server<T> {
    port: u16,
}

pub struct Unit;

impl<T: Clone> fmt::Display for Server<T>
where
    T: Send,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if true {
            write!(f, "}}")
        }
    }
}

pub(crate) const unsafe extern "C" fn start(port: u16) -> u16 {
    fn helper() {}
    port
}

mod tests {
    fn a_test() {}
}
"#;

    #[test]
    fn declarations_are_found_with_their_last_lines() {
        let found = symbols(SOURCE);
        let short: Vec<_> = found
            .iter()
            .map(|s| (s.kind, s.name.as_str(), s.first_line, s.last_line, s.parent))
            .collect();
        assert_eq!(
            short,
            [
                ("struct", "Server", 7, 9, None),
                ("struct", "Unit", 11, 11, None),
                ("impl", "fmt::Display for Server", 13, 22, None),
                ("function", "start", 24, 27, None),
                ("method", "fmt", 17, 21, Some(2)),
            ]
        );
        assert_eq!(found[0].doc, "Serves.\nWell.");
        assert_eq!(found[0].signature, "pub struct Server<T>");
        let text = &SOURCE[found[4].first_byte..found[4].end_byte];
        assert!(
            text.starts_with("    fn fmt") && text.ends_with("    }"),
            "{text}"
        );
    }

    #[test]
    fn any_text_is_accepted() {
        for text in [
            "",
            "\n",
            "impl",
            "fn",
            "pub fn ",
            "impl X",
            "pub(crate fn x",
            "struct é {",
        ] {
            symbols(text);
        }
        assert_eq!(symbols("struct é {")[0].last_line, 1);
    }
}
