//! [`RecentEvents`]: the latest events of a module, bounded, in memory.

use parking_lot::Mutex;
use plugin_api::value::{Object, Timestamp, Value};
use serde::Serialize;
use std::collections::VecDeque;
use tracing::Level;

/// Events that are kept.
const CAPACITY: usize = 200;

/// Bytes that are kept of a text: an error may quote a whole document.
const MAX_TEXT: usize = 1_000;

/// One event, or several equal ones that followed one another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecentEvent {
    /// Counts the events from 1.
    pub id: u64,
    /// When it occurred; the latest time, if it occurred several times.
    pub at: Timestamp,
    /// `error`, `warn` or `info`.
    pub level: &'static str,
    /// What happened.
    pub message: String,
    /// Its fields; those of the latest time.
    pub fields: Object,
    /// How often it occurred in a row.
    pub count: u64,
    /// The number of the change that made it what it is.
    #[serde(skip)]
    revision: u64,
}

/// The latest events.
#[derive(Default)]
pub struct RecentEvents(Mutex<Ring>);

#[derive(Default)]
struct Ring {
    events: VecDeque<RecentEvent>,
    last_id: u64,
    revision: u64,
}

impl RecentEvents {
    /// Keeps an event. One that repeats the latest counts it up, so that a storm
    /// of equal ones does not push out everything else.
    pub(super) fn push(&self, level: Level, message: String, fields: Object) {
        let level = match level {
            Level::ERROR => "error",
            Level::WARN => "warn",
            _ => "info",
        };
        let message = shortened(message);
        let fields: Object = fields.into_iter().map(short_field).collect();
        let mut ring = self.0.lock();
        ring.revision += 1;
        let revision = ring.revision;
        let latest = ring.events.back_mut().filter(|latest| {
            (latest.level, &latest.message) == (level, &message)
                && ["secondary", "table"]
                    .iter()
                    .all(|name| latest.fields.get(name) == fields.get(name))
        });
        if let Some(latest) = latest {
            latest.at = Timestamp::now();
            latest.fields = fields;
            latest.count += 1;
            latest.revision = revision;
            return;
        }
        ring.last_id += 1;
        let event = RecentEvent {
            id: ring.last_id,
            at: Timestamp::now(),
            level,
            message,
            fields,
            count: 1,
            revision,
        };
        if ring.events.len() == CAPACITY {
            ring.events.pop_front();
        }
        ring.events.push_back(event);
    }

    /// What is new, or has repeated, since an earlier answer with this number: 0
    /// for everything. The oldest comes first. Also returns the number of this
    /// answer.
    pub fn after(&self, revision: u64) -> (Vec<RecentEvent>, u64) {
        let ring = self.0.lock();
        let is_new = |event: &&RecentEvent| event.revision > revision;
        let events = ring.events.iter().filter(is_new).cloned().collect();
        (events, ring.revision)
    }
}

fn short_field((name, value): (plugin_api::ffi::Text, Value)) -> (plugin_api::ffi::Text, Value) {
    let value = match value {
        Value::String(text) if text.len() > MAX_TEXT => shortened(text.into()).into(),
        other => other,
    };
    (name, value)
}

fn shortened(mut text: String) -> String {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(events: &RecentEvents, message: &str, secondary: &str) {
        let fields = Object::new().with("secondary", secondary);
        events.push(Level::WARN, message.to_owned(), fields);
    }

    /// The id, the message and the count of each.
    fn lines(events: &[RecentEvent]) -> Vec<(u64, &str, u64)> {
        events
            .iter()
            .map(|event| (event.id, &*event.message, event.count))
            .collect()
    }

    #[test]
    fn an_event_that_repeats_is_counted_and_sent_again() {
        let events = RecentEvents::default();
        push(&events, "lost", "office");
        push(&events, "lost", "attic");
        let (all, first) = events.after(0);
        assert_eq!(lines(&all), [(1, "lost", 1), (2, "lost", 1)]);
        push(&events, "lost", "attic");
        let (repeated, second) = events.after(first);
        assert_eq!(lines(&repeated), [(2, "lost", 2)]);
        assert_eq!(events.after(second), (Vec::new(), second));
    }

    #[test]
    fn neither_many_nor_long_events_use_much_memory() {
        let events = RecentEvents::default();
        for number in 0..3 * CAPACITY {
            push(
                &events,
                &format!("{number}: {}", "é".repeat(MAX_TEXT)),
                &"x".repeat(5_000),
            );
        }
        let (kept, _) = events.after(0);
        assert_eq!(kept.len(), CAPACITY);
        assert!(
            kept.last()
                .is_some_and(|last| last.message.starts_with("599: é"))
        );
        for event in kept {
            let secondary = event.fields.get("secondary").and_then(Value::as_str);
            assert!(event.message.len() < MAX_TEXT + 4);
            assert!(secondary.is_some_and(|text| text.len() < MAX_TEXT + 4));
        }
    }
}
