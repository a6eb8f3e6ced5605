//! [`Repeats`]: events that repeat reach the host's log at a bounded rate.
//!
//! A table that a secondary rejects row by row would otherwise be a line for each row.
//! A change of state is never left out; what repeats those is the reconnection, which
//! has its own backoff.

use super::Fields;
use parking_lot::Mutex;
use plugin_api::value::Value;
use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};
use tracing::{Metadata, callsite::Identifier};

/// So many like events reach the log in one [`WINDOW`].
const BURST: u64 = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// Kinds of events that are kept in mind.
const CAPACITY: usize = 500;

/// How often each kind of event occurred lately.
#[derive(Default)]
pub(super) struct Repeats {
    seen: Mutex<HashMap<Kind, Seen>>,
    hasher: RandomState,
}

/// Events of one place in the code with the same message about one secondary.
#[derive(PartialEq, Eq, Hash)]
struct Kind {
    callsite: Identifier,
    about: u64,
}

struct Seen {
    since: Instant,
    /// In the present window.
    count: u64,
    left_out: u64,
}

impl Repeats {
    /// None if the event is to be left out; else how many like it were, since the
    /// latest that was not.
    pub(super) fn pass(&self, metadata: &Metadata<'_>, fields: &Fields) -> Option<u64> {
        if fields.object.get("to").is_some() {
            return Some(0);
        }
        let secondary = fields.object.get("secondary").and_then(Value::as_str);
        let kind = Kind {
            callsite: metadata.callsite(),
            about: self.hasher.hash_one((secondary, &fields.message)),
        };
        self.pass_at(kind, Instant::now())
    }

    fn pass_at(&self, kind: Kind, now: Instant) -> Option<u64> {
        let mut seen = self.seen.lock();
        if seen.len() >= CAPACITY && !seen.contains_key(&kind) {
            seen.retain(|_, seen| now.duration_since(seen.since) < WINDOW);
            if seen.len() >= CAPACITY {
                seen.clear();
            }
        }
        let seen = seen.entry(kind).or_insert(Seen {
            since: now,
            count: 0,
            left_out: 0,
        });
        if now.duration_since(seen.since) >= WINDOW {
            seen.since = now;
            seen.count = 0;
        }
        seen.count += 1;
        if seen.count > BURST {
            seen.left_out += 1;
            return None;
        }
        Some(std::mem::take(&mut seen.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(about: u64) -> Kind {
        struct Callsite;
        impl tracing::Callsite for Callsite {
            fn set_interest(&self, _: tracing::subscriber::Interest) {}
            fn metadata(&self) -> &Metadata<'_> {
                unreachable!("not asked for")
            }
        }
        static CALLSITE: Callsite = Callsite;
        Kind {
            callsite: Identifier(&CALLSITE),
            about,
        }
    }

    #[test]
    fn what_was_left_out_is_counted_in_the_next_window() {
        let repeats = Repeats::default();
        let start = Instant::now();
        let passed = |at: Duration| repeats.pass_at(kind(1), start + at);
        for _ in 0..BURST {
            assert_eq!(passed(Duration::ZERO), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(passed(WINDOW / 2), None);
        }
        assert_eq!(passed(WINDOW), Some(7));
        assert_eq!(passed(WINDOW), Some(0));
    }

    #[test]
    fn the_memory_is_bounded() {
        let repeats = Repeats::default();
        let start = Instant::now();
        for about in 0..10 * CAPACITY as u64 {
            assert_eq!(repeats.pass_at(kind(about), start), Some(0));
        }
        assert!(repeats.seen.lock().len() <= CAPACITY);
    }
}
