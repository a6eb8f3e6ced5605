//! The read methods of facts, vectors, the graph, documents and events.

use super::{
    QueryMerger,
    backend::Backend,
    order,
    read_specs::{
        GET_EVENTS_BY_SUBJECT, HYBRID_SEARCH, SEARCH_DOCUMENTS, SEARCH_EVENTS, SEARCH_SIMILAR,
    },
    row::PartialRow,
};
use abi_stable::std_types::{ROption, RString, RVec};
use plugin_api::{
    error::StorageResult,
    records::{EventSearch, HybridResult},
    storage::{
        CallContext, Events, FoundDocuments, FoundEvents, FoundVectors, Ids, MaybeDocument,
        MaybeValue, Names,
    },
    value::{Object, Timestamp, Value},
};
use std::time::{Duration, Instant};

const FACTS: &str = "kv_memories";
const DOCUMENTS: &str = "knowledge_base";

/// A fact as a row; the value may be left out.
fn fact(user_id: &str, key: &str, value: Value) -> PartialRow {
    let columns = Object::new()
        .with("user_id", user_id)
        .with("key", key)
        .with("value", value);
    PartialRow::new(FACTS, columns)
}

/// One column of rows, as the names that a method gives.
fn names(rows: RVec<PartialRow>, column: &str) -> Names {
    rows.iter().map(|row| row.text(column).into()).collect()
}

impl QueryMerger {
    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn get_fact(
        &self,
        context: &CallContext,
        user_id: &str,
        key: &str,
    ) -> StorageResult<MaybeValue> {
        let (user, name) = (user_id.to_owned(), key.to_owned());
        let found = self.point(
            context,
            move |backend: &dyn Backend, context: &CallContext| {
                let value = backend.get_fact(context, &user, &name)?.into_option();
                Ok(value.map(|value| fact(&user, &name, value)))
            },
        )?;
        Ok(found
            .and_then(|mut fact| fact.columns.remove("value"))
            .into())
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn list_facts(&self, context: &CallContext, user_id: &str) -> StorageResult<Object> {
        let user = user_id.to_owned();
        let facts = self.list(context, order::fact, None, move |backend, context, _| {
            let facts = backend.list_facts(context, &user)?;
            Ok(facts
                .into_iter()
                .map(|(key, value)| fact(&user, &key, value))
                .collect())
        })?;
        Ok(facts
            .into_iter()
            .map(|mut fact| {
                let value = fact.columns.remove("value").unwrap_or_default();
                (RString::from(fact.text("key")), value)
            })
            .collect())
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn list_fact_keys(&self, context: &CallContext, user_id: &str) -> StorageResult<Names> {
        let user = user_id.to_owned();
        let facts = self.list(context, order::fact, None, move |backend, context, _| {
            let keys = backend.list_fact_keys(context, &user)?;
            Ok(keys
                .iter()
                .map(|key| fact(&user, key, Value::None))
                .collect())
        })?;
        Ok(names(facts, "key"))
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn search_similar(
        &self,
        context: &CallContext,
        user_id: &str,
        query_embedding: &[f32],
        limit: u32,
    ) -> StorageResult<FoundVectors> {
        let (user, embedding) = (user_id.to_owned(), query_embedding.to_vec());
        let limit = SEARCH_SIMILAR.limit_or_default(limit);
        self.list(
            context,
            order::nearest,
            limit,
            move |backend, context, limit| {
                backend.search_similar(context, &user, &embedding, limit)
            },
        )
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn list_entity_ids(&self, context: &CallContext) -> StorageResult<Ids> {
        self.list(context, order::id_text, None, |backend, context, _| {
            backend.list_entity_ids(context)
        })
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn search_documents(
        &self,
        context: &CallContext,
        query_embedding: &[f32],
        limit: u32,
    ) -> StorageResult<FoundDocuments> {
        let embedding = query_embedding.to_vec();
        let limit = SEARCH_DOCUMENTS.limit_or_default(limit);
        self.list(
            context,
            order::nearest,
            limit,
            move |backend, context, limit| backend.search_documents(context, &embedding, limit),
        )
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn get_document(
        &self,
        context: &CallContext,
        file_path: &str,
    ) -> StorageResult<MaybeDocument> {
        let path = file_path.to_owned();
        let found = self.point(
            context,
            move |backend: &dyn Backend, context: &CallContext| {
                Ok(backend.get_document(context, &path)?.into_option())
            },
        )?;
        Ok(found.into())
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn list_document_paths(&self, context: &CallContext) -> StorageResult<Names> {
        let documents = self.list(context, order::path, None, |backend, context, _| {
            let paths = backend.list_document_paths(context)?;
            // A document as a whole: a delete of it covers both columns.
            Ok(paths
                .iter()
                .map(|path| {
                    let columns = Object::new()
                        .with("file_path", path.clone())
                        .with("source_file", path.clone());
                    PartialRow::new(DOCUMENTS, columns)
                })
                .collect())
        })?;
        Ok(names(documents, "file_path"))
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn hybrid_search(
        &self,
        context: &CallContext,
        user_id: &str,
        query_embedding: &[f32],
        entities: &[RString],
        limit: u32,
    ) -> StorageResult<HybridResult> {
        const STEPS: u32 = 2;
        let started = Instant::now();
        let left = || context.after(started.elapsed());
        let limit = HYBRID_SEARCH.limit_or_default(limit).unwrap_or(limit);
        let vectors = self.search_similar(&left(), user_id, query_embedding, limit)?;
        let mut graph = RVec::new();
        for entity in entities {
            graph.extend(self.traverse_graph(&left(), entity, "", STEPS)?);
        }
        let facts = self.list_facts(&left(), user_id)?;
        Ok(HybridResult {
            total: (vectors.len() + graph.len() + facts.len()) as u64,
            vectors,
            graph,
            facts,
            query_time_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        })
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn search_events(
        &self,
        context: &CallContext,
        search: &EventSearch,
    ) -> StorageResult<FoundEvents> {
        let limit = SEARCH_EVENTS.limit_or_default(search.limit);
        let search = with_fixed_start(search);
        self.list(
            context,
            order::event,
            limit,
            move |backend, context, limit| {
                let search = EventSearch {
                    limit,
                    ..search.clone()
                };
                backend.search_events(context, &search)
            },
        )
    }

    /// See the contract.
    ///
    /// # Errors
    /// The primary's.
    pub fn get_events_by_subject(
        &self,
        context: &CallContext,
        user_id: &str,
        subject: &str,
        limit: u32,
    ) -> StorageResult<Events> {
        let (user, subject) = (user_id.to_owned(), subject.to_owned());
        let limit = GET_EVENTS_BY_SUBJECT.limit_or_default(limit);
        self.list(
            context,
            order::oldest_event,
            limit,
            move |backend, context, limit| {
                backend.get_events_by_subject(context, &user, &subject, limit)
            },
        )
    }
}

/// The search with "the last so many hours" made a point in time, so that all
/// sides mean the same.
fn with_fixed_start(search: &EventSearch) -> EventSearch {
    const HOUR: u64 = 3600;
    let hours = [
        (search.last_hours, 1),
        (search.last_days, 24),
        (search.last_months, 24 * 30),
    ]
    .into_iter()
    .find(|(count, _)| *count > 0)
    .map(|(count, hours)| Duration::from_secs(u64::from(count) * hours * HOUR));
    match (search.from, hours) {
        (ROption::RNone, Some(back)) => EventSearch {
            from: ROption::RSome(Timestamp::now().before(back)),
            last_hours: 0,
            last_days: 0,
            last_months: 0,
            ..search.clone()
        },
        _ => search.clone(),
    }
}
