//! Events: what happened, when, and under which subject.

use crate::{
    ffi::{List, Maybe, Text},
    value::{Object, RecordId, Timestamp},
};
use abi_stable::StableAbi;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Something that happened.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// The row's id.
    pub id: RecordId,
    /// The user that it belongs to.
    pub user_id: Text,
    /// What it is about, such as `conversation:42`.
    pub subject: Text,
    /// The text.
    pub content: Text,
    /// Free-form data of the caller.
    pub metadata: Object,
    /// When it was saved.
    pub created_at: Timestamp,
}

/// The criteria of a search for events. Empty text and empty lists do not
/// restrict it.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventSearch {
    /// The user whose events are searched; required.
    pub user_id: Text,
    /// Only events of this subject.
    pub subject: Text,
    /// Only events with these words (BM25).
    pub query: Text,
    /// Nearest to this embedding (cosine); together with `query`, each counts half.
    pub embedding: List<f32>,
    /// Not before this time. Takes precedence over the `last_…` fields.
    pub from: Maybe<Timestamp>,
    /// Not after this time.
    pub to: Maybe<Timestamp>,
    /// Only the last so many hours; 0 means no limit. Takes precedence over
    /// days and months.
    pub last_hours: u32,
    /// Only the last so many days; 0 means no limit. Takes precedence over
    /// months.
    pub last_days: u32,
    /// Only the last so many months of 30 days; 0 means no limit.
    pub last_months: u32,
    /// At most so many results; 0 means 50.
    pub limit: u32,
}

impl EventSearch {
    /// The earliest time that it asks for at the time `now`; none if it asks for all
    /// there are. Nothing was saved before 1970 by "the last so many hours".
    pub fn earliest(&self, now: Timestamp) -> Option<Timestamp> {
        const HOUR: u64 = 60 * 60;
        if let Maybe::RSome(from) = self.from {
            return Some(from);
        }
        let hours = match (self.last_hours, self.last_days, self.last_months) {
            (0, 0, 0) => return None,
            (0, 0, months) => u64::from(months) * 24 * 30,
            (0, days, _) => u64::from(days) * 24,
            (hours, _, _) => u64::from(hours),
        };
        let back = Duration::from_secs(hours * HOUR);
        let reaches = i64::try_from(back.as_secs()).is_ok_and(|back| back <= now.seconds);
        reaches.then(|| now.before(back))
    }
}

/// An event and its relevance to the search.
#[repr(C)]
#[derive(StableAbi, Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundEvent {
    /// The event.
    pub event: Event,
    /// BM25 score, cosine similarity, or half of each; 1 where nothing is scored.
    pub relevance: f64,
}
