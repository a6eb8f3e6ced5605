//! What was acknowledged, and whether a database has it.

use crate::load::{OWNER, Told};
use host_harness::compare::Comparison;
use plugin_api::{
    storage::{CallContext, Storage},
    value::{Object, Value},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::{Deref, DerefMut},
};

/// The kinds of acknowledged writes, and how to find each row of a kind with
/// its key and number. Where a number says nothing, being there does.
pub const KINDS: &[(&str, &str)] = &[
    (
        "fact",
        "SELECT key, value AS number FROM kv_memories WHERE user_id = $owner",
    ),
    (
        "document",
        "SELECT file_path AS key, metadata.number AS number FROM knowledge_base",
    ),
    (
        "symbol",
        "SELECT name_path AS key, metadata.number AS number FROM code_symbols",
    ),
    (
        "event",
        "SELECT content AS key, metadata.number AS number FROM events",
    ),
    (
        "vector",
        "SELECT metadata.key AS key, metadata.number AS number FROM vector_memories",
    ),
    (
        "updated vector",
        "SELECT metadata.key AS key, metadata.number AS number FROM vector_memories \
         WHERE content = 'second'",
    ),
    (
        "entity",
        "SELECT name AS key, properties.number AS number FROM entities",
    ),
    (
        "edge",
        "SELECT properties.key AS key, properties.number AS number FROM leads_to",
    ),
    (
        "project",
        "SELECT project_id AS key, language_stats.number AS number FROM code_projects",
    ),
    ("job", "SELECT project_path AS key FROM code_indexing_jobs"),
    (
        "ended job",
        "SELECT project_path AS key FROM code_indexing_jobs WHERE status = 'completed'",
    ),
];

/// Finds the documents whose chunks are not those of one write.
const CHUNKS: &str = "SELECT source_file AS key, count() AS rows, \
     array::distinct(chunk_count) AS counts, array::distinct(metadata.number) AS numbers \
     FROM knowledge_base GROUP BY key";

/// The last acknowledged number of every key, and what failed.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    latest: BTreeMap<(String, String), i64>,
    acked: u64,
    failures: Vec<String>,
}

/// What is wrong with a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Acknowledged writes that are not there.
    pub lost: BTreeSet<String>,
    /// Rows that are there twice.
    pub duplicated: BTreeSet<String>,
    /// Keys with an older number than was acknowledged, or with a mixture.
    pub out_of_order: BTreeSet<String>,
}

impl From<&Comparison> for Verdict {
    /// What a comparison found: a row that only the secondary has is one too
    /// many, and one that differs is older.
    fn from(comparison: &Comparison) -> Self {
        let mut verdict = Self::default();
        for table in &comparison.tables {
            let missing = table.missing.iter().map(ToString::to_string);
            let extra = table.extra.iter().map(ToString::to_string);
            let older = table.different.iter().map(|row| row.id.to_string());
            verdict.lost.extend(missing);
            verdict.duplicated.extend(extra);
            verdict.out_of_order.extend(older);
        }
        verdict
    }
}

impl Verdict {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.lost.extend(other.lost);
        self.duplicated.extend(other.duplicated);
        self.out_of_order.extend(other.out_of_order);
    }

    /// Is nothing wrong?
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl Ledger {
    /// Takes down what a writer tells.
    pub fn note(&mut self, told: Told) {
        match told {
            Told::Acked { kind, key, number } => self.acknowledge(kind, &key, number),
            Told::Failed { kind, message } => self.failures.push(format!("{kind}: {message}")),
        }
    }

    fn acknowledge(&mut self, kind: &str, key: &str, number: i64) {
        self.acked += 1;
        let latest = self
            .latest
            .entry((kind.to_owned(), key.to_owned()))
            .or_insert(number);
        *latest = number.max(*latest);
    }

    /// Takes down a line that [`line()`] made. One without its end was cut off
    /// before it was told, so it counts for nothing.
    pub fn note_line(&mut self, line: &str) {
        let Some(line) = line.strip_suffix('\n') else {
            return;
        };
        match line.split('\t').collect::<Vec<_>>().as_slice() {
            ["acked", kind, key, number] => {
                self.acknowledge(kind, key, number.parse().unwrap());
            }
            ["failed", kind, message] => self.failures.push(format!("{kind}: {message}")),
            _ => panic!("a writer said {line:?}"),
        }
    }

    /// How many writes were acknowledged.
    pub fn acked(&self) -> u64 {
        self.acked
    }

    /// What failed.
    pub fn failures(&self) -> &[String] {
        &self.failures
    }

    /// Adds a later one.
    pub fn add(&mut self, later: Self) {
        self.acked += later.acked;
        self.failures.extend(later.failures);
        for (key, number) in later.latest {
            let latest = self.latest.entry(key).or_insert(number);
            *latest = number.max(*latest);
        }
    }

    /// Is everything that was acknowledged in the database, once, and not older?
    pub fn check(&self, database: &dyn Storage) -> Verdict {
        let mut verdict = Verdict::default();
        for (kind, sql) in KINDS {
            let mut stored: BTreeMap<String, Option<i64>> = BTreeMap::new();
            for row in select(database, sql) {
                let key = text(&row, "key");
                let number = row.get("number").and_then(Value::as_int);
                if stored.insert(key.clone(), number).is_some() {
                    verdict.duplicated.insert(format!("{kind} {key}"));
                }
            }
            let acked = self.latest.iter().filter(|((of, _), _)| of == kind);
            for ((_, key), number) in acked {
                let name = || format!("{kind} {key}, {number}");
                match stored.get(key) {
                    None => {
                        verdict.lost.insert(name());
                    }
                    Some(Some(stored)) if stored < number => {
                        verdict.out_of_order.insert(format!("{}: {stored}", name()));
                    }
                    Some(_) => {}
                }
            }
        }
        for document in select(database, CHUNKS) {
            let rows = document.get("rows").cloned().unwrap_or_default();
            let one = |column: &str| match document.get(column).and_then(Value::as_array) {
                Some([one]) => Some(one.clone()),
                _ => None,
            };
            if one("counts") != Some(rows) || one("numbers").is_none() {
                verdict.out_of_order.insert(format!("{document:?}"));
            }
        }
        verdict
    }
}

/// The line that tells it to another process.
pub fn line(told: &Told) -> String {
    match told {
        Told::Acked { kind, key, number } => format!("acked\t{kind}\t{key}\t{number}\n"),
        Told::Failed { kind, message } => {
            format!("failed\t{kind}\t{}\n", message.replace(['\n', '\t'], " "))
        }
    }
}

/// The rows of a statement; none if its table is not there yet.
fn select(database: &dyn Storage, sql: &str) -> Vec<Object> {
    let parameters = Object::new().with("owner", OWNER);
    let answer = match database.query(&CallContext::new(), sql, &parameters) {
        Err(error) if error.kind == plugin_api::error::ErrorKind::NOT_FOUND => return Vec::new(),
        answer => answer.unwrap(),
    };
    let rows = answer.as_array().and_then(|results| results[0].as_array());
    rows.unwrap()
        .iter()
        .map(|row| row.as_object().unwrap().clone())
        .collect()
}

fn text(row: &Object, column: &str) -> String {
    row.get(column).and_then(Value::as_str).unwrap().to_owned()
}

/// How a whole suite went.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// What was tried.
    pub tried: u64,
    /// After how many of these everything was equal again.
    pub survived: u64,
    /// Writes that were acknowledged meanwhile.
    pub acked: u64,
    /// What was wrong.
    pub verdict: Verdict,
}

impl Tally {
    /// Adds what went on beside it.
    pub fn add(&mut self, other: Self) {
        self.tried += other.tried;
        self.survived += other.survived;
        self.acked += other.acked;
        self.verdict.add(other.verdict);
    }

    /// Tells how a long run is going, about twenty times on its way to `total`.
    pub fn tell_progress(&self, total: u64) {
        if self.tried.is_multiple_of((total / 20).max(1)) {
            println!(
                "{} of {total} tried, {} survived, {} writes acknowledged, {}",
                self.tried,
                self.survived,
                self.acked,
                match self.verdict.is_clean() {
                    true => "nothing wrong",
                    false => "NOT ALL IS WELL",
                }
            );
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict {
            lost,
            duplicated,
            out_of_order,
        } = &self.verdict;
        writeln!(
            f,
            "| tried | survived | acknowledged | lost | duplicated | out of order |\n\
             | --- | --- | --- | --- | --- | --- |\n\
             | {} | {} | {} | {} | {} | {} |",
            self.tried,
            self.survived,
            self.acked,
            lost.len(),
            duplicated.len(),
            out_of_order.len()
        )?;
        for what in lost.iter().chain(duplicated).chain(out_of_order).take(20) {
            writeln!(f, "  {what}")?;
        }
        Ok(())
    }
}

/// A tally that is printed at its end, also if that is a panic: a run that
/// fails says what was wrong as well.
#[derive(Debug, Default)]
pub struct Table(Tally);

impl Deref for Table {
    type Target = Tally;

    fn deref(&self) -> &Tally {
        &self.0
    }
}

impl DerefMut for Table {
    fn deref_mut(&mut self) -> &mut Tally {
        &mut self.0
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        println!("{}", self.0);
    }
}
