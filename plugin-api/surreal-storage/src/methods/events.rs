//! Events, found by their words, by similarity, or by time.

use super::{
    limit_or,
    nearest::{comparable, is_above, number_or_zero},
    parameters,
};
use crate::{
    rows::{Row, record_id, stored_embedding, with_zero_embeddings},
    schema::EVENTS,
    storage::Call,
};
use abi_stable::std_types::{ROption, RVec};
use plugin_api::{
    error::{StorageError, StorageResult},
    records::{Event, EventSearch, FoundEvent, WriteReceipt},
    storage::{Events, FoundEvents},
    value::{Object, Timestamp},
};

/// The similarity from which an event without the words is found as well.
const MIN_SIMILARITY: &str = "0.3";

fn event(row: &Row) -> StorageResult<Event> {
    Ok(Event {
        id: row.id()?,
        user_id: row.text("user_id"),
        subject: row.text("subject"),
        content: row.text("content"),
        metadata: row.object("metadata"),
        created_at: row.time("created_at"),
    })
}

/// The condition of a search, and the relevance of the rows that satisfy it, from
/// the columns `words` (BM25) and `cosine`.
struct Ranking {
    condition: String,
    words: &'static str,
    cosine: String,
    relevance: String,
}

impl Ranking {
    fn of(search: &EventSearch) -> Self {
        let has_words = !search.query.trim().is_empty();
        let has_embedding = !search.embedding.is_empty();
        let comparable = comparable();
        let cosine = "vector::similarity::cosine(embedding, $embedding)";
        let near = is_above(cosine, MIN_SIMILARITY);
        let like = number_or_zero("cosine");
        let (condition, relevance) = match (has_words, has_embedding) {
            (true, true) => (
                format!("(content @0@ $query OR ({comparable} AND {near}))"),
                format!("0.5 * words + 0.5 * {like}"),
            ),
            (true, false) => ("content @0@ $query".to_owned(), "words".to_owned()),
            (false, true) => (comparable.clone(), like),
            (false, false) => ("true".to_owned(), "1f".to_owned()),
        };
        Self {
            condition,
            words: if has_words { "search::score(0)" } else { "0f" },
            cosine: if has_embedding {
                format!("IF {comparable} {{ {cosine} }} ELSE {{ 0f }}")
            } else {
                "0f".to_owned()
            },
            relevance,
        }
    }
}

impl Call {
    pub(crate) async fn save_event(
        self,
        user_id: String,
        subject: String,
        content: String,
        embedding: Vec<f32>,
        metadata: Object,
    ) -> StorageResult<WriteReceipt> {
        let row = parameters! {
            user_id: user_id,
            subject: subject,
            content: content,
            embedding: stored_embedding(&embedding),
            metadata: metadata,
        };
        let receipt = self.upsert(&EVENTS, vec![row]).await?;
        Ok(with_zero_embeddings(receipt, |_| embedding.is_empty()))
    }

    /// The most relevant first, then the newest, then by id.
    pub(crate) async fn search_events(self, search: EventSearch) -> StorageResult<FoundEvents> {
        if search.user_id.is_empty() {
            return Err(StorageError::invalid_input("the search names no user_id"));
        }
        let mut conditions = vec!["user_id = $user"];
        let mut parameters = parameters! {
            user: search.user_id.as_str(),
            limit: limit_or(search.limit, 50),
            query: search.query.as_str(),
            embedding: stored_embedding(&search.embedding),
        };
        if !search.subject.is_empty() {
            conditions.push("subject = $subject");
            parameters.insert("subject", search.subject.as_str());
        }
        if let Some(from) = search.earliest(Timestamp::now()) {
            conditions.push("created_at >= $from");
            parameters.insert("from", from);
        }
        if let ROption::RSome(to) = search.to {
            conditions.push("created_at <= $to");
            parameters.insert("to", to);
        }
        let ranking = Ranking::of(&search);
        conditions.push(&ranking.condition);
        let statement = format!(
            "{{
                LET $found = (
                    SELECT id, created_at, {relevance} AS relevance FROM (
                        SELECT id, created_at, {words} AS words, {cosine} AS cosine
                        FROM events WHERE {conditions}
                    ) ORDER BY relevance DESC, created_at DESC, id ASC LIMIT $limit
                );
                RETURN {{ found: $found, rows: (SELECT * OMIT embedding FROM $found.id) }};
            }}",
            relevance = ranking.relevance,
            words = ranking.words,
            cosine = ranking.cosine,
            conditions = conditions.join(" AND "),
        );
        let mut answer = Row::first(self.ask(&statement, parameters).await?).unwrap_or_default();
        let found = Row::all(answer.take("found"));
        let rows = Row::all(answer.take("rows"));
        let events = rows.iter().zip(&found).map(|(row, found)| {
            Ok(FoundEvent {
                event: event(row)?,
                relevance: found.float("relevance"),
            })
        });
        events.collect::<StorageResult<RVec<_>>>()
    }

    pub(crate) async fn delete_event(self, id: String, user_id: String) -> StorageResult<()> {
        let record = record_id(EVENTS.name, &id)?;
        self.write(
            "DELETE $id WHERE user_id = $user",
            parameters! { id: record, user: user_id },
        )
        .await
        .map(drop)
    }

    pub(crate) async fn get_events_by_subject(
        self,
        user_id: String,
        subject: String,
        limit: u32,
    ) -> StorageResult<Events> {
        let answer = self
            .ask(
                "SELECT * OMIT embedding FROM events WHERE user_id = $user AND subject = $subject
                 ORDER BY created_at ASC, id ASC LIMIT $limit",
                parameters! { user: user_id, subject: subject, limit: limit_or(limit, 100) },
            )
            .await?;
        let rows = Row::all(answer);
        rows.iter().map(event).collect::<StorageResult<RVec<_>>>()
    }
}
