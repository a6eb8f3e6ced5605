//! Makes an export of SurrealDB 2.x one that a 3.x server imports.
//!
//! An export is read once, statement by statement. `DEFINE` statements are
//! rewritten where 3.x writes them differently; everything else, the rows above
//! all, is copied byte by byte, so memory does not grow with the export.
//!
//! | module | contents |
//! | --- | --- |
//! | `lexer` | tells code, quoted text and comments apart |
//! | `define` | what 3.x writes differently in `DEFINE` statements |

mod define;
mod lexer;
#[cfg(test)]
mod tests;

use define::Definitions;
use lexer::Lexer;
use std::{
    fmt,
    io::{self, BufRead, Write},
};

/// The longest `DEFINE` statement, in bytes. A longer one is no statement: the
/// export is damaged.
const LONGEST_DEFINITION: usize = 1 << 20;

/// What was changed in an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The line of the export in which the statement begins, from 1.
    pub line: u64,
    /// What was changed, and what follows from it.
    pub what: String,
}

/// Why an export cannot be upgraded.
#[derive(Debug)]
pub enum UpgradeError {
    /// The export is damaged, or has something that 3.x does not have.
    Export {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// Reading or writing failed.
    Io(io::Error),
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Export { line, reason } => write!(f, "line {line}: {reason}"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for UpgradeError {}

impl From<io::Error> for UpgradeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Where in the export a byte is.
enum Place {
    /// Between statements.
    Between,
    /// In the first word of a statement.
    FirstWord,
    /// In a `DEFINE` statement, which is collected.
    Definition,
    /// In another statement, which is copied.
    Other,
}

/// Copies an export to `output`, with the statements that 3.x writes differently
/// rewritten, and reports each change to `changed`.
///
/// # Errors
/// If the export ends within a statement, defines what 3.x does not have, or
/// holds no statement at all; and if reading or writing fails.
pub fn upgrade(
    mut input: impl BufRead,
    mut output: impl Write,
    mut changed: impl FnMut(Change),
) -> Result<(), UpgradeError> {
    let mut definitions = Definitions::default();
    let mut lexer = Lexer::default();
    let mut place = Place::Between;
    // The statement as far as it is collected, and the line in which it begins.
    let (mut statement, mut begin) = (Vec::new(), 1);
    let (mut line, mut is_empty) = (1, true);
    loop {
        let chunk = input.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        let read = chunk.len();
        // Bytes from here on are copied together.
        let mut copied = 0;
        for (at, &byte) in chunk.iter().enumerate() {
            let step = lexer.step(byte);
            match place {
                Place::Between if step.is_code() && !byte.is_ascii_whitespace() => {
                    output.write_all(&chunk[copied..at])?;
                    (place, begin) = (Place::FirstWord, line);
                }
                _ => {}
            }
            if matches!(place, Place::FirstWord | Place::Definition) {
                statement.push(byte);
                copied = at + 1;
            }
            if matches!(place, Place::FirstWord) {
                if step.is_comment() {
                    // It was the first character of a comment's mark.
                    output.write_all(&statement)?;
                    statement.clear();
                    place = Place::Between;
                } else if !byte.is_ascii_alphabetic() {
                    let word = &statement[..statement.len() - 1];
                    if word.eq_ignore_ascii_case(b"DEFINE") {
                        place = Place::Definition;
                    } else if !matches!(byte, b'-' | b'/') || !word.is_empty() {
                        output.write_all(&statement)?;
                        statement.clear();
                        place = Place::Other;
                    }
                }
            }
            if step.ends_statement() {
                if matches!(place, Place::Definition) {
                    let text = std::str::from_utf8(&statement)
                        .map_err(|_| "this DEFINE statement is not UTF-8".to_owned());
                    let upgraded = text.and_then(|text| {
                        definitions.upgrade(text, |what| changed(Change { line: begin, what }))
                    });
                    let upgraded = upgraded.map_err(|reason| UpgradeError::Export {
                        line: begin,
                        reason,
                    })?;
                    output.write_all(upgraded.as_bytes())?;
                    statement.clear();
                }
                (place, is_empty) = (Place::Between, false);
            }
            if statement.len() > LONGEST_DEFINITION {
                return Err(UpgradeError::Export {
                    line: begin,
                    reason: "the DEFINE statement that begins here does not end: a quote or a \
                             bracket in it is not closed"
                        .to_owned(),
                });
            }
            if byte == b'\n' {
                line += 1;
            }
        }
        output.write_all(&chunk[copied..])?;
        input.consume(read);
    }
    output.flush()?;
    if !matches!(place, Place::Between) {
        return Err(UpgradeError::Export {
            line: begin,
            reason: "the statement that begins here does not end: the export was cut off, make it \
                     again"
                .to_owned(),
        });
    }
    if is_empty {
        return Err(UpgradeError::Export {
            line,
            reason: "there is no statement in it: this is no export of SurrealDB".to_owned(),
        });
    }
    Ok(())
}
