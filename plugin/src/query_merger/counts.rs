//! Counts over the union: each record once.
//!
//! The primary counts its rows as always. What is added are the rows that only
//! a secondary has. Whether there are any is told by comparing a digest of the
//! record ids of each table, so that in the steady state no id travels; only
//! where the digests differ are the ids (and the key columns, never whole rows)
//! read page by page and looked up in the primary.

use super::{
    QueryMerger,
    backend::Backend,
    fan_out::{FanOut, Question, Rank},
    merge::{Page, Pages, secondary_only_rows},
    row::{Identity, MergeableRow, PartialRow},
};
use crate::dedup::identity_columns;
use abi_stable::std_types::RString;
use plugin_api::{
    error::StorageResult,
    records::{MemoryStats, ProjectStats, UserCount},
    storage::{CallContext, Names, UserCounts},
    value::{Object, RecordId, RecordKey, Value},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Instant,
};
use surreal_storage::schema::relationships;

/// A digest goes through a whole table: so many times the query timeout.
const TIMEOUT_FACTOR: u32 = 10;

/// How many rows are read at once.
const PAGE: usize = 2000;

/// The tables that hold edges.
const RELATIONSHIP_TABLES: &str = "\
    RETURN (INFO FOR DB).tables.keys().filter(|$table| $table NOT IN $known \
        AND (SELECT VALUE from_entity FROM type::table($table) LIMIT 1)[0] != NONE)";

/// Which rows of a table to go through, and what to read of each.
#[derive(Clone)]
struct Scan {
    table: String,
    /// Beyond those that tell which row it is: `expression AS name`.
    columns: Vec<&'static str>,
    condition: &'static str,
    parameters: Object,
}

impl Scan {
    fn of(table: &str) -> Self {
        Self {
            table: table.to_owned(),
            columns: Vec::new(),
            condition: "true",
            parameters: Object::new(),
        }
    }

    fn reading(mut self, columns: &[&'static str]) -> Self {
        self.columns.extend(columns);
        self
    }

    fn only(mut self, condition: &'static str, parameters: &Object) -> Self {
        self.condition = condition;
        self.parameters = parameters.clone();
        self
    }

    /// A digest of the ids; none if there is no such table.
    fn digest(&self) -> String {
        let Self {
            table, condition, ..
        } = self;
        format!(
            "IF '{table}' IN $tables {{ \
                crypto::blake3(<string> (SELECT VALUE id FROM `{table}` WHERE {condition} ORDER BY id)) \
            }}"
        )
    }

    /// The rows behind the row `after`, in the order of their ids.
    fn page(
        &self,
        backend: &dyn Backend,
        context: &CallContext,
        after: Option<&RecordId>,
    ) -> StorageResult<Vec<PartialRow>> {
        let Self {
            table, condition, ..
        } = self;
        let mut parameters = self.parameters.clone();
        let source = match after {
            Some(id) => {
                let key = match &id.key {
                    RecordKey::Int(number) => Value::Int(*number),
                    RecordKey::String(text) => Value::String(text.clone()),
                    RecordKey::Other(value) => (**value).clone(),
                };
                parameters.insert("after", key);
                format!("type::record('{table}', $after>..)")
            }
            None => format!("`{table}`"),
        };
        let mut columns = vec!["id"];
        columns.extend(identity_columns(table));
        columns.extend(&self.columns);
        let columns = columns.join(", ");
        let order = if after.is_none() { "ORDER BY id" } else { "" };
        let sql = format!("SELECT {columns} FROM {source} WHERE {condition} {order} LIMIT {PAGE}");
        let answer = backend.query(context, &sql, &parameters)?;
        Ok(answer
            .first_rows()
            .iter()
            .filter_map(|row| PartialRow::of_query(table, row))
            .collect())
    }
}

/// The digest of each scan; none where the table is missing.
fn digests(
    backend: &dyn Backend,
    context: &CallContext,
    scans: &[Scan],
) -> StorageResult<Vec<Value>> {
    let digests: Vec<_> = scans.iter().map(Scan::digest).collect();
    let sql = format!(
        "{{ LET $tables = (INFO FOR DB).tables.keys(); RETURN [{}]; }}",
        digests.join(", ")
    );
    let mut parameters = Object::new();
    for (name, value) in scans.iter().flat_map(|scan| scan.parameters.iter()) {
        parameters.insert(name, value.clone());
    }
    let answer = backend.query(context, &sql, &parameters)?;
    Ok(answer.first_rows().to_vec())
}

impl QueryMerger {
    /// Whom to ask for scans, in a call that began at `started`.
    fn scanning<'m>(&'m self, context: &'m CallContext, started: Instant) -> FanOut<'m> {
        FanOut::new(self, context)
            .since(started)
            .patient(TIMEOUT_FACTOR)
    }

    /// The rows of these scans that only secondaries have.
    fn only_in_secondaries(
        &self,
        fan_out: &mut FanOut<'_>,
        scans: &[Scan],
    ) -> StorageResult<Vec<PartialRow>> {
        // A secondary that drops out on the way has had its say on the others'
        // rows: the count is repeated without it.
        loop {
            let participants = fan_out.ranks();
            if participants.is_empty() {
                return Ok(Vec::new());
            }
            let mut rows = Vec::new();
            let question = scans.to_vec();
            let pending =
                fan_out.begin_all(move |backend, context| digests(backend, context, &question));
            let ours = digests(self.primary(), &fan_out.context(), scans)?;
            for (rank, theirs) in fan_out.collect(pending) {
                let differing = scans
                    .iter()
                    .zip(ours.iter().zip(theirs))
                    .filter(|(_, (ours, theirs))| !theirs.is_nullish() && *ours != theirs);
                for (scan, _) in differing {
                    rows.extend(walk(fan_out, rank, scan)?);
                }
            }
            if fan_out.ranks() == participants {
                return Ok(rows);
            }
        }
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn list_user_ids(&self, context: &CallContext, table: &str) -> StorageResult<Names> {
        let started = Instant::now();
        let ours = self.primary().list_user_ids(context, table)?;
        let theirs = self.users_beyond_primary(&mut self.scanning(context, started), table)?;
        if theirs.is_empty() {
            return Ok(ours);
        }
        let users: BTreeSet<RString> = ours.into_iter().chain(theirs.into_keys()).collect();
        Ok(users.into_iter().collect())
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn count_by_user_id(
        &self,
        context: &CallContext,
        table: &str,
    ) -> StorageResult<UserCounts> {
        let started = Instant::now();
        let ours = self.primary().count_by_user_id(context, table)?;
        let mut counts = self.users_beyond_primary(&mut self.scanning(context, started), table)?;
        if counts.is_empty() {
            return Ok(ours);
        }
        for ours in ours {
            *counts.entry(ours.user_id).or_default() += ours.count;
        }
        let counts = counts.into_iter();
        Ok(counts
            .map(|(user_id, count)| UserCount { user_id, count })
            .collect())
    }

    /// How many rows of `table` each user has that are only in secondaries.
    fn users_beyond_primary(
        &self,
        fan_out: &mut FanOut<'_>,
        table: &str,
    ) -> StorageResult<BTreeMap<RString, u64>> {
        let mut counts = BTreeMap::new();
        // The primary has accepted the name; a table with another is no table.
        if !table.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Ok(counts);
        }
        let scan = Scan::of(table)
            .reading(&["user_id"])
            .only("type::is_string(user_id)", &Object::new());
        for row in self.only_in_secondaries(fan_out, &[scan])? {
            *counts.entry(row.text("user_id").into()).or_default() += 1;
        }
        Ok(counts)
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn get_stats(&self, context: &CallContext, user_id: &str) -> StorageResult<MemoryStats> {
        let started = Instant::now();
        let mut stats = self.primary().get_stats(context, user_id)?;
        let mut fan_out = self.scanning(context, started);
        let (condition, user) = match user_id {
            "" | "global" => ("true", Object::new()),
            _ => ("user_id = $user", Object::new().with("user", user_id)),
        };
        const CONTENT: &str = "bytes::len(<bytes>(content ?? '')) AS bytes";
        const FACT: &str = "bytes::len(<bytes>(key + <string>(value ?? ''))) AS bytes";
        let mut scans = vec![
            Scan::of("kv_memories")
                .reading(&[FACT])
                .only(condition, &user),
            Scan::of("vector_memories")
                .reading(&[CONTENT])
                .only(condition, &user),
            Scan::of("events")
                .reading(&[CONTENT])
                .only(condition, &user),
            Scan::of("knowledge_base").reading(&[CONTENT]),
            Scan::of("entities"),
        ];
        let known: Value = relationships::taken_names().collect();
        let parameters = Object::new().with("known", known);
        let relationships: BTreeSet<String> = fan_out
            .ask_all(move |backend, context| {
                backend.query(context, RELATIONSHIP_TABLES, &parameters)
            })
            .into_values()
            .flat_map(texts)
            .collect();
        scans.extend(relationships.iter().map(|table| Scan::of(table)));

        let mut documents = HashSet::new();
        for row in self.only_in_secondaries(&mut fan_out, &scans)? {
            let count = match row.table() {
                "kv_memories" => &mut stats.key_value_count,
                "vector_memories" => &mut stats.vector_count,
                "events" => &mut stats.event_count,
                "entities" => &mut stats.entity_count,
                "knowledge_base" => &mut stats.document_count,
                _ => &mut stats.relationship_count,
            };
            // A document in chunks is one.
            let document = Identity::of(&row, &row.columns).unit;
            if row.table() != "knowledge_base" || documents.insert(document) {
                *count += 1;
            }
            let bytes = row.columns.get("bytes").and_then(Value::as_int);
            stats.total_size_bytes += bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or(0);
        }
        Ok(stats)
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn get_code_project_stats(
        &self,
        context: &CallContext,
        project_id: &str,
    ) -> StorageResult<ProjectStats> {
        let started = Instant::now();
        let mut stats = self.primary().get_code_project_stats(context, project_id)?;
        let project = Object::new().with("project", project_id);
        let of_project = |table| Scan::of(table).only("project_id = $project", &project);
        let scans = [
            of_project("code_files").reading(&["language"]),
            of_project("code_symbols").reading(&["symbol_type"]),
            of_project("code_chunks"),
        ];
        for row in self.only_in_secondaries(&mut self.scanning(context, started), &scans)? {
            match row.table() {
                "code_files" => {
                    stats.file_count += 1;
                    count_one(&mut stats.files_by_language, row.text("language"));
                }
                "code_symbols" => {
                    stats.symbol_count += 1;
                    count_one(&mut stats.symbols_by_type, row.text("symbol_type"));
                }
                _ => stats.chunk_count += 1,
            }
        }
        Ok(stats)
    }
}

fn count_one(counts: &mut Object, name: &str) {
    let count = counts.get(name).and_then(Value::as_int).unwrap_or(0);
    counts.insert(name, count + 1);
}

/// The names in a query's answer; those that are no identifiers are left out.
fn texts(answer: Value) -> Vec<String> {
    let texts = answer.first_rows().iter().filter_map(Value::as_str);
    texts
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .map(str::to_owned)
        .collect()
}

/// The rows of one secondary that no side before it has, page by page.
fn walk(fan_out: &mut FanOut<'_>, rank: Rank, scan: &Scan) -> StorageResult<Vec<PartialRow>> {
    let mut found = Vec::new();
    let mut after: Option<RecordId> = None;
    loop {
        let (question, from) = (scan.clone(), after.clone());
        let question: Question<Vec<PartialRow>> =
            Box::new(move |backend, context| question.page(backend, context, from.as_ref()));
        let pending = fan_out.begin([(rank, question)]);
        let Some(rows) = fan_out.collect(pending).remove(&rank) else {
            return Ok(found);
        };
        after = rows.last().and_then(|row| row.id.clone());
        let full = rows.len() >= PAGE && after.is_some();
        // The sides before it have no page here, but are asked about its rows.
        let mut pages: Pages<PartialRow> = fan_out
            .ranks()
            .into_iter()
            .filter(|before| *before < rank)
            .map(|before| (before, Vec::new()))
            .chain([(rank, rows)])
            .map(|(rank, rows)| (rank, Page { rows, asked: None }))
            .collect();
        found.extend(secondary_only_rows(fan_out, &[], &mut pages)?);
        if !full {
            return Ok(found);
        }
    }
}
