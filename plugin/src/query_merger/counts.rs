//! Counts over the union: each row once.
//!
//! The primary counts its own rows. To that are added the rows that only a
//! secondary has. Digests of the record ids of each table tell whether there are
//! any, so that in the steady state no id is transferred. Only where digests
//! differ are the ids and key columns read, in pages, and looked up in the
//! primary.

use super::{
    QueryMerger,
    fan_out::{FanOut, Rank, Request},
    graph::{RELATIONSHIP_TABLES, relationship_parameters},
    merge::{Page, Pages, secondary_only_rows},
    read_specs::ReadMethod,
    row::{Identity, MergeableRow, PartialRow},
};
use abi_stable::std_types::RString;
use plugin_api::{
    error::StorageResult,
    records::{MemoryStats, ProjectStats, UserCount},
    storage::{CallContext, Names, UserCounts},
    value::{Object, RecordId, Value},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Instant,
};
use surreal_storage::{
    schema::{self, Table, identifier},
    table_scan::{ScannedRow, TableScan, digests},
};

/// A digest reads a whole table: such a request may take so many times the query
/// timeout.
const TIMEOUT_FACTOR: u32 = 10;

/// Rows of one page.
const PAGE_SIZE: usize = 2000;

/// A scan of what identifies the rows of `table`, and of these columns.
fn scan(table: &str, columns: &[&str]) -> TableScan {
    let identity = Table::of(table).identity.iter();
    TableScan::new(table, PAGE_SIZE).columns(identity.chain(columns).copied())
}

/// A table of the statistics.
struct StatsTable {
    name: &'static str,
    counter: fn(&mut MemoryStats) -> &mut u64,
    /// The bytes of a row's content, if they count.
    bytes: Option<&'static str>,
    /// Do its rows belong to a user?
    of_user: bool,
}

const CONTENT_BYTES: Option<&str> = Some("bytes::len(<bytes>(content ?? '')) AS bytes");
const FACT_BYTES: Option<&str> = Some("bytes::len(<bytes>(key + <string>(value ?? ''))) AS bytes");

const STATS_TABLES: &[StatsTable] = &[
    StatsTable {
        name: schema::FACTS.name,
        counter: |stats| &mut stats.key_value_count,
        bytes: FACT_BYTES,
        of_user: true,
    },
    StatsTable {
        name: schema::VECTORS.name,
        counter: |stats| &mut stats.vector_count,
        bytes: CONTENT_BYTES,
        of_user: true,
    },
    StatsTable {
        name: schema::EVENTS.name,
        counter: |stats| &mut stats.event_count,
        bytes: CONTENT_BYTES,
        of_user: true,
    },
    StatsTable {
        name: schema::DOCUMENTS.name,
        counter: |stats| &mut stats.document_count,
        bytes: CONTENT_BYTES,
        of_user: false,
    },
    StatsTable {
        name: schema::ENTITIES.name,
        counter: |stats| &mut stats.entity_count,
        bytes: None,
        of_user: false,
    },
];

impl StatsTable {
    fn scan(&self, user_id: &str) -> TableScan {
        let columns: Vec<&str> = self.bytes.into_iter().collect();
        let scan = scan(self.name, &columns);
        match user_id {
            "" | "global" => scan,
            _ if !self.of_user => scan,
            _ => scan.filter("user_id = $user", &Object::new().with("user", user_id)),
        }
    }
}

impl QueryMerger {
    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn list_user_ids(&self, context: &CallContext, table: &str) -> StorageResult<Names> {
        let started = Instant::now();
        let users = self.primary().list_user_ids(context, table)?;
        let added =
            self.secondary_only_users(ReadMethod::list_user_ids, context, started, table)?;
        if added.is_empty() {
            return Ok(users);
        }
        let users: BTreeSet<RString> = users.into_iter().chain(added.into_keys()).collect();
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
        let users = self.primary().count_by_user_id(context, table)?;
        let mut counts =
            self.secondary_only_users(ReadMethod::count_by_user_id, context, started, table)?;
        if counts.is_empty() {
            return Ok(users);
        }
        for user in users {
            *counts.entry(user.user_id).or_default() += user.count;
        }
        let counts = counts.into_iter();
        Ok(counts
            .map(|(user_id, count)| UserCount { user_id, count })
            .collect())
    }

    /// How many rows of `table` each user has that only secondaries have.
    fn secondary_only_users(
        &self,
        method: ReadMethod,
        context: &CallContext,
        started: Instant,
        table: &str,
    ) -> StorageResult<BTreeMap<RString, u64>> {
        let mut counts = BTreeMap::new();
        // The primary has accepted the name, but no table can have another.
        if identifier("a table", table).is_err() {
            return Ok(counts);
        }
        let scan = scan(table, &["user_id"]).filter("type::is_string(user_id)", &Object::new());
        let mut fan_out = self.scan_fan_out(method, context, started);
        for row in self.secondary_only(&mut fan_out, &[scan])? {
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
        let mut fan_out = self.scan_fan_out(ReadMethod::get_stats, context, started);
        let parameters = relationship_parameters("");
        let relationship_tables: BTreeSet<String> = fan_out
            .request_all(move |backend, context| {
                backend.query(context, RELATIONSHIP_TABLES, &parameters)
            })
            .into_values()
            .flat_map(table_names)
            .collect();
        let scans: Vec<TableScan> = STATS_TABLES
            .iter()
            .map(|table| table.scan(user_id))
            .chain(relationship_tables.iter().map(|table| scan(table, &[])))
            .collect();

        let mut groups = HashSet::new();
        for row in self.secondary_only(&mut fan_out, &scans)? {
            // A document counts once, with all its chunks.
            let is_grouped = Table::of(row.table()).is_grouped();
            if !is_grouped || groups.insert(Identity::of(&row, &row.columns).group_key) {
                let table = STATS_TABLES.iter().find(|table| table.name == row.table());
                match table {
                    Some(table) => *(table.counter)(&mut stats) += 1,
                    None => stats.relationship_count += 1,
                }
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
        let of_project = |table: Table, columns: &[&str]| {
            scan(table.name, columns).filter("project_id = $project", &project)
        };
        let scans = [
            of_project(schema::FILES, &["language"]),
            of_project(schema::SYMBOLS, &["symbol_type"]),
            of_project(schema::CHUNKS, &[]),
        ];
        let mut fan_out = self.scan_fan_out(ReadMethod::get_code_project_stats, context, started);
        for row in self.secondary_only(&mut fan_out, &scans)? {
            if row.table() == schema::FILES.name {
                stats.file_count += 1;
                increment(&mut stats.files_by_language, row.text("language"));
            } else if row.table() == schema::SYMBOLS.name {
                stats.symbol_count += 1;
                increment(&mut stats.symbols_by_type, row.text("symbol_type"));
            } else {
                stats.chunk_count += 1;
            }
        }
        Ok(stats)
    }

    /// The secondaries for scans, in a call that began at `started`.
    fn scan_fan_out<'m>(
        &'m self,
        method: ReadMethod,
        context: &'m CallContext,
        started: Instant,
    ) -> FanOut<'m> {
        FanOut::new(self, method, context)
            .since(started)
            .with_timeout_factor(TIMEOUT_FACTOR)
    }

    /// The rows of these scans that only secondaries have.
    fn secondary_only(
        &self,
        fan_out: &mut FanOut<'_>,
        scans: &[TableScan],
    ) -> StorageResult<Vec<PartialRow>> {
        // A secondary that drops out has decided about rows of others before:
        // the comparison is repeated without it.
        loop {
            let participants = fan_out.ranks();
            if participants.is_empty() {
                return Ok(Vec::new());
            }
            let mut rows = Vec::new();
            let request = scans.to_vec();
            let in_flight =
                fan_out.send_all(move |backend, context| digests(backend, context, &request));
            let primary = digests(self.primary(), &fan_out.context(), scans)?;
            for (rank, secondary) in fan_out.collect(in_flight) {
                let pairs = primary.iter().zip(secondary);
                for (scan, (primary, secondary)) in scans.iter().zip(pairs) {
                    if !secondary.is_nullish() && *primary != secondary {
                        rows.extend(secondary_only_rows_of(fan_out, rank, scan)?);
                    }
                }
            }
            if fan_out.ranks() == participants {
                return Ok(rows);
            }
        }
    }
}

/// The rows of one secondary's table that no database before it has.
fn secondary_only_rows_of(
    fan_out: &mut FanOut<'_>,
    rank: Rank,
    scan: &TableScan,
) -> StorageResult<Vec<PartialRow>> {
    let mut found = Vec::new();
    let mut after: Option<RecordId> = None;
    loop {
        let request: Request<Vec<ScannedRow>> = {
            let (scan, after) = (scan.clone(), after.take());
            Box::new(move |backend, context| scan.page(backend, context, after.as_ref()))
        };
        let in_flight = fan_out.send([(rank, request)]);
        let Some(page) = fan_out.collect(in_flight).remove(&rank) else {
            return Ok(found);
        };
        let is_last = scan.is_last(&page);
        after = page.last().map(|row| row.id.clone());
        let rows = page.into_iter().map(|row| PartialRow {
            table: scan.table().to_owned(),
            id: Some(row.id),
            columns: row.columns,
        });
        // Those before it have no page here, but the rows are looked up in them.
        let before = fan_out.ranks().into_iter().filter(|before| *before < rank);
        let mut pages: Pages<PartialRow> = before
            .map(|before| (before, Vec::new()))
            .chain([(rank, rows.collect())])
            .map(|(rank, rows)| (rank, Page { rows, limit: None }))
            .collect();
        found.extend(secondary_only_rows(fan_out, &[], &mut pages)?);
        if is_last {
            return Ok(found);
        }
    }
}

fn increment(counts: &mut Object, name: &str) {
    let count = counts.get(name).and_then(Value::as_int).unwrap_or(0);
    counts.insert(name, count + 1);
}

/// The table names in an answer; those that are no identifiers are left out.
fn table_names(answer: Value) -> Vec<String> {
    let names = answer.first_rows().iter().filter_map(Value::as_str);
    names
        .filter(|name| identifier("a table", name).is_ok())
        .map(str::to_owned)
        .collect()
}
