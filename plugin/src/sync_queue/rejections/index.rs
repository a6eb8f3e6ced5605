//! [`Index`]: which operations of a secondary are rejected, without what is stored
//! of each.

use super::RejectedCount;
use crate::dedup::Key;
use plugin_api::value::Timestamp;
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Bound,
    time::Duration,
};

/// A short, stable name for a key: half of its digest, shown in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id([u8; 16]);

impl Id {
    pub(super) fn of(key: &Key) -> Self {
        let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        Self(id)
    }

    /// The id that is shown as this text.
    pub(super) fn from_bytes(text: &[u8]) -> Option<Self> {
        Self::parse(std::str::from_utf8(text).ok()?)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex)?;
        Some(Self(number.to_be_bytes()))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// What is known of a rejection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// When it is tried again; `None` for a dead letter.
    pub(super) due: Option<Timestamp>,
    /// How often the secondary has rejected it.
    pub(super) retry_count: u32,
}

/// The rejected operations of one secondary.
#[derive(Clone, Debug, Default)]
pub(in crate::sync_queue) struct Index {
    entries: BTreeMap<Id, Entry>,
    /// The retries, by due time.
    retries: BTreeSet<(Timestamp, Id)>,
}

impl Index {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn count(&self) -> RejectedCount {
        RejectedCount {
            retries: self.retries.len(),
            dead_letters: self.entries.len() - self.retries.len(),
        }
    }

    pub(super) fn contains(&self, id: Id) -> bool {
        self.entries.contains_key(&id)
    }

    pub(super) fn is_dead(&self, id: Id) -> bool {
        self.entries
            .get(&id)
            .is_some_and(|entry| entry.due.is_none())
    }

    /// Adds a rejection in place of a former one of the same key.
    pub(super) fn insert(&mut self, id: Id, entry: Entry) {
        self.remove(id);
        if let Some(due) = entry.due {
            self.retries.insert((due, id));
        }
        self.entries.insert(id, entry);
    }

    pub(super) fn remove(&mut self, id: Id) {
        if let Some(due) = self.entries.remove(&id).and_then(|entry| entry.due) {
            self.retries.remove(&(due, id));
        }
    }

    /// The first retries whose wait is over; also those from the end of which more
    /// is left than they wait at most: the clock was moved back, or the interval was
    /// made shorter.
    pub(super) fn due(
        &self,
        now: Timestamp,
        longest_wait: impl Fn(u32) -> Duration,
        limit: usize,
    ) -> Vec<Id> {
        let is_over = self.retries.iter().take_while(|(due, _)| *due <= now);
        let is_too_far = self.retries.iter().rev().take_while(|(due, id)| {
            let retry_count = self.entries.get(id).map_or(0, |entry| entry.retry_count);
            *due > now && *due > now.after(longest_wait(retry_count))
        });
        is_over
            .chain(is_too_far)
            .map(|(_, id)| *id)
            .take(limit)
            .collect()
    }

    /// When the first retry is due.
    pub(super) fn next_retry(&self) -> Option<Timestamp> {
        self.retries.first().map(|(due, _)| *due)
    }

    /// The first dead letters with ids after `after`.
    pub(super) fn dead_after(&self, after: Option<Id>, limit: usize) -> Vec<Id> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries
            .range((from, Bound::Unbounded))
            .filter(|(_, entry)| entry.due.is_none())
            .map(|(id, _)| *id)
            .take(limit)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_api::value::RecordId;

    const INTERVAL: Duration = Duration::from_secs(5);

    fn longest_wait(retry_count: u32) -> Duration {
        INTERVAL * 2u32.pow(retry_count.saturating_sub(1))
    }

    #[test]
    fn a_retry_survives_a_clock_set_back() {
        let now = Timestamp::now();
        let is_due_at = |due| {
            let mut index = Index::default();
            let id = Id::of(&Key::of_id(&RecordId::new("events", "e")));
            let entry = Entry {
                due: Some(due),
                retry_count: 3,
            };
            index.insert(id, entry);
            index.due(now, longest_wait, 10) == [id]
        };
        assert!(is_due_at(now));
        assert!(!is_due_at(now.after(INTERVAL)));
        // The third wait is four times as long as the first.
        assert!(!is_due_at(now.after(4 * INTERVAL)));
        assert!(is_due_at(now.after(5 * INTERVAL)));
        assert!(is_due_at(now.after(Duration::from_secs(400 * 86_400))));
    }

    #[test]
    fn an_id_is_parsed_as_it_is_shown() {
        let id = Id::of(&Key::of_id(&RecordId::new("events", "e")));
        assert_eq!(Id::parse(&id.to_string()), Some(id));
        for wrong in ["", "+", "90ad", "+0ad5c0d1c6d1b0e4f2a7c3d9b8e6051"] {
            assert_eq!(Id::parse(wrong), None, "{wrong}");
        }
    }
}
