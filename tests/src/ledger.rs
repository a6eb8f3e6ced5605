//! The acknowledged writes, and whether a database has them.

use crate::load::{OWNER, WriteResult};
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

/// The kinds of acknowledged writes, and a query for the rows of each kind with
/// key and number. A row without a number only needs to exist.
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

/// How a database violates what was promised.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    /// Acknowledged writes that are missing.
    pub lost: BTreeSet<String>,
    /// Rows that exist twice.
    pub duplicated: BTreeSet<String>,
    /// Keys with an older number than was acknowledged, or with a mixture.
    pub out_of_order: BTreeSet<String>,
}

impl From<&Comparison> for Violations {
    /// A row that only the secondary has counts as duplicated, one that differs as
    /// older.
    fn from(comparison: &Comparison) -> Self {
        let mut violations = Self::default();
        for table in &comparison.tables {
            let missing = table.missing.iter().map(ToString::to_string);
            let extra = table.extra.iter().map(ToString::to_string);
            let older = table.different.iter().map(|row| row.id.to_string());
            violations.lost.extend(missing);
            violations.duplicated.extend(extra);
            violations.out_of_order.extend(older);
        }
        violations
    }
}

impl Violations {
    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.lost.extend(other.lost);
        self.duplicated.extend(other.duplicated);
        self.out_of_order.extend(other.out_of_order);
    }

    /// Are there none?
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

impl Ledger {
    /// Records the result of a write.
    pub fn note(&mut self, result: WriteResult) {
        match result {
            WriteResult::Acked { kind, key, number } => self.acknowledge(kind, &key, number),
            WriteResult::Failed { kind, message } => {
                self.failures.push(format!("{kind}: {message}"));
            }
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

    /// Records a line that [`line()`] made. A line without its end was cut off
    /// before the write counted as acknowledged, and is ignored.
    pub fn note_line(&mut self, line: &str) {
        let Some(line) = line.strip_suffix('\n') else {
            return;
        };
        match line.split('\t').collect::<Vec<_>>().as_slice() {
            ["acked", kind, key, number] => {
                self.acknowledge(kind, key, number.parse().unwrap());
            }
            ["failed", kind, message] => self.failures.push(format!("{kind}: {message}")),
            _ => panic!("unexpected line of a writer: {line:?}"),
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

    /// Checks that the database has every acknowledged write, once, and no older
    /// version.
    pub fn check(&self, database: &dyn Storage) -> Violations {
        let mut violations = Violations::default();
        for (kind, sql) in KINDS {
            let mut stored: BTreeMap<String, Option<i64>> = BTreeMap::new();
            for row in select(database, sql) {
                let key = text(&row, "key");
                let number = row.get("number").and_then(Value::as_int);
                if stored.insert(key.clone(), number).is_some() {
                    violations.duplicated.insert(format!("{kind} {key}"));
                }
            }
            let acked = self.latest.iter().filter(|((of, _), _)| of == kind);
            for ((_, key), number) in acked {
                let name = || format!("{kind} {key}, {number}");
                match stored.get(key) {
                    None => {
                        violations.lost.insert(name());
                    }
                    Some(Some(stored)) if stored < number => {
                        violations
                            .out_of_order
                            .insert(format!("{}: {stored}", name()));
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
                violations.out_of_order.insert(format!("{document:?}"));
            }
        }
        violations
    }
}

/// The line that reports it to another process.
pub fn line(result: &WriteResult) -> String {
    match result {
        WriteResult::Acked { kind, key, number } => format!("acked\t{kind}\t{key}\t{number}\n"),
        WriteResult::Failed { kind, message } => {
            format!("failed\t{kind}\t{}\n", message.replace(['\n', '\t'], " "))
        }
    }
}

/// The rows of a statement; none if its table does not exist yet.
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

/// The results of a suite.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many faults were tried.
    pub tried: u64,
    /// After how many of these the databases were equal again.
    pub survived: u64,
    /// Writes that were acknowledged meanwhile.
    pub acked: u64,
    /// What was violated.
    pub violations: Violations,
}

impl Tally {
    /// Adds the results of another run.
    pub fn add(&mut self, other: Self) {
        self.tried += other.tried;
        self.survived += other.survived;
        self.acked += other.acked;
        self.violations.add(other.violations);
    }

    /// Prints the progress of a long run, about twenty times until `total`.
    pub fn print_progress(&self, total: u64) {
        if self.tried.is_multiple_of((total / 20).max(1)) {
            println!(
                "{} of {total} tried, {} survived, {} writes acknowledged, {}",
                self.tried,
                self.survived,
                self.acked,
                match self.violations.is_clean() {
                    true => "no violations",
                    false => "VIOLATIONS",
                }
            );
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violations {
            lost,
            duplicated,
            out_of_order,
        } = &self.violations;
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

/// A tally that is printed when it is dropped, also by a panic: a run that fails
/// prints its violations as well.
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
