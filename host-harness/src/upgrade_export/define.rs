//! What 3.x writes differently in `DEFINE` statements.

use super::lexer::{Lexer, Step};
use std::collections::HashSet;

/// Functions that have another name in 3.x. Of a family such as `string::is::`
/// only the last `::` changes, to `_`.
const RENAMED: &[(&str, &str)] = &[("type::thing", "type::record")];
const RENAMED_FAMILIES: &[&str] = &[
    "duration::from::",
    "geo::is::",
    "string::is::",
    "time::from::",
    "time::is::",
    "type::is::",
];

/// The clauses that may follow the type of a field.
const AFTER_TYPE: &[&str] = &[
    "ASSERT",
    "COMMENT",
    "COMPUTED",
    "DEFAULT",
    "PERMISSIONS",
    "READONLY",
    "REFERENCE",
    "VALUE",
    "FLEXIBLE",
];

/// The settings of a full-text index in 2.x that 3.x does not have; a number
/// follows each.
const FULLTEXT_SETTINGS: &[&str] = &[
    "DOC_IDS_ORDER",
    "DOC_LENGTHS_ORDER",
    "POSTINGS_ORDER",
    "TERMS_ORDER",
    "DOC_IDS_CACHE",
    "DOC_LENGTHS_CACHE",
    "POSTINGS_CACHE",
    "TERMS_CACHE",
];

/// The definitions of an export, as far as later ones depend on them.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    schemafull: HashSet<String>,
}

impl Definitions {
    /// The statement as 3.x has it; each change goes to `changed`.
    ///
    /// # Errors
    /// What 3.x does not have, and what to do about it.
    pub(super) fn upgrade(
        &mut self,
        statement: &str,
        mut changed: impl FnMut(String),
    ) -> Result<String, String> {
        let mut tokens = tokens(statement);
        let words: Vec<String> = tokens.iter().map(|token| token.word()).collect();
        let words = Words(words);
        if words
            .0
            .windows(3)
            .any(|three| three == ["<", "FUTURE", ">"])
        {
            return Err(
                "3.x has no <future>: write the field by hand as COMPUTED, or remove it".to_owned(),
            );
        }
        for token in tokens.iter_mut().filter(|token| !token.is_quoted) {
            if let Some(name) = renamed(&token.text) {
                changed(format!("{} is now {name}", token.text));
                token.text = name;
            }
        }
        match words.kind() {
            "TABLE" if words.position("SCHEMAFULL").is_some() => {
                self.schemafull.insert(words.name());
            }
            "FIELD" => self.field(&mut tokens, &words, &mut changed),
            "INDEX" => index(&mut tokens, &words, &mut changed),
            _ => {}
        }
        Ok(tokens.into_iter().map(|token| token.text).collect())
    }

    /// `FLEXIBLE` stands behind the type, which must have an object, and only in
    /// a table that is schemafull.
    fn field(&self, tokens: &mut [Token], words: &Words, changed: &mut impl FnMut(String)) {
        let Some((on, table)) = words.table() else {
            return;
        };
        let Some(flexible) = words.position_from(on, "FLEXIBLE") else {
            return;
        };
        let Some(of_type) = words.position_from(flexible, "TYPE") else {
            return;
        };
        let end = AFTER_TYPE
            .iter()
            .filter_map(|clause| words.position_from(of_type, clause))
            .min()
            .unwrap_or(tokens.len() - 1);
        let has_object = words.0[of_type..end].iter().any(|word| word == "OBJECT");
        let last = (of_type..end).rev().find(|&at| !tokens[at].is_space());
        // With the space behind it.
        tokens[flexible].text.clear();
        if let Some(space) = tokens.get_mut(flexible + 1).filter(|next| next.is_space()) {
            space.text.clear();
        }
        let field = format!("{} of {table}", words.name());
        match last {
            Some(last) if has_object && self.schemafull.contains(&table) => {
                tokens[last].text.push_str(" FLEXIBLE");
                changed(format!("{field}: FLEXIBLE stands behind the type"));
            }
            _ => changed(format!(
                "{field}: FLEXIBLE is left out; a field of this type, or of a schemaless table, \
                 is flexible anyway"
            )),
        }
    }
}

fn index(tokens: &mut Vec<Token>, words: &Words, changed: &mut impl FnMut(String)) {
    let Some((on, table)) = words.table() else {
        return;
    };
    let name = words.name();
    if words.position_from(on, "MTREE").is_some() {
        changed(format!(
            "the index {name} of {table} is left out: 3.x has no MTREE, and searches by similarity \
             are exact without an index. For raw SurrealQL of your own that needs one, DEFINE \
             INDEX … HNSW after the import"
        ));
        let original: String = tokens.drain(..).map(|token| token.text).collect();
        let comment = original.lines().map(|line| format!("-- {line}\n"));
        tokens.push(Token {
            text: comment.collect(),
            is_quoted: true,
        });
        return;
    }
    let search = words.position_from(on, "SEARCH");
    let Some(search) = search.filter(|&at| words.position_from(at, "ANALYZER").is_some()) else {
        return;
    };
    tokens[search].text = "FULLTEXT".to_owned();
    for setting in FULLTEXT_SETTINGS {
        let Some(at) = words.position_from(search, setting) else {
            continue;
        };
        // The setting, the space and the number, and the space before.
        let number = (at + 1..tokens.len()).find(|&next| !tokens[next].is_space());
        for token in &mut tokens[at - 1..=number.unwrap_or(at)] {
            token.text.clear();
        }
    }
    changed(format!(
        "the index {name} of {table}: SEARCH ANALYZER is now FULLTEXT ANALYZER"
    ));
}

fn renamed(path: &str) -> Option<String> {
    if let Some((_, name)) = RENAMED.iter().find(|(old, _)| old == &path) {
        return Some((*name).to_owned());
    }
    let family = RENAMED_FAMILIES
        .iter()
        .find(|family| path.starts_with(**family))?;
    let name = path.strip_prefix(family)?;
    Some(format!("{}_{name}", family.trim_end_matches(':')))
}

/// A piece of a statement: a word (a path such as `type::thing` is one), a
/// quoted text, spaces, or one other character. Together they are the statement.
#[derive(Clone, Debug)]
struct Token {
    text: String,
    is_quoted: bool,
}

impl Token {
    fn is_space(&self) -> bool {
        self.text.chars().all(char::is_whitespace)
    }

    /// The token as a word to compare; a quoted one is no keyword.
    fn word(&self) -> String {
        if self.is_quoted {
            self.text.clone()
        } else {
            self.text.to_ascii_uppercase()
        }
    }
}

fn tokens(statement: &str) -> Vec<Token> {
    #[derive(PartialEq)]
    enum Kind {
        Word,
        Space,
        Quoted,
        Other,
    }
    let mut lexer = Lexer::default();
    let mut tokens: Vec<Token> = Vec::new();
    let mut last = Kind::Other;
    for character in statement.chars() {
        let mut step = Step::Code;
        for byte in character.encode_utf8(&mut [0; 4]).bytes() {
            step = lexer.step(byte);
        }
        let kind = match step {
            Step::Quoted | Step::Comment => Kind::Quoted,
            _ if character.is_alphanumeric() || matches!(character, '_' | ':') => Kind::Word,
            _ if character.is_whitespace() => Kind::Space,
            _ => Kind::Other,
        };
        match tokens.last_mut() {
            Some(token) if kind == last && kind != Kind::Other => token.text.push(character),
            _ => tokens.push(Token {
                text: character.into(),
                is_quoted: kind == Kind::Quoted,
            }),
        }
        last = kind;
    }
    tokens
}

/// The tokens of a statement as words to compare, in upper case.
struct Words(Vec<String>);

impl Words {
    /// The first word at or after `from` that is this one, outside of brackets.
    fn position_from(&self, from: usize, word: &str) -> Option<usize> {
        let mut depth = 0_u32;
        for (at, found) in self.0.iter().enumerate() {
            match found.as_str() {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ if depth == 0 && at >= from && found == word => return Some(at),
                _ => {}
            }
        }
        None
    }

    fn position(&self, word: &str) -> Option<usize> {
        self.position_from(0, word)
    }

    /// The words that are not spaces, with their places.
    fn visible(&self) -> impl Iterator<Item = (usize, &str)> {
        let words = self.0.iter().map(String::as_str).enumerate();
        words.filter(|(_, word)| !word.trim().is_empty())
    }

    /// What the statement defines: `TABLE`, `FIELD`, ….
    fn kind(&self) -> &str {
        self.visible().nth(1).map_or("", |(_, word)| word)
    }

    /// The name of what it defines, in lower case.
    fn name(&self) -> String {
        let skipped = ["OVERWRITE", "IF", "NOT", "EXISTS"];
        let mut words = self.visible().skip(2);
        let name = words.find(|(_, word)| !skipped.contains(word));
        name.map_or_else(String::new, |(_, word)| plain(word))
    }

    /// The table of a field or an index, and the place behind its name.
    fn table(&self) -> Option<(usize, String)> {
        // A field may be called `on` itself.
        let name = self.visible().nth(2)?.0;
        let on = self.position_from(name + 1, "ON")?;
        let mut words = self.visible().filter(|(at, _)| *at > on);
        let (at, word) = words.find(|(_, word)| *word != "TABLE")?;
        Some((at + 1, plain(word)))
    }
}

/// A name without quotes. Names that differ in case only are told apart by no
/// one who writes an export for a Remembrances database.
fn plain(word: &str) -> String {
    word.trim_matches(['`', '⟨', '⟩']).to_lowercase()
}
