//! Fail points: named steps at which a test can make the module fail.
//!
//! `DB_SYNC_FAIL_POINTS=after_primary_commit=panic,after_ack=abort` makes the
//! step of that name panic, or end the process at once, as `kill -9` would. With
//! `*N` after the action this happens the N-th time that the step is reached;
//! with `@TEXT`, every time that it is reached with a key that contains the text.
//! Compiled into debug builds only.

use crate::dedup::Key;

/// The steps from a write to its acknowledged position, in order.
pub const STEPS: &[&str] = &[
    "before_intent",
    "before_primary_write",
    "after_primary_commit",
    "after_append",
    "before_apply",
    "build_statement",
    "after_apply",
    "after_ack",
];

/// The steps that are not on the normal write path: a part of a page of a table is
/// about to be copied; a page has been copied; a secondary has been moved past a
/// rejected operation.
pub const RARE_STEPS: &[&str] = &["before_copy", "after_page", "after_skip"];

#[cfg(debug_assertions)]
fn is_listed(name: &str) -> bool {
    STEPS.contains(&name) || RARE_STEPS.contains(&name)
}

/// Reaches the step `name`.
#[cfg(debug_assertions)]
pub fn pass(name: &'static str) {
    debug_assert!(is_listed(name), "fail point {name} is not listed");
    armed::pass(name);
}

/// Reaches the step `name` with an operation on `key`.
#[cfg(debug_assertions)]
pub fn pass_with(name: &'static str, key: &Key) {
    debug_assert!(is_listed(name), "fail point {name} is not listed");
    armed::pass_with(name, key);
}

/// Reaches the step `name`: does nothing in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn pass(_name: &'static str) {}

/// Reaches the step `name`: does nothing in a release build.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn pass_with(_name: &'static str, _key: &Key) {}

#[cfg(debug_assertions)]
mod armed {
    use super::Key;
    use std::sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    };

    struct Point {
        name: String,
        action: String,
        when: When,
    }

    enum When {
        /// Once, the `nth` time.
        Nth { nth: u64, passed: AtomicU64 },
        /// Every time that the key contains the text.
        KeyContains(String),
    }

    static POINTS: LazyLock<Vec<Point>> = LazyLock::new(|| {
        let setting = std::env::var("DB_SYNC_FAIL_POINTS").unwrap_or_default();
        setting.split(',').filter_map(parse).collect()
    });

    fn parse(text: &str) -> Option<Point> {
        let (name, action) = text.trim().split_once('=')?;
        let (action, when) = match action.split_once('@') {
            Some((action, text)) => (action, When::KeyContains(text.to_owned())),
            None => {
                let (action, nth) = action.split_once('*').unwrap_or((action, "1"));
                let (nth, passed) = (nth.parse().ok()?, AtomicU64::new(0));
                (action, When::Nth { nth, passed })
            }
        };
        Some(Point {
            name: name.to_owned(),
            action: action.to_owned(),
            when,
        })
    }

    pub(super) fn pass(name: &str) {
        for point in POINTS.iter().filter(|point| point.name == name) {
            if let When::Nth { nth, passed } = &point.when
                && passed.fetch_add(1, Ordering::Relaxed) + 1 == *nth
            {
                point.act();
            }
        }
    }

    pub(super) fn pass_with(name: &str, key: &Key) {
        for point in POINTS.iter().filter(|point| point.name == name) {
            if let When::KeyContains(text) = &point.when
                && key.to_string().contains(text)
            {
                point.act();
            }
        }
        pass(name);
    }

    impl Point {
        #[allow(clippy::panic, reason = "a fail point fails on purpose")]
        fn act(&self) {
            match self.action.as_str() {
                "abort" => std::process::abort(),
                _ => panic!("fail point {}", self.name),
            }
        }
    }
}
