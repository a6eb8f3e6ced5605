//! [`CopiedPage`]: rows of the primary on their way to one secondary.

use super::super::{
    batch::{Change, TargetState, path_of},
    context::Context,
};
use crate::{
    dedup::Key,
    error_policy::{Call, Failure},
    sync_queue::{PageWatch, partition_of},
    sync_types::{RowImage, SyncOperation, order_key},
};
use plugin_api::{
    error::{StorageError, StorageResult},
    storage::{CallContext, FullStorage},
    value::{Object, RecordId},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use surreal_storage::{
    schema::Table,
    table_scan::{
        Measured, PAGE_BYTES, Page, Pages, ScannedRow, Unreadable, read_measured, rows_by_id,
    },
};

/// The most rows of a page: some hundred for each partition.
const PAGE_ROWS: usize = 4_000;

/// How many documents are looked up with one query.
const DOCUMENTS_PER_QUERY: usize = 50;

/// Rows of one table, read from the primary under a watch.
pub(super) struct CopiedPage {
    /// The table.
    pub(super) table: String,
    /// Which of them have been written since.
    pub(super) watch: PageWatch,
    /// The rows, by the partition of their order keys.
    pub(super) parts: BTreeMap<u16, Vec<Change>>,
    /// Rows that cannot be read, by their keys, and why.
    pub(super) unreadable: Vec<(Key, Failure)>,
    /// The last row of the table that it covers; none if it is no range.
    pub(super) end: Option<RecordId>,
    /// How many rows of the primary it covers.
    pub(super) rows: u64,
    /// Are its rows new to the secondary, as far as is known?
    pub(super) creates: Arc<AtomicBool>,
}

/// Reads a table page by page, to copy it.
pub(super) struct PageReader {
    context: Arc<Context>,
    table: String,
    /// None while a page is being read.
    pages: Option<Pages>,
    creates: Arc<AtomicBool>,
}

impl PageReader {
    /// Reads `table` behind the record id `after`. `creates` says that the
    /// secondary has none of its rows yet.
    pub(super) fn new(
        context: &Arc<Context>,
        table: &str,
        after: Option<RecordId>,
        creates: bool,
    ) -> Self {
        let pages = super::scan(table).pages(after, context.read_timeout());
        Self {
            context: Arc::clone(context),
            table: table.to_owned(),
            pages: Some(pages),
            creates: Arc::new(AtomicBool::new(creates)),
        }
    }

    /// The next page; none at the end of the table.
    ///
    /// # Errors
    /// The primary's.
    pub(super) async fn next(&mut self) -> StorageResult<Option<CopiedPage>> {
        let Some(mut pages) = self.pages.take() else {
            return Err(StorageError::internal(
                "a page was given up while it was read",
            ));
        };
        let watch = PageWatch::begin(&self.context.queue, self.context.name());
        let primary = self.context.primary.clone();
        let (pages, page) = super::blocking(move || {
            let page = read(&mut pages, &primary)?;
            Ok((pages, page))
        })
        .await?;
        self.pages = Some(pages);
        let Some((rows, unreadable)) = page else {
            return Ok(None);
        };
        let last = unreadable.last().map(|row: &Unreadable| &row.id);
        let end = last.or_else(|| rows.last().map(|row| &row.id)).cloned();
        let creates = Arc::clone(&self.creates);
        let page = assemble(&self.context, &self.table, watch, rows, unreadable, creates).await?;
        Ok(Some(CopiedPage { end, ..page }))
    }
}

/// Reads as many rows as a page may have. A row that cannot be read ends it.
fn read(
    pages: &mut Pages,
    primary: &FullStorage,
) -> StorageResult<Option<(Vec<ScannedRow>, Vec<Unreadable>)>> {
    let (mut all, mut all_bytes) = (Vec::new(), 0);
    while all.len() < PAGE_ROWS && all_bytes < PAGE_BYTES {
        let Some(page) = pages.next(primary)? else {
            return Ok((!all.is_empty()).then_some((all, Vec::new())));
        };
        let Page {
            mut rows,
            bytes,
            unreadable,
        } = page;
        all.append(&mut rows);
        all_bytes += bytes;
        if let Some(unreadable) = unreadable {
            return Ok(Some((all, vec![unreadable])));
        }
    }
    Ok(Some((all, Vec::new())))
}

/// The rows with these ids as a page.
///
/// # Errors
/// The primary's.
pub(super) async fn of_rows(
    context: &Arc<Context>,
    table: &str,
    ids: Vec<RecordId>,
) -> StorageResult<CopiedPage> {
    let watch = PageWatch::begin(&context.queue, context.name());
    let (primary, timeout) = (context.primary.clone(), context.read_timeout());
    let (rows, unreadable) =
        super::blocking(move || rows_by_id(&primary, timeout, "*", &ids)).await?;
    assemble(context, table, watch, rows, unreadable, Arc::default()).await
}

async fn assemble(
    context: &Arc<Context>,
    table: &str,
    watch: PageWatch,
    rows: Vec<ScannedRow>,
    unreadable: Vec<Unreadable>,
    creates: Arc<AtomicBool>,
) -> StorageResult<CopiedPage> {
    let mut page = CopiedPage {
        table: table.to_owned(),
        watch,
        parts: BTreeMap::new(),
        unreadable: Vec::new(),
        end: None,
        rows: (rows.len() + unreadable.len()) as u64,
        creates,
    };
    let (primary, timeout) = (context.primary.clone(), context.read_timeout());
    let name = table.to_owned();
    let (rows, mut documents, keys) = super::blocking(move || {
        let documents = documents_led_by(&rows, &name, &primary, timeout)?;
        let keys = keys_of(&unreadable, &name, &primary, timeout)?;
        Ok((rows, documents, keys))
    })
    .await?;
    let secondary = context.name();
    for ScannedRow { id, columns } in rows {
        let key = order_key(table, &id, &columns);
        let leads = Table::of(table).leads_group(&columns);
        let row = RowImage {
            id,
            columns,
            embedding: None,
        };
        let target = match documents.get_mut(&key) {
            Some(ids) if leads => TargetState::Document {
                path: path_of(&key),
                ids: mem::take(ids),
                rows: vec![row],
            },
            _ => TargetState::Rows(vec![row]),
        };
        let operation = SyncOperation::refresh(key).only_for(secondary);
        let part = page.parts.entry(partition_of(&operation.key)).or_default();
        part.push(Change::of_present_row(operation, target));
    }
    page.unreadable = keys
        .into_iter()
        .map(|(key, error)| (key, Failure::of(Call::ReadPrimary, error)))
        .collect();
    let changes = page.parts.values().flatten();
    page.watch
        .limit_to(changes.map(|change| change.operation.key.clone()));
    Ok(page)
}

/// The ids of all rows of each document whose first row is among these: the secondary
/// may have rows of it that the primary has replaced.
fn documents_led_by(
    rows: &[ScannedRow],
    table: &str,
    primary: &FullStorage,
    timeout: Duration,
) -> StorageResult<BTreeMap<Key, Vec<RecordId>>> {
    let facts = Table::of(table);
    let led = rows.iter().filter(|row| facts.leads_group(&row.columns));
    let led: Vec<Key> = led
        .map(|row| order_key(table, &row.id, &row.columns))
        .collect();
    let mut documents = BTreeMap::new();
    for keys in led.chunks(DOCUMENTS_PER_QUERY) {
        let mut parameters = Object::new();
        let selects = keys.iter().enumerate().map(|(at, key)| {
            parameters.insert(format!("path{at}"), path_of(key));
            let condition = facts.group_condition(&format!("$path{at}"));
            format!("(SELECT VALUE id FROM {} WHERE {condition})", facts.name)
        });
        let expression = format!("[{}]", selects.collect::<Vec<_>>().join(", "));
        let context = CallContext::with_timeout(timeout);
        let read = read_measured(primary, &context, &expression, &parameters, u64::MAX >> 1)?;
        let Measured::Values(answers, _) = read else {
            continue;
        };
        for (key, ids) in keys.iter().zip(answers) {
            let ids = ids.as_array().unwrap_or_default().iter();
            let ids = ids.filter_map(|id| id.as_record_id().cloned()).collect();
            documents.insert(key.clone(), ids);
        }
    }
    Ok(documents)
}

/// The order keys of rows that cannot be read, and why.
fn keys_of(
    unreadable: &[Unreadable],
    table: &str,
    primary: &FullStorage,
    timeout: Duration,
) -> StorageResult<Vec<(Key, StorageError)>> {
    let facts = Table::of(table);
    let columns: BTreeSet<&str> = facts.key.iter().chain(facts.group_by).copied().collect();
    let columns: Vec<&str> = columns.into_iter().filter(|name| *name != "id").collect();
    let projection = [&["id"], &*columns].concat().join(", ");
    let ids: Vec<RecordId> = unreadable.iter().map(|row| row.id.clone()).collect();
    let (rows, _) = rows_by_id(primary, timeout, &projection, &ids)?;
    let reasons = |id: &RecordId| unreadable.iter().find(|row| row.id == *id);
    Ok(rows
        .into_iter()
        .filter_map(|ScannedRow { id, columns }| {
            let error = StorageError::invalid_input(reasons(&id)?.to_string());
            Some((order_key(table, &id, &columns), error))
        })
        .collect())
}
